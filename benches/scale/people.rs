//! Made-up users of many tenants, each with one phone.

use std::sync::Arc;

use fswake::types::{Aor, Device, Provider, PushParams, PushToken, Tokens};
use fswake_test_support::apns::{BUNDLE_ID, TEAM_ID};
use fswake_test_support::freeswitch::{Event, FakeFreeSwitch};
use fswake_test_support::site::push_params;

use crate::phones::phone;

/// Users of a tenant.
const OF_A_TENANT: usize = 200;

/// Each user's number.
pub fn user(n: usize) -> String {
    format!("{}", 10_000 + n % OF_A_TENANT)
}

/// Each user's domain.
pub fn domain(n: usize) -> String {
    format!("tenant-{}.pbx.example.org", n / OF_A_TENANT)
}

/// Words that look random, and are the same in each run.
fn word(n: usize, part: u64) -> u64 {
    // splitmix64.
    let mut z = (n as u64).wrapping_add(part << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A token of Apple's: 64 hexadecimal digits.
pub fn apple_token(n: usize) -> String {
    [0, 1, 2, 3].map(|part| format!("{:016x}", word(n, part))).concat()
}

/// A token of Google's: 22 characters, a colon, and 140 characters.
fn google_token(n: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letters = (0..15).flat_map(|part| {
        let word = word(n, part);
        (0..10).map(move |at| char::from(LETTERS[usize::try_from(word >> (6 * at) & 63).unwrap_or(0)]))
    });
    let letters: String = letters.collect();
    format!("{}:APA91b{}", &letters[..22], &letters[22..])
}

/// The nth user's phone registers as its stored device does.
pub fn register(fs: &FakeFreeSwitch, n: usize) -> Arc<Event> {
    let device = device(n);
    let token = device.push.token().expose();
    let params = match &device.push.provider {
        Provider::Apns => push_params(token),
        _ => format!(";pn-provider=fcm;pn-param={};pn-prid={token}", device.push.app),
    };
    let (aor, call_id, agent) = (&device.aor, &device.register_call_id, &device.user_agent);
    fs.announce(&phone(&aor.user, &aor.domain, &params, call_id, agent))
}

/// The device of the nth user: an iPhone, or every other one an Android phone.
pub fn device(n: usize) -> Device {
    let is_apples = n.is_multiple_of(2);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.map_or(0, |now| now.as_secs())).unwrap_or(0);
    let seen = now - i64::try_from(word(n, 20) % 86_400).unwrap_or(0);
    let (provider, app, team, token, agent): (_, &str, _, _, Arc<str>) = if is_apples {
        let agent = format!("Example-iOS/5.{} (iPhone; iOS 19.{})", n % 7, n % 5);
        (
            Provider::Apns,
            BUNDLE_ID,
            Some(TEAM_ID.into()),
            apple_token(n),
            agent.into(),
        )
    } else {
        let agent = format!("Example-Android/5.{} (Android {})", n % 7, 12 + n % 5);
        (Provider::Fcm, "example-phone", None, google_token(n), agent.into())
    };
    Device {
        aor: Aor::new(user(n), domain(n)),
        push: PushParams {
            provider,
            app: app.into(),
            team,
            tokens: Tokens::Call(PushToken::new(token)),
        },
        user_agent: agent,
        register_call_id: uuid::Uuid::from_u64_pair(word(n, 21), word(n, 22)).to_string().into(),
        first_seen: seen - 90 * 86_400,
        last_seen: seen,
        set_aside: None,
        changed: seen * 1_000_000,
    }
}
