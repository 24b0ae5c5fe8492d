//! Behaviour that no recording shows: outcomes of held calls, phones, faults, the 20 ms poll, and scale.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use fswake_test_support::process::Process;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

mod client;
use client::Client;

async fn stage() -> (FakeFreeSwitch, TcpListener) {
    let fs = FakeFreeSwitch::start(Config::default().instant()).await;
    (fs, TcpListener::bind("127.0.0.1:0").await.unwrap())
}

fn uri(phone: &Phone) -> String {
    format!("sip:{}@{}", phone.spec().user, phone.spec().address)
}

fn call(listener: &TcpListener) -> Call {
    Call::to(listener.local_addr().unwrap(), "1001", "fs.test")
}

/// A call that is bridged to a phone. The client still holds the connection.
async fn bridged(fs: &FakeFreeSwitch, listener: &TcpListener, call: &Call) -> (Held, Phone, Client) {
    let phone = fs.phone(PhoneSpec::new("1001", "fs.test").codecs(&["PCMA"]));
    phone.register();
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(20))));
    let held = fs.call(call);
    let mut client = Client::outbound(listener).await;
    client.ask("event plain CHANNEL_PARK").await;
    client
        .originate("leg-1", ",park_timeout=1,sip_h_X-Fswake-Call=abc", &uri(&phone))
        .await;
    let answer = client.until(&["CHANNEL_ANSWER", "leg-1"]).await;
    assert!(answer.contains("variable_read_codec: PCMA"));
    client.until(&["CHANNEL_PARK", "leg-1"]).await;
    client
        .ask(&format!("api uuid_setvar {} absolute_codec_string PCMA", held.uuid))
        .await;
    assert!(
        client
            .ask(&format!("api uuid_answer {}", held.uuid))
            .await
            .ends_with("+OK\n")
    );
    assert!(
        client
            .ask(&format!("api uuid_bridge leg-1 {}", held.uuid))
            .await
            .contains("+OK")
    );
    held.wait_bridged().await;
    (held, phone, client)
}

#[tokio::test]
async fn a_bridged_call_survives_its_connection_when_resume_is_off() {
    let (fs, listener) = stage().await;
    let (held, phone, mut client) = bridged(&fs, &listener, &call(&listener)).await;
    let Outcome::Connected {
        held_codec, leg_codec, ..
    } = held.outcome().await
    else {
        panic!()
    };
    assert_eq!((held_codec.as_str(), leg_codec.as_str()), ("PCMA", "PCMA"));
    assert_eq!(
        phone.invites()[0].headers,
        [("X-Fswake-Call".to_owned(), "abc".to_owned())]
    );
    client
        .ask(&format!("api uuid_setvar {} socket_resume false", held.uuid))
        .await;
    client
        .ask(&format!("api uuid_setvar {} hangup_after_bridge true", held.uuid))
        .await;
    client.send("exit").await;
    while client.message().await.is_some() {}
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(
        held.outcomes().len(),
        1,
        "the end of the connection or park_timeout ended the call"
    );
    phone.hang_up();
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NORMAL_CLEARING".into()));
    assert!(fs.complaints().is_empty(), "{:?}", fs.complaints());
}

#[tokio::test]
async fn a_bridged_call_is_cut_when_its_connection_ends_with_resume_on() {
    let (fs, listener) = stage().await;
    let call = call(&listener).through_loopback();
    let (held, phone, client) = bridged(&fs, &listener, &call).await;
    drop(client);
    assert!(matches!(held.nth_outcome(1).await, Outcome::Resumed { .. }));
    phone.got_bye().await;
}

#[tokio::test]
async fn a_lost_connection_resumes_the_dialplan_or_leaves_the_caller_parked() {
    let (fs, listener) = stage().await;
    let held = fs.call(&call(&listener));
    drop(listener.accept().await.unwrap());
    assert!(matches!(held.outcome().await, Outcome::Resumed { .. }));
    let held = fs.call(&call(&listener).variable("socket_resume", ""));
    drop(listener.accept().await.unwrap());
    assert_eq!(held.outcome().await, Outcome::StuckParked);
    let mut nobody = call(&listener).variable("socket_resume", "");
    nobody.socket = "127.0.0.1:1".into();
    assert!(matches!(fs.call(&nobody).outcome().await, Outcome::Resumed { .. }));
    nobody.socket = format!("127.0.0.1:1|{}", listener.local_addr().unwrap());
    fs.call(&nobody);
    Client::outbound(&listener).await;
}

