# All commands for developers; `just` lists them. Without just, type the lines of a recipe.

_:
    @just --list --unsorted

# Runs all tests, or some: `just test --test daemon wake`. At the end it names the skipped ones
test *args:
    cargo test --locked {{ args }}

# Tests the engine and the Contact parser only, in seconds
test-core *args:
    cargo test --locked --package fswake-core {{ args }}

# Runs the tests against a real FreeSWITCH (FS_PREFIX, default /usr/local/freeswitch)
live *args:
    cargo test --locked --test live -- {{ args }}

# Compares calls through fswake with FreeSWITCH's own bridge, and prints the table
fidelity:
    cargo test --locked --test live -- fidelity

# Shows one wake, from the REGISTER to the answer
demo:
    cargo run --locked --release --example demo

# Measures what docs/PERFORMANCE.md claims: contact, engine, push, daemon, live_wake, live_answer
bench name *args:
    cargo bench --locked --bench {{ name }} -- {{ args }}

# Checks formatting, lints and documentation
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

# Checks licences, duplicate versions and sources of dependencies (deny.toml)
deny:
    packaging/tools cargo-deny
    cargo deny --locked check -D unmatched-skip licenses bans sources

# Looks for known vulnerabilities of dependencies; downloads RustSec's database from its repository
advisories:
    packaging/tools cargo-deny
    cargo deny --locked check advisories

# Finds dependencies that nothing uses
unused:
    packaging/tools cargo-machete
    cargo machete --with-metadata

# Fuzzes each parser for a minute with changed inputs (tests/fuzz); an argument selects one
fuzz *args:
    FUZZ_SECONDS=60 FUZZ_INPUTS=200000 cargo test --locked --test fuzz -- --test-threads 3 {{ args }}

# Runs one parser under libFuzzer until you stop it. RUSTC_BOOTSTRAP, because its compiler flags are unstable
fuzz-deep target *args:
    packaging/tools cargo-fuzz
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{ target }} -- {{ args }}

# Compiles with the oldest versions of dependencies that Cargo.toml allows
minimal-versions:
    .ci/minimal-versions

# Compiles with the oldest Rust that Cargo.toml promises; rustup installs it
oldest-rust:
    .ci/oldest-rust

# Makes the packages in target/packages
package:
    packaging/build

# Installs, upgrades and removes the packages, as root, on a throwaway machine
try-packages:
    packaging/try

# Makes all files of a release
release:
    packaging/release

# Runs everything that a change must pass; installs what it needs
ci:
    .ci/run
