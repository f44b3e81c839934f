package demo

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

//go:embed page/dist
var page embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// maxBody is the limit on a request, in bytes.
const maxBody = 64 << 10

// errWrong is wrapped by errors about invalid requests.
var errWrong = errors.New("wrong request")

// Handler serves the page and what it asks for. Listen is the address that the
// demo listens on: its host is a name under which it may be asked for, beside
// those of this machine. Any other name is refused, so that a web site that gives
// its own name our address gets no further.
func (s *Server) Handler(listen string) http.Handler {
	dist, err := fs.Sub(page, "page/dist")
	if err != nil {
		panic(err) // it is embedded
	}
	m := http.NewServeMux()
	m.Handle("/", http.FileServerFS(dist))
	m.HandleFunc("GET /api/state", s.once)
	m.HandleFunc("GET /api/stream", s.stream)
	for path, h := range map[string]http.HandlerFunc{
		"command": post(s, command), "click": post(s, click), "submit": post(s, submit), "choose": post(s, choose), "dismiss": post(s, dismiss),
		"story": post(s, s.story), "next": post(s, next), "time": post(s, pass), "reset": post(s, s.again), "slack": post(s, outage),
	} {
		m.HandleFunc("POST /api/"+path, h)
	}
	m.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, fmt.Errorf("there is no %s %s", r.Method, r.URL.Path))
	})
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		host = listen
	}
	same := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if !ours(r.Host, host) {
			answer(w, http.StatusForbidden, errors.New("the demo is not served under this name"))
			return
		}
		if err := same.Check(r); err != nil {
			answer(w, http.StatusForbidden, errors.New("another site may not do this"))
			return
		}
		m.ServeHTTP(w, r)
	})
}

// ours reports whether a request's Host is this machine's own name, or the one
// that the demo listens on. Where it listens on all addresses, any address is.
func ours(host, listen string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || listen != "" && strings.EqualFold(host, listen) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	on, err := netip.ParseAddr(listen)
	return ip.IsLoopback() || listen == "" || err == nil && on.IsUnspecified()
}

// post returns a handler that runs a function in the owner's goroutine.
func post[T any](s *Server, do func(context.Context, *stage, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			answer(w, http.StatusUnsupportedMediaType, errors.New("the body must be application/json"))
			return
		}
		var in T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			answer(w, http.StatusBadRequest, errors.New("the body is not what is asked for here"))
			return
		}
		err := s.do(r.Context(), func(ctx context.Context, st *stage) error {
			st.changed = true
			return do(ctx, st, in)
		})
		switch {
		case errors.Is(err, errWrong):
			answer(w, http.StatusBadRequest, err)
		case errors.Is(err, errStopped):
			answer(w, http.StatusServiceUnavailable, err)
		default:
			answer(w, http.StatusOK, err)
		}
	}
}

// once sends the state.
func (s *Server) once(w http.ResponseWriter, r *http.Request) {
	var state []byte
	err := s.do(r.Context(), func(_ context.Context, st *stage) (err error) {
		state, err = json.Marshal(st.state())
		return err
	})
	if err != nil {
		answer(w, http.StatusServiceUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(state)
}

// answer writes the error, if any.
func answer(w http.ResponseWriter, status int, err error) {
	body := map[string]string{}
	if err != nil {
		body["error"] = words(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
