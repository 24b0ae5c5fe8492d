//! Ringing registered phones: FreeSWITCH's events at the end of a registration, and what fswake then asks.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;

const RINGS: Behaviour = Behaviour::Rings(Duration::ZERO, None);

#[tokio::test]
async fn phone_that_reconnected_is_rung_without_a_push_when_its_old_connection_closes() {
    let mut stage = Stage::new().await;
    stage.set("wake.fresh-for", "30s");
    stage.set("wake.push-delay", "5s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.transport = "tcp".to_owned());
    phone.set_behaviour(RINGS);
    daemon.registered(&phone).await;
    let was = phone.spec();
    phone.change(|spec| spec.address = "127.0.0.1:45678".to_owned());
    phone.register();
    phone.old_connection_closes(&was);
    daemon.log.wait(&["event=Listed ", "1001"]).await;
    let _held = stage.fs.call(&Call::to(daemon.address, "1001", DOMAIN));
    let invite = phone.invite(1).await;
    assert!(invite.uri.contains("127.0.0.1:45678"), "{}", invite.uri);
    assert_eq!(daemon.log.count(&["command=Push "]), 0);
    assert_eq!(stage.fs.complaints(), Vec::<String>::new());
}

/// FreeSWITCH holds up all events for half a second, once after its start: when the first call causes a presence event.
#[tokio::test]
async fn first_call_after_freeswitchs_start_is_heard_to_ring_at_once() {
    let slow = Config {
        first_presence: Duration::from_millis(500),
        ..Config::default()
    };
    let mut stage = Stage::with_freeswitch(slow).await;
    stage.set("wake.fresh-for", "30s");
    stage.set("wake.push-delay", "400ms");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(RINGS);
    for restarts in 0..2 {
        if restarts > 0 {
            let from = daemon.log.len();
            stage.fs.restart(true);
            daemon.log.wait_from(from, &["connected to FreeSWITCH"]).await;
        }
        daemon.registered(&phone).await;
        let from = daemon.log.len();
        let held = stage.call(&daemon, "1001");
        let began = std::time::Instant::now();
        daemon.log.wait_from(from, &["event=LegRinging "]).await;
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
        held.caller_hangs_up();
        daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(daemon.log.count(&["command=Push "]), 0);
    }
}

#[tokio::test]
async fn long_list_of_registrations_does_not_delay_a_call() {
    let mut stage = Stage::new().await;
    stage.set("wake.push-retry", "20s");
    stage.set("wake.fresh-for", "30s");
    let daemon = stage.start().await;
    let [phone, other, late] = ["1001", "1002", "1003"].map(|user| stage.iphone(user));
    for phone in [&phone, &other, &late] {
        phone.set_behaviour(RINGS);
        daemon.asleep(phone).await;
    }
    let lost = woken(&stage, &other, &Call::to(daemon.address, "1002", DOMAIN)).await;
    other.invite(1).await;
    daemon.log.wait(&["event=LegRinging "]).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;

    let from = daemon.log.len();
    stage.fs.list_takes(Duration::from_secs(6));
    stage.fs.stop_profile("internal");
    stage.fs.start_profile("internal", Duration::ZERO).await;
    daemon.log.wait_from(from, &["event=ResyncBegan "]).await;
    let began = std::time::Instant::now();
    // A REGISTER, a question, and the end of a leg whose own connection is lost.
    phone.wake();
    phone.invite(1).await;
    phone.disconnect();
    daemon.log.wait(&["event=Listed ", "1001"]).await;
    lost.cut_connection();
    other.cancelled().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(
        daemon.log.count(&["event=ResyncEnded "]),
        1,
        "the list has arrived too early"
    );
    held.caller_hangs_up();
    // It is known from its event, although the list was made before it registered.
    late.wake();
    daemon.log.wait_from(from, &["event=ResyncEnded "]).await;
    let call = stage.call(&daemon, "1003");
    late.invite(1).await;
    call.caller_hangs_up();
}

#[tokio::test]
async fn stopped_profile_keeps_its_phones_and_a_started_one_is_listed() {
    let mut stage = Stage::new().await;
    stage.set("wake.fresh-for", "30s");
    stage.set("wake.push-delay", "5s");
    let there = stage.fs.phone(PhoneSpec::new("1001", DOMAIN));
    let mut spec = PhoneSpec::new("1002", DOMAIN);
    spec.profile = "second".to_owned();
    let absent = stage.fs.phone(spec);
    for phone in [&there, &absent] {
        phone.set_behaviour(RINGS);
        phone.register();
    }
    stage.fs.stop_profile("second");
    let daemon = stage.start().await;
    assert_eq!(daemon.log.count(&["event=Registered ", "1002"]), 0);
    stage.fs.start_profile("second", Duration::from_millis(300)).await;
    daemon.log.wait(&["SIP profiles have started", "second"]).await;
    let held = stage.call(&daemon, "1002");
    absent.invite(1).await;
    held.caller_hangs_up();

    // The profile is stopped when the daemon connects to FreeSWITCH again. Its phones are not listed, but must not be
    // forgotten.
    let from = daemon.log.len();
    stage.fs.stop_profile("second");
    stage.fs.drop_inbound();
    daemon.log.wait_from(from, &["connected to FreeSWITCH"]).await;
    let held = stage.call(&daemon, "1002");
    absent.invite(2).await;
    held.caller_hangs_up();

    // It stops between the two questions. FreeSWITCH's answer must then not be taken for an empty list.
    stage.fs.start_profile("second", Duration::ZERO).await;
    stage
        .fs
        .answer("sofia xmlstatus profile second reg", "Invalid Profile!\n");
    let from = daemon.log.len();
    stage.fs.drop_inbound();
    daemon.log.wait_from(from, &["connected to FreeSWITCH"]).await;
    let held = stage.call(&daemon, "1002");
    absent.invite(3).await;
    held.caller_hangs_up();
}

#[tokio::test]
async fn redial_right_after_a_connection_closed_is_pushed_after_freeswitchs_answer() {
    let mut stage = Stage::new().await;
    stage.set("wake.push-gap", "20s");
    stage.set("wake.push-retry", "20s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.transport = "tcp".to_owned());
    phone.set_behaviour(Behaviour::Silent);
    daemon.asleep(&phone).await;
    let held = woken(&stage, &phone, &Call::to(daemon.address, "1001", DOMAIN)).await;
    phone.invite(1).await;
    held.caller_hangs_up();
    daemon.summary().await;
    let from = daemon.log.len();
    phone.disconnect();
    daemon.log.wait_from(from, &["event=Unregistered "]).await;
    let redial = stage.call(&daemon, "1001");
    let began = std::time::Instant::now();
    stage.push().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    redial.caller_hangs_up();
}

/// The answer has 15 MiB, as from FreeSWITCH for 20,000 phones with tokens.
#[tokio::test]
async fn list_of_twenty_thousand_registrations_is_parsed_and_keeps_capital_letters() {
    let stage = Stage::new().await;
    let mut spec =
        PhoneSpec::new("Long.User-", DOMAIN).params(&format!("pn-prid={};x={}", hex_token(), "y".repeat(300)));
    spec.address = "127.3.0.1:5060".to_owned();
    let burst = Burst {
        count: 20_000,
        per_second: 0,
        spec,
        first: 0,
        keep: true,
    };
    stage.fs.register_burst(burst).await;
    let desk = stage.fs.phone(PhoneSpec::new("Ann.LEE", "Fs.Test"));
    desk.set_behaviour(RINGS);
    desk.register();
    let daemon = stage.start().await;
    let line = daemon.log.wait(&["connected to FreeSWITCH"]).await;
    assert_eq!(field(&line, "registrations"), "20001");
    let held = stage.fs.call(&Call::to(daemon.address, "Ann.LEE", DOMAIN));
    desk.invite(1).await;
    held.caller_hangs_up();
}

#[tokio::test]
async fn call_during_a_lost_event_socket_reconnects_at_once() {
    let mut stage = Stage::new().await;
    stage.set("wake.push-retry", "20s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(RINGS);
    daemon.asleep(&phone).await;
    let mut from = daemon.log.len();
    stage.fs.listen(false);
    stage.fs.drop_inbound();
    // The next pause takes some seconds.
    for _ in 0..5 {
        daemon.log.wait_from(from, &["still no connection to FreeSWITCH"]).await;
        from = daemon.log.len();
    }
    phone.wake();
    stage.fs.listen(true);
    let held = stage.call(&daemon, "1001");
    let began = std::time::Instant::now();
    phone.invite(1).await;
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    held.caller_hangs_up();
}

/// fswake was down while the phone registered.
#[tokio::test]
async fn expired_registration_adds_a_phone_that_was_unknown() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.expire();
    daemon.log.wait(&["command=StoreDevice ", "1001"]).await;
    let held = stage.call(&daemon, "1001");
    daemon.log.wait(&["command=Push ", "1001"]).await;
    phone.register();
    phone.invite(1).await;
    held.caller_hangs_up();
}
