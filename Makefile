# Hearth from a fresh clone: `make run` and `make test`. Each installs what is missing, builds, and does
# its job; CMakeLists.txt is the real build. `make help` lists the rest.
BUILD ?= build
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 30
OPENING ?= Now is the winter of our discontent
CMAKE_ARGS ?=
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hearth

PACKAGES := packaging/debian-packages.txt

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help packages packages-dev packages-cross build run test conformance agents cross-arm asan tsan fuzz bench \
	peers install format format-check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: build ## chat with the model that comes with Hearth (without a terminal: complete a fixed line)
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BUILD)/hearth run; \
	else exec $(BUILD)/hearth run --raw --echo --verbose -n 128 --seed 1616 "$(OPENING)" </dev/null; fi

test: build packages-cross ## every test that needs no network
	@tests/run.sh $(BUILD) -LE conformance

build: packages ## build/hearth
	@packaging/build.sh $(BUILD) $(CMAKE_ARGS)

conformance: build ## tests with a model and client programs that are fetched into $XDG_CACHE_HOME/hearth
	@HEARTH_SMOLLM2=$$(packaging/fetch-test-model.sh) || echo "tests that need it are skipped" >&2; \
	HEARTH_CLIENTS=$$(packaging/fetch-clients.sh) || echo "tests that need them are skipped" >&2; \
	export HEARTH_SMOLLM2 HEARTH_CLIENTS; tests/run.sh $(BUILD) -L conformance

agents: build ## programs that write programs, fetched (a gigabyte on disk), against the server: a turn with a tool
	@HEARTH_CLIENTS=$$(packaging/fetch-clients.sh agents) && \
	HEARTH_AGENTS=$$HEARTH_CLIENTS/agents HEARTH_CLIENTS=$$HEARTH_CLIENTS \
	tests/run.sh $(BUILD) -R '^conformance\.agents$$'

cross-arm: build packages-cross ## the kernels of 64-bit ARM, cross-built and run under qemu-user
	@tests/run.sh $(BUILD) -R '^kern\.arm$$'

asan: packages ## unit tests and fuzz corpora under the address and undefined-behaviour sanitizers
	@packaging/build.sh $(BUILD)/asan -DHEARTH_SANITIZE=address,undefined
	@tests/run.sh $(BUILD)/asan -L 'unit|fuzz-replay'

tsan: packages ## the tests of the rooms that start threads, under the thread sanitizer
	@packaging/build.sh $(BUILD)/tsan -DHEARTH_SANITIZE=thread
	@tests/run.sh $(BUILD)/tsan -L threads

fuzz: packages-dev ## fuzz each parser for FUZZ_SECONDS (30), starting from the committed corpus
	@packaging/build.sh $(BUILD)/fuzz -DCMAKE_C_COMPILER=clang -DHEARTH_FUZZ=ON \
		-DHEARTH_SANITIZE=address,undefined
	@tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS)

bench: build ## tokens per second here, and kernels as shares of this machine's own limits
	@ninja -C $(BUILD) --quiet benches >&2
	@bench/run.sh $(BUILD)

peers: build ## compare with another program on the same file (installed into a cache folder)
	@command -v npm >/dev/null || packaging/bootstrap.sh $(BUILD) packaging/debian-packages-peers.txt
	@tests/peers/run.sh $(abspath $(BUILD))/hearth "$(CACHE)"

install: build ## program, library, man page and completions under PREFIX (/usr/local)
	@cmake --install $(BUILD) --prefix "$(PREFIX)"

format: packages-dev ## clang-format over every C file
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

format-check: packages-dev ## which C files clang-format would change
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format --dry-run -Werror

clean: ## remove the build folder
	@rm -rf $(BUILD)

packages:
	@packaging/bootstrap.sh $(BUILD) $(PACKAGES)

packages-cross: packages
	@[ "$$(uname -m)" != x86_64 ] || \
	packaging/bootstrap.sh $(BUILD) packaging/debian-packages-cross.txt || \
	echo "so the kernels of ARM are not tested" >&2

packages-dev: packages
	@packaging/bootstrap.sh $(BUILD) packaging/debian-packages-dev.txt
