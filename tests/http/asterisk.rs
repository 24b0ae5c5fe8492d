//! gateway/asterisk on a real Asterisk: registrations, wakes, and calls that go on without fswake.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use fswake_test_support::asterisk::{self, Asterisk, Registrations};
use fswake_test_support::sip::{Phone, Reaction, Script, Transport};
use fswake_test_support::{apns, skipped};
use serde_json::{Value, json};

use crate::harness::*;
use crate::site::Site;

const ANSWERS: Reaction = Reaction::Answer(Duration::from_millis(50));

/// fswake without FreeSWITCH, and an Asterisk that uses it.
struct Office {
    stage: Stage,
    daemon: Daemon,
    site: Site,
    asterisk: Asterisk,
    address: SocketAddr,
}

impl Office {
    /// `None` where there is no Asterisk.
    async fn open(change: impl FnOnce(&mut Stage)) -> Option<Self> {
        if let Err(reason) = asterisk::installed() {
            skipped::note(&reason);
            return None;
        }
        let mut stage = Stage::new().await;
        // It keeps its address when it is started again.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        stage.set("http.addresses", vec![address.to_string()]);
        stage.set("freeswitch.enabled", false);
        change(&mut stage);
        let daemon = stage.start_alone().await;
        let site = Site::of(&daemon).await;
        let asterisk = Asterisk::gateway(address, DOMAIN).await;
        Some(Self {
            stage,
            daemon,
            site,
            asterisk,
            address,
        })
    }

    async fn registrations(&self) -> Registrations {
        self.asterisk.registrations(self.address, DOMAIN).await
    }

    async fn phone(&self, user: &str, script: impl Into<Script>) -> Phone {
        Phone::new(self.asterisk.account(user, DOMAIN), script).await
    }

    /// A phone with a token, and the token.
    async fn iphone(&self, user: &str, transport: Transport) -> (Phone, String) {
        let script = Script {
            on_invite: ANSWERS,
            transport,
            ..Script::default()
        };
        let phone = self.phone(user, script).await;
        let token = hex_token();
        self.stage.secret(&token);
        let (team, app) = (apns::TEAM_ID, apns::BUNDLE_ID);
        phone.contact_params(&format!(";pn-provider=apns;pn-param={team}.{app}.voip;pn-prid={token}"));
        (phone, token)
    }

    /// Waits until a user has so many devices and registrations.
    async fn known(&self, user: &str, devices: usize, bindings: usize) {
        let count = |v: &Value, key: &str| v[key].as_array().unwrap().len();
        let good = |v: &Value| (count(v, "devices"), count(v, "bindings")) == (devices, bindings);
        self.site.until(&format!("/v1/devices?aor={user}@{DOMAIN}"), good).await;
    }

    async fn restart_fswake(&mut self) {
        self.daemon.child.kill().await.unwrap();
        self.daemon = self.stage.start_alone().await;
        self.site = Site::of(&self.daemon).await;
    }
}

