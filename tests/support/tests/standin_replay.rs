//! Compares the stand-in with the recordings. The client's bytes are sent in their order, phones and callers do what
//! they did, and the stand-in must send what FreeSWITCH sent.
//!
//! Order is compared within each stream: the replies of a connection, the events of a channel, of a job or of a
//! subclass, and the notices. Between streams FreeSWITCH itself has races: events go through dispatch threads and wait
//! for the listener's poll, a channel's applications wait for its own tick, and a job ends in another thread.
//! CHANNEL_PARK races with `myevents` (three of the five recordings have it) and is left out.
//! The `bridge` application is not modelled: those recordings are replayed up to it.
//!
//! The recordings of 1.11.2 have fswake itself as the client. Of their events, only what fswake reads and a little more
//! is compared (`normal::Strictness::Essential`): most of the stand-in's events have the headers of 1.10.12.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fswake_test_support::freeswitch::capture::{self, Line};
use fswake_test_support::freeswitch::{Behaviour, Call, Config, FakeFreeSwitch, Held, Phone, PhoneSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

mod normal;
use normal::{Message, Streams, Strictness};

/// The client's side of a connection.
struct Client {
    writer: OwnedWriteHalf,
    got: Arc<Mutex<Vec<Message>>>,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        let got = Arc::default();
        tokio::spawn(read_messages(reader, Arc::clone(&got)));
        Self { writer, got }
    }
}

/// Splits the stand-in's output into messages, by Content-Length as a client must.
async fn read_messages(mut reader: OwnedReadHalf, got: Arc<Mutex<Vec<Message>>>) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = [0u8; 16_384];
    while let Ok(len @ 1..) = reader.read(&mut chunk).await {
        buffer.extend_from_slice(&chunk[..len]);
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
            let total = end + 2 + length.unwrap_or(0);
            if buffer.len() < total {
                break;
            }
            let text: Vec<u8> = buffer.drain(..total).collect();
            got.lock().unwrap().push(Message::read(&String::from_utf8_lossy(&text)));
        }
    }
}

/// Events outside the connections.
struct Stage {
    fs: FakeFreeSwitch,
    daemon: TcpListener,
    clients: HashMap<String, Client>,
    phones: Vec<Phone>,
    held: Option<Held>,
    hung_up: bool,
    /// A phone has answered.
    answered: bool,
    /// An expected message has not come.
    is_late: bool,
    strictness: Strictness,
    expected: BTreeMap<String, Vec<Message>>,
}

fn field(headers: &[(String, String)], name: &str) -> String {
    headers
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.clone())
        .unwrap_or_default()
}

/// The phone of a recorded registration.
fn spec_of(event: &[(String, String)]) -> PhoneSpec {
    let contact = field(event, "contact");
    let uri = contact
        .split_once("<sip:")
        .map_or("", |(_, uri)| uri)
        .trim_end_matches('>');
    let (_, address) = uri.split(';').next().unwrap_or("").rsplit_once('@').unwrap_or_default();
    let own = uri.split_once(";fs_nat=yes").map_or(uri, |(own, _)| own);
    let mut params = own.split_once(';').map_or("", |(_, params)| params).to_owned();
    let seen = format!("{}:{}", field(event, "network-ip"), field(event, "network-port"));
    if !contact.ends_with('>') && address == seen {
        // FreeSWITCH truncated this one; the phone sent more of the same.
        params.push_str(&"z".repeat(1200));
    }
    let mut spec = PhoneSpec::new(&field(event, "from-user"), &field(event, "from-host"))
        .params(&params)
        .at(&seen);
    spec.behind = (address != seen).then(|| address.to_owned());
    spec.call_id = field(event, "call-id");
    spec.agent = field(event, "user-agent");
    spec.expires = field(event, "expires").parse().unwrap_or(0);
    spec.profile = field(event, "profile-name");
    spec.authenticated = field(event, "username") != "unknown";
    let status = field(event, "status").to_ascii_lowercase();
    let transport = status.trim_start_matches("registered(").split(['-', ')']).next();
    transport.unwrap_or("").clone_into(&mut spec.transport);
    spec
}

