// Package approvals is the life of a containment request: who asked, who may
// say yes, what they saw when they did, what was then run, and the record of it.
//
// A request is a row in the table requests, which bot and executor write. What
// is believed of it is only what its evidence proves: the signed bodies of the
// command that asked and of the clicks that approved. Plans, runs, ledgers,
// holds and the audit chain are rows of the table runs, which only the package
// executor writes.
//
//	Policy.Decide   who may do what, and why not: pure
//	ParseSlack      reads evidence; Verifier proves it
//	Requests, Runs  the two tables over one Store
package approvals
