package approvals

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors that every Store returns.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("somebody else wrote first")
)

// ErrFull is wrapped by the errors of a store or queue that has no room for more.
var ErrFull = errors.New("nothing can be stored")

// Key names a row: rows of one partition are kept in the order of Sort.
type Key struct{ Part, Sort string }

// Row is one stored item.
type Row struct {
	Key
	// Version is 1 for a new row and grows by one with every write.
	Version int64
	Body    []byte // of any size
	// Marks put the row into the sparse indexes of these names.
	Marks []string
	// Expires, if set, is when the store may delete the row.
	Expires time.Time
}

// Put writes a row, on the condition that its stored version is Row.Version; 0: it must
// not exist. Delete removes it instead.
type Put struct {
	Row
	Delete bool
}

// MaxPuts is how many rows one Write may hold.
const MaxPuts = 100

// Store is one table of versioned rows. The package storetest is its contract.
type Store interface {
	// Get reads a row, consistently. It returns ErrNotFound if there is none.
	Get(ctx context.Context, k Key) (Row, error)
	// Rows reads the rows of a partition whose sort key begins with prefix and
	// is greater than after, in order, limit at most, consistently.
	Rows(ctx context.Context, part, prefix, after string, limit int) ([]Row, error)
	// Write writes all rows or none. It returns ErrConflict, having written
	// nothing, if a row's condition does not hold.
	Write(ctx context.Context, puts ...Put) error
	// Marked reads rows with a mark, in the order of their partition, limit at most. It
	// may lag behind writes: read a row again before acting on it.
	Marked(ctx context.Context, mark string, after Key, limit int) ([]Row, error)
}

// Reader is the reading half of a Store. The bot has no more of the table runs.
type Reader interface {
	Get(ctx context.Context, k Key) (Row, error)
	Rows(ctx context.Context, part, prefix, after string, limit int) ([]Row, error)
}

// Lister is a store that tells what is in it, for an audit of all of it. The zones have none: they
// find what they need by its key or by a mark.
type Lister interface {
	Reader
	// Parts lists the partitions whose names begin with one of the prefixes, in order.
	Parts(ctx context.Context, prefixes ...string) ([]string, error)
}

// CheckPuts must be called by every Store before it writes. It returns an error for too
// many rows and for a row that is written twice.
func CheckPuts(puts []Put) error {
	if len(puts) > MaxPuts {
		return fmt.Errorf("%d rows in one write, the limit is %d", len(puts), MaxPuts)
	}
	seen := make(map[Key]bool, len(puts))
	for _, p := range puts {
		if p.Part == "" || p.Sort == "" || seen[p.Key] {
			return fmt.Errorf("row %q %q is empty or written twice", p.Part, p.Sort)
		}
		seen[p.Key] = true
	}
	return nil
}
