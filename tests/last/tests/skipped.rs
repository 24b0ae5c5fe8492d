//! The last test program of `cargo test`: names the tests that could not run on this machine, and why.

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
