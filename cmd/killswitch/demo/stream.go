package demo

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"time"
)

// watcher is a browser that shows the page. It has the newest state that was not sent
// yet: a slow one misses states, but never the last one.
type watcher struct {
	state chan []byte
	gone  <-chan struct{}
}

func (w *watcher) put(state []byte) {
	select {
	case <-w.state:
	default:
	}
	w.state <- state
}

// show sends changes to all watchers.
func (st *stage) show(now time.Time) {
	maps.DeleteFunc(st.watchers, func(w *watcher, _ struct{}) bool {
		select {
		case <-w.gone:
			return true
		default:
			return false
		}
	})
	st.changed = st.Changed() || st.changed
	if len(st.watchers) == 0 || !st.changed && now.Sub(st.shown) < timeEvery {
		return
	}
	state, err := json.Marshal(st.state())
	if err != nil {
		return // only our own types are in it
	}
	st.changed, st.shown = false, now
	for w := range st.watchers {
		w.put(state)
	}
}

// writeWithin is the time limit for sending one state to a watcher.
const writeWithin = 10 * time.Second

// stream sends the state at once and after every change, as server-sent events.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	me := &watcher{state: make(chan []byte, 1), gone: r.Context().Done()}
	err := s.do(r.Context(), func(_ context.Context, st *stage) error {
		state, err := json.Marshal(st.state())
		if err == nil {
			me.put(state)
			st.watchers[me] = struct{}{}
		}
		return err
	})
	if err != nil {
		answer(w, http.StatusServiceUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for {
		select {
		case <-me.gone:
			return
		case state := <-me.state:
			_ = out.SetWriteDeadline(s.now().Add(writeWithin))
			for _, part := range [][]byte{[]byte("event: state\ndata: "), state, []byte("\n\n")} {
				if _, err := w.Write(part); err != nil {
					return
				}
			}
			if out.Flush() != nil {
				return
			}
		}
	}
}
