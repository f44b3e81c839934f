package scp

// What revoke_sessions shares with apply_scp, for the tests of the documents.
var (
	RevokeSCP     = revokeSCP
	ReadRevokeSCP = readRevokeSCP
)

// Denials is denials for tests.
var Denials = denials
