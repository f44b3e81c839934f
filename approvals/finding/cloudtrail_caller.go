package finding

import (
	"cmp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Kinds of callers that a record's userIdentity names.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
const (
	ofUser    = "IAMUser"
	ofRoot    = "Root"
	ofRole    = "AssumedRole"
	ofService = "AWSService"
	federated = "FederatedUser" // GetFederationToken: a user's or root's credentials are behind it
)

// readCaller reads a userIdentity. Of a session it is the role, user or root that
// it was made from.
func readCaller(id node) actor {
	w := actor{kind: id.at("type").required().text(), id: id.at("principalId").text(), key: id.at("accessKeyId").text(), person: id.at("onBehalfOf", "userId").text()}
	from, split := id, actions.SplitUserARN
	issuer := id.at("sessionContext", "sessionIssuer")
	switch behind := issuer.at("type").text(); {
	case w.kind == ofRole:
		from, split = issuer, actions.SplitRoleARN
	case w.kind == federated && (behind == ofUser || behind == ofRoot):
		from, w.kind = issuer, behind
	}
	switch w.name = from.at("userName").text(); w.kind {
	case ofRoot:
		w.name = "root"
	case ofUser, ofRole:
		arn := from.at("arn").text()
		if _, account, _, name, ok := split(arn); ok {
			w.arn, w.account, w.name = arn, account, name
		}
		if w.name == "" {
			id.note("names no user or role")
		}
	default:
		w.name = cmp.Or(w.name, w.id)
	}
	return w
}

// who is the caller in a sentence.
func (c apiCall) who() string {
	return cmp.Or(actor{kind: c.caller.kind, name: c.caller.name}.String(), c.caller.kind)
}

// own reports whether the caller is one of our own member roles, which the account
// has under that name, on whatever path. A user of that name is somebody else.
func (c apiCall) own(org actions.Org) bool {
	w := c.caller
	return w.kind == ofRole && w.account == c.account && slices.ContainsFunc([]string{org.ResponderRole, org.RestorerRole}, func(name string) bool {
		return strings.EqualFold(name, w.name) // IAM names are unique regardless of case
	})
}

// ownCaller is own for a record of any service, whose other fields nobody reads.
func ownCaller(org actions.Org, d node, account string) bool {
	id := d.at("userIdentity").withOwnProblems()
	return apiCall{account: cmp.Or(d.at("recipientAccountId").text(), account), caller: readCaller(id)}.own(org)
}