#[tokio::test]
async fn bridging_an_unanswered_caller_ends_it() {
    let (fs, listener) = stage().await;
    let phone = fs.phone(PhoneSpec::new("1001", "fs.test"));
    phone.register();
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    let held = fs.call(&call(&listener));
    let mut client = Client::outbound(&listener).await;
    client.originate("leg", "", &uri(&phone)).await;
    client.until(&["CHANNEL_ANSWER"]).await;
    client.ask(&format!("api uuid_bridge leg {}", held.uuid)).await;
    assert_eq!(held.outcome().await, Outcome::HungUp("DESTINATION_OUT_OF_ORDER".into()));
    assert_eq!(held.timeline().last().unwrap().1, CallerSaw::Final(502));
}

/// The race of `originate .. &park()`: 5 of 156 calls with FreeSWITCH, every call here.
#[tokio::test]
async fn leg_bridged_before_it_is_parked_ends_the_call() {
    let busy = Config {
        originate_tail: Duration::from_millis(300),
        ..Config::default().instant_events()
    };
    let fs = FakeFreeSwitch::start(busy).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for waits in [false, true] {
        let phone = fs.phone(PhoneSpec::new("1001", "fs.test"));
        phone.register();
        phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
        let held = fs.call(&call(&listener));
        let mut client = Client::outbound(&listener).await;
        client.ask("event plain CHANNEL_PARK CHANNEL_UNPARK").await;
        let leg = format!("leg-{waits}");
        client.originate(&leg, "", &uri(&phone)).await;
        client.until(&["CHANNEL_ANSWER", &leg]).await;
        if waits {
            client.until(&["CHANNEL_PARK", &leg]).await;
        }
        client.ask(&format!("api uuid_answer {}", held.uuid)).await;
        let accepted = client.ask(&format!("api uuid_bridge {} {leg}", held.uuid)).await;
        assert!(accepted.ends_with(&format!("+OK {leg}\n")), "{accepted}");
        if waits {
            client.until(&["CHANNEL_UNPARK", &held.uuid]).await;
            let bridge = client.until(&["Event-Name: CHANNEL_BRIDGE"]).await;
            assert!(
                bridge.contains(&format!("Bridge-A-Unique-ID: {}", held.uuid)),
                "{bridge}"
            );
            assert!(bridge.contains(&format!("Bridge-B-Unique-ID: {leg}")), "{bridge}");
            held.wait_bridged().await;
        } else {
            assert_eq!(held.outcome().await, Outcome::HungUp("DESTINATION_OUT_OF_ORDER".into()));
            phone.got_bye().await;
        }
    }
}

#[tokio::test]
async fn command_to_a_taken_channel_is_a_complaint() {
    let (fs, listener) = stage().await;
    let held = fs.call(&call(&listener));
    let mut client = Client::outbound(&listener).await;
    client.ask("event plain CHANNEL_UNPARK").await;
    held.pick_up("1002");
    let left = client.until(&["CHANNEL_UNPARK"]).await;
    let source = left
        .lines()
        .find_map(|l| l.strip_prefix("variable_transfer_source: "))
        .unwrap();
    let other = source.rsplit_once("%3Auuid_br%3A").unwrap().1;
    let by = client.ask(&format!("api uuid_getvar {other} caller_id_number")).await;
    assert!(by.ends_with("1002"), "{by}");
    tokio::time::sleep(Duration::from_millis(400)).await;
    client
        .ask(&format!("api uuid_setvar {} socket_resume false", held.uuid))
        .await;
    assert!(fs.complaints().is_empty());
    client.ask(&format!("api uuid_kill {}", held.uuid)).await;
    assert_eq!(
        fs.complaints(),
        ["uuid_kill of a channel that another client has taken"]
    );
}

