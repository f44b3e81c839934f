package config

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// maxSCPFile is how large an SCP's file may be, in bytes: more than white space
// could account for.
const maxSCPFile = 64 << 10

// scps reads the documents by their names, and which files they are in. They
// are checked as they will be before each use.
func (c *checker) scps(root *value, o actions.Org) (documents map[string]string, files []string) {
	documents = map[string]string{}
	if !c.exemptKnown(root) {
		return documents, nil // reported already, and the documents can't be checked without it
	}
	c.builtinSCPs(root.at("protected", "principals"), o)
	for name, v := range root.at("scps").entries() {
		builtin, file := v.at("builtin"), v.at("file")
		switch {
		case c.settled[v.field]:
		case scp.ReservedSCP(name):
			c.addAt(v.keyLine, v.field, "is taken: Killswitch has policies of its own of such names (revoke-…, deny-…, tamper)", "choose another name")
		case builtin.text() != "":
			document, ok := scp.BuiltinSCP(o, builtin.text())
			if !ok {
				c.add(builtin, "is not built in", strings.Join(scp.Builtin(), ", "))
			}
			documents[name] = document
		case file.text() != "" && !c.settled[file.field]:
			if document, ok := c.scpFile(file, o); ok {
				documents[name], files = document, append(files, file.text())
			}
		}
	}
	slices.Sort(files)
	return documents, slices.Compact(files)
}

// exemptKnown reports whether the roles that each document must exempt are known.
func (c *checker) exemptKnown(root *value) bool {
	for _, key := range []string{"responder_role", "restorer_role", "forwarder_role", "regions"} {
		if v := root.at("aws", key); v == nil && key != "forwarder_role" || v != nil && c.settled[v.field] {
			return false
		}
	}
	for _, v := range append(root.at("protected", "principals").items(), root.at("aws", "regions").items()...) {
		if arn := v.at("arn"); c.settled[v.field] || arn != nil && c.settled[arn.field] {
			return false
		}
	}
	return true
}

// builtinSCPs checks that what is exempt fits in: the built-in documents are
// always there.
func (c *checker) builtinSCPs(principals *value, o actions.Org) {
	var unusable []string
	var why string
	for _, name := range scp.Builtin() {
		document, _ := scp.BuiltinSCP(o, name)
		if _, no := scp.CheckSCP(o, document); no != nil {
			unusable, why = append(unusable, name), no.Reason
		}
	}
	if unusable != nil && principals != nil {
		c.add(principals, "makes built-in documents unusable ("+strings.Join(unusable, ", ")+"): "+why, "protect fewer principals")
	}
}

func (c *checker) scpFile(v *value, o actions.Org) (document string, ok bool) {
	name := v.text()
	switch {
	case !fs.ValidPath(name):
		c.add(v, "is not a plain relative path", "without . or .. and without a / at its end")
		return "", false
	case path.Ext(name) != ".json":
		c.add(v, "is not a .json file", "like scps/freeze.json")
		return "", false
	case c.files == nil:
		c.add(v, "can't be read here", "only a configuration that is itself a file has files beside it")
		return "", false
	}
	text, err := readSCPFile(c.files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.add(v, "there is no such file", "its path begins at the directory of the configuration file")
		return "", false
	case err != nil:
		c.add(v, "can't be read: "+clip(err.Error()), "")
		return "", false
	case len(text) > maxSCPFile:
		c.add(v, "is larger than 64 KiB", "AWS takes 10,240 characters")
		return "", false
	}
	document, no := scp.CheckSCP(o, text)
	if no != nil {
		c.add(v, no.Reason, no.Hint)
		return "", false
	}
	return document, true
}

func readSCPFile(files fs.FS, name string) (text string, err error) {
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := io.ReadAll(io.LimitReader(f, maxSCPFile+1))
	return string(b), err
}
