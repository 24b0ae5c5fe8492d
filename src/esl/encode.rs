//! What is written to FreeSWITCH: command texts, pure.
//!
//! Everything from the network passes one of the functions here before it stands in a command:
//! [`number`], [`name`], [`codecs`], or it is a dial-string from `contact`'s writer, or a UUID of ours.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::engine::Record;
use crate::types::{CallId, LegId};

/// A leg outlives a dead fswake by this long at most, in seconds: FreeSWITCH hangs it up unless the lease is renewed.
pub const LEASE_SECONDS: u32 = 4;

/// How often the lease of a ringing leg is renewed.
pub const LEASE_RENEWAL: Duration = Duration::from_millis(1500);

/// What a leg needs to know besides its target.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Caller's number, as FreeSWITCH gave it.
    pub caller_number: Arc<str>,
    /// Caller's name, as FreeSWITCH gave it.
    pub caller_name: Arc<str>,
    /// The codecs that the caller offered (`variable_ep_codec_string`); `None` offers FreeSWITCH's own.
    pub codecs: Option<String>,
    /// The caller withholds number and name.
    pub private: bool,
}

/// `originate` of one leg, parked when answered.
pub fn originate(
    leg: LegId,
    target: &str,
    sip_call_id: &str,
    timeout: Duration,
    park: Duration,
    offer: &Offer,
) -> String {
    let channel = leg.channel();
    // FreeSWITCH counts full seconds of the clock, so N lasts between N - 1 and N (measured). The engine's own deadline ends
    // the leg; this one is behind it.
    let timeout = seconds_up(timeout) + 1;
    let park = seconds_up(park);
    let call = leg.call;
    let mut vars = format!(
        "origination_uuid={channel},originate_timeout={timeout},ignore_early_media=true,park_timeout={park},\
         sip_invite_call_id={sip_call_id},sip_h_X-Fswake-Call={call},\
         api_on_originate='sched_hangup +{LEASE_SECONDS} {channel} LOSE_RACE'"
    );
    let number = number(&offer.caller_number);
    if !number.is_empty() {
        vars.push_str(",origination_caller_id_number=");
        vars.push_str(&number);
    }
    let name = name(&offer.caller_name);
    if !name.is_empty() {
        vars.push_str(",origination_caller_id_name='");
        vars.push_str(&name);
        vars.push('\'');
    }
    if offer.private {
        vars.push_str(",origination_privacy=hide_name:hide_number");
    }
    if let Some(codecs) = offer.codecs.as_deref().and_then(codecs) {
        vars.push_str(",absolute_codec_string=^^:");
        vars.push_str(&codecs);
    }
    format!("originate {{{vars}}}{target} &park()")
}

/// `uuid_kill` with a cause; a cause that is not one of FreeSWITCH's words becomes `NORMAL_CLEARING`.
pub fn kill(channel: impl std::fmt::Display, cause: &str) -> String {
    format!("uuid_kill {channel} {}", word(cause).unwrap_or("NORMAL_CLEARING"))
}

/// Ends the lease of a leg.
pub fn lease_end(channel: Uuid) -> String {
    format!("sched_del {channel}")
}

/// Starts the lease of a leg anew.
pub fn lease_renew(channel: Uuid) -> String {
    format!("sched_hangup +{LEASE_SECONDS} {channel} LOSE_RACE")
}

/// The held channel's variables before it is answered: the leg's codec, and that it ends with the leg.
pub fn prepare_answer(held: &str, call: CallId, codec: Option<&str>) -> String {
    let mut command = format!("uuid_setvar_multi {held} hangup_after_bridge=true;fswake_call={call}");
    if let Some(codec) = codec.and_then(word) {
        command.push_str(";absolute_codec_string=");
        command.push_str(codec);
    }
    command
}

/// The held channel's variables once it is bridged: from now on it lives without us.
pub fn bridged(held: &str, record: &Record) -> String {
    format!(
        "uuid_setvar_multi {held} socket_resume=false;fswake_result=connected{}",
        of_wake(record)
    )
}

/// One more variable for [`report`]: the plain bridge that comes next in the dialplan must not ring what FreeSWITCH rings.
pub const RUNG_BESIDE: &str = ";fswake_ring=woken";

/// The held channel's variables while it is held, and before it goes back to the dialplan or is ended.
pub fn report(held: &str, call: CallId, result: &str, record: &Record) -> String {
    format!(
        "uuid_setvar_multi {held} fswake_result={result};fswake_call={call}{}",
        of_wake(record)
    )
}

/// What a CDR says of the wake, as more variables.
fn of_wake(record: &Record) -> String {
    let mut vars = format!(";fswake_pushes={}", record.pushes);
    if let Some(wake) = record.wake {
        let _ = write!(vars, ";fswake_wake_ms={}", wake.as_millis());
    }
    if let Some(device) = &record.device {
        // The app's name in it is the phone's own text.
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || "._-:".contains(c) {
                c
            } else {
                '_'
            }
        };
        vars.push_str(";fswake_device=");
        vars.extend(device.chars().take(128).map(safe));
    }
    vars
}

/// A caller's number with nothing in it that means something to FreeSWITCH.
pub fn number(raw: &str) -> String {
    raw.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+*#.-_@".contains(*c))
        .take(64)
        .collect()
}

