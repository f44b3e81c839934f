package actions_test

import (
	"errors"
	"fmt"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

func ExampleParse() {
	directory := actions.Directory{Actions: all.Actions, Partition: "aws", Accounts: map[string]string{"prod": "222222222222"}}

	call, reason, err := actions.Parse(`revoke_sessions prod/app-role reason="keys on a paste site"`, directory)
	fmt.Println(call)
	fmt.Println(reason, err)

	_, _, err = actions.Parse("revoke_session prod/app-role acount=prod", directory)
	if mistakes, ok := errors.AsType[*actions.ParseErrors](err); ok {
		for _, m := range mistakes.List {
			fmt.Println(m.Field, m.Problem)
		}
		fmt.Println(mistakes.Example)
	}
	// Output:
	// revoke_sessions arn:aws:iam::222222222222:role/app-role
	// keys on a paste site <nil>
	// action "revoke_session" is not an action; did you mean revoke_sessions?
	// acount is not an option; did you mean account?
	// reason is missing
	// revoke_sessions prod/app-role account=prod reason="…"
}
