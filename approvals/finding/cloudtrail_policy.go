package finding

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// reach is how far a call opens something.
type reach int

const (
	inside    reach = iota // to this account, or to AWS's services in its name
	familiar               // to accounts that the configuration names, or to some that can't be told
	strangers              // to other accounts
	everybody
)

// guest is somebody whom a call lets in.
type guest struct {
	who   string
	reach reach
}

// findGuests are those whom the call lets in, or shares with.
func (c apiCall) findGuests() []guest {
	var all []guest
	for _, v := range c.opened() {
		sts, isPolicy := statementsOf(v)
		for _, st := range sts {
			all = append(all, c.admitted(st)...)
		}
		if text, ok := v.(string); ok && isPolicy && !json.Valid([]byte(text)) {
			all = append(all, guest{"a policy that can't be read", strangers})
		}
		if isPolicy {
			continue
		}
		for _, s := range leaves(v, "") {
			if g := c.guest(s); g.reach > inside || ownerOf(s) != "" {
				all = append(all, g)
			}
		}
	}
	return all
}

// opened are the places where the call tells whom it lets in. Lambda answers with the whole statement.
func (c apiCall) opened() (vs []any) {
	if c.service == "lambda" {
		vs = below(c.answer.v, "statement")
	}
	for path := range strings.FieldsSeq(c.change.lets) {
		if len(vs) == 0 || c.service != "lambda" {
			vs = append(vs, below(c.request.v, strings.TrimPrefix(path, "*"))...)
		}
	}
	return vs
}

// reach is the farthest that the call opens something.
func (c apiCall) reach() reach {
	far := inside
	for _, g := range c.guests {
		far = max(far, g.reach)
	}
	return far
}

// letsIn are the guests in words, those from farthest first: a card shows some.
func (c apiCall) letsIn() []string {
	guests := slices.Clone(c.guests)
	slices.SortStableFunc(guests, func(a, b guest) int { return int(b.reach - a.reach) })
	var all []string
	seen := map[string]bool{}
	for _, g := range guests {
		if !seen[g.who] {
			all = append(all, g.who)
		}
		seen[g.who] = true
	}
	return all
}

// canonicalID is S3's ID of an account, which does not tell whose it is.
var canonicalID = actions.NewPattern(`^[0-9a-f]{64}$`)

// guest tells who a principal of a policy, an account or a group of a list is.
func (c apiCall) guest(p string) guest {
	owner := ownerOf(p)
	if actions.AccountID.MatchString(p) {
		owner = p
	}
	alias := c.org.Alias(owner)
	switch {
	case p == "*", p == "all", strings.Contains(p, "/groups/global/"), strings.HasPrefix(p, "public-read"), p == "authenticated-read":
		return guest{"everybody", everybody}
	case canonicalID.MatchString(p) && !slices.Contains(leaves(c.request.v, "AccessControlPolicy.Owner.ID"), p):
		return guest{p + " (an account that can't be told)", familiar}
	case owner == "", owner == c.account:
		return guest{p, inside}
	case alias != "":
		return guest{p + " (account " + alias + ")", familiar}
	case slices.Contains([]string{c.org.HubAccount, c.org.ManagementAccount, c.org.PolicyAccount}, owner):
		return guest{p + " (an account of ours)", familiar}
	}
	return guest{p + " (another account)", strangers}
}

// admitted are those whom a statement of a policy lets in.
func (c apiCall) admitted(st node) []guest {
	if st.at("Effect").text() != "Allow" {
		return nil
	}
	var all []guest
	if not := st.at("NotPrincipal"); not.exists() {
		all = append(all, guest{"everybody but " + some(principals(not)), everybody})
	}
	open := false
	for _, p := range principals(st.at("Principal")) {
		g := c.guest(p)
		if g.reach < everybody {
			all = append(all, g)
		}
		open = open || g.reach == everybody
	}
	if open {
		all = append(all, c.narrowed(st.at("Condition")))
	}
	return all
}

// limits are the keys of conditions that say whose calls are allowed. Addresses are none: an attacker
// has some.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
var limits = []string{
	"aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths", "aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid",
	"aws:sourceowner", "aws:sourcevpc", "aws:sourcevpce", "kms:calleraccount", "s3:dataaccesspointaccount",
}

// operators are those of conditions that select by such a key; the others let too many pass.
var operators = []string{"ArnEquals", "ArnLike", "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ForAnyValue:StringEquals", "ForAnyValue:StringLike"}

