package vouch

// Joined is for tests.
var Joined = isJoin
