# make test wants Go alone; make check is all that CI checks. `make help` lists the rest.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools that only checks need: pinned, installed on first use, never in go.mod.
# They are kept by version, so TOOLS may be a directory that outlives the work tree.
export TOOLS ?= $(CURDIR)/.tools
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)-$(shell go env GOVERSION)/golangci-lint

# The race detector wants a C compiler; without one the tests run all the same.
RACE := $(shell command -v "$$(go env CC)" >/dev/null && echo -race)

SCHEMA := bot/testdata/blockkit.schema.json

.PHONY: help test check tidy lint generated e2e generate build bench demo clean

help: ## list the targets
	@sed -nE 's/^([a-z0-9]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

test: ## vet and test: Go alone
	go vet ./...
	go test $(RACE) -shuffle=on ./...

check: tidy lint generated e2e test ## everything that CI checks

tidy: ## go.mod and go.sum say what the code imports
	go mod tidy -diff

lint: $(GOLANGCI) ## golangci-lint, gofmt too
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

generated: ## generated files are what their generators make today
	e2e/install
	e2e/schema/build | diff -u $(SCHEMA) - || { echo "$(SCHEMA) is stale: run 'make generate'" >&2; exit 1; }

e2e: ## the whole program against a Slack and an AWS that others wrote (Linux, Node.js, Python)
	e2e/run

generate: ## make the generated files
	e2e/install
	e2e/schema/build > $(SCHEMA).new && mv $(SCHEMA).new $(SCHEMA)

# The Lambda zips will be made here too.
build: ## programs in dist/
	mkdir -p dist
	go build -trimpath -o dist/ ./cmd/...

bench: ## benchmarks
	go test -run='^$$' -bench=. -benchmem ./...

demo: ## the story in the terminal
	go run ./cmd/killswitch demo --script

clean: ## remove what was built and the tools
	rm -rf dist .tools e2e/node_modules