// narrowed tells whom a statement lets in that allows everybody under a condition: of several keys,
// the one that lets in the fewest.
func (c apiCall) narrowed(condition node) guest {
	near := guest{"everybody", everybody}
	for _, operator := range operators {
		for _, keys := range below(condition.v, operator) {
			tests, _ := keys.(map[string]any)
			for key, values := range tests {
				if !slices.Contains(limits, strings.ToLower(key)) {
					continue
				}
				var who []string
				far := inside
				for _, v := range leaves(values, "") {
					g := c.selected(v)
					who, far = append(who, g.who), max(far, g.reach)
				}
				if g := (guest{"everybody of " + some(who), far}); g.reach < near.reach || g.reach == near.reach && g.who < near.who { // maps have no order
					near = g
				}
			}
		}
	}
	return near
}

// selected tells whom a condition's value stands for: an account, an ARN, or an organization, a network,
// a bucket, of which nobody can tell whose it is.
func (c apiCall) selected(v string) guest {
	g := c.guest(v)
	switch {
	case g.reach > inside, ownerOf(v) != "", actions.AccountID.MatchString(v):
		return g
	case strings.HasPrefix(v, "*"), strings.HasPrefix(v, "arn:") && !strings.Contains(v, ":s3:::"): // of any account
		return guest{v, everybody}
	}
	return guest{v, familiar}
}

// statements are those of a policy document; none of a text that is no document.
func statements(document string) []node {
	sts, _ := statementsOf(document)
	return sts
}

// statementsOf are those of a policy: its text, the document, or one statement alone. It reports
// whether it is one. What is wrong in it makes no event unreadable.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func statementsOf(v any) (sts []node, isPolicy bool) {
	n := node{v: v, wrong: new([]string)}
	if text, ok := v.(string); ok {
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			return nil, false
		}
		var err error
		if n, err = parse([]byte(text)); err != nil {
			return nil, true
		}
	}
	document, ok := n.v.(map[string]any)
	switch {
	case !ok:
		return nil, false
	case document["Effect"] != nil:
		return []node{n}, true
	case document["Statement"] == nil:
		return nil, false
	}
	for _, v := range below(document["Statement"], "") {
		sts = append(sts, node{v: v, wrong: n.wrong})
	}
	return sts, true
}

// principals are those of a statement: everybody, or by their kinds one or several.
func principals(n node) []string { return leaves(n.v, "") }

// allowsPower reports whether a policy allows everything, or all of IAM.
func allowsPower(document string) bool {
	return slices.ContainsFunc(statements(document), func(st node) bool {
		return st.at("Effect").text() == "Allow" && (st.at("NotAction").exists() || slices.ContainsFunc(leaves(st.v, "Action"), func(action string) bool {
			return slices.Contains([]string{"*", "*:*", "iam:*"}, strings.ToLower(action))
		}))
	})
}

// Other services than IAM write one thing in several shapes: one or a list, of texts or of objects. So
// these look through all of them, however many: nothing makes the event unreadable, or hides behind
// a long list.

// below are the values at a path, through lists.
func below(v any, path string) []any {
	key, rest, more := strings.Cut(path, ".")
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var all []any
		for _, e := range v {
			all = append(all, below(e, path)...)
		}
		return all
	case map[string]any:
		if path == "" {
			return []any{v}
		}
		if !more {
			return below(v[key], "")
		}
		return below(v[key], rest)
	}
	if path == "" {
		return []any{v}
	}
	return nil
}

// leaves are the texts, numbers and booleans at and below a path.
func leaves(v any, path string) []string {
	var all []string
	for _, v := range below(v, path) {
		walk(v, func(v any) {
			if _, ok := v.(map[string]any); !ok {
				if s := (node{v: v, wrong: new([]string)}).textOrBool(); s != "" {
					all = append(all, s)
				}
			}
		})
	}
	return all
}

// walk calls f for each object, text and number in a value, from the top down.
func walk(v any, f func(any)) {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	case map[string]any:
		f(v)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			walk(v[key], f)
		}
	default:
		f(v)
	}
}

// value is the first text of some paths; empty for none.
func value(v any, paths string) string {
	for path := range strings.FieldsSeq(paths) {
		if all := leaves(v, path); len(all) > 0 {
			return all[0]
		}
	}
	return ""
}
