package local_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// usage is what tables and queues are used for, in the units that AWS bills.
type usage struct {
	reads, writes         atomic.Int64 // operations
	readUnits, writeUnits atomic.Int64 // halves of units
	sent                  atomic.Int64 // messages
}

// all are the counters by the names of the benchmark's metrics.
func (u *usage) all() map[string]*atomic.Int64 {
	return map[string]*atomic.Int64{"reads": &u.reads, "writes": &u.writes, "read-half-units": &u.readUnits, "write-half-units": &u.writeUnits, "messages": &u.sent}
}

// metered is a table that counts. A consistent read of 4 KB is a unit, one of an index half of
// that; a write of 1 KB is a unit, in a transaction two.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
type metered struct {
	approvals.Store
	u *usage
}

func (m metered) read(halves int, rows ...approvals.Row) {
	size := 0
	for _, r := range rows {
		size += len(r.Body)
	}
	m.u.reads.Add(1)
	m.u.readUnits.Add(int64(halves * (size/4096 + 1)))
}

func (m metered) Get(ctx context.Context, k approvals.Key) (approvals.Row, error) {
	r, err := m.Store.Get(ctx, k)
	m.read(2, r)
	return r, err
}

func (m metered) Rows(ctx context.Context, part, prefix, after string, limit int) ([]approvals.Row, error) {
	rs, err := m.Store.Rows(ctx, part, prefix, after, limit)
	m.read(2, rs...)
	return rs, err
}

func (m metered) Marked(ctx context.Context, mark string, after approvals.Key, limit int) ([]approvals.Row, error) {
	rs, err := m.Store.Marked(ctx, mark, after, limit)
	m.read(1, rs...)
	return rs, err
}

func (m metered) Write(ctx context.Context, puts ...approvals.Put) error {
	err := m.Store.Write(ctx, puts...)
	m.u.writes.Add(1)
	for _, p := range puts {
		m.u.writeUnits.Add(int64(2 * min(len(puts), 2) * (len(p.Body)/1024 + 1)))
	}
	return err
}

// meteredQueue counts messages. Each takes three calls: send, receive, delete.
type meteredQueue struct {
	local.Queue
	u *usage
}

func (q meteredQueue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	q.u.sent.Add(1)
	return q.Queue.Send(ctx, body, delay)
}

func (q meteredQueue) SendFor(ctx context.Context, group string, body []byte, delay time.Duration) error {
	q.u.sent.Add(1)
	return q.Queue.SendFor(ctx, group, body, delay)
}

// A tenth of the accounts is measured, and what is reported is ten times that: all of it grows
// with the number of containments.
const (
	benchAccounts = 100 / benchPart
	benchPart     = 10
	benchRegion   = "us-east-1"
)

// inAccounts is an organization of accounts with seven roles, two users and nearly an instance
// each; a tenth have 500 roles.
func inAccounts(u *usage) func(*world) {
	return func(w *world) {
		w.cfg.Org.Regions = []string{benchRegion}
		org := awsfake.Organization{Management: w.cfg.Org.ManagementAccount}
		for n := range benchAccounts {
			id := fmt.Sprintf("4000000%05d", n)
			w.cfg.Org.Accounts[fmt.Sprintf("account-%02d", n)] = id
			org.Accounts = append(org.Accounts, awsfake.OrgAccount{ID: id, Name: id})
		}
		w.aws.Organize(org)
		policy := all.MemberPolicy(actions.Responder, w.cfg.Org, false)
		for n, a := range org.Accounts {
			w.aws.Member(a.ID, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
				ResponderPolicy: policy, RestorerPolicy: all.MemberPolicy(actions.Restorer, w.cfg.Org, false)})
			in := w.aws.Account(a.ID)
			roles := 7
			if n < benchAccounts/10 {
				roles = 498 // with the member roles
			}
			for i := range roles {
				in.AddRole(awsfake.Role{Name: fmt.Sprintf("role-%03d", i), Profiles: []string{fmt.Sprintf("role-%03d", i)}})
			}
			for i := range 2 {
				in.AddUser(awsfake.User{Name: fmt.Sprintf("user-%d", i), Keys: []awsfake.AccessKey{{ID: fmt.Sprintf("AKIA%08d%08d", n, i)}}})
			}
			vpc, at := fmt.Sprintf("vpc-%017d", n), in.Region(benchRegion)
			at.AddVPC(awsfake.VPC{ID: vpc})
			group := fmt.Sprintf("sg-%017d", n)
			at.SetGroup(awsfake.SecurityGroup{ID: group, VPC: vpc, Name: "web"})
			at.AddInstance(awsfake.Instance{ID: fmt.Sprintf("i-%017d", n), Profile: "role-006", Interfaces: []awsfake.Interface{
				{ID: fmt.Sprintf("eni-%017d", n), VPC: vpc, Subnet: "subnet-1", Groups: []string{group}, IPv4: "10.0.0.10"}}})
		}
		w.wrap = func(b local.Backends) local.Backends {
			b.Requests, b.Runs = metered{b.Requests, u}, metered{b.Runs, u}
			for _, q := range []*local.Queue{&b.Slack, &b.Alerts, &b.Webhooks, &b.Jobs, &b.Checks, &b.Changes} {
				*q = meteredQueue{*q, u}
			}
			return b
		}
	}
}

