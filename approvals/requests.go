package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Marks of the table requests.
const (
	MarkOpen    = "open"     // it has not ended, or its end is not recorded
	MarkInForce = "in_force" // contained, not undone
	MarkStale   = "stale"    // its card is out of date
)

// Marks are the indexes that the table requests must have.
var Marks = []string{MarkOpen, MarkInForce, MarkStale, MarkAlert}

// evidenceFor is how long evidence is kept.
const evidenceFor = 7 * 24 * time.Hour

// Requests is the table requests.
type Requests struct {
	Store     Store
	Retention time.Duration // of ended requests; 0 keeps them
}

func requestKey(id string) Key { return Key{id, "request"} }

// Create stores a new request. It returns ErrConflict if the ID is taken.
func (t Requests) Create(ctx context.Context, r Request) error {
	r.Version, r.Revision = 0, 1
	put, err := t.Put(r)
	if err != nil {
		return err
	}
	return t.Store.Write(ctx, put)
}

// Get reads a request. It returns ErrNotFound if there is none.
func (t Requests) Get(ctx context.Context, id string) (Request, error) {
	row, err := t.Store.Get(ctx, requestKey(id))
	if err != nil {
		return Request{}, err
	}
	return decodeRequest(row)
}

// Change is [Update] for a request. A change that the card shows must call Revise or To.
func (t Requests) Change(ctx context.Context, id string, change func(*Request) error) (Request, error) {
	read := func() (Request, error) { return t.Get(ctx, id) }
	r, err := Update(ctx, t.Store, "request "+id, read, func(r *Request) ([]Put, error) {
		if err := change(r); err != nil {
			return nil, err
		}
		put, err := t.Put(*r)
		return []Put{put}, err
	})
	if err == nil {
		r.Version++
	}
	return r, err
}

// Marked reads the requests with a mark that follow an ID, limit at most. For an
// unreadable row it returns a request with an ID and no state.
func (t Requests) Marked(ctx context.Context, mark string, after string, limit int) ([]Request, error) {
	rows, err := t.Store.Marked(ctx, mark, Key{after, "request"}, limit)
	if err != nil {
		return nil, err
	}
	rs := make([]Request, 0, len(rows))
	for _, row := range rows {
		r, err := decodeRequest(row)
		if err != nil {
			r = Request{ID: row.Part} // one bad row must not hide the others
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// storedEvidence is the encoding of evidence in its row. The body is base64: strings of
// JSON can't hold every byte, and take six or seven for some.
type storedEvidence struct {
	Kind      EvidenceKind `json:"kind"`
	Timestamp string       `json:"timestamp"`
	Signature string       `json:"signature"`
	Body      []byte       `json:"body"`
}

// PutEvidence stores evidence for 7 days. Storing the same again changes nothing.
func (t Requests) PutEvidence(ctx context.Context, e Evidence, now time.Time) (key string, err error) {
	body, err := json.Marshal(storedEvidence{e.Kind, e.Timestamp, e.Signature, []byte(e.Body)})
	if err != nil {
		return "", err
	}
	err = t.Store.Write(ctx, Put{Row: Row{Key: Key{"evidence#" + e.Key(), "evidence"}, Body: body, Expires: now.Add(evidenceFor)}})
	if errors.Is(err, ErrConflict) {
		err = nil
	}
	return e.Key(), err
}

// Evidence reads stored evidence. It returns ErrNotFound if there is none, and an
// *[actions.Refusal] if it was altered.
func (t Requests) Evidence(ctx context.Context, key string) (Evidence, error) {
	row, err := t.Store.Get(ctx, Key{"evidence#" + key, "evidence"})
	if err != nil {
		return Evidence{}, err
	}
	var stored storedEvidence
	if json.Unmarshal(row.Body, &stored) != nil {
		return Evidence{}, Unproven("what was kept can't be read")
	}
	e := Evidence{stored.Kind, stored.Timestamp, stored.Signature, string(stored.Body)}
	if e.Key() != key {
		return Evidence{}, Unproven("it is not what was kept under its key")
	}
	return e, nil
}

// Put returns the write of a request, with the marks that follow from its state. A secret access
// key is taken out of the reason of a no, however it came: card and audit chain repeat it.
func (t Requests) Put(r Request) (Put, error) {
	for _, no := range []*Vote{r.Denial, r.Cancelled} {
		if no != nil {
			no.Reason, _ = actions.WithoutSecrets(no.Reason)
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Put{}, err
	}
	row := Row{Key: requestKey(r.ID), Version: r.Version, Body: body}
	if r.State.Open() || !r.Closed {
		row.Marks = append(row.Marks, MarkOpen)
	}
	if r.State.InForce() {
		row.Marks = append(row.Marks, MarkInForce)
	}
	if r.Stale() {
		row.Marks = append(row.Marks, MarkStale)
	}
	if len(row.Marks) == 0 && t.Retention > 0 && !r.Ended.IsZero() {
		row.Expires = r.Ended.Add(t.Retention)
	}
	return Put{Row: row}, nil
}

func decodeRequest(row Row) (Request, error) {
	var r Request
	if err := json.Unmarshal(row.Body, &r); err != nil {
		return Request{}, fmt.Errorf("row %s: %w", row.Part, err)
	}
	if _, known := transitions[r.State]; r.ID != row.Part || !IsRequestID(r.ID) || !known {
		return Request{}, fmt.Errorf("row %s is not a request", row.Part)
	}
	r.Version = row.Version
	return r, nil
}

// To moves the request to a state. It returns a *TransitionError if that is not
// allowed.
func (r *Request) To(s State, now time.Time) error {
	if !r.State.May(s) {
		return &TransitionError{r.State, s}
	}
	r.State = s
	if !s.Open() {
		r.Ended = now
	}
	r.Revise()
	return nil
}

// Revise makes the card out of date, so that it is drawn again.
func (r *Request) Revise() { r.Revision++ }

// TransitionError is the error of a state change that is not allowed.
type TransitionError struct{ From, To State }

func (e *TransitionError) Error() string { return fmt.Sprintf("no way from %s to %s", e.From, e.To) }

// MarkAlert marks alerts that are to be drawn, wait for a digest, or are snoozed.
const MarkAlert = "alert"