/// A caller's name for a quoted channel variable: no brackets, quotes, `:`, `$`, `\`, `^`, `|` or controls; `'` and `,` escaped.
///
/// FreeSWITCH splits a dial-string at `:_:` before it looks at quotes or braces, and dials every part (measured).
/// FreeSWITCH 1.10.12 reads `\'` and `\,` inside quotes as the character itself (measured).
pub fn name(raw: &str) -> String {
    let mut safe = String::new();
    for c in raw.trim().chars().take(80) {
        match c {
            '\'' | ',' => {
                safe.push('\\');
                safe.push(c);
            }
            '{' | '}' | '[' | ']' | '<' | '>' | '"' | '$' | '\\' | '^' | '|' | '`' => {}
            ':' => safe.push(' '),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe.trim().to_owned()
}

/// The codecs of a `variable_ep_codec_string`, in order, as `NAME@rateh@ptimei` separated by `:`.
pub fn codecs(ep_codec_string: &str) -> Option<String> {
    let list: Vec<String> = ep_codec_string
        .split(',')
        .filter_map(|codec| {
            let codec = codec
                .trim()
                .rsplit_once('.')
                .map_or(codec.trim(), |(_module, codec)| codec);
            let mut parts = codec.split('@');
            // No `_`: between two colons it would be another dial-string's beginning.
            let name = word(parts.next()?).filter(|name| !name.contains('_'))?;
            let rest: String = parts
                .filter(|p| p.ends_with('h') || p.ends_with('i'))
                .filter_map(word)
                .fold(String::new(), |all, part| all + "@" + part);
            Some(format!("{name}{rest}"))
        })
        .collect();
    (!list.is_empty()).then(|| list.join(":"))
}

/// A word of letters, digits, `_`, `-` and `.`, or nothing.
fn word(text: &str) -> Option<&str> {
    let safe =
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    safe.then_some(text)
}

fn seconds_up(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        for (raw, safe) in [
            ("O'Brien, Jr", r"O\'Brien\, Jr"),
            ("x}sofia/gateway/evil/1,{y", r"xsofia/gateway/evil/1\,y"),
            (r"a\'b", r"a\'b"),
            ("${system rm}", "system rm"),
            ("a\r\nbgapi b", "a  bgapi b"),
            ("a:_:sofia/gateway/evil/1:_:b", "a _ sofia/gateway/evil/1 _ b"),
            ("Zoë 電話", "Zoë 電話"),
        ] {
            assert_eq!(name(raw), safe, "{raw}");
        }
    }

    #[test]
    fn numbers_keep_digits_and_plus_only() {
        assert_eq!(number("+49 (30) 1,2'}"), "+493012");
    }

    #[test]
    fn codec_strings_lose_module_and_bit_rate() {
        let ep = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,mod_opus.opus@48000h@20i@2c";
        assert_eq!(codecs(ep).as_deref(), Some("PCMU@8000h@20i:opus@48000h@20i"));
        assert_eq!(codecs("}evil{"), None);
        assert_eq!(codecs("PCMU,_,PCMA").as_deref(), Some("PCMU:PCMA"));
    }

    #[test]
    fn hangup_causes_are_words() {
        let channel = Uuid::nil();
        assert!(kill(channel, "LOSE_RACE").ends_with(" LOSE_RACE"));
        assert!(kill(channel, "X\nbgapi shutdown").ends_with(" NORMAL_CLEARING"));
    }

    #[test]
    fn legs_never_ring_for_zero_seconds() {
        let leg = LegId {
            call: CallId(Uuid::nil()),
            n: 0,
        };
        let text = originate(
            leg,
            "sofia/internal/sip:1@h",
            "id",
            Duration::ZERO,
            Duration::from_millis(4500),
            &Offer::default(),
        );
        assert!(
            text.contains("originate_timeout=2,") && text.contains("park_timeout=5,"),
            "{text}"
        );
    }

    #[test]
    fn call_is_not_called_connected_before_it_is_bridged() {
        let call = CallId(Uuid::nil());
        assert!(!prepare_answer("u", call, Some("PCMA")).contains("fswake_result"));
        let bridged = bridged("u", &Record::default());
        assert!(bridged.contains("fswake_result=connected") && bridged.contains("socket_resume=false"));
    }

    #[test]
    fn record_of_a_wake_is_plain_words_whatever_the_phone_calls_its_app() {
        let call = CallId(Uuid::nil());
        let record = Record {
            pushes: 2,
            wake: Some(Duration::from_micros(812_900)),
            device: Some("apns:a b;x=${y}\nuuid_kill:0badcafe".into()),
        };
        assert_eq!(
            report("u", call, "timeout", &record),
            format!(
                "uuid_setvar_multi u fswake_result=timeout;fswake_call={call};fswake_pushes=2;fswake_wake_ms=812;\
                 fswake_device=apns:a_b_x___y__uuid_kill:0badcafe"
            )
        );
        assert!(report("u", call, "held", &Record::default()).ends_with(";fswake_pushes=0"));
    }

    #[test]
    fn private_callers_are_private_on_the_leg() {
        let leg = LegId {
            call: CallId(Uuid::nil()),
            n: 0,
        };
        let offer = Offer {
            private: true,
            ..Offer::default()
        };
        let text = originate(
            leg,
            "sofia/internal/sip:1@h",
            "id",
            Duration::from_secs(1),
            Duration::from_secs(1),
            &offer,
        );
        assert!(text.contains(",origination_privacy=hide_name:hide_number"), "{text}");
    }
}
