package approvals

import (
	"slices"
	"time"
)

// Schedule orders the messages of a queue whose receiving end is this process. Groups take
// turns, as in SQS's fair queues: however many messages of one group wait, the next of
// another waits for one of them at most. Messages without a group are a group together. Its
// methods must not be called at the same time.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
type Schedule struct {
	waiting []waiting
	served  map[string]uint64 // group → the turn that it had last
	turns   uint64
}

type waiting struct {
	id    uint64
	group string
	due   time.Time
}

// Put adds a message, or makes it due at another time.
func (s *Schedule) Put(id uint64, group string, due time.Time) {
	m := waiting{id, group, due}
	if i := s.index(id); i >= 0 {
		s.waiting[i] = m
		return
	}
	s.waiting = append(s.waiting, m)
}

// Next returns the message whose turn it is, and makes it due again after the visibility
// timeout. It returns false if none is due.
func (s *Schedule) Next(now time.Time, visibility time.Duration) (id uint64, ok bool) {
	next := -1
	for i, m := range s.waiting {
		if !m.due.After(now) && (next < 0 || s.before(m, s.waiting[next])) {
			next = i
		}
	}
	if next < 0 {
		return 0, false
	}
	if s.served == nil {
		s.served = map[string]uint64{}
	}
	m := &s.waiting[next]
	s.turns++
	s.served[m.group] = s.turns
	m.due = now.Add(visibility)
	return m.id, true
}

func (s *Schedule) before(a, b waiting) bool {
	if x, y := s.served[a.group], s.served[b.group]; x != y {
		return x < y
	}
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return a.id < b.id
}

// Delay makes a message due at another time. Nothing happens if it is gone.
func (s *Schedule) Delay(id uint64, due time.Time) {
	if i := s.index(id); i >= 0 {
		s.waiting[i].due = due
	}
}

// Remove removes a message, if it is there.
func (s *Schedule) Remove(id uint64) {
	i := s.index(id)
	if i < 0 {
		return
	}
	group := s.waiting[i].group
	s.waiting = slices.Delete(s.waiting, i, i+1)
	if !slices.ContainsFunc(s.waiting, func(m waiting) bool { return m.group == group }) {
		delete(s.served, group)
	}
}

// Due is the time when the next message can be received; false if there is none.
func (s *Schedule) Due() (time.Time, bool) {
	if len(s.waiting) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(s.waiting, func(a, b waiting) int { return a.due.Compare(b.due) }).due, true
}

func (s *Schedule) index(id uint64) int {
	return slices.IndexFunc(s.waiting, func(m waiting) bool { return m.id == id })
}
