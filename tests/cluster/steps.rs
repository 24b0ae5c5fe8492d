//! Set-ups and steps that many tests share.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::daemon::Daemon;
use fswake_test_support::kamailio::{Finds, Kamailio};
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Account, OutgoingCall, Phone, Reaction, Script, Transport, What};
use fswake_test_support::site::{Joined, Settings, Site, Wakes};
use uuid::Uuid;

use crate::Pair;

/// What a CANCEL says to a phone when another phone of its user has answered.
pub const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// A phone that rings for so many milliseconds, then answers.
pub const fn answers(ms: u64) -> Reaction {
    Reaction::Answer(Duration::from_millis(ms))
}

/// What a phone does that answers soon, over this transport.
pub fn over(transport: Transport) -> Script {
    Script {
        transport,
        ..Script::from(answers(50))
    }
}

/// An edge proxy before both, and the settings of the fswakes behind it.
pub async fn edge_before(pair: &Pair) -> (Kamailio, Settings) {
    let edge = Kamailio::start_before([pair.a.ports.sip, pair.b.ports.sip], Finds::Path).await;
    let settings = Settings {
        node: format!("edges = [\"{}\"]", edge.address.ip()),
        ..Settings::default()
    };
    (edge, settings)
}

/// Registers with a Call-ID by which the edge proxy chooses the FreeSWITCH: 0 or 1.
pub async fn register_at(phone: &Phone, which: usize) {
    assert_eq!(phone.register_as(&format!("{}x{which}", Uuid::new_v4())).await, 200);
}

/// A phone of this user that registers at this FreeSWITCH, and sleeps until it is pushed.
pub async fn sleeper(site: &Site, fs: &RealFs, user: &str, script: impl Into<Script>) -> Phone {
    site.sleeper_of(fs.account(user, DOMAIN), Wakes::Elsewhere, script)
        .await
}

/// Nothing may ring on, wait or be left for longer.
pub const ORPHANED: Duration = Duration::from_secs(5);

/// The stages of a wake at which something dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No push was sent.
    Asleep,
    /// The phone was pushed, and has not registered.
    Pushed,
    /// It rings.
    Ringing,
    /// It has answered.
    Connected,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Asleep, Self::Pushed, Self::Ringing, Self::Connected];
    /// Those after the push.
    pub const AFTER_THE_PUSH: [Self; 3] = [Self::Pushed, Self::Ringing, Self::Connected];
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asleep => "before the push",
            Self::Pushed => "before the REGISTER",
            Self::Ringing => "while it rings",
            Self::Connected => "connected",
        })
    }
}

/// A phone with an account anywhere, and its token. It has registered and sleeps.
pub async fn sleeper_of(site: &Site, account: Account, wakes: Wakes, script: impl Into<Script>) -> (Phone, String) {
    let phone = Phone::new(account, script).await;
    let token = site.give_token(&phone, wakes);
    assert_eq!(phone.register().await, 200);
    site.heard_of(&phone.account().user).await;
    phone.sleep();
    (phone, token)
}

/// A phone that has registered at this FreeSWITCH, and is awake. No push wakes it.
pub async fn awake(site: &Site, fs: &RealFs, script: impl Into<Script>) -> Phone {
    let phone = Phone::new(fs.account(&site.fs.new_user(), DOMAIN), script).await;
    site.give_token(&phone, Wakes::Never);
    assert_eq!(phone.register().await, 200);
    site.heard(&phone).await;
    phone
}

/// The app of this phone with another account: that of another FreeSWITCH, or another user's. It keeps its Contact.
pub async fn moved(phone: &Phone, account: Account, script: impl Into<Script>) -> Phone {
    let moved = Phone::new(account, script).await;
    moved.contact_text(&phone.own_contact());
    moved
}

/// The token in a phone's Contact.
pub fn token_of(phone: &Phone) -> String {
    let contact = phone.own_contact();
    contact.split("pn-prid=").nth(1).expect("a token").replace('>', "")
}

/// How many pushes these tokens got. fswake asks the provider with others whether it takes its credentials.
pub fn pushes_to<'a>(site: &Site, tokens: impl IntoIterator<Item = &'a String>) -> usize {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let pushes = site.pushes();
    pushes.iter().filter(|push| tokens.contains(&&push.push.token)).count()
}

/// Waits until an fswake has a user's device from another.
pub async fn learns_of(daemon: &Daemon, user: &str) {
    let user = format!("aor={user}@");
    daemon.log.wait(&["event=DeviceChangedElsewhere", &user]).await;
}

/// Kills fswake, has both FreeSWITCHes forget all registrations, and starts an fswake for each, whose files are empty.
pub async fn start_anew(site: &mut Site, pair: &Pair, settings: &[Settings; 2]) -> [Joined; 2] {
    site.kill_daemon().await;
    for fs in [&pair.a, &pair.b] {
        fs.forget_registrations().await;
    }
    let [first, second] = settings;
    [site.join(first).await, site.join(second).await]
}

/// Waits until an fswake has connected so many times to the FreeSWITCH of this name: once for its own start, and once
/// more for each time that FreeSWITCH has started again.
pub async fn is_back(daemon: &Daemon, name: &str, times: usize) {
    let name = format!("name=\"{name}\"");
    daemon.log.wait_times(times, &["connected to FreeSWITCH", &name]).await;
}

/// Calls a user by the dialplan, at this FreeSWITCH.
pub async fn call(site: &Site, fs: &Arc<RealFs>, user: &str) -> OutgoingCall {
    caller(site, fs).await.call(&format!("7{user}"))
}

/// A phone that calls at this FreeSWITCH.
pub async fn caller(site: &Site, fs: &RealFs) -> Phone {
    Phone::new(fs.account(&site.fs.new_user(), DOMAIN), Script::default()).await
}

/// A phone that sleeps at B, and a call to it at A, that it answers.
pub async fn connected(site: &Site, pair: &Pair, script: impl Into<Script>) -> (OutgoingCall, Phone) {
    let user = site.fs.new_user();
    let phone = sleeper(site, &pair.b, &user, script).await;
    let call = call(site, &pair.a, &user).await;
    is_connected(&call, &phone).await;
    (call, phone)
}

/// The phone answers, and both hear each other.
pub async fn is_connected(call: &OutgoingCall, phone: &Phone) {
    is_connected_when(call, phone, "the call").await;
}

/// The same in a test of several calls, of which a message names this one.
pub async fn is_connected_when(call: &OutgoingCall, phone: &Phone, when: impl Display) {
    assert_eq!(call.outcome().await, 200, "{when}: {}", phone.story());
    phone.on_the_line().await;
}

/// The call goes on at both ends.
pub fn still_up(call: &OutgoingCall, phone: &Phone, stage: Stage) {
    assert!(
        !call.is_ended() && phone.legs()[0].is_up(),
        "{stage}: {}",
        phone.story()
    );
}

/// Waits until so many calls of a phone were confirmed with an ACK.
pub async fn is_confirmed(phone: &Phone, times: usize, within: Duration) {
    let began = Instant::now();
    while phone.count(|what| matches!(what, What::Confirmed)) < times {
        assert!(began.elapsed() < within, "{}", phone.story());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It happened soon enough after something died or was back. Says how soon.
pub fn in_time(what: &str, since: Instant, at: Instant, limit: Duration) {
    let took = at.saturating_duration_since(since);
    eprintln!("{what} after {took:?}");
    assert!(took < limit, "{what} after {took:?}");
}

/// The caller hangs up, and the phone gets its BYE.
pub async fn hang_up(call: &OutgoingCall, phone: &Phone) {
    call.hang_up().await;
    phone.ended().await;
}
