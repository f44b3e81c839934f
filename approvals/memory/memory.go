// Package memory keeps tables and queues in memory, for tests and the demo.
package memory

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Store is an approvals.Store.
type Store struct {
	mu   sync.Mutex
	rows map[approvals.Key]approvals.Row
}

// NewStore makes an empty table.
func NewStore() *Store { return &Store{rows: map[approvals.Key]approvals.Row{}} }

// Get implements approvals.Store.
func (s *Store) Get(_ context.Context, k approvals.Key) (approvals.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.rows[k]
	if !ok {
		return approvals.Row{}, approvals.ErrNotFound
	}
	return clone(row), nil
}

// Rows implements approvals.Store.
func (s *Store) Rows(_ context.Context, part, prefix, after string, limit int) ([]approvals.Row, error) {
	return s.find(limit, func(r approvals.Row) bool {
		return r.Part == part && strings.HasPrefix(r.Sort, prefix) && r.Sort > after
	}), nil
}

// Marked implements approvals.Store.
func (s *Store) Marked(_ context.Context, mark string, after approvals.Key, limit int) ([]approvals.Row, error) {
	return s.find(limit, func(r approvals.Row) bool {
		return slices.Contains(r.Marks, mark) && compare(r.Key, after) > 0
	}), nil
}

func (s *Store) find(limit int, want func(approvals.Row) bool) []approvals.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []approvals.Row
	for _, r := range s.rows {
		if want(r) {
			rows = append(rows, clone(r))
		}
	}
	slices.SortFunc(rows, func(a, b approvals.Row) int { return compare(a.Key, b.Key) })
	return rows[:min(limit, len(rows))]
}

// Parts implements approvals.Lister.
func (s *Store) Parts(_ context.Context, prefixes ...string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]bool{}
	for k := range s.rows {
		for _, p := range prefixes {
			if strings.HasPrefix(k.Part, p) {
				found[k.Part] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Write implements approvals.Store.
func (s *Store) Write(_ context.Context, puts ...approvals.Put) error {
	if err := approvals.CheckPuts(puts); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range puts {
		if s.rows[p.Key].Version != p.Version {
			return approvals.ErrConflict
		}
	}
	for _, p := range puts {
		if p.Delete {
			delete(s.rows, p.Key)
			continue
		}
		row := clone(p.Row)
		row.Version++
		s.rows[p.Key] = row
	}
	return nil
}

// Sweep removes rows that expired.
func (s *Store) Sweep(_ context.Context, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range s.rows {
		if !r.Expires.IsZero() && r.Expires.Before(now) {
			delete(s.rows, k)
		}
	}
	return nil
}

func clone(r approvals.Row) approvals.Row {
	r.Body, r.Marks = slices.Clone(r.Body), slices.Clone(r.Marks)
	return r
}

func compare(a, b approvals.Key) int {
	if c := strings.Compare(a.Part, b.Part); c != 0 {
		return c
	}
	return strings.Compare(a.Sort, b.Sort)
}
