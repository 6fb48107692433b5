# The short list of what there is to do here. `just` alone prints it.
set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list

# All that CI checks, but for the long sweep; writes nothing
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test
    cargo sim sweep --seeds 0..1000
    cargo sim meta --seeds 0..3

# Formats, and accepts what clippy suggests
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty
    cargo fmt --all

# One seed, with its timeline
sim SEED *OPTIONS:
    cargo sim run --seed {{SEED}} {{OPTIONS}}

# Seeds for as many seconds as given, on both cores
sweep SECONDS="60" *OPTIONS:
    cargo sim sweep --for {{SECONDS}} {{OPTIONS}}

# Accepts new snapshots and golden hashes: read the difference before you commit it
bless:
    INSTA_UPDATE=always cargo test
    cargo sim golden --bless

# Coverage-guided fuzzing of one target, for a minute (needs a nightly toolchain and cargo-fuzz)
fuzz TARGET SECONDS="60":
    mkdir -p target/fuzz/{{TARGET}}
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz/build {{TARGET}} \
        target/fuzz/{{TARGET}} tests/fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}}

# Unmodified clients (all, or those named) against one broker, then Kafka's tools over its files
clients *SUITES:
    tests/clients/run {{SUITES}}

# Three real nodes in network namespaces, under load: killed, paused, cut off; then restarted, added to and drained
chaos *OPTIONS:
    tests/chaos/run {{OPTIONS}}

# Ottla and Apache Kafka side by side, one broker and three; takes more than an hour
bench *OPTIONS:
    benches/side_by_side/run {{OPTIONS}}

# Licences, sources and duplicate versions of what we depend on
deny:
    cargo deny check bans licenses sources
