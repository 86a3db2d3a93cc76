# The only list of verbs. CI calls these; `make` alone explains them.

# Where the parts that are not ours go: Envoy, Redis, an OpenID provider, cargo-deny.
export SALLYPORT_PARTS ?= $(CURDIR)/target/parts

TENANT ?= acme
ISSUER ?= 127.0.0.1:10001
# Further arguments of the demo or of cargo test: `make demo ARGS="--store redis"`, `make test ARGS=story`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help parts build demo token test lint fmt bench docs

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r verb what; do printf '%-7s %s\n' "$$verb" "$$what"; done

parts: ## fetch Envoy, Redis, an OpenID provider and cargo-deny, without root
	@python3 e2e/parts/parts.py

build: ## build every program and test, for development
	cargo build --workspace --all-targets

demo: parts ## everything on this machine: real tokens, a real Envoy, and why each request got its answer
	cargo build --package ratelimit --package extauth --package e2e --bins
	@exec "$${CARGO_TARGET_DIR:-target}/debug/demo" $(ARGS)

token: ## print a token of the running demo or compose file: make -s token TENANT=acme
	@python3 e2e/token.py $(ISSUER) $(TENANT)

test: parts build ## all tests, with real parts
	cargo test --workspace $(ARGS)

lint: parts ## what CI insists on: format, clippy, documentation, licences, tidiness
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	"$$SALLYPORT_PARTS/bin/cargo-deny" --log-level error check bans licenses sources
	cargo test --quiet --package e2e --test tidy

fmt: ## format the code
	cargo fmt

bench: parts ## what a decision costs, as a ratio to an empty gRPC call in the same run
	cargo build --release --package ratelimit --package loadtest
	"$${CARGO_TARGET_DIR:-target}/release/loadtest" run $(filter-out %/rules.yaml,$(wildcard loadtest/scenarios/*.yaml)) \
		--ratelimit "$${CARGO_TARGET_DIR:-target}/release/ratelimit" --redis-server "$$SALLYPORT_PARTS/bin/redis-server" $(ARGS)

docs: ## the documentation of the code, in target/doc
	cargo doc --workspace --no-deps
