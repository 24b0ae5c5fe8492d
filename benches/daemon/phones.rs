//! Phones of which FreeSWITCH reports REGISTERs.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::PhoneSpec;
use fswake_test_support::site::push_params;

/// The domain of users with only a number.
pub const DOMAIN: &str = "fs.test";
/// The only address of all phones. Legs to it stay silent unless a test puts a phone there.
pub const PHONES: &str = "127.0.0.9:5060";

/// A phone. The parameters of its Contact are empty or begin with `;`.
pub fn phone(user: &str, domain: &str, params: &str, call_id: &str, agent: &str) -> PhoneSpec {
    let spec = PhoneSpec {
        transport: "tls".to_owned(),
        call_id: call_id.to_owned(),
        agent: agent.to_owned(),
        ..PhoneSpec::new(user, domain)
    };
    spec.at(PHONES).params(&format!("transport=tls{params}"))
}

/// A user's iPhone with its token of this generation.
pub fn iphone(user: usize, generation: usize) -> PhoneSpec {
    let (number, params) = (user.to_string(), push_params(&token(user, generation)));
    let agent = "Example-iOS/5.2 (iPhone; iOS 19.1)";
    phone(&number, DOMAIN, &params, &format!("register-{number}"), agent)
}

/// A user's device token. It is never all zeros, which is the token of probes.
pub fn token(user: usize, generation: usize) -> String {
    format!("a{generation:07x}{user:056x}")
}

/// Does something `count` times at this rate a second. It catches up if it is late.
pub async fn pace(count: usize, per_second: usize, mut act: impl FnMut(usize)) {
    let started = Instant::now();
    let mut done = 0;
    while done < count {
        let due = started.elapsed().as_micros() * per_second as u128 / 1_000_000 + 1;
        let due = usize::try_from(due).unwrap_or(usize::MAX).min(count);
        (done..due).for_each(&mut act);
        done = due;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
