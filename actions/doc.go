// Package actions is the contract of what contains a principal in AWS, changes
// nothing itself, and knows nothing of Slack, Lambda or approvals: what an [Action]
// is, how a [Call] is typed, which [Account] it is carried out in, with which
// permissions ([Scope]), and where it never reaches ([Org]).
//
// The actions are packages below, by what they contain: role, user, instance, scp.
// They stand on deny (the documents and their places) and trail (CloudTrail); source
// asks whether a finding is true; all has their one list. A new one is a file that
// implements [Action] and a line in that list. The executor drives it step by step:
//
//	call, reason, err := actions.Parse(text, directory)  // typed text, no I/O
//	plan, err := action.Plan(ctx, account, call)         // reads only
//	effect, err := action.Apply(ctx, account, step, run) // one step, idempotent
//	reading, err := action.Verify(ctx, account, step, effect)
//	undone, err := action.Revert(ctx, account, step, effect)
//
// Every AWS call is made by an [Account], a session of the responder or the
// restorer role in the target account that is limited by a session policy to
// what the action's [Spec.Permits] lists.
package actions
