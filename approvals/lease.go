package approvals

import "time"

// Lease gives a row to one worker for a while. It is stored in the row, whose
// version decides between two workers that take it at once: the second write
// returns ErrConflict. A worker that dies loses it when it ends.
type Lease struct {
	Owner string    `json:"owner,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Held reports whether somebody has the lease.
func (l Lease) Held(now time.Time) bool { return now.Before(l.Until) }

// Take gives the lease to owner for a duration. It returns false if somebody else
// has it. Owners without a name are all different.
func (l *Lease) Take(owner string, now time.Time, d time.Duration) bool {
	if l.Held(now) && (owner == "" || owner != l.Owner) {
		return false
	}
	l.Owner = owner
	l.Renew(now, d)
	return true
}

// Renew lets the lease of the present owner end a duration from now.
func (l *Lease) Renew(now time.Time, d time.Duration) { l.Until = now.UTC().Add(d) }

// Release ends the lease now.
func (l *Lease) Release(now time.Time) { l.Until = now.UTC() }
