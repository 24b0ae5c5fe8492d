//! Registrations as FreeSWITCH lists them: those of whole profiles, and one user's.
//!
//! Read from the profiles' own lists (`sofia xmlstatus profile P reg`). A profile writes a REGISTER there before it fires the event, so
//! whoever subscribes first and reads then misses none; `show registrations` is written up to a second later, and keeps rows that no profile has.
//!
//! When they are read: all profiles that run after a (re)connect, and each profile that starts later. On a connection of its own,
//! because FreeSWITCH answers one command after the other: neither events nor commands for calls wait for a long list.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::encode;
use super::inbound::Settings;
use super::line::Line;
use super::registrations::{self, Heard};
use crate::clock::unix_now;
use crate::contact::{ContactRules, NetworkHint};
use crate::engine::{Event, Registration, Source};
use crate::input::Input;
use crate::types::{Aor, UnixSeconds};
use crate::words;

/// A profile's start is announced a moment before it runs; it is waited for so often, and so long.
const SOON: Duration = Duration::from_millis(100);
const STARTS: Duration = Duration::from_secs(10);
/// How often it is looked for profiles whose start was not heard: in the first minute, in which FreeSWITCH may be starting them one
/// after another, and later, where the login's `esl-allowed-events` has no `sofia::profile_start`.
const EARLY: Duration = Duration::from_secs(3);
const LATER: Duration = Duration::from_secs(30);
const FIRST_MINUTE: Duration = Duration::from_secs(60);

/// Who reads, while one connection of [`super::inbound`] stands.
pub(super) struct Reader {
    pub(super) settings: Settings,
    pub(super) inputs: mpsc::Sender<Input>,
    /// How many readings there were.
    pub(super) readings: Arc<AtomicU64>,
    /// Whether all profiles that ran at the beginning have been read.
    pub(super) up: Arc<AtomicBool>,
    /// Profiles that start.
    pub(super) started: mpsc::Receiver<String>,
}

