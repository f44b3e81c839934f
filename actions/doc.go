// Package actions defines the contract of containment actions on AWS. It knows
// nothing of Slack, Lambda or approvals.
//
//	Action   plans, applies, verifies and reverts one containment; its Spec describes it
//	Call     a parsed line: action, target, account, region, options
//	Account  a session in the target account, limited to the permissions of a Scope
//	Org      the configured organization: accounts, and protected accounts and principals
//
// The actions are in the packages below, by target: role, user, instance, scp. They
// share deny (deny policies and tags), vouch (exempt and protected names) and trail (CloudTrail); source confirms findings;
// all has the one list. A new action is a file that implements [Action] and a line in
// that list. The executor calls it step by step:
//
//	call, reason, err := actions.Parse(text, directory)  // typed text, no I/O
//	plan, err := action.Plan(ctx, account, call)         // reads only
//	effect, err := action.Apply(ctx, account, step, run) // one step, idempotent
//	reading, err := action.Verify(ctx, account, step, effect)
//	undone, err := action.Revert(ctx, account, step, effect)
//
// Every AWS call is made through an [Account], a session of the responder or the
// restorer role in the target account. A session policy limits it to the permissions
// of the action's [Spec.Permits].
package actions
