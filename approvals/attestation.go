package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Attestation is a row of the table runs: who signed a statement, as AWS told the executor when it was
// received. A signature is good for minutes; what is attested counts for good.
type Attestation struct {
	Person    string    `json:"person,omitempty"` // people[].id; empty if it counts for nobody
	Principal string    `json:"principal,omitempty"`
	UserID    string    `json:"user_id,omitempty"`
	Refused   string    `json:"refused,omitempty"` // why it counts for nobody
	Received  time.Time `json:"received"`
}

// Attested is what somebody signed, and who that was.
type Attested struct {
	Statement Statement
	Signer    Attestation
	At        time.Time // as it was signed
}

// AttestationKey is the row for a statement, by the key of its evidence.
func AttestationKey(evidence string) Key { return Key{"statement#" + evidence, "attestation"} }

// Attestation reads who signed a statement. It returns ErrNotFound if that has not been asked yet.
func (t Runs) Attestation(ctx context.Context, evidence string) (a Attestation, err error) {
	_, err = get(ctx, t.Reader, AttestationKey(evidence), &a)
	return a, err
}

var evidenceKey = actions.NewPattern(`^[0-9a-f]{64}$`)

// IsEvidenceKey reports whether an ID is the key of evidence.
func IsEvidenceKey(id string) bool { return evidenceKey.MatchString(id) }

// Answer is what became of a statement: a row of the table requests, for who signed it. Nothing is
// decided by it.
type Answer struct {
	Text   string    `json:"text,omitempty"` // empty where there is nothing to say
	ID     string    `json:"id,omitempty"`   // of the request that it makes or is about
	Counts bool      `json:"counts,omitempty"`
	At     time.Time `json:"at"`
}

func answerKey(evidence string) Key { return Key{"statement#" + evidence, "answer"} }

// PutAnswer stores the first answer to a statement.
func (t Requests) PutAnswer(ctx context.Context, evidence string, a Answer) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	err = t.Store.Write(ctx, Put{Row: Row{Key: answerKey(evidence), Body: body, Expires: a.At.Add(evidenceFor)}})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Answer reads the answer to a statement. It returns ErrNotFound while there is none.
func (t Requests) Answer(ctx context.Context, evidence string) (a Answer, err error) {
	_, err = get(ctx, t.Store, answerKey(evidence), &a)
	return a, err
}
