package approvals_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

func TestLeaseHasOneOwnerUntilItEnds(t *testing.T) {
	now := time.Unix(1000, 0).UTC()
	for _, c := range []struct {
		name, holder, owner string
		after               time.Duration
		want                bool
	}{
		{"another's", "ana", "bo", 0, false},
		{"another's, just before it ends", "ana", "bo", 30*time.Second - 1, false},
		{"another's that ended", "ana", "bo", 30 * time.Second, true},
		{"one's own", "ana", "ana", 0, true},
		{"of two without names", "", "", 0, false},
		{"somebody's, without a name", "ana", "", 0, false},
		{"nobody's name, with one", "", "bo", 0, false},
		{"without a name, ended", "", "", 30 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l approvals.Lease
			if !l.Take(c.holder, now, 30*time.Second) {
				t.Fatal("a free lease is not given")
			}
			before, then := l, now.Add(c.after)
			want := before
			if c.want {
				want = approvals.Lease{Owner: c.owner, Until: then.Add(time.Minute)}
			}
			if held := l.Held(then); held != (c.after < 30*time.Second) {
				t.Errorf("held: %t", held)
			}
			if got := l.Take(c.owner, then, time.Minute); got != c.want || l != want {
				t.Errorf("taken %t: %+v, want %t %+v", got, l, c.want, want)
			}
		})
	}
}

func TestReleasedLeaseIsFree(t *testing.T) {
	now := time.Unix(1000, 0)
	var l approvals.Lease
	l.Take("ana", now, time.Minute)
	l.Renew(now, time.Hour)
	if !l.Held(now.Add(59 * time.Minute)) {
		t.Error("a renewed lease ended early")
	}
	l.Release(now)
	if l.Held(now) || !l.Take("bo", now, time.Minute) {
		t.Errorf("a released lease is held: %+v", l)
	}
}
