//! The engine's rules and races, one test for each, in virtual time.

#[path = "../common/mod.rs"]
mod common;

mod alert;
mod alias;
mod counts;
mod dialog;
mod early;
mod ends;
mod journal;
mod news;
mod next;
mod options;
mod races;
mod redial;
mod registers;
mod reload;
mod request;
mod ringing_on;
mod set_aside;
mod sharing;
mod silence;
mod taken;
mod wake;
mod wake_only;
mod who_rings;

use common::Bench;
use fswake_core::engine::policy::Policy;

fn bench() -> Bench {
    Bench::new(Policy::default())
}

fn with(change: impl FnOnce(&mut Policy)) -> Bench {
    let mut policy = Policy::default();
    change(&mut policy);
    Bench::new(policy)
}

/// Holds call 1 for 1001. Its only device, `tok`, sleeps and has been pushed.
fn held(b: &mut Bench) -> fswake_core::types::push::PushRequest {
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.expect_nothing_more();
    push
}

/// Holds call 1 for 1001, whose desk phone at `a` is being rung.
fn one_rung() -> Bench {
    let mut b = bench();
    b.register(common::reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b
}

/// The same with a second desk phone at `b`: legs 0 and 1.
fn two_rung() -> Bench {
    let mut b = bench();
    b.register(common::reg("1001", "a", "1001@a:1", None));
    b.register(common::reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b
}
