package local_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// TestBackupIsRestored: the file is lost, and its copy, made while it was open and written to since, takes its
// place: what is in force is watched on, and its undo gives back what was there before.
func TestBackupIsRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inFile)
	before := w.aws.Snapshot()
	r := w.contained(command)
	backup := filepath.Join(t.TempDir(), "killswitch.db.backup")
	for range 2 { // the second takes the first's place
		w.must(w.file.Backup(backup))
	}
	lost := w.asks("U01ALICE", strings.Replace(command, "app-role", "web-tier-role", 1))
	w.must(w.file.Close())
	w.path = backup
	w.start()
	if _, err := w.zones.Bot.Requests.Get(t.Context(), lost.ID); !errors.Is(err, approvals.ErrNotFound) {
		t.Errorf("what was asked for after the copy was made: %v", err)
	}
	w.state(r, approvals.Contained)
	w.dropDeny()
	w.pass(time.Hour)
	if w.policy("app-role") == "" || w.run(r).Tampered != 1 {
		t.Errorf("what somebody removes is not applied again: %+v", w.run(r))
	}
	w.undo(r)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Errorf("after the undo it is not as before: %s", d)
	}
}

// TestFullDisk: who types or clicks is told once that it could not be stored; when there is room again it goes on
// by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full := false
	w := newWorld(t, func(w *world) {
		w.wrap = func(b local.Backends) local.Backends {
			b.Requests = fullStore{b.Requests, &full}
			return b
		}
	})
	full = true
	w.types("U01ALICE", command)
	w.pass(time.Minute)
	w.told("U01ALICE", "could not be stored")
	told := 0
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(m.Text, "could not be stored") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	full = false
	w.pass(2 * time.Minute)
	if len(w.all()) != 1 {
		t.Errorf("it does not go on: %v", w.all())
	}
}

// fullStore takes nothing more while it is full.
type fullStore struct {
	approvals.Store
	full *bool
}

func (s fullStore) Write(ctx context.Context, puts ...approvals.Put) error {
	if *s.full {
		return errors.Join(approvals.ErrFull, errors.New("no space left on device"))
	}
	return s.Store.Write(ctx, puts...)
}

// TestRoomIsTriedNowAndThen: however often somebody asks, and with what became of it.
func TestRoomIsTriedNowAndThen(t *testing.T) {
	t.Parallel()
	now, tried := time.Unix(0, 0), 0
	var no, low error
	room := local.Room{
		Try: func(context.Context) error { tried++; return no },
		Low: func() error { return low }, Now: func() time.Time { return now },
	}
	for i, c := range []struct {
		after   time.Duration
		no, low error
		want    bool
		tried   int
	}{{0, nil, nil, true, 1}, {time.Second, approvals.ErrFull, nil, true, 1}, {5 * time.Second, approvals.ErrFull, nil, false, 2},
		{time.Second, nil, nil, false, 2}, {5 * time.Second, nil, nil, true, 3}, {5 * time.Second, nil, approvals.ErrFull, false, 4}} {
		now, no, low = now.Add(c.after), c.no, c.low
		if err := room.Healthy(t.Context()); (err == nil) != c.want || tried != c.tried {
			t.Errorf("%d: %v, tried %d times", i, err, tried)
		}
	}
}

// TestLastRoomIsForPeople: while little is left, what machines send is refused, and people go on.
func TestLastRoomIsForPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inFile, listening)
	w.Room.Low = func() error { return approvals.ErrFull }
	if status := w.bring("hook-key", "", w.dropped()); status != http.StatusServiceUnavailable {
		t.Errorf("an event is answered %d", status)
	}
	w.contained(command)
	w.Room.Low = func() error { return nil }
	if status := w.bring("hook-key", "", w.dropped()); status != http.StatusOK {
		t.Errorf("with room again an event is answered %d", status)
	}
}
