package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// ErrDamaged is returned where the file does not hold what it must: a fault of the disk, or somebody wrote to it.
var ErrDamaged = errors.New("is damaged")

// Damaged tells once that the file was found to be damaged while it was open. What follows may hang: whoever has
// it open should end.
func (f *File) Damaged() <-chan error { return f.damaged }

func (f *File) broken(cause any) error { return fmt.Errorf("%s %w: %v", f.path, ErrDamaged, cause) }

func (f *File) view(read func(*bbolt.Tx) error) error {
	return f.guard(func() error { return f.db.View(read) })
}

func (f *File) update(write func(*bbolt.Tx) error) error {
	return f.guard(func() error { return f.db.Update(write) })
}

// guard returns as errors what bbolt does where a page is damaged: it panics, or reads where the file has nothing.
// A full disk it says in words.
func (f *File) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = f.broken(cause)
			select {
			case f.damaged <- err:
			default: // it is told
			}
		}
	}()
	err = do()
	if full(err) {
		return fmt.Errorf("%w in %s: free space there, or make its disk larger; what waits then goes on by itself: %w", approvals.ErrFull, filepath.Dir(f.path), err)
	}
	return err
}

// full reports whether there is no room. bbolt does not wrap every cause.
func full(err error) bool {
	if err == nil {
		return false
	}
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}

// check reads all pages. Those that are lost to the file, though nothing is lost with them, do not count.
func (f *File) check() error {
	return f.view(func(tx *bbolt.Tx) error {
		info, err := os.Stat(f.path)
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() { // the check, which has a goroutine of its own, would die of it
			return f.broken(fmt.Sprintf("it has %d bytes of %d", info.Size(), tx.Size()))
		}
		for wrong := range tx.Check() {
			if err == nil && !strings.Contains(wrong.Error(), "unreachable unfreed") {
				err = f.broken(wrong)
			}
		}
		return err
	})
}

const (
	// reserve is kept for what people do: what machines send is not taken when less is free, or less than a
	// twentieth of a small disk.
	reserve      = 64 << 20
	reserveShare = 20
	trial        = 32 << 10
)

// Low returns an [approvals.ErrFull] when so little is free that it is kept for what people do.
func (f *File) Low() error { return f.lowAfter(0) }

// lowAfter is Low once some bytes more are stored.
func (f *File) lowAfter(more int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(f.path), &s); err != nil {
		return nil //nolint:nilerr // where the system does not say it, a write will
	}
	size := uint64(s.Bsize) //nolint:gosec // a block has a size
	free, all := s.Bavail*size, s.Blocks*size
	if free >= min(reserve, all/reserveShare)+uint64(more) { //nolint:gosec // a size
		return nil
	}
	return fmt.Errorf("%w in %s but what people do: %d KiB are free; free more there, or make its disk larger", approvals.ErrFull, filepath.Dir(f.path), free>>10)
}

// Try stores something and removes it again. The error says why nothing can be stored.
func (f *File) Try(context.Context) error {
	name := []byte("trial")
	err := f.update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		return b.Put(name, make([]byte, trial))
	})
	if err != nil {
		return err
	}
	return f.update(func(tx *bbolt.Tx) error { return tx.Bucket(name).Delete(name) })
}

// Backup copies the file as it is now to path, and takes away what was there once the copy is whole. Others read
// and write meanwhile.
func (f *File) Backup(path string) error {
	next := path + ".new"
	if err := f.copyTo(next); err != nil {
		if none := os.Remove(next); none != nil && !errors.Is(none, fs.ErrNotExist) {
			err = errors.Join(err, none)
		}
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

func (f *File) copyTo(path string) error {
	err := f.view(func(tx *bbolt.Tx) error {
		if err := f.lowAfter(tx.Size()); err != nil { // a copy must not take the last of it
			return err
		}
		return tx.CopyFile(path, 0o600)
	})
	if err != nil {
		return err
	}
	if err := syncFile(path); err != nil {
		return err
	}
	whole, err := OpenToRead(path)
	if err != nil {
		return err
	}
	return whole.Close()
}

func syncFile(path string) error {
	f, err := os.Open(path) //nolint:gosec // ours
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
