// Package doctor looks at an installation from outside, with the credentials of whoever operates it: whether Slack,
// the hub, the organization and each member account are as this version of Killswitch wants them. It changes nothing.
// Each finding says what mends it. What the zones alone can see, they check themselves every day (health).
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// A Result is what one check found.
type Result struct {
	Check string `json:"check"` // what was looked at, as slack.scopes
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Mend  string `json:"mend,omitempty"` // what to do, with the command where there is one; empty if OK
}

// Doctor is what looks.
type Doctor struct {
	Config config.Config
	Raw    []byte // the configuration's file
	File   string // its name
	Commit string // that this program is made from; empty: not known

	Hub        aws.Config // in the hub account and its region
	Management aws.Config // in the organization's management account; its zero value: nobody can ask there
	// MemberRole is the role by which the operator enters each account from the management account, to read.
	MemberRole string
	Stack      string // of template.yaml or, for serve, of hub-role.yaml
	StackSet   string // of members.yaml
	URL        string // at which Slack reaches ingress; empty: what the stack says

	SigningSecret string // empty: what the stack has
	BotToken      string
	SlackAPI      string // empty: Slack itself
	HTTP          *http.Client
	Now           func() time.Time

	facts facts
	known struct {
		mu       sync.Mutex
		policies map[string][]policy // by what they are attached to
	}
}

// facts are what several checks need.
type facts struct {
	organization string // o-…; empty: not known
	accounts     []account
	parameters   map[string]string // of the hub's stack
	executorRole string
	lambda       bool              // the hub is functions
	requests     string            // table
	runs         string            // table
	forwards     bool              // events are passed on to the hub
	setOf        map[string]string // parameters of the StackSet
}

// account is one of the organization.
type account struct{ id, name string }

func (a account) String() string {
	if a.name == "" {
		return a.id
	}
	return a.name + " (" + a.id + ")"
}

// report collects results.
type report struct {
	mu      sync.Mutex
	results []Result
}

func (r *report) add(x Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, x)
}

func (r *report) ok(check, found string, args ...any) {
	r.add(Result{Check: check, OK: true, Found: fmt.Sprintf(found, args...)})
}

func (r *report) bad(check, mend, found string, args ...any) {
	r.add(Result{Check: check, Found: fmt.Sprintf(found, args...), Mend: mend})
}

// either is ok if there is nothing to say.
func (r *report) either(check, mend string, wrong []string, well string, args ...any) {
	if len(wrong) == 0 {
		r.ok(check, well, args...)
		return
	}
	r.bad(check, mend, "%s", strings.Join(wrong, "; "))
}

// Run looks at all and returns the results in the order in which they are to be mended: from Slack and the hub, without
// which nothing works, to single accounts.
func (d *Doctor) Run(ctx context.Context) []Result {
	var first report
	d.identities(ctx, &first)
	d.stack(ctx, &first)
	d.organization(ctx, &first)
	parts := []func(context.Context, *report){d.slack, d.address, d.hub, d.hubs, d.events, d.topics, d.guard, d.members}
	reports := make([]report, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() { part(ctx, &reports[i]) })
	}
	wg.Wait()
	all := first.results
	for i := range reports {
		r := &reports[i]
		slices.SortStableFunc(r.results, func(a, b Result) int { return strings.Compare(a.Check, b.Check) })
		all = append(all, r.results...)
	}
	return all
}

// global is the region of what has none, as IAM.
func (d *Doctor) global() string { return trail.GlobalRegion(d.Config.Org.Partition) }

// in returns credentials in another region.
func in(cfg aws.Config, region string) aws.Config {
	cfg = cfg.Copy()
	cfg.Region = region
	return cfg
}

// said is an error of AWS or Slack in a few words, without what differs from call to call.
func said(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if m := api.ErrorMessage(); m != "" && m != api.ErrorCode() {
			return api.ErrorCode() + ": " + actions.Clip(m)
		}
		return api.ErrorCode()
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return actions.Clip(err.Error())
		}
		err = inner
	}
}

func isCode(err error, codes ...string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode())
}

// some names the first few of a list.
func some(list []string) string {
	const most = 6
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}
