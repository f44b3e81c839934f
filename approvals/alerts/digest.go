package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Digest is one message about many alerts that the rate limit of their channel did not
// take. Its rows are in the table requests: this one, which counts, and parts, which
// list the alerts.
type Digest struct {
	ID      string    `json:"id"` // DG-…
	Version int64     `json:"-"`
	At      time.Time `json:"at"`
	N       int       `json:"n"` // alerts
	// Starts are the numbers, from 0, of the first alert of each part.
	Starts []int `json:"starts,omitempty"`
	// Levels, Types and Accounts count alerts. Only the first 100 types and accounts are
	// counted.
	Levels   map[string]int `json:"levels,omitempty"`
	Types    map[string]int `json:"types,omitempty"`
	Accounts map[string]int `json:"accounts,omitempty"`
	Worst    []DigestItem   `json:"worst,omitempty"` // the most severe
	Card     approvals.Card `json:"card"`
}

// DigestItem is one alert of a digest. Its texts are untrusted.
type DigestItem struct {
	Alert    string  `json:"alert"` // AL-…
	Severity float64 `json:"severity"`
	Level    string  `json:"level"` // the severity in words
	Type     string  `json:"type"`
	Account  string  `json:"account"`
	Line     string  `json:"line"` // what else there is to say
	Behind   int     `json:"behind,omitempty"`
}

// DigestPart is how many alerts a part lists at most: so many fit into one transaction
// with the part and the digest.
const DigestPart = 80

const (
	digestPrefix  = "DG-"
	digestSort    = "digest"
	digestCounted = 100 // types or accounts
	digestWorst   = 5
)

var digestID = regexp.MustCompile(`^DG-[0-9A-HJKMNP-TV-Z]{12}$`)

// IsDigestID reports whether s has the form of a digest's ID.
func IsDigestID(s string) bool { return digestID.MatchString(s) }

// NewDigest begins a digest for a channel. Its ID follows from seed, the ID of the
// first alert: an alert is in one digest at a time.
func NewDigest(channel, seed string, at time.Time) Digest {
	id := approvals.ShortID(digestPrefix, fmt.Sprintf("killswitch digest v1\n%s\n%s\n%d", channel, seed, at.UnixNano()))
	return Digest{ID: id, At: at, Card: approvals.Card{Channel: channel}}
}

func digestKey(id string) approvals.Key { return approvals.Key{Part: id, Sort: digestSort} }

func partKey(id string, n int) approvals.Key {
	return approvals.Key{Part: id, Sort: fmt.Sprintf("part#%06d", n)}
}

// AddToDigest adds waiting alerts, DigestPart at most, to a digest: alerts, list and
// counts in one transaction. It returns ErrConflict, with nothing written, if one of
// them was changed since it was read.
func (t Table) AddToDigest(ctx context.Context, d Digest, as []Alert, items []DigestItem) (Digest, error) {
	d.Levels, d.Types, d.Accounts = maps.Clone(d.Levels), maps.Clone(d.Types), maps.Clone(d.Accounts)
	for _, it := range items {
		countName(&d.Levels, it.Level)
		countName(&d.Types, it.Type)
		countName(&d.Accounts, it.Account)
	}
	d.Worst = slices.Concat(d.Worst, items)
	slices.SortStableFunc(d.Worst, func(a, b DigestItem) int {
		return cmp.Or(cmp.Compare(a.Behind, b.Behind), cmp.Compare(b.Severity, a.Severity))
	})
	d.Worst = d.Worst[:min(len(d.Worst), digestWorst)]
	part := approvals.PutRow(partKey(d.ID, len(d.Starts)), 0, items)
	d.Starts = append(slices.Clip(d.Starts), d.N)
	d.N += len(items)
	part.Expires = t.expiry(d.At)
	puts := []approvals.Put{t.putDigest(d), part}
	for _, a := range as {
		a.DigestID, a.PostAt = d.ID, time.Time{}
		puts = append(puts, t.putAlert(a))
	}
	err := t.Requests.Store.Write(ctx, puts...)
	d.Version++
	return d, err
}

func countName(m *map[string]int, name string) {
	if *m == nil {
		*m = map[string]int{}
	}
	if _, known := (*m)[name]; known || len(*m) < digestCounted {
		(*m)[name]++
	}
}

// Digest reads a digest. It returns ErrNotFound if there is none.
func (t Table) Digest(ctx context.Context, id string) (Digest, error) {
	row, err := t.Requests.Store.Get(ctx, digestKey(id))
	if err != nil {
		return Digest{}, err
	}
	return decodeDigest(row)
}

// DigestItems reads a digest's list from the n-th alert, counted from 0, to limit
// alerts or to the end of a part. It returns ErrNotFound if there is none.
func (t Table) DigestItems(ctx context.Context, d Digest, n, limit int) ([]DigestItem, error) {
	part, found := slices.BinarySearch(d.Starts, n)
	if !found {
		part--
	}
	if part < 0 || n >= d.N {
		return nil, approvals.ErrNotFound
	}
	row, err := t.Requests.Store.Get(ctx, partKey(d.ID, part))
	if err != nil {
		return nil, err
	}
	var items []DigestItem
	if err := json.Unmarshal(row.Body, &items); err != nil {
		return nil, err
	}
	if n -= d.Starts[part]; n >= len(items) {
		return nil, approvals.ErrNotFound
	}
	return items[n:min(n+limit, len(items))], nil
}

// ChangeDigest is [approvals.Requests.Change] for a digest.
func (t Table) ChangeDigest(ctx context.Context, id string, change func(*Digest) error) (Digest, error) {
	read := func() (Digest, error) { return t.Digest(ctx, id) }
	d, err := approvals.Update(ctx, t.Requests.Store, "digest "+id, read, func(d *Digest) ([]approvals.Put, error) {
		err := change(d)
		return []approvals.Put{t.putDigest(*d)}, err
	})
	if err == nil {
		d.Version++
	}
	return d, err
}

// putDigest is the write of a digest, marked until it is posted.
func (t Table) putDigest(d Digest) approvals.Put {
	put := approvals.PutRow(digestKey(d.ID), d.Version, d)
	put.Expires = t.expiry(d.At)
	if d.Card.TS == "" {
		put.Marks = []string{approvals.MarkAlert}
	}
	return put
}

func decodeDigest(row approvals.Row) (Digest, error) {
	var d Digest
	if err := json.Unmarshal(row.Body, &d); err != nil {
		return Digest{}, fmt.Errorf("row %s: %w", row.Part, err)
	}
	if d.ID != row.Part || !IsDigestID(d.ID) || d.Card.Channel == "" {
		return Digest{}, fmt.Errorf("row %s is not a digest", row.Part)
	}
	d.Version = row.Version
	return d, nil
}
