package slackfake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const maxBody = 1 << 20

// reply is an HTTP answer. A nil body is Slack's empty one (5xx).
type reply struct {
	status int
	header http.Header
	body   map[string]any
	code   string // Slack's error code
}

func ok(fields map[string]any) reply {
	body := map[string]any{"ok": true}
	maps.Copy(body, fields)
	return reply{status: http.StatusOK, body: body}
}

// failed is Slack's refusal: HTTP 200, "ok" false, and where it lies.
func failed(code string, problems ...string) reply {
	body := map[string]any{"ok": false, "error": code}
	if len(problems) > 0 {
		messages := make([]string, len(problems))
		for i, p := range problems {
			messages[i] = "[ERROR] " + p
		}
		body["errors"] = problems
		body["response_metadata"] = map[string]any{"messages": messages}
	}
	return reply{status: http.StatusOK, body: body, code: code}
}

// ServeHTTP answers POST (or GET) /api/METHOD and POST /response/ID. Where the
// connection is to break it panics with [http.ErrAbortHandler].
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rep, err := s.serve(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), rep.header)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(rep.status)
	if rep.body != nil {
		_, _ = w.Write(marshal(rep.body))
	}
}

// Client returns an HTTP client that reaches the workspace without a socket,
// whatever host the URL names.
func (s *Slack) Client() *http.Client { return &http.Client{Transport: transport{s}} }

type transport struct{ s *Slack }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer func() { _ = r.Body.Close() }()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rep, err := t.s.serve(r)
	if err != nil {
		return nil, err
	}
	var body []byte
	if rep.body != nil {
		body = marshal(rep.body)
	}
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	maps.Copy(header, rep.header)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", rep.status, http.StatusText(rep.status)), StatusCode: rep.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// serve answers a request; an error breaks the connection.
func (s *Slack) serve(r *http.Request) (reply, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return reply{}, err
	}
	if len(body) > maxBody {
		return reply{status: http.StatusRequestEntityTooLarge}, nil
	}
	if id, yes := strings.CutPrefix(r.URL.Path, "/response/"); yes && r.Method == http.MethodPost {
		p, err := jsonParams(body)
		if err != nil {
			return reply{status: http.StatusBadRequest, body: failed("invalid_payload").body, code: "invalid_payload"}, nil //nolint:nilerr // the answer says it
		}
		return s.record(r.Context(), "response_url", p, func() reply { return s.useLink(id, p) })
	}
	method, yes := strings.CutPrefix(r.URL.Path, "/api/")
	if !yes || (r.Method != http.MethodPost && r.Method != http.MethodGet) {
		return reply{status: http.StatusNotFound}, nil
	}
	p, problem := apiParams(r, body)
	return s.record(r.Context(), method, p, func() reply {
		if problem != "" {
			return failed(problem)
		}
		return s.call(method, p)
	})
}

func (s *Slack) record(ctx context.Context, method string, p params, effect func() reply) (reply, error) {
	s.mu.Lock()
	at := len(s.calls)
	s.calls = append(s.calls, APICall{Method: method, Channel: p["channel"], TS: p["ts"], At: s.cfg.Now()})
	s.mu.Unlock()
	rep, err := s.attempt(ctx, method, p, effect)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[at].Status, s.calls[at].Error = rep.status, rep.code
	if err != nil {
		s.calls[at].Error = err.Error()
		err = fmt.Errorf("slackfake: %s: connection broken: %w", method, err)
	}
	return rep, err
}

// params are a call's arguments as text; objects and lists stay JSON.
type params map[string]string

func (p params) flag(name string) bool { return p[name] == "true" || p[name] == "1" }

func (p params) has(name string) bool { _, yes := p[name]; return yes }

func (p params) number(name string, otherwise, most int) int {
	n, err := strconv.Atoi(p[name])
	if err != nil || n <= 0 {
		return otherwise
	}
	return min(n, most)
}

func apiParams(r *http.Request, body []byte) (p params, problem string) {
	p = params{}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(kind) == "application/json" {
		var err error
		if p, err = jsonParams(body); err != nil {
			return params{}, "invalid_json"
		}
		delete(p, "token") // only a form carries it
	} else {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return params{}, "invalid_form_data"
		}
		addForm(p, form)
	}
	addForm(p, r.URL.Query())
	if token, yes := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); yes {
		p["token"] = token
	}
	return p, ""
}

func addForm(p params, form url.Values) {
	for name, values := range form {
		if len(values) > 0 {
			p[name] = values[0]
		}
	}
}

func jsonParams(body []byte) (params, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	p := params{}
	for name, raw := range fields {
		var text string
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &text) == nil:
			p[name] = text
		default:
			p[name] = string(raw)
		}
	}
	return p, nil
}