#[tokio::test]
async fn phones_get_reasons_and_failures_have_their_causes() {
    let (fs, listener) = stage().await;
    let held = fs.call(&call(&listener));
    let mut client = Client::outbound(&listener).await;
    for (cause, reason) in [
        ("LOSE_RACE", "SIP;cause=200;text=\"Call completed elsewhere\""),
        ("ORIGINATOR_CANCEL", "SIP;cause=487;text=\"ORIGINATOR_CANCEL\""),
        ("NO_ANSWER", "Q.850;cause=19;text=\"NO_ANSWER\""),
    ] {
        let phone = fs.phone(PhoneSpec::new("1001", "fs.test"));
        phone.register();
        client.originate(cause, "", &uri(&phone)).await;
        client.until(&["CHANNEL_PROGRESS", cause]).await;
        client.ask(&format!("api uuid_kill {cause} {cause}")).await;
        assert_eq!(phone.cancelled().await, reason);
    }
    for (status, cause) in [
        (486, "USER_BUSY"),
        (404, "UNALLOCATED_NUMBER"),
        (480, "NO_USER_RESPONSE"),
        (603, "CALL_REJECTED"),
    ] {
        let phone = fs.phone(PhoneSpec::new("1001", "fs.test"));
        phone.register();
        phone.set_behaviour(Behaviour::Refuses {
            status,
            after: Duration::ZERO,
            rings: status == 486,
        });
        client.originate(&format!("leg{status}"), "", &uri(&phone)).await;
        client.until(&["BACKGROUND_JOB", &format!("-ERR {cause}\n")]).await;
    }
    let other = fs.phone(PhoneSpec::new("1001", "fs.test").codecs(&["G729"]));
    other.register();
    client
        .originate("leg488", ",absolute_codec_string='PCMU,PCMA'", &uri(&other))
        .await;
    client
        .until(&["BACKGROUND_JOB", "-ERR INCOMPATIBLE_DESTINATION\n"])
        .await;
    client.originate("nobody", "", "sip:1001@192.0.2.99:5060").await;
    client
        .until(&["BACKGROUND_JOB", "-ERR NORMAL_TEMPORARY_FAILURE\n"])
        .await;
    held.caller_hangs_up();
    assert_eq!(held.outcome().await, Outcome::HungUp("ORIGINATOR_CANCEL".into()));
}

#[tokio::test]
async fn a_nat_contact_is_routed_by_its_path_and_an_unbridged_answer_times_out() {
    let (fs, listener) = stage().await;
    let phone = fs.phone(
        PhoneSpec::new("1001", "fs.test")
            .params("a=b")
            .behind("192.168.1.7:5060"),
    );
    let mut inbound = Client::inbound(&fs, "CUSTOM sofia::register").await;
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    phone.wake();
    let event = inbound.until(&["sofia%3A%3Aregister"]).await;
    let contact = event.lines().find_map(|line| line.strip_prefix("contact: ")).unwrap();
    assert!(
        contact.contains("%3Bfs_path%3Dsip%3A1001%40127.0.1."),
        "not encoded once, as FreeSWITCH does: {contact}"
    );
    let dial = inbound.ask("api sofia_contact */1001@fs.test").await;
    fs.call(&call(&listener));
    let mut client = Client::outbound(&listener).await;
    client
        .originate("leg", ",park_timeout=1", dial.split_once("sofia/internal/").unwrap().1)
        .await;
    client.until(&["CHANNEL_ANSWER", "leg"]).await;
    client
        .until(&["CHANNEL_HANGUP_COMPLETE", "Hangup-Cause: NORMAL_CLEARING"])
        .await;
    phone.got_bye().await;
    phone.sleep();
    client
        .originate(
            "leg-2",
            "",
            &format!("sip:1001@192.168.1.7:5060;fs_path=sip%3A{}", phone.spec().address),
        )
        .await;
    assert!(!phone.invite(2).await.seen);
}

#[tokio::test]
async fn events_wait_for_the_poll_unless_the_client_nudges() {
    let fs = FakeFreeSwitch::start(Config::default()).await;
    let phone = fs.phone(PhoneSpec::new("1001", "fs.test"));
    let mut client = Client::inbound(&fs, "CUSTOM sofia::register").await;
    let mut waits = [Vec::new(), Vec::new()];
    for n in 0..40u64 {
        // The starts are spread over the phase of the poll.
        tokio::time::sleep(Duration::from_millis(20 + n * 7 % 20)).await;
        let nudged = n % 2 == 1;
        let fired = phone.register();
        if nudged {
            client.stream.write_all(b"\n").await.unwrap();
        }
        client.next().await;
        waits[usize::from(nudged)].push(fired.elapsed());
    }
    waits[0].sort();
    waits[1].sort();
    let (idle, nudged) = (waits[0][10], waits[1][10]);
    assert!(
        idle > Duration::from_millis(4) && waits[0][19] < Duration::from_millis(60),
        "{waits:?}"
    );
    assert!(nudged < Duration::from_millis(4), "{waits:?}");
}

