// Command pack puts a configuration into a function's directory, as the function
// will look for it: pack CONFIG DIR with the files that it names; pack -webhooks
// CONFIG DIR only what webhooks may do, for ingress, which reads no YAML. With -commit it
// also leaves from which commit the function is, for killswitch doctor.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

func main() {
	webhooks := flag.Bool("webhooks", false, "pack only what webhooks may do")
	commit := flag.String("commit", "", "from which the function is built")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: pack [-webhooks] [-commit HASH] CONFIG DIR")
		os.Exit(2)
	}
	do := pack
	if *webhooks {
		do = packWebhooks
	}
	err := do(flag.Arg(0), flag.Arg(1))
	if err == nil && *commit != "" {
		err = write(filepath.Join(flag.Arg(1), "commit"), []byte(*commit+"\n"))
	}
	if err != nil {
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

// packWebhooks writes what cmd/ingress reads.
func packWebhooks(file, dir string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	b, err := json.Marshal(local.Grants(c))
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, "webhooks.json"), b)
}

func copyTo(to, from string) error {
	b, err := os.ReadFile(from) //nolint:gosec // G304: the caller names their own file
	if err != nil {
		return err
	}
	return write(to, b)
}

// write makes files that every user may read: a function runs as another one.
func write(to string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // G301: see above
		return err
	}
	return os.WriteFile(to, b, 0o644) //nolint:gosec // G306: see above
}