impl Reader {
    /// Reads all profiles, and then each that starts; ends with an error only.
    pub(super) async fn run(mut self) -> io::Error {
        match self.read().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn read(&mut self) -> io::Result<std::convert::Infallible> {
        let since = Instant::now();
        let mut line = self.line().await?;
        let running = profiles(&mut line).await?;
        let (mut read, count) = self.read_all(&mut line, &running).await?;
        self.up.store(true, Ordering::Relaxed);
        let (host, port) = (&self.settings.endpoint.host, self.settings.endpoint.port);
        info!(%host, port, registrations = count, "connected to FreeSWITCH");
        if read.is_empty() {
            // What is known stays known: they may be starting.
            warn!("cannot read registrations: `sofia xmlstatus` names no running profile");
        }
        let mut starting = None;
        loop {
            let pause = match starting {
                Some(until) if Instant::now() < until => SOON,
                _ if since.elapsed() < FIRST_MINUTE => EARLY,
                _ => LATER,
            };
            tokio::select! {
                () = sleep(pause) => {}
                Some(profile) = self.started.recv() => {
                    read.remove(&profile);
                    starting = Some(Instant::now() + STARTS);
                }
            }
            let running = match profiles(&mut line).await {
                Ok(running) => running,
                Err(error) => {
                    debug!(error = words::of_io(&error), "asking once more which profiles run");
                    line = self.line().await?;
                    profiles(&mut line).await?
                }
            };
            // What does not run keeps its registrations in FreeSWITCH's table, and has them again when it starts.
            read.retain(|profile| running.contains(profile));
            let new: BTreeSet<_> = running.difference(&read).cloned().collect();
            if !new.is_empty() {
                let (new, count) = self.read_all(&mut line, &new).await?;
                if !new.is_empty() {
                    info!(profiles = ?new, registrations = count, "SIP profiles have started");
                    read.extend(new);
                    starting = None;
                }
            }
        }
    }

    async fn line(&self) -> io::Result<Line> {
        Line::open(self.settings.endpoint.clone()).await
    }

    /// Reads all registrations of these profiles; the ones that last longest are told first. Events go on meanwhile. Which profiles
    /// were read, and how many registrations they have: of one that has just stopped FreeSWITCH has no list, and what is known of
    /// it stays known.
    async fn read_all(&self, line: &mut Line, profiles: &BTreeSet<String>) -> io::Result<(BTreeSet<String>, usize)> {
        let number = self.readings.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell(Event::ResyncBegan(number)).await?;
        let (mut all, mut read) = (Vec::new(), BTreeSet::new());
        for profile in profiles {
            let mut list = List::default();
            line.api_lines(&format!("sofia xmlstatus profile {profile} reg"), |text| {
                if let Some(block) = list.take(text) {
                    all.extend(registration(&block, profile, number, &self.settings.rules, unix_now()));
                }
            })
            .await?;
            if list.is_whole {
                read.insert(profile.clone());
            }
        }
        all.sort_by_key(|heard| Reverse(lasts(heard)));
        let count = all.len();
        debug!(number, profiles = ?read, count, "registrations read");
        for Heard { event, warnings } in all {
            if !warnings.is_empty()
                && let Event::Registered(reg) = &event
            {
                self.send(Input::Warnings(reg.aor.clone(), warnings)).await?;
            }
            self.tell(event).await?;
        }
        let ended = read.iter().map(|profile| profile.as_str().into()).collect();
        self.tell(Event::ResyncEnded(number, ended)).await?;
        Ok((read, count))
    }

    async fn tell(&self, event: Event) -> io::Result<()> {
        self.send(Input::Event(event)).await
    }

    async fn send(&self, input: Input) -> io::Result<()> {
        let sent = self.inputs.send(input).await;
        sent.map_err(|_| io::Error::other("the process stops"))
    }
}

/// Reads the registrations of one user in one profile. `None`: FreeSWITCH cannot be asked for that name.
///
/// # Errors
/// When FreeSWITCH does not answer.
pub(super) async fn read_user(
    line: &mut Line,
    aor: &Aor,
    profile: &str,
    rules: &ContactRules,
    at: UnixSeconds,
) -> io::Result<Option<Vec<Heard>>> {
    let is_name = |name: &str| encode::is_plain(name, 255, b"-_.+*#~!&=:[]");
    if ![&aor.user, &aor.domain].into_iter().all(|name| is_name(name)) || !is_profile(profile) {
        return Ok(None);
    }
    let command = format!("sofia xmlstatus profile {profile} user {}@{}", aor.user, aor.domain);
    let answer = line.api(&command).await?;
    Ok(answer
        .contains("<registrations>")
        .then(|| listed(&answer, profile, 0, rules, at)))
}

/// The profiles that run, by `sofia xmlstatus`, which has one for each of their transports.
async fn profiles(line: &mut Line) -> io::Result<BTreeSet<String>> {
    Ok(running(&line.api("sofia xmlstatus").await?).collect())
}

/// The names of the profiles that run in `sofia xmlstatus`; gateways and aliases are none.
pub fn running(xmlstatus: &str) -> impl Iterator<Item = String> {
    let blocks = xmlstatus.split("<profile>").skip(1);
    let is_up = |block: &&str| lines(block, "state").next().is_some_and(|s| s.starts_with("RUNNING"));
    let names = blocks.filter(is_up).filter_map(|block| lines(block, "name").next());
    names.filter(|name| is_profile(name)).map(str::to_owned)
}

fn is_profile(name: &str) -> bool {
    encode::is_plain(name, 128, b"-_.")
}

fn lasts(heard: &Heard) -> Duration {
    match &heard.event {
        Event::Registered(reg) => reg.expires,
        _ => Duration::ZERO,
    }
}

/// A list that is read line by line. FreeSWITCH writes each value on a line of its own, and does not escape what phones say.
#[derive(Default)]
struct List {
    block: Option<String>,
    /// Its end was there: anything else that FreeSWITCH says is no list.
    is_whole: bool,
}

/// No registration is longer: the Contact has 1 KiB, and headers of a REGISTER are bounded as well.
const LONGEST_BLOCK: usize = 64 * 1024;

impl List {
    /// Takes the next line. A registration, where it was its last.
    fn take(&mut self, line: &str) -> Option<String> {
        if line == "    <registration>" {
            self.block = Some(String::new());
        } else if line == "    </registration>" {
            return self.block.take();
        } else if line == "  </registrations>" {
            self.is_whole = true;
        } else if let Some(block) = self.block.as_mut().filter(|b| b.len() + line.len() < LONGEST_BLOCK) {
            block.push_str(line);
            block.push('\n');
        }
        None
    }
}

/// The registrations in `sofia xmlstatus profile P user U`.
fn listed(xml: &str, profile: &str, number: u64, rules: &ContactRules, at: UnixSeconds) -> Vec<Heard> {
    let mut list = List::default();
    let blocks = xml.lines().filter_map(|line| list.take(line));
    blocks
        .filter_map(|block| registration(&block, profile, number, rules, at))
        .collect()
}

fn registration(block: &str, profile: &str, number: u64, rules: &ContactRules, at: UnixSeconds) -> Option<Heard> {
    let field = |name| lines(block, name).next().unwrap_or_default();
    let encoded = |name| {
        let text = field(name);
        quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
    };
    let status = field("status");
    let (_, seconds) = status.rsplit_once("expsecs(")?;
    let seconds = seconds.trim_end_matches(')').parse().ok()?;
    let (user, domain) = field("user").rsplit_once('@')?;
    let agent = encoded("agent");
    let hint = NetworkHint::from_event(field("network-ip"), field("network-port"), status);
    let read = registrations::read(&encoded("contact"), profile, &agent, hint.as_ref(), rules);
    Some(Heard {
        event: Event::Registered(Registration {
            aor: Aor::new(user, domain),
            call_id: field("call-id").into(),
            target: read.target,
            push: read.push,
            wants_no_push: read.wants_no_push,
            user_agent: agent.into(),
            expires: Duration::from_secs(seconds),
            at,
            source: Source::Resync(number),
        }),
        warnings: read.warnings,
    })
}

/// The texts of the elements with this name. FreeSWITCH writes each on a line of its own and does not escape what phones say (a
/// Call-ID may hold `<`), so a line is an element whatever is inside it: no XML parser would be right.
fn lines<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (from, to) = (format!("<{name}>"), format!("</{name}>"));
    let each = xml.lines().map(str::trim);
    each.filter_map(move |line| line.strip_prefix(&from)?.strip_suffix(&to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::ParamNames;

    fn rules() -> ContactRules {
        ContactRules {
            names: ParamNames::default(),
            strip_push: true,
        }
    }

    /// What FreeSWITCH answered in this recording to a command that begins so.
    fn answer(recording: &str, command: &str) -> String {
        let lines: Vec<serde_json::Value> = recording
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
            .collect();
        let asked = lines
            .iter()
            .position(|l| l["from"] == "client" && l["data"].as_str().unwrap().starts_with(command));
        let data = lines[asked.expect("the command") + 1]["data"].as_str().unwrap();
        data.split_once("\n\n").unwrap().1.to_owned()
    }

    fn summary(heard: &[Heard]) -> Vec<(String, bool, bool)> {
        let mut all: Vec<_> = heard
            .iter()
            .map(|h| match &h.event {
                Event::Registered(r) => (r.aor.to_string(), r.target.is_some(), r.push.is_some()),
                other => panic!("{other:?}"),
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn phones_behind_nat_are_read_from_their_profile() {
        let recording = include_str!("../../tests/captures/registrations-behind-nat.jsonl");
        let xml = answer(recording, "api sofia xmlstatus profile internal reg");
        let found = summary(&listed(&xml, "internal", 1, &rules(), 1_795_406_945));
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(_, target, push)| *target && *push));
    }

    #[test]
    fn list_and_event_name_the_same_contact() {
        let of_event = |contact: &str| {
            let header = |name: &str| match name {
                "from-user" => Some("1"),
                "from-host" => Some("d"),
                "profile-name" => Some("internal"),
                "contact" => Some(contact),
                "status" => Some("Registered(WS-NAT)"),
                "network-ip" => Some("127.0.0.1"),
                "network-port" => Some("52238"),
                _ => None,
            };
            match registrations::heard("sofia::register", header, &rules(), 0)
                .unwrap()
                .event
            {
                Event::Registered(reg) => reg.target.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let path = "sip%3A1%40127.0.0.1%3A52238%3Btransport%3Dws%3Bpn-prid%3Dabc";
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8().unwrap();
        let contact = "\"\" <sip:1@127.0.0.1:52238;transport=ws;pn-prid=abc;fs_nat=yes;fs_path=PATH>";
        let event = of_event(&contact.replace("PATH", &decoded));
        let encoded = contact.replace("PATH", path).replace('<', "&lt;").replace('>', "&gt;");
        let block = written("c", "60").replace("&quot;&quot; &lt;sip:1@192.0.2.1:5060;x=a&amp;b&gt;", &encoded);
        let block = block
            .replace("Registered(UDP)", "Registered(WS-NAT)")
            .replace("192.0.2.1", "127.0.0.1");
        let found = listed(&block.replace("5060", "52238"), "internal", 1, &rules(), 0);
        let Event::Registered(reg) = &found[0].event else {
            panic!()
        };
        assert_eq!(reg.target.as_ref().unwrap().as_str(), event.as_str());
    }

    /// One registration as FreeSWITCH writes it.
    fn written(call_id: &str, seconds: &str) -> String {
        format!(
            "    <registration>\n        <call-id>{call_id}</call-id>\n        <user>1@d</user>\n        \
             <contact>&quot;&quot; &lt;sip:1@192.0.2.1:5060;x=a&amp;b&gt;</contact>\n        <agent>a</agent>\n        \
             <status>Registered(UDP)(unknown) exp(2026-11-25 12:00:00) expsecs({seconds})</status>\n        \
             <network-ip>192.0.2.1</network-ip>\n        <network-port>5060</network-port>\n    </registration>\n"
        )
    }

    #[test]
    fn call_id_cannot_say_whose_registration_it_is() {
        for call_id in [
            "a</call-id><user>victim@d</user>",
            "</registration><registration><user>victim@d</user>",
            "<&<",
        ] {
            let found = listed(&written(call_id, "60"), "internal", 1, &rules(), 0);
            let [
                Heard {
                    event: Event::Registered(reg),
                    ..
                },
            ] = found.as_slice()
            else {
                panic!("{call_id}: {found:?}");
            };
            assert_eq!((reg.aor.to_string().as_str(), &*reg.call_id), ("1@d", call_id));
        }
    }

    #[test]
    fn registration_that_is_over_or_cannot_be_read_is_passed_over_and_the_others_are_read() {
        let all: String = ["-1", "", "x", "60"].map(|seconds| written("c", seconds)).concat();
        let found = listed(&all, "internal", 1, &rules(), 0);
        assert_eq!(found.iter().map(lasts).collect::<Vec<_>>(), [Duration::from_secs(60)]);
    }

    #[test]
    fn profile_is_named_once_however_many_transports_it_has() {
        let profile = |name: &str, state: &str| {
            format!("<profile>\n<name>{name}</name>\n<type>profile</type>\n<state>{state}</state>\n</profile>\n")
        };
        let xml = format!(
            "<profiles>\n{}{}{}{}<alias>\n<name>fs.test</name>\n<type>alias</type>\n</alias>\n</profiles>",
            profile("internal", "RUNNING (0)"),
            profile("internal", "RUNNING (0) (WSS)"),
            profile("external", "DOWN (0)"),
            profile("a b;c", "RUNNING (0)"),
        );
        assert_eq!(
            running(&xml).collect::<BTreeSet<_>>(),
            BTreeSet::from(["internal".to_owned()])
        );
    }
}