#[tokio::test]
async fn faults_close_refuse_and_freeze() {
    let (fs, listener) = stage().await;
    let phone = fs.phone(PhoneSpec::new("1001", "fs.test"));
    phone.register();
    let mut inbound = Client::inbound(&fs, "CUSTOM sofia::register").await;
    let held = fs.call(&call(&listener));
    let mut outbound = Client::outbound(&listener).await;
    fs.drop_inbound();
    assert!(inbound.message().await.is_none());
    assert!(outbound.ask("api status").await.contains("UP 0 years"));
    fs.freeze(true);
    outbound.send("api status").await;
    assert!(
        tokio::time::timeout(Duration::from_millis(100), outbound.message())
            .await
            .is_err()
    );
    fs.freeze(false);
    assert!(outbound.next().await.contains("UP 0 years"));
    held.cut_connection();
    assert!(outbound.message().await.is_none());
    assert!(matches!(held.outcome().await, Outcome::Resumed { .. }));
    fs.listen(false);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(TcpStream::connect(fs.address()).await.is_err());
    fs.restart(true);
    fs.listen(true);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut inbound = Client::inbound(&fs, "CUSTOM sofia::register").await;
    assert!(
        inbound
            .ask("api show registrations as json")
            .await
            .ends_with("{\"row_count\": 0}\n")
    );
}

/// 10,000 held calls (or FSWAKE_CALLS; each takes two descriptors) and 5,000 REGISTERs a second at once:
/// `cargo test --release ... -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes seconds and 20,000 file descriptors"]
async fn ten_thousand_calls_are_held_while_five_thousand_phones_register_each_second() {
    let count = std::env::var("FSWAKE_CALLS").map_or(10_000, |text| text.parse().unwrap());
    let fs = FakeFreeSwitch::start(Config::default()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(4096).unwrap();
    let template = call(&listener);
    let accepting = tokio::spawn(async move {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..count {
            let mut client = Client::new(listener.accept().await.unwrap().0);
            all.spawn(async move {
                let data = client.ask("connect").await;
                let uuid = data.split_once("\nUnique-ID: ").unwrap_or_else(|| panic!("{data}")).1[..36].to_owned();
                client.ask(&format!("filter Unique-ID {uuid}")).await;
                client
                    .ask("event plain CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE")
                    .await;
                client
            });
        }
        all.join_all().await
    });
    let before = Process::own().resident();
    let started = Instant::now();
    let held = fs
        .hold_many(count, |_| Call {
            record: false,
            ..template.clone()
        })
        .await;
    let mut clients = accepting.await.unwrap();
    println!(
        "{count} calls held in {:?}, {} KiB each (both ends)",
        started.elapsed(),
        (Process::own().resident() - before) / count as u64
    );
    let mut inbound = Client::inbound(&fs, "CUSTOM sofia::register").await;
    let reader = tokio::spawn(async move {
        for _ in 0..15_000 {
            inbound.stream.write_all(b"\n").await.unwrap();
            inbound.next().await;
        }
    });
    let spec = PhoneSpec::new("u", "fs.test")
        .params("pn-provider=apns;pn-prid=abc")
        .at("127.0.0.1:5060");
    let burst = Burst {
        count: 15_000,
        per_second: 5000,
        spec,
        first: 0,
        keep: true,
    };
    let report = fs.register_burst(burst).await;
    reader.await.unwrap();
    let mut waits: Vec<_> = report
        .events
        .iter()
        .map(|e| e.written_at().unwrap() - e.fired_at)
        .collect();
    waits.sort();
    println!(
        "15,000 REGISTERs in {:?}; fired to written: median {:?}, 99 % {:?}",
        report.took, waits[7500], waits[14_850]
    );
    assert!(report.took < Duration::from_secs(4));
    let started = Instant::now();
    held.iter().for_each(Held::caller_hangs_up);
    for client in &mut clients {
        client.until(&["CHANNEL_HANGUP_COMPLETE"]).await;
    }
    println!(
        "{count} callers hung up, every client notified, in {:?}",
        started.elapsed()
    );
}
