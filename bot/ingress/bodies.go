package ingress

import (
	"fmt"
	"io"
	"net/http"
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
// and of larger ones some are read at the same time.
type Bodies struct{ large chan struct{} }

// NewBodies returns the bound of one server.
func NewBodies() *Bodies { return &Bodies{make(chan struct{}, largeAtOnce)} }

// Read reads a body of at most limit bytes, or else returns the answer: 413, 503 if there is no room for it, 400.
// The room is kept until done is called.
func (b *Bodies) Read(r *http.Request, limit int64) (body []byte, done func(), no Response) {
	length, done := r.ContentLength, func() {}
	if length > limit {
		return nil, done, tooLarge(limit)
	}
	if b != nil && (length > smallBody || length < 0 && limit > smallBody) {
		full := time.NewTimer(roomWithin)
		defer full.Stop()
		select {
		case b.large <- struct{}{}:
			done = func() { <-b.large }
		case <-r.Context().Done():
			return nil, done, text(http.StatusServiceUnavailable, "try again\n")
		case <-full.C:
			return nil, done, text(http.StatusServiceUnavailable, "too many large requests at once, try again\n")
		}
	}
	var err error
	if length >= 0 {
		body = make([]byte, length)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	switch {
	case err != nil:
		return nil, done, text(http.StatusBadRequest, "the body can't be read\n")
	case int64(len(body)) > limit:
		return nil, done, tooLarge(limit)
	}
	return body, done, Response{}
}

func tooLarge(limit int64) Response {
	return text(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is over %d KiB\n", limit>>10))
}
