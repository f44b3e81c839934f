package finding

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// containments collects the containments that fit a finding, and the reasons why others
// do not.
type containments struct {
	org     actions.Org
	account string
	region  string
	list    []Containment
	byHand  []string
}

// containments begins an empty list. ARNs get the partition of the finding even if it
// is not ours: then the calls are told as work to do there by hand.
func (r Reader) containments(partition, account, region string) *containments {
	if partition == "" {
		partition = actions.PartitionOf(region)
	}
	o := &containments{org: r.Org, account: account, region: region}
	o.org.Partition = partition
	return o
}

// iamName is what IAM allows in the names of users and roles.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
var iamName = actions.NewPattern(`^[A-Za-z0-9_+=,.@-]{1,128}$`)

// add adds a call. If it is refused, it adds the reason to ByHand instead.
func (o *containments) add(extra bool, action actions.Name, target string, opts map[string]string) {
	o.addOf(Containment{Extra: extra}, action, target, opts)
}

// addOf is add for a containment with other fields set. It reports whether the call is
// refused; a call that does not parse is not.
func (o *containments) addOf(offer Containment, action actions.Name, target string, opts map[string]string) (refused bool) {
	call, err := actions.NewCall(action, target, opts, o.org.Directory())
	if wrong, ok := errors.AsType[*actions.ParseErrors](err); ok {
		o.addByHand(string(action) + " does not fit: " + wrong.Error())
		return false
	}
	if no := o.org.RefuseCall(call); no != nil {
		o.addByHand(no.Reason + ": " + no.Hint)
		return true
	}
	offer.Call = call
	i := slices.IndexFunc(o.list, func(x Containment) bool { return x.Call.String() == call.String() })
	if i < 0 {
		o.list = append(o.list, offer)
		return false
	}
	o.list[i].Extra = o.list[i].Extra && offer.Extra
	if offer.Unsure == "" {
		o.list[i].Unsure = ""
	}
	return false
}

// unsure marks what add adds: its targets are not sure, except for those that were added before.
func (o *containments) unsure(why string, add func()) {
	before := len(o.list)
	add()
	for i := before; i < len(o.list); i++ {
		o.list[i].Unsure = cmp.Or(o.list[i].Unsure, why)
	}
}

// none reports whether nothing is offered but what a route has to suggest.
func (o *containments) none() bool {
	return !slices.ContainsFunc(o.list, func(c Containment) bool { return !c.Extra })
}

// addByHand adds a line of work to do by hand, once.
func (o *containments) addByHand(text string) {
	if !slices.Contains(o.byHand, text) {
		o.byHand = append(o.byHand, text)
	}
}

func (o *containments) arn(kind, name string) string {
	return "arn:" + o.org.Partition + ":iam::" + o.account + ":" + kind + "/" + strings.TrimPrefix(name, "/")
}
