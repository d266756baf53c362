GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s
KILLS ?= 1000
SEED ?= 0
SOAKTIME ?= 1h

# Tools are pinned: the linter by its own module file, so that its dependencies stay out of go.mod.
LINT     = $(GO) tool -modfile=.tools/lint.mod golangci-lint
VULN     = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0

.DEFAULT_GOAL := help
.PHONY: help build test test-short lint fmt generate bench bench-go fuzz demo soak torture vuln clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/spool, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/spool ./cmd/spool

test: ## Run everything that CI runs: vet, all tests with the race detector, linters
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 18m ./...
	$(LINT) run

test-short: ## Run the quick tests only, without linters and race detector
	$(GO) test -short -count=1 ./...

lint: ## Run the linters (the first run builds them: some minutes)
	$(LINT) run

fmt: ## Format the Go files
	$(LINT) fmt

generate: ## Write again what is made from the method table: schema, docs, SDK types
	$(GO) generate ./...

bench: build ## Measure the built program beside what this machine allows (5 minutes)
	$(GO) build -o bin/bench ./cmd/bench
	bin/bench -spool bin/spool -json bin/bench.json -md docs/performance.md $(BENCHFLAGS)

bench-go: ## Run the small benchmarks of the packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@list=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }' | \
	while read -r pkg name; do \
		echo "$$name in $$pkg"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
	done

torture: ## Kill and mistreat the daemon for some twenty minutes: KILLS=1000, SEED=0 (the clock)
	$(GO) test -count=1 -timeout 2h -v -run '^TestTorture' ./cmd/spool/scenario -torture.long -torture.kills=$(KILLS) -torture.seed=$(SEED)

demo: build ## Build, then show a conversation from start to end
	$(GO) run ./cmd/demo -spool bin/spool

soak: build ## Keep a daemon busy for SOAKTIME (1h) and watch that nothing grows; writes docs/soak.*
	$(GO) run ./cmd/soak -spool bin/spool -for $(SOAKTIME) -out docs

vuln: ## Look for known vulnerabilities (needs vuln.go.dev; not part of CI)
	$(VULN) ./...

clean: ## Remove what was built
	rm -rf bin
