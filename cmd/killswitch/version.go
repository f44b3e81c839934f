package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
)

// A build says from what, and by what, this program was made.
type build struct {
	Version  string `json:"version"`            // a tag, or made of time and commit; (devel) outside of a repository
	Commit   string `json:"commit,omitempty"`   // of the repository
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the work tree had changes
	Go       string `json:"go"`
	Platform string `json:"platform"` // OS/architecture
}

// thisBuild reads what the Go command has put into the program.
// https://pkg.go.dev/runtime/debug#BuildSetting
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{Version: "(unknown)"}
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	return build{Version: info.Main.Version, Commit: set["vcs.revision"], Time: set["vcs.time"], Modified: set["vcs.modified"] == "true", Go: info.GoVersion, Platform: set["GOOS"] + "/" + set["GOARCH"]}
}

// version prints which Killswitch this is.
func version(_ context.Context, p program, args []string) error {
	f := flag.NewFlagSet("version", flag.ContinueOnError)
	output := f.String("output", "text", "`FORMAT`: text or json")
	rest, err := parse(f, p, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 || *output != "text" && *output != "json" {
		return fmt.Errorf("%w: --output text or json, and nothing else", errUsage)
	}
	b := thisBuild()
	if *output == "json" {
		return json.NewEncoder(p.out).Encode(b)
	}
	commit := ""
	if b.Commit != "" {
		commit = fmt.Sprintf(", commit %s of %s", b.Commit, b.Time)
		if b.Modified {
			commit += ", with changes"
		}
	}
	_, err = io.WriteString(p.out, fmt.Sprintf("killswitch %s%s, %s, %s\n", b.Version, commit, b.Go, b.Platform))
	return err
}
