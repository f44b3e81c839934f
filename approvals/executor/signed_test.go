package executor_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// signed makes evidence of what a person signs at the command line, and attests it as the executor does.
func (w *world) signed(person string, st approvals.Statement) approvals.Evidence {
	w.t.Helper()
	w.clicked++
	st.Version = approvals.StatementVersion
	s := approvals.SignedStatement{Region: "eu-west-1", Date: w.clock.Now().UTC().Format(approvals.SignedDate), KeyID: "AKIAEXAMPLE000000000", Statement: st.Encode(),
		Signature: approvals.HashOf("signature", w.clicked)}
	e := s.Evidence()
	_, err := w.table().PutEvidence(w.t.Context(), e, w.clock.Now())
	w.must(err)
	rewrite(w, approvals.AttestationKey(e.Key()), func(a *approvals.Attestation) { *a = w.attestation(person) })
	return e
}

// attestation is what the executor keeps of who signed.
func (w *world) attestation(person string) approvals.Attestation {
	a := approvals.Attestation{Person: person, Received: w.clock.Now()}
	if p, known := w.cfg.Policy.Roster.ByID(person); known {
		a.Principal = p.IAM[0]
	}
	return a
}

// signs is a person's approval at the command line. What is written in the row is the test's.
func (w *world) signs(person string, r approvals.Request, then func(*approvals.Request, approvals.Vote)) {
	w.t.Helper()
	p := w.planned(r)
	e := w.signed(person, approvals.Statement{Verb: "approve", Request: r.ID, Digest: p.Digest, Call: p.Intent.String(), Why: approvals.ReasonLine(p.Person, p.Reason)})
	at, err := e.At()
	w.must(err)
	w.edit(r, func(r *approvals.Request) {
		then(r, approvals.Vote{Actor: approvals.Actor{Person: person}, Evidence: e.Key(), At: at, Digest: p.Digest})
		if r.State == approvals.Pending {
			w.must(r.To(approvals.Approved, w.clock.Now()))
		}
	})
	w.sends(approvals.JobRun, r)
}

// appended adds a vote beside those that are there.
func appended(r *approvals.Request, v approvals.Vote) { r.Votes = append(r.Votes, v) }

// signers gives people identities, and wants one of them to sign.
func signers(w *world) {
	for i, p := range w.cfg.Policy.Roster.People {
		w.cfg.Policy.Roster.People[i].IAM = []string{"arn:aws:iam::111111111111:user/" + p.ID}
	}
	w.cfg.Policy.Default.RequireSTS = true
}

// TestVoteFromTheCommandLineIsProved: whatever the row says, one proved approval was signed.
func TestVoteFromTheCommandLineIsProved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter []func(*world)
		votes func(*world, approvals.Request)
		why   string // empty: it runs
	}{
		"signed":  {[]func(*world){signers}, func(w *world, r approvals.Request) { w.signs("bob", r, appended) }, ""},
		"clicked": {[]func(*world){signers}, func(w *world, r approvals.Request) { w.bring(w.button(bob, r, "approve")) }, "none of the proved approvals was signed"},
		"clicked, and the row says that it was signed": {[]func(*world){signers}, func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			w.edit(r, func(r *approvals.Request) { r.Votes[0].Signed, r.NeedSTS = true, false })
		}, "none of the proved approvals was signed"},
		"the policy of now wants it": {nil, func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			signers(w)
			w.executor.Policy = w.cfg.Policy
		}, "none of the proved approvals was signed"},
		"only the plan wants it": {[]func(*world){signers}, func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			w.executor.Policy.Default.RequireSTS = false
		}, "none of the proved approvals was signed"},
		"clicked, then signed": {[]func(*world){signers}, func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			w.signs("bob", r, appended)
		}, ""},
		"clicked, then signed: one of two": {[]func(*world){signers, two}, func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			w.signs("bob", r, appended)
		}, "there are 1 proved approvals of the 2 needed"},
		"signed, then clicked: one of two": {[]func(*world){signers, two}, func(w *world, r approvals.Request) {
			w.signs("bob", r, appended)
			w.bring(w.button(bob, r, "approve"))
		}, "double_vote"},
		"one clicked, the other signed": {[]func(*world){signers, two}, func(w *world, r approvals.Request) {
			w.bring(w.button(carol, r, "approve"))
			w.signs("bob", r, appended)
		}, ""},
		"the requester signs": {[]func(*world){signers}, func(w *world, r approvals.Request) {
			w.bring(w.button(bob, r, "approve"))
			w.signs("alice", r, appended)
		}, "self_approval"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.alter...)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			c.votes(w, r)
			w.drain()
			if c.why == "" {
				w.state(r, approvals.Contained)
				return
			}
			w.refused(r, c.why)
			w.untouched()
		})
	}
}

// TestWhatWasSignedServesARetry: the run's row attests it.
func TestWhatWasSignedServesARetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, signers)
	mend := w.breaks("iam:PutRolePolicy")
	r := w.types(alice, revoke)
	w.signs("bob", r, appended)
	w.drain()
	mend()
	w.clock.Add(time.Minute)
	w.state(w.clicks(carol, r, "retry"), approvals.Contained)
}
