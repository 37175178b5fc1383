# Every word the README uses: setup, build, release, fmt, lint, unit, vm-test, verify-…, demo, test, test-long, clean.

# A kernel of the virtual-machine tests: 5.10, 6.1, 6.12, latest or all.
KERNEL ?= 6.1
# A suite of theirs (tests/src/suites.rs lists them), or all.
SUITE ?= all
# How many guests run at a time.
JOBS ?= $(shell n=$$(nproc); echo $$((n > 4 ? 4 : n)))
CARGO ?= cargo
# Passed to every cargo command that builds; .ci/run says --locked.
CARGO_FLAGS ?=

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/debug
C_FILES = $(shell find . -path ./target -prune -o -name '*.[ch]' -print)

.PHONY: help setup build release fmt fmt-check lint unit failpoints next verify-otlp verify-prometheus vm-build vm-test gate vm-all demo \
	test test-long \
	install uninstall clean
.NOTPARALLEL:

help:
	@echo 'make setup       install what the build and the tests need (apt; a Rust toolchain is yours to install)'
	@echo 'make build       build everything'
	@echo 'make release     build the programs, optimised'
	@echo 'make fmt         format Rust and C; fmt-check only looks'
	@echo 'make lint        clippy, warnings are errors'
	@echo 'make unit        unit tests and doctests; no privileges needed'
	@echo 'make verify-otlp        export to a real OpenTelemetry collector, fetched into the cache'
	@echo 'make verify-prometheus  a real Prometheus scrapes the daemon; rules and metrics checked with promtool'
	@echo 'make vm-test     suites in virtual machines: KERNEL=5.10|6.1|6.12|latest|all SUITE=name|all'
	@echo 'make verify-runtime      object, hooks and self-tests; prints what must pass and be blocked, then does it'
	@echo 'make verify-integration  the same with two zones of plain processes; both take KERNEL= or HOST=1'
	@echo 'make verify-container-integration  the same with containers of podman, and fifty that come and go; takes KERNEL='
	@echo 'make demo        the demonstration, in a virtual machine; HOST=1: on this kernel'
	@echo 'make test        all of the above that a change must pass'
	@echo 'make test-long   the same with every suite on every kernel, and the long versions of tests (hours)'
	@echo 'make install     the programs (of make release) and the systemd unit: PREFIX=/usr/local DESTDIR='
	@echo 'make uninstall   removes them and ends enforcement; PURGE=1: the journal too'
	@echo 'make clean       remove what was built (fetched kernels and the Debian of guests stay in the cache)'

# Quick when nothing is missing, so every target that needs tools begins with it.
setup:
	@scripts/install-deps.sh

build: setup
	$(CARGO) build --workspace --all-targets $(CARGO_FLAGS)

release: setup
	$(CARGO) build --workspace --bins --release $(CARGO_FLAGS)
	ln -sf syva-cli $(TARGET)/release/syvactl

fmt: setup
	$(CARGO) fmt --all
	$(if $(C_FILES),clang-format -i $(C_FILES))

fmt-check: setup
	$(CARGO) fmt --all --check
	$(if $(C_FILES),clang-format --dry-run -Werror $(C_FILES))

lint: setup
	$(CARGO) clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	$(CARGO) clippy --workspace --features syva-core/failpoints --bin syva-core-failpoints $(CARGO_FLAGS) -- -D warnings

# The programs first: the tests on the host run them, and cargo does not build them for another package's
# tests. nextest does not run doctests.
unit: vm-build
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace $(CARGO_FLAGS); \
	else \
		$(CARGO) test --workspace --lib --bins --tests $(CARGO_FLAGS); \
	fi
	$(CARGO) test --workspace --doc $(CARGO_FLAGS)
	$(CARGO) test --workspace --features syva-core/failpoints --test crash $(CARGO_FLAGS)

# Real takers of what the daemon tells; both are fetched once, into the cache.
verify-otlp: setup
	SYVA_ROTEL="$$(scripts/fetch-rotel.sh)" && export SYVA_ROTEL && \
		$(CARGO) test --workspace --test telemetry $(CARGO_FLAGS) -- --ignored rotel

verify-prometheus: setup
	$(CARGO) build --workspace --bins $(CARGO_FLAGS)
	scripts/verify-prometheus.sh $(BIN)/syva-core

# The daemon of the crash tests. Beside the shipped one, from the same dependencies: --workspace unifies
# features as vm-build does, --bin leaves everything else alone.
failpoints: setup
	$(CARGO) build --workspace --features syva-core/failpoints --bin syva-core-failpoints $(CARGO_FLAGS)

# The daemon of the upgrade tests: the same with another BPF object.
next: setup
	$(CARGO) build --workspace --features syva-core/next --bin syva-core-next $(CARGO_FLAGS)

# What tests run and guests are packed with. The whole workspace: with -p, features are unified otherwise
# and dependencies built again.
vm-build: setup failpoints next
	$(CARGO) build --workspace --bins $(CARGO_FLAGS)

vm-test: vm-build
	$(BIN)/vmtest run --jobs $(JOBS) $(KERNEL:%=--kernel %) $(SUITE:%=--suite %)

# First that the harness can fail; then each suite on the kernels its entry names for this.
gate: vm-build
	$(BIN)/vmtest self-test --kernel 6.1
	$(BIN)/vmtest gate --jobs $(JOBS)

# Every suite on every kernel it is meant for, those included that no gate names.
vm-all: vm-build
	$(BIN)/vmtest self-test --kernel 6.1
	$(BIN)/vmtest run --jobs $(JOBS) --kernel all --suite all

# Each prints what must pass and what must be blocked, and then does it: for the loaded object, for
# plain processes, for podman's containers (in a Debian guest only).
VERIFY = runtime integration
.PHONY: $(VERIFY:%=verify-%)
$(VERIFY:%=verify-%): verify-%: vm-build
ifdef HOST
	$(BIN)/syva-guest verify $*
else
	$(BIN)/vmtest run $(KERNEL:%=--kernel %) --suite $*
endif

.PHONY: verify-container-integration
verify-container-integration: vm-build
	$(BIN)/vmtest run $(KERNEL:%=--kernel %) --suite podman --suite podman-crowd

demo: vm-build
ifdef HOST
	$(BIN)/syva-guest demo
else
	$(BIN)/vmtest demo --kernel 6.1
endif

test:
	@MAKE='$(MAKE)' scripts/phases.sh $(TARGET)/vm setup fmt-check lint unit verify-otlp verify-prometheus gate demo

# What a test that has a long version asks to know how long, a line each. Suites that have one are entries
# of their own in tests/src/suites.rs, with an empty gate.
test-long: export SYVA_CRASH_CYCLES ?= 200
test-long: export SYVA_SIM_SEEDS ?= 3500
test-long:
	@MAKE='$(MAKE)' scripts/phases.sh $(TARGET)/vm setup fmt-check lint unit verify-otlp verify-prometheus vm-all demo

# Neither builds: root, who installs, need not have a toolchain.
install:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh $(TARGET)/release

uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' PURGE='$(PURGE)' scripts/uninstall.sh

clean:
	$(CARGO) clean
