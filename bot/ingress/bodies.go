package ingress

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// smallBody is as much as connections may hold, all at once: who reads a request's body bounds their number.
	smallBody = 32 << 10
	// largeAtOnce is how many larger bodies are read and dealt with at the same time.
	largeAtOnce = 32
	roomWithin  = time.Second
)

// RetryAfter is said with 503, in seconds.
const RetryAfter = "2"

// Bodies bounds the memory that bodies take, whoever sends them: a small one has its room by its connection,
// and of larger ones some are read at the same time. One more ends the one that has kept us waiting the longest:
// so whoever only holds rooms, keeps nobody out.
type Bodies struct {
	large chan struct{}

	mu      sync.Mutex
	reading list.List // of func(), which end the reading of a large one; that which takes the longest first
}

// NewBodies returns the bound of one server.
func NewBodies() *Bodies { return &Bodies{large: make(chan struct{}, largeAtOnce)} }

// Read reads a body of at most limit bytes, or else returns the answer: 413, 503 if there is no room for it, 400.
// The room is kept until done is called.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, done func(), no Response) {
	length, done := r.ContentLength, func() {}
	if length > limit {
		return nil, done, tooLarge(limit)
	}
	if b != nil && (length > smallBody || length < 0 && limit > smallBody) {
		if !b.room(r) {
			return nil, done, tooMany()
		}
		done = func() { <-b.large }
		defer b.begin(func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })()
	}
	var err error
	if length >= 0 {
		body = make([]byte, length)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, done, tooMany()
	case err != nil:
		return nil, done, text(http.StatusBadRequest, "the body can't be read\n")
	case int64(len(body)) > limit:
		return nil, done, tooLarge(limit)
	}
	return body, done, Response{}
}

// room takes a room for a large body, of the one that takes the longest if there is none.
func (b *Bodies) room(r *http.Request) bool {
	select {
	case b.large <- struct{}{}:
		return true
	default:
	}
	b.mu.Lock()
	if longest := b.reading.Front(); longest != nil {
		end, _ := b.reading.Remove(longest).(func())
		end()
	}
	b.mu.Unlock()
	full := time.NewTimer(roomWithin)
	defer full.Stop()
	select {
	case b.large <- struct{}{}:
		return true
	case <-r.Context().Done():
	case <-full.C:
	}
	return false
}

// begin notes that a large body is being read, and how to end that, until what it returns is called.
func (b *Bodies) begin(end func()) (ended func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.reading.PushBack(end)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reading.Remove(e)
	}
}

func tooMany() Response {
	return text(http.StatusServiceUnavailable, "too many large requests at once, try again\n")
}

func tooLarge(limit int64) Response {
	return text(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is over %d KiB\n", limit>>10))
}
