# Recipes for developers; `just --list` shows them.

# Format everything.
fmt:
    cargo fmt --all

# Lints and documentation, as CI runs them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features cluster -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# All tests.
test:
    cargo test --workspace --features cluster

# All benchmarks.
bench:
    cargo bench --workspace
