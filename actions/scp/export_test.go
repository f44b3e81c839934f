package scp

// What revoke_sessions shares with apply_scp, for the tests of the documents.
var (
	RevokeSCP     = revokeSCP
	ReadRevokeSCP = readRevokeSCP
)

// RevocationFingerprint is what an approval of a revocation binds.
var RevocationFingerprint = revocationFingerprint

// Denials is denials for tests.
var Denials = denials
