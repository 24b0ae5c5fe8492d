//! Describes a call as short, comparable text.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{VANILLA_DOMAIN, filled};
use fswake_test_support::sip::{Message, Noise, Phone, What, read_sdp};
use regex::Regex;

use super::cast::Cast;
use super::record;
use super::row::{Look, Who};

/// An observation as text.
pub async fn at(cast: &Cast<'_>, what: &Look) -> String {
    let text = match what {
        Look::Answers => answers(cast),
        Look::RingsInTime => rings_in_time(cast),
        Look::Header(who, name) => match last_invite(cast.phone(*who)) {
            Some(invite) => header(&invite, name),
            None => "no INVITE".to_owned(),
        },
        Look::AnswerHeader(name) => match cast.call.answers().iter().find(|m| m.status() == Some(200)) {
            Some(answer) => header(answer, name),
            None => "no 200".to_owned(),
        },
        Look::Display(who) => display(cast, *who),
        Look::Offered(who) => match last_invite(cast.phone(*who)) {
            Some(invite) => read_sdp(&invite.body).in_short(),
            None => "no INVITE".to_owned(),
        },
        Look::Media(who) => cast
            .leg(*who)
            .map_or("no call".to_owned(), |leg| leg.theirs().in_short()),
        Look::Codecs => codecs(cast).await,
        Look::Invites(who) => cast.phone(*who).invites().to_string(),
        Look::Hears(who, ms) => hears(cast, *who, *ms).await,
        Look::HeardWhileItRang => heard_while_it_rang(cast),
        Look::Sees(who, ms) => match cast.leg(*who) {
            Some(leg) => senders(&leg.watch_video(Duration::from_millis(*ms)).await, "video"),
            None => "no call".to_owned(),
        },
        Look::Faxed(who, ms) => match cast.leg(*who) {
            Some(leg) => senders(&leg.watch_fax(Duration::from_millis(*ms)).await, "T.38"),
            None => "no call".to_owned(),
        },
        Look::Reoffered(who) => reoffered(cast, *who),
        Look::HeardEarly => heard_early(cast),
        Look::Direct => direct(cast),
        Look::Variable(who, name) => variable(cast, *who, name).await,
        Look::Left(name) => {
            let command = format!("global_getvar fid-{}-{name}", cast.id);
            cast.site.fs.api(&command).await
        }
        Look::Calls => record::calls(cast).await,
        Look::End(who) => end(cast, *who, true),
        Look::EndCause(who) => end(cast, *who, false),
        Look::EndsWithin(who, ms) => ends_within(cast, *who, *ms),
        Look::Booked(result, step) => booked(cast, result, step).await,
        Look::Channels => record::channels(cast).await,
        Look::CallsOf(who) => cast.phone(*who).legs().len().to_string(),
        Look::XmlCdrs(names) => record::xml_cdrs(cast, names).await,
        Look::CsvCdrs => record::csv_cdrs(cast).await,
        Look::OtherLeg(who) => match channel(cast, *who).await {
            Some(channel) => record::other_leg(cast, &channel).await,
            None => "no channel".to_owned(),
        },
        Look::Took(from, to) => {
            let took = u64::try_from(cast.call.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            match took {
                took if took < *from => format!("{} s: too early", took / 1000),
                took if took > *to => format!("{} s: too late", took / 1000),
                _ => "in time".to_owned(),
            }
        }
        Look::Cdrs(names) => record::cdrs(cast, names).await,
        Look::Lamp => record::lamp(cast),
        Look::Digits(who) => digits(cast, *who),
        Look::RungBy(who) => match last_invite(cast.phone(*who)) {
            Some(invite) if invite.header("X-Fswake-Call").is_empty() => "the bridge".to_owned(),
            Some(_) => "fswake".to_owned(),
            None => "nobody".to_owned(),
        },
        Look::Settled => {
            let hears = hears(cast, Who::Caller, 400).await;
            let with = [Who::Callee, Who::Desk].map(|who| (cast.up(who), format!("voice of {}", who.voice())));
            let up = with.iter().filter(|(leg, _)| leg.is_some()).count();
            let heard = with.iter().any(|(leg, voice)| leg.is_some() && *voice == hears);
            if up == 1 && heard {
                "yes".to_owned()
            } else {
                format!("{up} are up, caller hears {hears}")
            }
        }
        Look::Tokens => record::tokens(cast).await,
        Look::Recorded(name) => {
            let file = cast.site.fs.recordings().join(format!("fid-{}-{name}.wav", cast.id));
            let length = std::fs::metadata(file).map_or(0, |m| m.len());
            // The whole call: nearly two seconds of 16,000 bytes each.
            if length > 24_000 { "is there" } else { "is not there" }.to_owned()
        }
    };
    plain(&text, cast)
}

/// Removes what differs between any two calls.
pub fn plain(text: &str, cast: &Cast<'_>) -> String {
    static UUID: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").expect("a regex"));
    static TAG: LazyLock<Regex> = LazyLock::new(|| Regex::new(";tag=[A-Za-z0-9]+").expect("a regex"));
    // Of baresip's Contacts.
    static PART: LazyLock<Regex> = LazyLock::new(|| Regex::new("-0x[0-9a-f]+").expect("a regex"));
    static PLACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"127\.0\.0\.1:\d+").expect("a regex"));
    let mut text = text.trim().replace(&cast.channel, "CALLER");
    for fs in cast.stage.all() {
        for port in [fs.ports.sip, fs.ports.node] {
            text = text.replace(&port.to_string(), "SWITCH");
        }
    }
    text = PLACE.replace_all(&text, "PHONE").into_owned();
    text = UUID.replace_all(&text, "UUID").into_owned();
    text = TAG.replace_all(&text, "").into_owned();
    text = PART.replace_all(&text, "").into_owned();
    for phone in 0..10 {
        text = text.replace(&format!("{}{phone}", cast.id), &format!("user{phone}"));
    }
    text = text.replace(&cast.id, "row");
    text.replace(VANILLA_DOMAIN, "DOMAIN")
        .replace("127.0.0.1", "SWITCH")
        .replace('|', "/")
}

