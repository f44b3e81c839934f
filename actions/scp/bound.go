package scp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"reflect"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// fingerprint is a hash of a document that is the same for equal JSON.
func fingerprint(document string) string {
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		return ""
	}
	return hashOf(v)
}

// revocationFingerprint is the fingerprint of a revocation without its cutoff, which each
// run sets, and the statement about `aws login`, which earlier versions did not write: what is left
// are the exemptions.
func revocationFingerprint(document string) string {
	var d struct {
		Version   any
		Statement []map[string]any
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		return ""
	}
	for _, s := range d.Statement {
		if c, ok := s["Condition"].(map[string]any); ok {
			delete(c, "DateLessThan")
		}
	}
	if len(d.Statement) == 2 {
		login := maps.Clone(d.Statement[0])
		delete(login, "Sid")
		if login["Action"] = []any{deny.LoginActions[0], deny.LoginActions[1]}; reflect.DeepEqual(login, d.Statement[1]) {
			d.Statement = d.Statement[:1]
		}
	}
	return hashOf(d)
}

func hashOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was read from JSON
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// bind says which document the plan's only step may write.
func (a Attachment) bind(p *actions.Plan, name string) {
	p.Bound = actions.Bound{Name: name, Hash: a.fingerprint(a.document(""))}
	p.Steps[0].Bound = p.Bound.Hash
}

// changed returns a refusal unless a document is the one that the step may write.
func (a Attachment) changed(document string, s actions.Step) error {
	if a.fingerprint(document) == s.Bound {
		return nil
	}
	return &actions.Refusal{Reason: "the configuration's document for " + a.policy + " was changed since it was approved", Hint: "ask again with /killswitch"}
}
