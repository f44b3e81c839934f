package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
)

// What is in the data directory.
const (
	databaseFile = "killswitch.db"
	backupFile   = databaseFile + ".backup"
)

// openDatabase opens the file of a data directory, or makes one where nothing was.
func openDatabase(data string) (*bolt.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	file, backup := filepath.Join(data, databaseFile), filepath.Join(data, backupFile)
	is, err := os.Stat(file)
	nothing := errors.Is(err, fs.ErrNotExist) || err == nil && is.Size() == 0 // as a copy for which there was no room
	if info, had := os.Stat(backup); had == nil && nothing {                  // else the next backup would take the last one away
		return nil, fmt.Errorf("there is nothing in %s, but a backup of %s. To go on from it: %s, and start again. To begin with nothing, move it away", file, age(info), restores(backup, file))
	}
	db, err := bolt.Open(file)
	return db, repair(data, err)
}

// repair says what to do about a file that is damaged.
func repair(data string, err error) error {
	if !errors.Is(err, bolt.ErrDamaged) {
		return err
	}
	file, backup := filepath.Join(data, databaseFile), filepath.Join(data, backupFile)
	hint := "there is no backup beside it: look for one of the disk"
	if info, none := os.Stat(backup); none == nil {
		hint = fmt.Sprintf("its backup is of %s, and lacks what was stored later. To go on from it: mv %s %s.damaged && %s, and start again", age(info), file, file, restores(backup, file))
	}
	return fmt.Errorf("%w. What is contained in AWS stays contained, but nobody watches it until this is mended; requests, approvals and what undo needs are in the file: %s", err, hint)
}

// restores is how a backup takes the file's place, as a whole or not at all.
func restores(backup, file string) string {
	return fmt.Sprintf("cp %s %s.new && mv %s.new %s", backup, file, file, file)
}

func age(info fs.FileInfo) string { return info.ModTime().UTC().Format(time.RFC3339) }

const backupEvery = time.Hour

// backups writes the backup every hour.
func backups(ctx context.Context, db *bolt.File, path string, log *slog.Logger) {
	for approvals.Sleep(ctx, backupEvery) == nil {
		backUp(ctx, db, path, log)
	}
}

func backUp(ctx context.Context, db *bolt.File, path string, log *slog.Logger) {
	if err := db.Backup(path); err != nil {
		log.ErrorContext(ctx, "no backup", slog.String("path", path), slog.String("error", err.Error()))
	}
}