fn header(message: &Message, name: &str) -> String {
    let all: Vec<&str> = message.all(name).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(" + ")
    }
}

fn last_invite(phone: &Phone) -> Option<Arc<Message>> {
    let happenings = phone.happenings();
    happenings.iter().rev().find_map(|h| match &h.what {
        What::Invited(invite) => Some(invite.clone()),
        _ => None,
    })
}

fn answers(cast: &Cast<'_>) -> String {
    let mut told: Vec<String> = Vec::new();
    for answer in cast.call.answers() {
        let status = answer.status().unwrap_or_default();
        let sdp = if answer.body.is_empty() || status == 200 {
            ""
        } else {
            " with SDP"
        };
        let text = format!("{status}{sdp}");
        if status != 100 && told.last() != Some(&text) {
            told.push(text);
        }
    }
    if told.is_empty() {
        "none".to_owned()
    } else {
        told.join(", ")
    }
}

fn rings_in_time(cast: &Cast<'_>) -> String {
    let is_ringing = |m: &&Arc<Message>| matches!(m.status(), Some(180 | 183));
    let heard = cast.call.answers().iter().find(is_ringing).map(|m| m.at);
    let rang = |who| {
        let phone: Option<&Phone> = cast.phones.get(&who);
        let all = phone.map(Phone::happenings).unwrap_or_default();
        all.iter().find(|h| matches!(h.what, What::Rang)).map(|h| h.at)
    };
    let rang = [Who::Callee, Who::Other].into_iter().filter_map(rang).min();
    let early = Duration::from_millis(3);
    match (heard, rang) {
        (None, _) => "never".to_owned(),
        (Some(_), None) => "no phone rang".to_owned(),
        (Some(heard), Some(rang)) if heard + early < rang => "before the phone".to_owned(),
        (Some(heard), Some(rang)) if heard > rang + Duration::from_millis(900) => "late".to_owned(),
        _ => "with the phone".to_owned(),
    }
}

/// The far end's name and number, from the last message that has them.
fn display(cast: &Cast<'_>, who: Who) -> String {
    let Some(leg) = cast.leg(who) else {
        return "no call".to_owned();
    };
    let mut shown = "nothing".to_owned();
    for message in leg.messages() {
        for name in ["From", "Remote-Party-ID", "P-Asserted-Identity"] {
            let is_callers_from = name == "From" && message.status().is_some();
            let value = message.header(name);
            if !value.is_empty() && !is_callers_from && !message.method().starts_with("NOTIFY") {
                value
                    .split([';', '>'])
                    .next()
                    .unwrap_or_default()
                    .clone_into(&mut shown);
                shown = shown.replace('<', "");
            }
        }
    }
    shown
}

