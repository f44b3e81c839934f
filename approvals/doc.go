// Package approvals says what a containment request is: who asked, who may approve,
// and which evidence proves it.
//
// The types that matter:
//
//   - [Request] is a row of the table requests, which bot and executor write. Only
//     the parts of it that its [Evidence] proves are trusted.
//   - [Policy] decides without I/O who may do what: [Policy.Admit] a request and
//     [Policy.Decide] a vote. Its no is an *[actions.Refusal].
//   - [Planned], [Run] and [Step] are rows of the table runs: what was approved, how
//     far it is, and its ledger. Only the package executor writes them.
//   - [Store] is a table of versioned rows; [Lease] gives a row to one worker for a
//     while. Package storetest is the contract of every Store.
//
// Evidence is the signed body of a command or a click. A [Verifier] checks its
// signature, [ParseSlack] and [ParseCommand] parse it.
package approvals
