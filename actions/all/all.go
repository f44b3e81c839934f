// Package all has the one list of the actions, and the member roles' policies, which
// follow from it. Only cmd and tests import it; everybody else gets a
// [actions.Catalog] with the configuration.
package all

import (
	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/instance"
	"github.com/killswitch-chatops/killswitch/actions/role"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/actions/user"
)

// Actions are the actions. A new one is one file and one line here.
var Actions = actions.Catalog{
	scp.ApplySCP{},
	scp.DenyPrincipal{},
	role.RevokeSessions{},
	role.DetachPolicies{},
	role.DeleteRole{},
	user.QuarantineUser{},
	user.DeactivateKey{},
	user.DeleteKey{},
	instance.IsolateInstance{},
}