impl Stage {
    async fn new() -> Self {
        let fs = FakeFreeSwitch::start(Config::default()).await;
        let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (clients, phones, expected) = (HashMap::new(), Vec::new(), BTreeMap::new());
        Self {
            fs,
            daemon,
            clients,
            phones,
            held: None,
            hung_up: false,
            answered: false,
            is_late: false,
            strictness: Strictness::Whole,
            expected,
        }
    }

    async fn open(&mut self, conn: &str, lines: &[Line]) {
        let stream = if conn == "inbound" {
            TcpStream::connect(self.fs.address()).await.unwrap()
        } else {
            let data = lines
                .iter()
                .find(|l| l.data.contains("Event-Name: CHANNEL_DATA"))
                .expect("channel data");
            let data = capture::event_headers(&data.data).unwrap();
            let mut call = Call::to(self.daemon.local_addr().unwrap(), "", "");
            call.uuid = field(&data, "Unique-ID");
            call.caller_number = field(&data, "Caller-Caller-ID-Number");
            call.caller_name = field(&data, "Caller-Caller-ID-Name");
            call.destination = field(&data, "Caller-Destination-Number");
            call.loopback = field(&data, "Channel-Name").starts_with("loopback/");
            call.user = field(&data, "variable_dialed_user");
            call.domain = field(&data, "variable_dialed_domain");
            call.sip_call_id = field(&data, "variable_sip_call_id");
            let behind = |name: &str| field(&data, &format!("variable_other_loopback_{name}_uuid"));
            call.behind_uuids = (behind("from"), behind("leg"));
            let dumped = lines.iter().filter(|l| l.from_freeswitch).find_map(|l| {
                let headers = capture::event_headers(&l.data)?;
                (field(&headers, "Unique-ID") == call.behind_uuids.0).then_some(headers)
            });
            if let Some(caller) = dumped.filter(|_| call.loopback) {
                call.destination = field(&caller, "Caller-Destination-Number");
            }
            let set = [
                "dialed_user",
                "dialed_domain",
                "socket_resume",
                "hangup_after_bridge",
                "fswake_bridge",
                "call_timeout",
            ];
            let first = |name: &&str| set.contains(name);
            let names = data
                .iter()
                .filter_map(|(name, _)| name.strip_prefix("variable_"))
                .filter(first);
            call.variables = names
                .map(|n| (n.to_owned(), field(&data, &format!("variable_{n}"))))
                .collect();
            self.held = Some(self.fs.call(&call));
            self.daemon.accept().await.unwrap().0
        };
        self.clients.insert(conn.to_owned(), Client::new(stream));
    }

    fn phone_at(&self, event: &[(String, String)]) -> Option<&Phone> {
        let name = field(event, "Channel-Name");
        self.phones
            .iter()
            .find(|phone| name.ends_with(&format!("@{}", phone.spec().address)))
    }

    /// Makes phones and the caller do what made FreeSWITCH send this.
    async fn act(&mut self, event: &[(String, String)]) {
        let name = field(event, "Event-Name");
        match field(event, "Event-Subclass").as_str() {
            "sofia::register" => return self.register(event),
            "sofia::unregister" => {
                let of_it = |phone: &&Phone| phone.spec().call_id == field(event, "call-id");
                let phone = self.phones.iter().find(of_it).expect("a phone");
                let broken = field(event, "reason") == "socket-disconnection";
                return if broken { phone.disconnect() } else { phone.unregister() };
            }
            _ => {}
        }
        if let Some(phone) = self.phone_at(event) {
            phone.invite(1).await;
            match (name.as_str(), field(event, "variable_sip_hangup_disposition").as_str()) {
                ("CHANNEL_PROGRESS", _) => phone.ring(),
                ("CHANNEL_PROGRESS_MEDIA", _) => phone.early_media(),
                ("CHANNEL_HANGUP", "recv_bye") => phone.hang_up(),
                ("CHANNEL_ANSWER", _) => phone.answer(),
                ("CHANNEL_HANGUP", "recv_refuse") => {
                    phone.refuse(field(event, "variable_sip_invite_failure_status").parse().unwrap());
                }
                _ => {}
            }
        } else if name == "CHANNEL_HANGUP" && !self.hung_up {
            self.hung_up = true;
            let held = self.held.as_ref().expect("a held call");
            match field(event, "Hangup-Cause").as_str() {
                "NO_ANSWER" => held.ring_time_is_over(),
                // This covers what a third party did, what a phone did, and a loopback whose caller is bridged in its
                // place.
                "PICKED_OFF" | "CALL_REJECTED" => {}
                _ if self.strictness == Strictness::Essential
                    && held.behind.is_some()
                    && field(event, "Answer-State") == "hangup"
                    && self.answered => {}
                _ => held.caller_hangs_up(),
            }
        }
        self.answered |= name == "CHANNEL_ANSWER";
    }

