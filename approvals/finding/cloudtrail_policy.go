package finding

import (
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
)

// statements are those of a policy document; none of a text that is no document.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func statements(document string) []node {
	n, err := parse([]byte(document))
	if err != nil {
		return nil
	}
	st := n.at("Statement")
	if _, one := st.v.(map[string]any); one {
		return []node{st}
	}
	return st.items()
}

// letsIn are those whom the call allows to assume a role, each said to be of another account if it is.
func (c iamCall) letsIn() []string {
	document := c.request.at("assumeRolePolicyDocument").text()
	if c.name == "UpdateAssumeRolePolicy" {
		document = c.request.at("policyDocument").text()
	}
	var all []string
	for _, st := range statements(document) {
		if st.at("Effect").text() != "Allow" {
			continue
		}
		if not := st.at("NotPrincipal"); not.exists() {
			all = append(all, "everybody but "+some(principals(not)))
		}
		for _, p := range principals(st.at("Principal")) {
			owner := ownerOf(p)
			if actions.AccountID.MatchString(p) {
				owner = p
			}
			switch {
			case p == "*":
				p = "everybody"
			case owner != "" && owner != c.account:
				p += " (another account)"
			}
			all = append(all, p)
		}
	}
	return all
}

// principals are those of a statement: everybody, or by their kinds one or several.
func principals(n node) []string {
	switch v := n.v.(type) {
	case string:
		return []string{v}
	case []any:
		return texts(n)
	case map[string]any:
		var all []string
		for _, kind := range slices.Sorted(slices.Values(n.keys())) {
			all = append(all, principals(n.at(kind))...)
		}
		return all
	}
	return nil
}
