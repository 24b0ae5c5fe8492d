//! Names the tests that this machine could not make, and why: the last test program of `cargo test`.

use fswake_test_support::skipped;

fn main() {
    let skipped = skipped::take();
    if skipped.is_empty() {
        println!("\nno test was skipped");
        return;
    }
    println!("\nskipped, because something is not installed on this machine:");
    for test in skipped {
        println!("- {test}");
    }
}
