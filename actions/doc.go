// Package actions knows AWS: what each containment action changes, how it is
// read back and how it is taken back. It knows nothing of Slack, Lambda or
// approvals.
//
// An action is one file that implements [Action] and one line in [All].
// The caller (the executor) drives it step by step:
//
//	call, reason, err := actions.Parse(text, directory) // typed text, no I/O
//	plan, err := action.Plan(ctx, account, call)         // reads only
//	effect, err := action.Apply(ctx, account, step, run) // one step, idempotent
//	reading, err := action.Verify(ctx, account, step, effect)
//	undone, err := action.Revert(ctx, account, step, effect)
//
// Every AWS call is made by an [Account], a session of the responder or the
// restorer role in the target account that is limited by a session policy to
// what the action's [Spec.Permits] lists.
package actions
