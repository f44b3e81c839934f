// Package config reads Killswitch's configuration: one YAML file, and a JSON
// schema for it that editors may use.
//
//	Load      reads a file, and the files that it names
//	Config    a configuration without a problem: policy, organization, routes, webhooks
//	Problems  everything wrong with a file, each with its field, line and hint
//	Schema    the JSON schema; go test ./cmd/config -update writes the lists of actions,
//	          options and sources into it
//
// A file is read in four passes that each see all of it, so that everything
// wrong is told in one go: the YAML itself, secrets, the schema (what one value
// alone can get wrong), and what values say together. A later pass says nothing
// more about a field that an earlier one has found wrong.
package config