    /// The action of a third party.
    fn third_person(&self, text: &str, lines: &[Line]) {
        let held = self.held.as_ref().expect("a held call");
        let asks = |l: &Line| {
            Some(
                l.data
                    .strip_prefix("api uuid_getvar ")?
                    .split_once(" caller_id_number")?
                    .0
                    .to_owned(),
            )
        };
        let channel = lines.iter().find_map(asks).unwrap_or_default();
        match text {
            "intercept held" | "intercept -bleg leg" => held.pick_up_with(&channel, "1002"),
            "intercept leg" => held.leg_is_picked_up(),
            "transfer 5000" => held.transfer("5000"),
            other => panic!("{other}"),
        }
    }

    fn register(&mut self, event: &[(String, String)]) {
        let spec = spec_of(event);
        let known = self
            .phones
            .iter()
            .find(|phone| phone.spec().call_id == spec.call_id)
            .cloned();
        let phone = known.unwrap_or_else(|| {
            let phone = self.fs.phone(spec.clone());
            phone.set_behaviour(Behaviour::Manual);
            self.phones.push(phone.clone());
            phone
        });
        phone.change(|own| own.expires = spec.expires);
        if field(event, "update-reg") == "true" {
            phone.refresh()
        } else {
            phone.register()
        };
    }

    /// Waits until each stream is as long as it was in the recording.
    async fn catch_up(&mut self) {
        let long_enough = || {
            self.expected.iter().all(|(conn, expected)| {
                let Some(client) = self.clients.get(conn) else {
                    return false;
                };
                let of = |messages: &[Message]| Streams::of(messages, self.strictness);
                let (got, want) = (of(&client.got.lock().unwrap()), of(expected));
                want.0
                    .iter()
                    .all(|(key, messages)| got.0.get(key).is_some_and(|got| got.len() >= messages.len()))
            })
        };
        // Once an expected message has not come, long waits are pointless.
        let tries = if self.is_late { 50 } else { 3000 };
        for _ in 0..tries {
            if long_enough() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.is_late = true;
    }
}

/// Replays one recording and returns the differences.
async fn differences(lines: &[Line], strictness: Strictness) -> Vec<String> {
    let mut stage = Stage::new().await;
    stage.strictness = strictness;
    for line in lines {
        if line.conn == "act" {
            stage.catch_up().await;
            stage.third_person(&line.data, lines);
            continue;
        }
        if !stage.clients.contains_key(&line.conn) {
            stage.open(&line.conn, lines).await;
        }
        if line.from_freeswitch {
            if let Some(event) = capture::event_headers(&line.data) {
                stage.catch_up().await;
                stage.act(&event).await;
            }
            stage
                .expected
                .entry(line.conn.clone())
                .or_default()
                .push(Message::read(&line.data));
        } else {
            stage.catch_up().await;
            let client = stage.clients.get_mut(&line.conn).unwrap();
            client.writer.write_all(line.data.as_bytes()).await.unwrap();
        }
    }
    stage.catch_up().await;
    // The time for unexpected messages to arrive.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let kept: HashSet<String> = normal::uuids(
        lines
            .iter()
            .filter(|line| !line.from_freeswitch)
            .map(|l| l.data.as_str()),
    );
    let mut found = Vec::new();
    for (conn, expected) in &stage.expected {
        let got = stage.clients[conn].got.lock().unwrap().clone();
        let of = |messages: &[Message]| Streams::of(messages, strictness);
        let (expected, got) = (of(expected), of(&got));
        found.extend(normal::compare(conn, &expected, &got, &kept, strictness));
    }
    found
}

