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

SCHEMA := bot/cards/cardstest/blockkit.schema.json

PAGE := cmd/killswitch/demo/page

.PHONY: help test full check tidy lint generated template e2e browser generate demo-page screenshots build bench demo clean sizes

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# Packages in which goroutines of ours meet. The race detector makes the rest eight times as slow, for nothing.
RACED := ./actions ./actions/instance ./actions/trail ./approvals ./approvals/alerts ./approvals/bolt ./approvals/dynamodb ./approvals/executor ./approvals/memory ./bot ./bot/ingress ./cmd/function ./cmd/killswitch ./cmd/killswitch/demo ./cmd/local

# Dense matrices (deaths at every point, partitions, starts) are thinned in test, more under the race detector, and whole in full.
test: ## vet and test: Go alone
	go vet ./...
	go test -shuffle=on -timeout=15m ./...
	go test $(RACE) -short -shuffle=on -timeout=15m $(RACED)

full: ## every case of every test, without the race detector
	go vet -tags=full ./...
	go test -tags=full -shuffle=on -timeout=15m ./...

check: tidy lint generated template e2e browser sizes test full ## everything that CI checks

tidy: ## go.mod and go.sum say what the code imports
	go mod tidy -diff

lint: $(GOLANGCI) ## golangci-lint, gofmt too
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

generated: ## generated files are what their generators make today
	e2e/install
	e2e/schema/build | diff -u $(SCHEMA) - || { echo "$(SCHEMA) is stale: run 'make generate'" >&2; exit 1; }
	dist=$$(mktemp -d); trap 'rm -rf "$$dist"' EXIT; $(PAGE)/build "$$dist"; \
	  diff -rq $(PAGE)/dist "$$dist" || { echo "$(PAGE)/dist is stale: run 'make demo-page'" >&2; exit 1; }

template: ## template.yaml: linter, translator, checkov, cdk-nag, what each role may do
	e2e/install
	e2e/template/check

e2e: ## the whole program against a Slack and an AWS that others wrote (Linux, Node.js, Python)
	e2e/run

browser: ## the demo, played in a headless Chromium (Linux, Node.js)
	e2e/demo/run

generate: demo-page ## make the generated files
	e2e/install
	e2e/schema/build > $(SCHEMA).new && mv $(SCHEMA).new $(SCHEMA)

demo-page: ## the demo's page, from its sources (Node.js)
	$(PAGE)/build

screenshots: ## docs/demo-*.png, from the demo in a headless Chromium
	e2e/demo/run screenshots

build: dist/ingress.zip dist/bot.zip dist/executor.zip ## dist/: the functions' zips, with CONFIG in them, and killswitch for this machine
	go build -trimpath -o dist/ ./cmd/killswitch

# The same commit gives the same bytes, wherever it is built with the Go version of go.mod.
RELEASE_PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
RELEASE           ?= dist/release

release: ## dist/release/: killswitch for Linux and macOS, amd64 and arm64, with checksums; the same commit gives the same bytes
	mkdir -p "$(RELEASE)"
	for platform in $(RELEASE_PLATFORMS); do \
	  GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0 go build -trimpath -buildvcs=true -ldflags "-s -w -buildid=" -o "$(RELEASE)/killswitch-$${platform%/*}-$${platform#*/}" ./cmd/killswitch; \
	done
	cd "$(RELEASE)" && sha256sum $(foreach platform,$(RELEASE_PLATFORMS),killswitch-$(subst /,-,$(platform))) > SHA256SUMS && cat SHA256SUMS

reproducible: ## a release for this machine, built here and from a clone elsewhere, is the same
	@away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; \
	git clone --quiet --no-hardlinks . "$$away/clone"; \
	here=$$(git rev-parse HEAD) && git -C "$$away/clone" checkout --quiet "$$here"; \
	for from in first second; do \
	  $(MAKE) --no-print-directory -C "$$away/clone" release RELEASE="$$away/$$from" RELEASE_PLATFORMS="$$(go env GOOS)/$$(go env GOARCH)" >/dev/null; \
	  mv "$$away/clone" "$$away/clone-elsewhere" 2>/dev/null && ln -s clone-elsewhere "$$away/clone"; \
	done; \
	diff "$$away/first/SHA256SUMS" "$$away/second/SHA256SUMS" && cat "$$away/first/SHA256SUMS"

# The configuration that the bot and the executor carry, with the files that it names; ingress carries what it says of webhooks.
CONFIG ?= killswitch.yaml

$(CONFIG):
	@echo "no $@ to pack: copy docs/killswitch.example.yaml to it, or say make build CONFIG=FILE" >&2; exit 1

# `sam build` makes the build-*Function and says where (ARTIFACTS_DIR). The tags halve the programs: no RPC mode, no JSON
# schema, no HTTP/2, which nothing here needs; the bot enters no account. The same source gives the same bytes.
TAGS      := lambda.norpc,noschema,nethttpomithttp2
TAGS_bot  := ,noaccounts
# Of changes that are not committed it says so; outside of a repository there is none.
COMMIT     = $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
FUNCTIONS := build-IngressFunction build-BotFunction build-ExecutorFunction
ZIPS      := dist/ingress.zip dist/bot.zip dist/executor.zip
ARTIFACTS_DIR ?= dist/function/$(zone)
.PHONY: $(FUNCTIONS) $(ZIPS)

build-IngressFunction  dist/ingress.zip:  zone = ingress
build-BotFunction      dist/bot.zip:      zone = bot
build-ExecutorFunction dist/executor.zip: zone = executor

$(FUNCTIONS): $(CONFIG)
	mkdir -p "$(ARTIFACTS_DIR)"
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -tags $(TAGS)$(TAGS_$(zone)) -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o "$(ARTIFACTS_DIR)/bootstrap" ./cmd/$(zone)
	go run ./cmd/killswitch validate $(CONFIG) && go run ./cmd/pack $(if $(filter ingress,$(zone)),-webhooks) -commit "$(COMMIT)" $(CONFIG) "$(ARTIFACTS_DIR)"

dist/ingress.zip:  build-IngressFunction
dist/bot.zip:      build-BotFunction
dist/executor.zip: build-ExecutorFunction
$(ZIPS):
	go run ./cmd/zip $@ "$(ARTIFACTS_DIR)"

sizes: ## the functions' programs are small: ingress 9 MiB, bot 13, executor 20
	$(MAKE) --no-print-directory build CONFIG=docs/killswitch.example.yaml
	@for limit in ingress:9 bot:13 executor:20; do \
	  size=$$(stat -c %s dist/function/$${limit%:*}/bootstrap); echo "$${limit%:*}: $$size bytes"; \
	  (( size <= $${limit#*:} << 20 )) || { echo "$${limit%:*} is over $${limit#*:} MiB" >&2; exit 1; }; \
	done

bench: ## benchmarks; the starts of the functions go to docs/bench.md and .svg
	go test -run='^$$' -bench=. -benchmem ./...
	go run ./e2e/boot -out docs/bench

demo: ## the story in the terminal
	go run ./cmd/killswitch demo --script

clean: ## remove what was built and the tools
	rm -rf dist .tools e2e/node_modules $(PAGE)/node_modules