async fn codecs(cast: &Cast<'_>) -> String {
    let mut told = Vec::new();
    for who in [Who::Caller, Who::Callee] {
        let codec = variable(cast, who, "read_codec").await;
        told.push(codec);
    }
    format!("caller {}, callee {}", told[0], told[1])
}

async fn channel(cast: &Cast<'_>, who: Who) -> Option<String> {
    match who {
        Who::Caller => Some(cast.channel.clone()),
        _ => cast.callee_channel().await,
    }
}

async fn variable(cast: &Cast<'_>, who: Who, name: &str) -> String {
    match channel(cast, who).await {
        Some(channel) => cast.site.fs.api(&format!("uuid_getvar {channel} {name}")).await,
        None => "no channel".to_owned(),
    }
}

/// The most frequent value.
fn noise(heard: &[Noise], ms: u64) -> String {
    let packets = u64::try_from(heard.len()).unwrap_or(u64::MAX);
    if packets * 20 < ms / 4 {
        return "nothing".to_owned();
    }
    let count = |kind: &dyn Fn(&Noise) -> bool| heard.iter().filter(|n| kind(n)).count();
    let voices = (0..10).map(|v| (count(&|n| *n == Noise::Voice(v)), format!("voice of {v}")));
    let kinds = [
        (count(&|n| *n == Noise::Tone), "a tone".to_owned()),
        (count(&|n| *n == Noise::Quiet), "silence".to_owned()),
        (count(&|n| matches!(n, Noise::Other(_))), "something".to_owned()),
    ];
    let enough = heard.len() / 5;
    let most = voices
        .chain(kinds.clone())
        .filter(|(n, _)| *n > enough)
        .max_by_key(|(n, what)| {
            // A tone has pauses.
            (what == "a tone", *n)
        });
    most.map_or("a mixture".to_owned(), |(_, what)| what)
}

/// What is heard now. On a busy machine it may take a while, so use it for a steady state.
async fn hears(cast: &Cast<'_>, who: Who, ms: u64) -> String {
    let mut told = String::new();
    for _ in 0..3 {
        told = match cast.leg(who) {
            Some(leg) => noise(&leg.listen(Duration::from_millis(ms)).await, ms),
            None => "no call".to_owned(),
        };
        if told != "nothing" {
            break;
        }
    }
    told
}

/// The phones that sent packets; a few stray ones do not count.
fn senders(came: &[Option<u8>], what: &str) -> String {
    let from = |voice: Option<u8>| came.iter().filter(|v| **v == voice).count() > 3;
    let mut told: Vec<String> = (0..10)
        .filter(|voice| from(Some(*voice)))
        .map(|voice| format!("{what} of {voice}"))
        .collect();
    if from(None) {
        told.push("something else".to_owned());
    }
    if told.is_empty() {
        "nothing".to_owned()
    } else {
        told.join(" and ")
    }
}

/// The offers in re-INVITEs, in order.
fn reoffered(cast: &Cast<'_>, who: Who) -> String {
    let Some(leg) = cast.leg(who) else {
        return "no call".to_owned();
    };
    let messages = leg.messages();
    let is_again = |m: &&Arc<Message>| m.status().is_none() && m.method() == "INVITE" && m.tag("To").is_some();
    let told: Vec<String> = messages
        .iter()
        .filter(is_again)
        .map(|m| match m.body.trim() {
            "" => "no offer".to_owned(),
            body => read_sdp(body).in_short(),
        })
        .collect();
    if told.is_empty() {
        "nothing".to_owned()
    } else {
        told.join(", then ")
    }
}

fn heard_early(cast: &Cast<'_>) -> String {
    let answered = cast
        .call
        .answers()
        .iter()
        .find(|m| m.status() >= Some(200))
        .map(|m| m.at);
    let until = answered.unwrap_or_else(Instant::now);
    let heard = cast.call.leg().heard();
    let early: Vec<Noise> = heard.iter().filter(|(at, _)| *at < until).map(|(_, n)| *n).collect();
    // At least a fifth of a second.
    noise(&early, 800)
}