/// Asterisk keeps expiries in whole seconds: a REGISTER in the same second does not change them.
async fn next_second() {
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

#[tokio::test]
async fn calls_through_asterisk_wait_for_the_phone_that_its_push_wakes() {
    let Some(office) = Office::open(|_| {}).await else {
        return;
    };
    let registrations = office.registrations().await;
    let (iphone, token) = office.iphone("1001", Transport::Udp).await;
    let caller = office.phone("1002", ANSWERS).await;
    assert_eq!(iphone.register().await, 200);
    office.stage.stored(1).await;
    office.known("1001", 1, 1).await;

    // It sleeps while registered, and wakes up at another address.
    iphone.sleep();
    let call = caller.call("1001");
    let push = office.stage.push().await;
    let payload = push.body.to_string();
    assert!(
        payload.contains("1002") && payload.contains(r#"Ali\"ce, of"#),
        "{payload}"
    );
    iphone.wake_elsewhere().await;
    assert_eq!(iphone.register().await, 200);
    assert_eq!(call.outcome().await, 200, "{}", iphone.story());
    assert_eq!(iphone.invites(), 1, "{}", iphone.story());
    call.hang_up().await;
    let wakes = office
        .site
        .until("/v1/wakes", |v| v["wakes"][0]["result"] == "woken")
        .await;
    assert_eq!(wakes["wakes"][0]["caller"], json!("1002"));

    // It wakes up with the same Contact, for which Asterisk has no event.
    iphone.sleep();
    next_second().await;
    let call = caller.call("1001");
    office.stage.push().await;
    iphone.wake_in_place();
    assert_eq!(iphone.register().await, 200);
    assert_eq!(call.outcome().await, 200, "{}", iphone.story());
    call.hang_up().await;

    // No device is known: the call does not wait.
    assert_eq!(caller.call("1003").outcome().await, 480);

    assert_eq!(iphone.unregister().await, 200);
    office.stage.stored(0).await;
    let log = registrations.log();
    assert!(!log.contains(&token), "{log}");
}

#[tokio::test]
async fn caller_who_hangs_up_in_asterisk_gives_the_wake_up() {
    let Some(office) = Office::open(|_| {}).await else {
        return;
    };
    let _registrations = office.registrations().await;
    let (iphone, _) = office.iphone("1001", Transport::Udp).await;
    let caller = office.phone("1002", ANSWERS).await;
    assert_eq!(iphone.register().await, 200);
    office.stage.stored(1).await;
    iphone.sleep();
    let call = caller.call("1001");
    office.stage.push().await;
    call.cancel().await;
    assert_eq!(call.outcome().await, 487);
    office.daemon.log.wait(&["wake over", "outcome=\"abandoned\""]).await;
    office.stage.journal("asker-gone", 1).await;
}

#[tokio::test]
async fn calls_go_on_without_fswake_and_missed_registrations_are_reported_later() {
    let Some(mut office) = Office::open(|stage| stage.set("wake.fresh-for", "30s")).await else {
        return;
    };
    // One phone registers while registrations.py is not running, the other while fswake is not.
    let (iphone, _) = office.iphone("1001", Transport::Udp).await;
    let (other, _) = office.iphone("1003", Transport::Udp).await;
    let caller = office.phone("1002", ANSWERS).await;
    assert_eq!(iphone.register().await, 200);
    let registrations = office.registrations().await;
    office.known("1001", 1, 1).await;
    office.daemon.child.kill().await.unwrap();
    assert_eq!(other.register().await, 200);
    registrations.wait("trying again").await;

    // The call goes where the phone is registered.
    let call = caller.call("1003");
    assert_eq!(call.outcome().await, 200, "{}", other.story());
    call.hang_up().await;

    office.restart_fswake().await;
    office.known("1003", 1, 1).await;
    registrations.wait("answers again").await;

    // A phone that is known from a list only is pushed.
    office.restart_fswake().await;
    drop(registrations);
    let _registrations = office.registrations().await;
    office.known("1001", 1, 1).await;
    iphone.sleep();
    let call = caller.call("1001");
    office.stage.push().await;
    iphone.wake_elsewhere().await;
    assert_eq!(iphone.register().await, 200);
    assert_eq!(call.outcome().await, 200, "{}", iphone.story());
    call.hang_up().await;
}

#[tokio::test]
async fn token_outlives_its_phones_connection_to_asterisk_and_asterisk_itself() {
    let Some(mut office) = Office::open(|_| {}).await else {
        return;
    };
    let registrations = office.registrations().await;
    let (iphone, _) = office.iphone("1001", Transport::Tcp).await;
    let caller = office.phone("1002", ANSWERS).await;
    assert_eq!(iphone.register().await, 200);
    office.known("1001", 1, 1).await;
    iphone.sleep();
    office.known("1001", 1, 0).await;

    let call = caller.call("1001");
    office.stage.push().await;
    iphone.wake_elsewhere().await;
    assert_eq!(iphone.register().await, 200);
    assert_eq!(call.outcome().await, 200, "{}", iphone.story());
    call.hang_up().await;

    office.asterisk.restart().await;
    registrations.wait("Asterisk: answers again").await;
    office.known("1001", 1, 0).await;
    iphone.wake_elsewhere().await;
    assert_eq!(iphone.register().await, 200);
    office.known("1001", 1, 1).await;
}
