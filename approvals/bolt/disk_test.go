package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
)

const (
	pageSize = 4096
	rows     = 60
)

func row(i int) approvals.Row {
	return approvals.Row{Key: approvals.Key{Part: fmt.Sprintf("KS-%04d", i), Sort: "request"}, Body: bytes.Repeat([]byte("x"), 500+i*50), Marks: []string{"open"}}
}

// written is the content of a file with some rows.
func written(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "killswitch.db")
	f, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Store("requests")
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := s.Write(t.Context(), approvals.Put{Row: row(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readAll reads all rows, and writes one.
func readAll(t *testing.T, f *bolt.File) error {
	s, err := f.Store("requests")
	if err != nil {
		return err
	}
	for i := range rows {
		if _, err := s.Get(t.Context(), row(i).Key); err != nil && !errors.Is(err, approvals.ErrNotFound) {
			return err
		}
	}
	if _, err := s.Marked(t.Context(), "open", approvals.Key{}, 2*rows); err != nil {
		return err
	}
	return s.Write(t.Context(), approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: "new", Sort: "request"}, Body: make([]byte, 100_000)}})
}

// TestDamagedPages: whichever page is overwritten, the file is refused when it is opened, or gives an error, or
// nothing was lost; it never ends the process.
func TestDamagedPages(t *testing.T) {
	good := written(t)
	refused := 0
	for name, rubbish := range map[string][]byte{"zeros": make([]byte, pageSize), "ones": bytes.Repeat([]byte{0xff}, pageSize), "text": bytes.Repeat([]byte("rubbish "), pageSize/8)} {
		for page := 0; page < len(good)/pageSize; page += 2 {
			b := bytes.Clone(good)
			copy(b[page*pageSize:], rubbish)
			path := filepath.Join(t.TempDir(), "killswitch.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := bolt.Open(path)
			if err != nil {
				if refused++; !errors.Is(err, bolt.ErrDamaged) || !bytes.Contains([]byte(err.Error()), []byte(path)) {
					t.Errorf("%s in page %d: %v", name, page, err)
				}
				continue
			}
			_ = readAll(t, f)
			_ = f.Close()
		}
	}
	if refused < 20 {
		t.Errorf("%d files of damaged pages are refused", refused)
	}
}

// TestCutFile: a file that lacks its end is refused.
func TestCutFile(t *testing.T) {
	good := written(t)
	for _, size := range []int{1, pageSize, 2*pageSize + 1, 3 * pageSize, len(good) / 2} {
		path := filepath.Join(t.TempDir(), "killswitch.db")
		if err := os.WriteFile(path, good[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bolt.Open(path); !errors.Is(err, bolt.ErrDamaged) {
			t.Errorf("%d bytes of %d: %v", size, len(good), err)
		}
		path = filepath.Join(t.TempDir(), "killswitch.db") // the other is open until the process ends
		if err := os.WriteFile(path, good[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bolt.OpenToRead(path); !errors.Is(err, bolt.ErrDamaged) {
			t.Errorf("%d bytes of %d, to be read: %v", size, len(good), err)
		}
	}
}

// TestDamagedWhileOpen: what reads such a page gets an error, and whoever has the file open is told.
func TestDamagedWhileOpen(t *testing.T) {
	for name, damage := range map[string]func(path string, size int64) error{
		"overwritten": func(path string, size int64) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(size)-2*pageSize), 2*pageSize)
			return err
		},
		"cut": func(path string, _ int64) error { return os.Truncate(path, 2*pageSize) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "killswitch.db")
			if err := os.WriteFile(path, written(t), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := bolt.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := readAll(t, f); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path, info.Size()); err != nil {
				t.Fatal(err)
			}
			if err := readAll(t, f); !errors.Is(err, bolt.ErrDamaged) {
				t.Errorf("reading: %v", err)
			}
			select {
			case err := <-f.Damaged():
				if !errors.Is(err, bolt.ErrDamaged) {
					t.Error(err)
				}
			default:
				t.Error("nobody is told")
			}
		})
	}
}

// TestTry: it stores, and leaves nothing behind.
func TestTry(t *testing.T) {
	f := open(t)
	for range 3 {
		if err := f.Try(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Low(); err != nil {
		t.Logf("here: %v", err) // the disk of whoever runs this may be full
	}
}
