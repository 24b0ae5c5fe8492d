# Every command that people need here: `just` lists them. Without just, type their lines as they are.

_:
    @just --list --unsorted

# All tests; at its end it names those that it skipped. `just test --test daemon wake` runs some
test *args:
    cargo test --locked {{ args }}

# The engine and the Contact parser alone: seconds
test-core *args:
    cargo test --locked --package fswake-core {{ args }}

# Tests against a real FreeSWITCH (FS_PREFIX, default /usr/local/freeswitch)
live *args:
    cargo test --locked --test live -- {{ args }}

# Compares calls through fswake with FreeSWITCH's own bridge, and prints the table
fidelity:
    cargo test --locked --test live -- fidelity

# One wake, from the REGISTER to the answer
demo:
    cargo run --locked --release --example demo

# Measures what docs/PERFORMANCE.md claims: contact, engine, push, daemon, live_wake, live_answer
bench name *args:
    cargo bench --locked --bench {{ name }} -- {{ args }}

# Formatting, lints, documentation
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

# Licences, two versions of one crate, where crates come from (deny.toml)
deny:
    packaging/tools cargo-deny
    cargo deny --locked check -D unmatched-skip licenses bans sources

# Known weaknesses of dependencies; fetches RustSec's database from its repository
advisories:
    packaging/tools cargo-deny
    cargo deny --locked check advisories

# Dependencies that nothing uses
unused:
    packaging/tools cargo-machete
    cargo machete --with-metadata

# A minute of changed inputs for each parser (tests/fuzz); a word chooses one
fuzz *args:
    FUZZ_SECONDS=60 cargo test --locked --test fuzz -- --test-threads 3 {{ args }}

# One parser under libFuzzer, for as long as you let it. Its compiler flags are not stable: hence RUSTC_BOOTSTRAP
fuzz-deep target *args:
    packaging/tools cargo-fuzz
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{ target }} -- {{ args }}

# Compiles with the oldest versions of its dependencies that Cargo.toml allows
minimal-versions:
    .ci/minimal-versions

# Compiles with the oldest Rust that Cargo.toml promises; rustup installs it
oldest-rust:
    .ci/oldest-rust

# Makes the packages in target/packages
package:
    packaging/build

# Installs, upgrades and removes the packages: on a machine that may be spoilt, as root
try-packages:
    packaging/try

# Makes everything that a release has
release:
    packaging/release

# All that a change must pass; installs what it needs
ci:
    .ci/run
