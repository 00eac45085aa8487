# `make demo` to see it, `make test` to trust it.

CARGO ?= cargo
# Where the demo keeps its recordings and configuration.
DEMO_DIR ?= nvr-demo
DEMO_ARGS ?=
# For the benchmarks: --quick, --json FILE, or what to measure.
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60
# How long `endurance` records.
MINUTES ?= 30
# What the command is built with, separated by commas; `oidc` is another one.
FEATURES ?= rtsp-server,onnx
# What the image of the recorder stands on, which program is in it, and where both come together.
BASE ?= debian:12-slim
NVR_BUILT ?= target/release/nvr
CONTAINER := target/container
# One choice of features for all tests, so that nothing is compiled twice.
WHOLE := --workspace --features nvr-http/oidc,nvr-core/rtsp-server,nvr-core/onnx
# Builds the command as its tests have it: by itself it would be compiled once more, with all it stands on, for other features.
TESTED := $(CARGO) test --quiet $(WHOLE) --no-run --test command
# Tests wait for cameras and the clock half of their time: two more at once than there are cores, but not more than six.
TEST_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -ge 4 ] && echo 6 || echo $$((n + 2)))

# The system tests in which cameras are recorded over RTSP.
RECORDING_TESTS := audio clock crash hanging index long many outages phases retention rotation storage timestamps

UI := nvr-http/ui
UI_SOURCES = $(shell find $(UI)/src $(UI)/public -type f 2>/dev/null) $(addprefix $(UI)/,index.html package.json package-lock.json tsconfig.json vite.config.ts)
# What the browser tests leave: pictures of each page.
UI_SHOTS ?= target/ui-shots

.PHONY: help demo build ui ui-deps test test-rust test-rtspsrc test-ui test-page test-api test-v4l2 deb deb-files test-deb test-prometheus container container-files test-container test-kubernetes bench endurance fuzz lint fmt docs deps clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ui ## Record two synthetic cameras and serve the page
	@tools/install-deps.sh build run
	$(CARGO) build --quiet --release -p nvr-cli --features "$(FEATURES)"
	@exec target/release/nvr demo --dir $(DEMO_DIR) $(DEMO_ARGS)

build: ui ## Build the command for use
	@tools/install-deps.sh build
	$(CARGO) build --release -p nvr-cli --features "$(FEATURES)"

ui: $(UI)/dist/index.html ## Build the page that goes into the command

ui-deps:
	@tools/install-deps.sh ui

$(UI)/node_modules/.package-lock.json: $(UI)/package.json $(UI)/package-lock.json | ui-deps
	cd $(UI) && npm ci --silent
	@touch $@

$(UI)/dist/index.html: $(UI_SOURCES) $(UI)/node_modules/.package-lock.json
	cd $(UI) && npm run --silent build -- --logLevel warn

test: test-rust test-api test-ui ## Run all tests

test-rust: ui
	@tools/install-deps.sh build run test
	$(CARGO) nextest run $(WHOLE) --test-threads $(TEST_THREADS)
	$(CARGO) test --quiet $(WHOLE) --doc

# What reads cameras is chosen by the environment. Not part of `test`, which reads them as `auto` does.
test-rtspsrc: ## Run the system tests of recording with rtspsrc instead of the lean client
	@tools/install-deps.sh build run test
	NVR_TEST_INGEST=rtspsrc $(CARGO) nextest run $(WHOLE) --test-threads $(TEST_THREADS) --test system $(addsuffix ::,$(RECORDING_TESTS))

test-page: ui ## Test the parts of the page
	cd $(UI) && npm run --silent test

test-ui: test-page ## Test the page: its parts, and the whole in Chromium
	@tools/install-deps.sh build run test
	$(TESTED)
	cd $(UI) && NVR=$(abspath target/debug/nvr) SHOTS=$(abspath $(UI_SHOTS)) npm run --silent e2e

test-api: ## Ask a recorder whatever the description of its API allows, at random; nothing may be a fault
	@tools/install-deps.sh build run test
	$(TESTED)
	tools/test-api.sh

test-v4l2: ## Record from a real V4L2 device in a virtual machine
	@tools/install-deps.sh build run test v4l2
	@if [ -x tests/v4l2/run ]; then tests/v4l2/run; else echo "tests/v4l2/run is not there yet" >&2; exit 1; fi

deb: ## Build a Debian package of the command and its service
	@tools/install-deps.sh build deb
	$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory deb-files

# Of a program that is built already.
deb-files:
	rm -rf target/package
	target/release/nvr package-files target/package
	$(CARGO) deb --quiet --strip -p nvr-cli --no-build
	@ls target/debian/nvr_*.deb

test-deb: ## Check the unit, install the package in a Debian of its own, run and upgrade it
	@tools/install-deps.sh test-deb
	tests/deploy/unit
	tests/deploy/deb

container: ## Build an image of the recorder with buildah; BASE is what it stands on
	@tools/install-deps.sh build container
	$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory container-files
	buildah build --format docker --build-arg BASE=$(BASE) --file deploy/container/Containerfile --tag nvr $(CONTAINER)

# Of a program that is built already.
container-files:
	mkdir -p $(CONTAINER)
	install -s -m 755 $(NVR_BUILT) $(CONTAINER)/nvr
	install -m 640 deploy/container/nvr.toml $(CONTAINER)/nvr.toml

test-container: ## Build the image upon a Debian made here, and run it as it is meant to be run
	@tools/install-deps.sh build test-container
	$(MAKE) --no-print-directory build
	@$(MAKE) --no-print-directory container-files
	tests/deploy/container

test-kubernetes: ui ## Check the manifests for Kubernetes by its schemas
	@tools/install-deps.sh build test-kubernetes
	$(TESTED)
	NVR=$(abspath target/debug/nvr) $$HOME/.local/share/nvr-test-tools-kubernetes/bin/python tests/deploy/kubernetes

test-prometheus: ui ## Load rules and dashboard queries in a real Prometheus beside a recorder
	@tools/install-deps.sh build run test-prometheus
	$(TESTED)
	NVR=$(abspath target/debug/nvr) tests/deploy/prometheus

bench: ## Measure, beside ffmpeg on the same input; prints one table
	@tools/install-deps.sh build run test bench
	$(CARGO) run --quiet --release -p nvr-benches -- $(BENCH_ARGS)

endurance: ui ## Half an hour of everything at once on a small disk, judged; takes root
	@tools/install-deps.sh build run test
	$(CARGO) build --quiet --release $(WHOLE) --bin nvr --bin endurance
	target/release/endurance --minutes $(MINUTES)

fuzz: ## Feed the parsers at random, FUZZ_SECONDS each
	@tools/install-deps.sh build
	tools/fuzz.sh $(FUZZ_SECONDS)

lint: ## Format, clippy, documentation, licences, rules of the rooms
	@tools/install-deps.sh build test lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --all-features --no-deps
	$(CARGO) deny --log-level warn check licenses bans sources
	tools/check-rooms.sh

fmt: ## Format everything
	$(CARGO) fmt --all

docs: ## Write docs/config.md and docs/config.schema.json anew
	NVR_UPDATE_DOCS=1 $(CARGO) test --quiet -p nvr-core --lib config::schema

deps: ## Install everything that any target needs
	@tools/install-deps.sh build run test lint

clean: ## Remove what was built
	$(CARGO) clean
	cd $(UI) && rm -rf node_modules && find dist -mindepth 1 -not -name .gitignore -delete