// watched contains, of a hundred accounts, 700 roles, 200 users, 90 instances and ten times all
// roles of an account.
func (w *world) watched() (ids []string) {
	var lines []string
	for n := range benchAccounts {
		account := fmt.Sprintf("4000000%05d", n)
		for i := range 7 {
			lines = append(lines, fmt.Sprintf("revoke_sessions %s/role-%03d leaked", account, i))
		}
		for i := range 2 {
			lines = append(lines, fmt.Sprintf("quarantine_user %s/user-%d leaked", account, i))
		}
		if n < benchAccounts/10 {
			lines = append(lines, fmt.Sprintf("revoke_sessions %s/ALL leaked", account))
		} else {
			lines = append(lines, fmt.Sprintf("isolate_instance %s/i-%017d region=%s leaked", account, n, benchRegion))
		}
	}
	for _, line := range lines {
		w.clock.Add(time.Second) // another second, another evidence
		r := w.asks("U01ALICE", line)
		w.clicks("U02BOB", w.again(r), "approve")
		w.state(r, approvals.Contained)
		ids = append(ids, r.ID)
		w.aws.ResetCalls()
	}
	return ids
}

// BenchmarkWatch watches a thousand containments for a day: the first, and one of the later ones.
func BenchmarkWatch(b *testing.B) {
	for _, day := range []string{"the first day", "a later day"} {
		b.Run(day, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				u := &usage{}
				w := newWorld(b, inAccounts(u))
				ids := w.watched()
				if day == "a later day" {
					w.clock.Add(36 * time.Hour)
					w.minutes(90, func() {})
				}
				looks := func() (n int) {
					for _, id := range ids {
						n += w.run(w.get(id)).Checks
					}
					return n
				}
				ops := map[string]int{}
				before := looks()
				for _, n := range u.all() {
					n.Store(0)
				}
				b.StartTimer()
				began := time.Now()
				w.minutes(24*60, func() {
					for _, c := range w.aws.Calls() {
						if c.Phase == awsfake.After {
							ops[c.Op]++
						}
					}
					w.aws.ResetCalls()
				})
				took := time.Since(began)
				b.StopTimer()
				counted := map[string]float64{}
				for name, n := range u.all() {
					counted[name] = float64(n.Load())
				}
				n := looks() - before
				calls := 0
				for _, op := range slices.Sorted(maps.Keys(ops)) {
					b.ReportMetric(float64(benchPart*ops[op]), strings.ReplaceAll(op, ":", "."))
					calls += ops[op]
				}
				b.ReportMetric(float64(benchPart*n), "looks")
				b.ReportMetric(float64(benchPart*calls), "AWS-calls")
				for name, n := range counted {
					b.ReportMetric(benchPart*n, name)
				}
				b.ReportMetric(took.Seconds()*1000/float64(n), "ms/look")
				b.StartTimer()
			}
		})
	}
}

// minutes lets minutes pass with queues and sweep at work.
func (w *world) minutes(n int, each func()) {
	for range n {
		w.clock.Add(time.Minute)
		w.must(w.zones.Bot.Sweep(w.t.Context()))
		for w.round() {
		}
		each()
	}
}
