# What is missing is installed first, by name and only when missing: see scripts/setup.

.PHONY: demo demo-host peers test soak scrapes changes attached lint loom replay queries instructions instructions-record

# Real TCP and UDP of three containers through AF_XDP; without root a replay of the bundled capture.
# FLOWS=DIR keeps what flows did there.
demo:
	@scripts/demo $(if $(FLOWS),--flows $(FLOWS))

# Containers on one host's address, each behind an interface of its own, and what bad neighbours change for the others (root).
demo-host:
	@scripts/demo --host $(if $(FLOWS),--flows $(FLOWS))

# Beside DPDK and the kernel, in one run of some minutes: prints ratios, and writes them to benches/results.
peers:
	@benches/peers/run

# All tests. As root the privileged ones run; otherwise they are reported as ignored.
test:
	@scripts/setup test
	cargo test --workspace
	$(MAKE) loom
	$(MAKE) replay
	$(MAKE) queries

# As many packets as a day has, ordinary and hostile, over veth (root) and memory devices: prints the books, fails if they do not
# balance. Half an hour. `make test` has a moment of the same.
soak:
	@scripts/setup test
	PORTLANE_SOAK=long cargo test --profile soak -p portlane --test line --test netns -- a_soak --nocapture

# What ten scrapes a second of 1,000 containers take of the packets, over veth (root): two minutes, and a build.
scrapes:
	@scripts/setup test
	PORTLANE_SCRAPES=long cargo test --profile soak -p portlane --test netns -- scrapes --nocapture

# How long it takes to add, change and remove 1,000 containers under load (root): seconds, and a build.
changes:
	@scripts/setup test
	PORTLANE_CHANGES=long cargo test --profile soak -p portlane --test netns -- a_thousand_containers --nocapture

# What 1,000 attached containers cost the packets of ten of them, over veth (root): three minutes, and a build.
attached:
	@scripts/setup test
	PORTLANE_ATTACHED=long cargo test --profile soak -p portlane --test netns -- many_attached --nocapture

# Every interleaving of the rings that are shared with the kernel.
loom:
	RUSTFLAGS="--cfg loom" cargo test -p portlane-rings --no-default-features --lib --target-dir target/loom ring::model

# The bundled capture, replayed by what was built without a C compiler.
replay:
	CC=/bin/false CXX=/bin/false cargo build -p portlane --no-default-features --target-dir target/replay
	target/replay/debug/portlane replay tests/data/mixed.pcapng --config examples/replay.toml --write /dev/null >/dev/null

# DuckDB (PyPI) answers the example queries of docs/flows.md, of a store that a short demo makes (root), or else a replay.
queries:
	@scripts/queries

# Instructions a packet of every element, or of those whose name contains NAME: fails where there are more than recorded.
INSTRUCTIONS = cargo run --release -p portlane-instructions --

instructions:
	@scripts/setup test
	$(INSTRUCTIONS) $(NAME)

# Records them anew, where a change is meant or the compiler is another.
instructions-record:
	@scripts/setup test
	$(INSTRUCTIONS) --record

# Formatting, clippy with warnings denied, and documentation.
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p portlane --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