/// The time from when the callee's phone began to ring (and the ringback started) until it was answered. Only ringback
/// can be heard then, so silence is noticed too.
fn heard_while_it_rang(cast: &Cast<'_>) -> String {
    let happenings = cast.phone(Who::Callee).happenings();
    let at = |wanted: fn(&What) -> bool| happenings.iter().find(|h| wanted(&h.what)).map(|h| h.at);
    let (Some(rang), Some(answered)) = (at(|w| matches!(w, What::Rang)), at(|w| matches!(w, What::Answered))) else {
        return "it did not ring, or was not answered".to_owned();
    };
    let rang = rang + Duration::from_millis(400);
    let heard = cast.call.leg().heard();
    let heard: Vec<Noise> = heard
        .iter()
        .filter(|(at, _)| (rang..answered).contains(at))
        .map(|(_, noise)| *noise)
        .collect();
    let time = answered.saturating_duration_since(rang).as_millis();
    noise(&heard, u64::try_from(time).unwrap_or(u64::MAX))
}

/// Whether a phone's call ended soon after FreeSWITCH answered the last command.
fn ends_within(cast: &Cast<'_>, who: Who, ms: u64) -> String {
    let happenings = cast.phone(who).happenings();
    let end = happenings
        .iter()
        .rev()
        .find(|h| matches!(h.what, What::Ended(_) | What::Cancelled(_)));
    match (cast.ordered(), end.map(|h| h.at)) {
        (None, _) => "no command".to_owned(),
        (_, None) => "never".to_owned(),
        // If FreeSWITCH is slow to answer, the machine is busy.
        (Some((ordered, busy)), Some(end)) => match end.saturating_duration_since(ordered) {
            took if took <= Duration::from_millis(ms) + 10 * busy => "in time".to_owned(),
            took => format!("after {} ms", took.as_millis()),
        },
    }
}

/// The plain bridge, without fswake, always passes.
async fn booked(cast: &Cast<'_>, result: &str, words: &str) -> String {
    match cast.booked().await {
        None => "rightly".to_owned(),
        Some((is, steps)) if is == result && steps.contains(&filled(words, &cast.id)) => "rightly".to_owned(),
        Some((is, steps)) => format!("{is}: {}", plain(&steps, cast)),
    }
}

/// Whether the audio goes directly between caller and callee, if both are in a call.
pub fn is_straight(cast: &Cast<'_>) -> Option<bool> {
    let (caller, callee) = (cast.leg(Who::Caller)?, cast.leg(Who::Callee)?);
    let port = |session: fswake_test_support::sip::Session| session.audio().map(|m| m.port);
    Some(port(caller.theirs()) == port(callee.ours()) && port(callee.theirs()) == port(caller.ours()))
}

fn direct(cast: &Cast<'_>) -> String {
    match is_straight(cast) {
        Some(true) => "straight",
        Some(false) => "through FreeSWITCH",
        None => "no call",
    }
    .to_owned()
}

fn end(cast: &Cast<'_>, who: Who, whole: bool) -> String {
    let Some(leg) = cast.leg(who) else {
        return "no call".to_owned();
    };
    match leg.end() {
        Some(reason) if whole => reason,
        Some(reason) => {
            let cause = reason.split("cause=").nth(1).unwrap_or_default();
            format!("cause {}", cause.split(';').next().unwrap_or_default())
        }
        None if leg.is_up() => "is up".to_owned(),
        None => "ended it itself".to_owned(),
    }
}

/// The digits, each once, although each takes several packets.
fn digits(cast: &Cast<'_>, who: Who) -> String {
    let Some(leg) = cast.leg(who) else {
        return "no call".to_owned();
    };
    let (mut told, mut last) = (String::new(), None);
    for (_, noise) in leg.heard() {
        let digit = match noise {
            Noise::Digit(digit) => Some(digit),
            _ => None,
        };
        if let Some(digit) = digit.filter(|_| last != digit) {
            told.push("0123456789*#ABCD".chars().nth(usize::from(digit)).unwrap_or('?'));
        }
        last = digit;
    }
    told
}
