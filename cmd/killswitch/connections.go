package main

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// mostConnections is how many connections are open at the same time. Each may hold a header and a small body.
const mostConnections = 1024

// connections bounds how many connections a server has: one more ends the one that has kept us waiting the
// longest, for a request or for the rest of it. So whoever sends theirs at once is answered, however many
// others only hold theirs open.
type connections struct {
	most int

	mu    sync.Mutex
	open  int       // those that were ended are none of them, though their goroutines may not know it yet
	waits list.List // of net.Conn, that which waits the longest first
	at    map[net.Conn]*list.Element
	ended map[net.Conn]bool
}

type connectionKey struct{}

// bound puts the bound on a server.
func (c *connections) bound(s *http.Server) {
	c.at, c.ended = map[net.Conn]*list.Element{}, map[net.Conn]bool{}
	handler := s.Handler
	s.ConnState = c.changed
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, conn)
	}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
			r.Body = &wholeBody{r.Body, func() { c.heard(conn) }}
		}
		handler.ServeHTTP(w, r)
	})
}

// changed is http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew, http.StateActive, http.StateIdle:
		if state == http.StateNew {
			c.open++
		}
		c.forget(conn)
		if !c.ended[conn] {
			c.at[conn] = c.waits.PushBack(conn)
		}
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
		if c.ended[conn] {
			delete(c.ended, conn)
		} else {
			c.open--
		}
	}
	if c.open > c.most && c.waits.Len() > 0 {
		longest, _ := c.waits.Front().Value.(net.Conn)
		c.forget(longest)
		c.ended[longest] = true
		c.open--
		_ = longest.Close() // its goroutine then says that it is closed
	}
}

// heard says that a request is here in full: now it is its client who waits.
func (c *connections) heard(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(conn)
}

func (c *connections) forget(conn net.Conn) {
	if e, waits := c.at[conn]; waits {
		c.waits.Remove(e)
		delete(c.at, conn)
	}
}

// wholeBody tells when a body was read to its end.
type wholeBody struct {
	io.ReadCloser
	ended func()
}

// Read implements io.Reader.
func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended()
	}
	return n, err
}
