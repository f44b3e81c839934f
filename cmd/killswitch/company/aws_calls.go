package company

import (
	"strings"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Credentials are a session or key in use: by an attacker, unless they are Ours.
type Credentials struct {
	*awsfake.Session
	Principal string // ARN of the role or user
	Name      string // of the session, or the key's ID
	By        string // who has them
	Ours      bool   // used by the company itself
	// Action and Resource are the call that they are used for.
	Action, Resource string
}

// Works reports whether AWS still allows the credentials' call, and if not, why.
func (s *Credentials) Works() (bool, string) { return s.Can(s.Action, s.Resource) }

// Session issues credentials of a role for an hour.
func (c *Company) Session(role, name, by, action, resource string) *Credentials {
	s := &Credentials{Session: c.AWS.Session(role, name), Principal: role, Name: name, By: by, Action: action, Resource: resource}
	s.ExpireAt(c.Now().Add(time.Hour))
	c.Used = append(c.Used, s)
	return s
}

// Assumed returns a session of a role that somebody got by AssumeRole, by its key, as Credentials.
func (c *Company) Assumed(role, name, key, by, action, resource string) *Credentials {
	s := &Credentials{Session: c.AWS.SessionOf(key), Principal: role, Name: name, By: by, Action: action, Resource: resource}
	c.Used = append(c.Used, s)
	return s
}

// Key returns a user's access key as Credentials.
func (c *Company) Key(user, key, by, action, resource string) *Credentials {
	s := &Credentials{Session: c.AWS.KeySession(key), Principal: user, Name: key, By: by, Action: action, Resource: resource}
	c.Used = append(c.Used, s)
	return s
}

// Use makes the credentials' call and logs it. It reports whether AWS allows it.
func (c *Company) Use(s *Credentials) bool {
	ok, why := s.Works()
	result := "ok"
	if !ok {
		result = why
	}
	c.add(APICall{At: c.Now(), Account: account(s.Principal), Call: s.Action, By: short(s.ARN()), Result: result})
	return ok
}

// APICall is a call to AWS that changed something, was denied, or came from an attacker.
type APICall struct {
	At      time.Time `json:"at"`
	Account string    `json:"account"`
	Call    string    `json:"call"`
	By      string    `json:"by"`
	Result  string    `json:"result"` // ok, or what AWS said
}

// callLog is the log of the latest calls.
type callLog struct {
	mu   sync.Mutex
	list []APICall
}

const maxCalls = 200

func (c *Company) add(d APICall) {
	d.At = d.At.UTC().Truncate(time.Millisecond)
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.list = append(c.log.list, d)
	c.log.list = c.log.list[max(0, len(c.log.list)-maxCalls):]
	c.news.Store(true)
}

// logCall is the cloud's OnCall hook.
func (c *Company) logCall(call awsfake.Call) error {
	if call.Phase == awsfake.Before || call.Err == "" && !call.Mutating {
		return nil
	}
	if call.Err == "NoSuchEntity" {
		return nil // a read of something that does not exist
	}
	result := call.Err
	if result == "" {
		result = "ok"
	}
	c.add(APICall{At: call.Time, Account: call.Account, Call: call.Op, By: short(call.Principal), Result: result})
	return nil
}

// APICalls are the latest calls, oldest first.
func (c *Company) APICalls() []APICall {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return append([]APICall{}, c.log.list...)
}

// short names a principal within its account: role/session, or user/name.
func short(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	return strings.TrimPrefix(parts[len(parts)-1], "assumed-role/")
}

func account(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}
