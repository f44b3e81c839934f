// Package bolt keeps tables and queues in one bbolt file. Acknowledged writes are on
// disk.
package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// File is an open database file.
type File struct {
	db      *bbolt.DB
	path    string
	damaged chan error
}

// lockWait is how long Open waits for another process to close the file.
const lockWait = 3 * time.Second

// Open opens or creates the file. Only one process can have it open. It returns [ErrDamaged] if a page of it
// is not what it must be.
func Open(path string) (*File, error) {
	return open(path, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
}

// OpenToRead opens an existing file without a right to write. While another process has it
// open for writing it can't be read.
func OpenToRead(path string) (*File, error) {
	return open(path, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
}

func open(path string, how *bbolt.Options) (*File, error) {
	f := &File{path: path, damaged: make(chan error, 1)}
	err := f.guard(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, how)
		return err
	})
	_, fromOS := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s %w", path, ErrInUse)
	case errors.Is(err, ErrDamaged), errors.Is(err, approvals.ErrFull):
		return nil, err
	case fromOS:
		return nil, fmt.Errorf("open %s: %w", path, err)
	case err != nil:
		return nil, f.broken(err)
	}
	if err := f.check(); err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	return f, nil
}

// ErrInUse is returned if another process has the file open.
var ErrInUse = errors.New("is in use by another process")

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// Store is one table of the file; it is an approvals.Store.
type Store struct {
	*File
	name string
}

// Store opens a table. In a file that is only read it must be there.
func (f *File) Store(name string) (*Store, error) {
	if f.db.IsReadOnly() {
		return &Store{f, name}, f.view(func(tx *bbolt.Tx) error {
			if tx.Bucket([]byte("table:"+name)) == nil {
				return fmt.Errorf("%s has no table %s: it is not a file of Killswitch", f.db.Path(), name)
			}
			return nil
		})
	}
	err := f.update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte("table:" + name))
		return err
	})
	return &Store{f, name}, err
}

// stored is the encoding of a row.
type stored struct {
	Version int64     `json:"v"`
	Body    []byte    `json:"b"`
	Marks   []string  `json:"m,omitempty"`
	Expires time.Time `json:"x,omitzero"`
}

func (s *Store) table(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte("table:" + s.name)) }
func (s *Store) indexName(mark string) []byte     { return []byte("index:" + s.name + ":" + mark) }

const separator = "\x00"

func key(k approvals.Key) []byte { return []byte(k.Part + separator + k.Sort) }

func decode(k, v []byte) (approvals.Row, error) {
	part, sort, _ := bytes.Cut(k, []byte(separator))
	var r stored
	if err := json.Unmarshal(v, &r); err != nil {
		return approvals.Row{}, fmt.Errorf("row %s %s: %w", part, sort, err)
	}
	return approvals.Row{Key: approvals.Key{Part: string(part), Sort: string(sort)}, Version: r.Version, Body: r.Body,
		Marks: r.Marks, Expires: r.Expires}, nil
}

// Get implements approvals.Store.
func (s *Store) Get(_ context.Context, k approvals.Key) (row approvals.Row, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		v := s.table(tx).Get(key(k))
		if v == nil {
			return approvals.ErrNotFound
		}
		row, err = decode(key(k), v)
		return err
	})
	return row, err
}

// Rows implements approvals.Store.
func (s *Store) Rows(_ context.Context, part, prefix, after string, limit int) (rows []approvals.Row, err error) {
	from := []byte(part + separator + max(prefix, after))
	within := []byte(part + separator + prefix)
	err = s.view(func(tx *bbolt.Tx) error {
		c := s.table(tx).Cursor()
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, within) && len(rows) < limit; k, v = c.Next() {
			if after != "" && bytes.Equal(k, []byte(part+separator+after)) {
				continue
			}
			row, err := decode(k, v)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

// Marked implements approvals.Store.
func (s *Store) Marked(_ context.Context, mark string, after approvals.Key, limit int) (rows []approvals.Row, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		index := tx.Bucket(s.indexName(mark))
		if index == nil {
			return nil
		}
		c := index.Cursor()
		for k, _ := c.Seek(key(after)); k != nil && len(rows) < limit; k, _ = c.Next() {
			if bytes.Equal(k, key(after)) {
				continue
			}
			row, err := decode(k, s.table(tx).Get(k))
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

// Parts implements approvals.Lister.
func (s *Store) Parts(_ context.Context, prefixes ...string) (parts []string, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		for _, p := range prefixes {
			c := s.table(tx).Cursor()
			for k, _ := c.Seek([]byte(p)); k != nil && bytes.HasPrefix(k, []byte(p)); k, _ = c.Next() {
				part, _, _ := bytes.Cut(k, []byte(separator))
				parts = append(parts, string(part))
			}
		}
		return nil
	})
	slices.Sort(parts)
	return slices.Compact(parts), err
}

// Write implements approvals.Store.
func (s *Store) Write(_ context.Context, puts ...approvals.Put) error {
	if err := approvals.CheckPuts(puts); err != nil {
		return err
	}
	return s.update(func(tx *bbolt.Tx) error {
		for _, p := range puts {
			if err := s.write(tx, p); err != nil {
				return err // rolls everything back
			}
		}
		return nil
	})
}

func (s *Store) write(tx *bbolt.Tx, p approvals.Put) error {
	k := key(p.Key)
	var old stored
	if v := s.table(tx).Get(k); v != nil {
		if err := json.Unmarshal(v, &old); err != nil {
			return err
		}
	}
	if old.Version != p.Version {
		return approvals.ErrConflict
	}
	if err := s.unmark(tx, k, old.Marks); err != nil {
		return err
	}
	if p.Delete {
		return s.table(tx).Delete(k)
	}
	for _, m := range p.Marks {
		index, err := tx.CreateBucketIfNotExists(s.indexName(m))
		if err != nil {
			return err
		}
		if err := index.Put(k, nil); err != nil {
			return err
		}
	}
	v, err := json.Marshal(stored{p.Version + 1, p.Body, p.Marks, p.Expires})
	if err != nil {
		return err
	}
	return s.table(tx).Put(k, v)
}

func (s *Store) unmark(tx *bbolt.Tx, k []byte, marks []string) error {
	for _, m := range marks {
		if index := tx.Bucket(s.indexName(m)); index != nil {
			if err := index.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sweep removes rows that expired.
func (s *Store) Sweep(_ context.Context, now time.Time) error {
	return s.update(func(tx *bbolt.Tx) error {
		c := s.table(tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			row, err := decode(k, v)
			if err != nil {
				return err
			}
			if row.Expires.IsZero() || !row.Expires.Before(now) {
				continue
			}
			if err := s.unmark(tx, k, row.Marks); err != nil {
				return err
			}
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}