async fn replays(name: &str) {
    let lines = capture::lines(name);
    let end = lines
        .iter()
        .position(|l| !l.from_freeswitch && l.data.contains("execute-app-name: bridge"));
    let (before, after) = lines.split_at(end.unwrap_or(lines.len()));
    // The last command before `bridge` was `set`; its events came in between.
    let of_set = after
        .iter()
        .filter(|l| l.from_freeswitch && l.data.contains("\nApplication: set\n"));
    let lines: Vec<Line> = before.iter().chain(of_set).cloned().collect();
    let strictness = if name.starts_with("1.11/") {
        Strictness::Essential
    } else {
        Strictness::Whole
    };
    let found = differences(&lines, strictness).await;
    assert!(
        found.is_empty(),
        "{name}: {} differences\n{}",
        found.len(),
        found.join("\n")
    );
}

macro_rules! replay {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            replays($name).await;
        })*
    };
}

replay! {
    wrong_password_is_refused: "auth-refused",
    errors_have_the_recorded_texts: "command-errors",
    caller_cancels_two_ringing_legs: "legs-caller-cancels",
    leg_declines: "legs-declined",
    leg_does_not_reply: "legs-no-reply",
    second_of_two_devices_answers: "legs-two-devices-second-answers",
    leg_answers_a_loopback: "loopback-dial-string-leg-answered",
    registrations_and_lists: "registrations",
    registrations_behind_nat: "registrations-behind-nat",
    caller_cancels_before_register: "socket-caller-cancels-before-register",
    caller_cancels_while_ringing_up_to_bridge: "socket-caller-cancels-while-ringing",
    timeout_resumes_the_dialplan: "socket-timeout-resume-dialplan",
    wake_up_to_bridge: "socket-wake-bridge-answered",
    busy_up_to_bridge: "socket-wake-bridge-busy",
    wake_with_its_bridge: "1.11/wake-bridge-answered",
    dial_string_whose_caller_takes_the_loopbacks_place: "1.11/dial-string-caller-in-the-loopbacks-place",
    held_channel_is_picked_up: "1.11/held-channel-intercepted",
    held_loopback_is_picked_up: "1.11/held-loopback-intercepted",
    held_channel_is_transferred: "1.11/held-channel-transferred",
    ringing_leg_is_picked_up: "1.11/ringing-leg-intercepted",
    other_side_of_a_ringing_leg_is_picked_up: "1.11/ringing-legs-other-side-intercepted",
    early_media_is_answered: "1.11/early-media-answered",
    early_media_is_declined: "1.11/early-media-declined",
    dial_strings_time_is_over: "1.11/dial-strings-own-time",
    phone_is_busy: "1.11/busy",
    phone_of_a_dial_string_is_busy: "1.11/dial-string-busy",
    phone_answers_and_is_gone: "1.11/answered-and-gone",
    caller_of_a_dial_string_cancels: "1.11/dial-string-caller-cancels",
}

/// The comparison is worthless if it cannot fail. So it must notice a recording in which one header is renamed, one
/// reply is changed, two events of a channel are swapped or one is missing.
#[tokio::test]
async fn a_changed_recording_is_noticed() {
    let lines = capture::lines("legs-declined").to_vec();
    let change = |from: &str, to: &str| {
        let mut changed = lines.clone();
        let line = changed
            .iter_mut()
            .rfind(|l| l.from_freeswitch && l.data.contains(from))
            .expect("a line to change");
        line.data = line.data.replace(from, to);
        changed
    };
    let mut swapped = lines.clone();
    let at = |name: &str| {
        lines
            .iter()
            .position(|l| l.data.contains(&format!("Event-Name: {name}\n")))
            .unwrap()
    };
    swapped.swap(at("CHANNEL_HANGUP"), at("CHANNEL_HANGUP_COMPLETE"));
    let mut missing = lines.clone();
    missing.remove(at("CHANNEL_HANGUP_COMPLETE"));
    for (what, changed) in [
        ("header", change("variable_sip_term_status", "variable_sip_term_state")),
        (
            "value",
            change("variable_hangup_cause_q850: 21", "variable_hangup_cause_q850: 17"),
        ),
        ("reply", change("+OK bye", "+OK Bye")),
        ("swap", swapped),
        ("missing", missing),
    ] {
        assert!(
            !differences(&changed, Strictness::Whole).await.is_empty(),
            "the comparison did not notice a changed {what}"
        );
    }
}
