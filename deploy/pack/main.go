// Command pack puts a configuration and the files that it names into a
// function's directory, as the function will look for them: pack CONFIG DIR.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/killswitch-chatops/killswitch/cmd/config"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack CONFIG DIR")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(file, dir string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	if err := copyTo(filepath.Join(dir, "killswitch.yaml"), file); err != nil {
		return err
	}
	for _, name := range c.Files {
		name = filepath.FromSlash(name)
		if err := copyTo(filepath.Join(dir, name), filepath.Join(filepath.Dir(file), name)); err != nil {
			return err
		}
	}
	return nil
}

// copyTo makes files that every user may read: a function runs as another one.
func copyTo(to, from string) error {
	b, err := os.ReadFile(from) //nolint:gosec // G304: the caller names their own file
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // G301: see above
		return err
	}
	return os.WriteFile(to, b, 0o644) //nolint:gosec // G306: see above
}
