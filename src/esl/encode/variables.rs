//! Variables on channels: a user's, and what CDRs and the dialplan read of a wake.

use std::fmt::Write as _;
use std::time::Duration;

use super::lease::{cause_word, seconds_up};
use super::word::Word;
use crate::engine::Record;
use crate::types::CallId;

/// Sets variables of a channel, several in one command. `uuid_setvar_multi` splits at `;` outside quotes, removes the
/// quotes, and reads `\'` and `\\` (switch_utils.c). What cannot be written so is left out.
pub fn set_variables(channel: &str, variables: &[(String, String)]) -> Vec<String> {
    const AT_ONCE: usize = 50;
    let escaped = |(name, value): &(String, String)| {
        // A name may have a prefix, as in `nolocal:x`.
        let is_name = !name.is_empty() && name.split(':').all(|part| part.is_empty() || Word::new(part).is_some());
        let is_written = is_name && value.len() <= 4096 && !value.chars().any(char::is_control);
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        is_written.then(|| format!("{name}='{value}'"))
    };
    let all: Vec<_> = variables.iter().filter_map(escaped).collect();
    let command = |some: &[String]| format!("uuid_setvar_multi {channel} {}", some.join(";"));
    all.chunks(AT_ONCE).map(command).collect()
}

/// Clears these variables of a channel; `None` if there are none.
pub fn forget_hooks<'a>(channel: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let pairs: Vec<String> = names
        .filter_map(Word::new)
        .map(Word::as_str)
        .map(|name| format!("{name}="))
        .collect();
    (!pairs.is_empty()).then(|| format!("uuid_setvar_multi {channel} {}", pairs.join(";")))
}

/// Sets the held channel's variables while it is held, and before it is handed back or ended.
pub fn report(held: &str, call: CallId, result: &str, record: &Record) -> String {
    let variables = reported(call, result, record);
    format!("uuid_setvar_multi {held} {}", variables.trim_start_matches(';'))
}

/// The same as more variables for another command.
pub fn reported(call: CallId, result: &str, record: &Record) -> String {
    format!(
        ";fswake_result={result};fswake_call={call}{}{}",
        of_wake(record),
        // The dialplan's plain bridge must not ring what FreeSWITCH rings.
        if record.rung_by_freeswitch {
            ";fswake_ring=woken"
        } else {
            ""
        }
    )
}

/// More variables for [`report`]: make the dialplan's `bridge` end as if it had rung the phones itself. FreeSWITCH's
/// endpoint `error/` ends it with the phones' cause, and FreeSWITCH decides what follows (`continue_on_fail`, ..).
pub fn fails(cause: &str) -> String {
    let cause = cause_word(cause);
    format!(";fswake_cause={cause};fswake_bridge=error/{cause};originate_signal_bond=")
}

/// The SIP status that the phones gave, for whoever called: FreeSWITCH answers with it rather than with its cause's
/// own.
pub fn status(a_leg: &str, status: Option<u16>) -> String {
    let status = status.map(|s| format!("sip:{s}")).unwrap_or_default();
    format!("uuid_setvar {a_leg} last_bridge_proto_specific_hangup_cause {status}")
}

/// One more variable for [`report`]: how long the dialplan's `bridge` may still ring.
pub fn time_left(left: Duration) -> String {
    format!(";call_timeout={}", seconds_up(left))
}

/// More variables for [`report`] while the call is held: what `bridge` leaves on a channel that hangs up while phones
/// ring. A channel takes no variables after its hangup.
pub const IF_CANCELLED: &str = ";originate_disposition=ORIGINATOR_CANCEL;DIALSTATUS=CANCEL";

/// More variables: what a CDR shows of the wake.
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn hooks_are_taken_off_by_name() {
        let names = ["execute_on_answer", "api_on_ring_2", "execute_on_x;y"];
        assert_eq!(
            forget_hooks("u", names.into_iter()).as_deref(),
            Some("uuid_setvar_multi u execute_on_answer=;api_on_ring_2=")
        );
        assert_eq!(forget_hooks("u", [].into_iter()), None);
    }

    #[test]
    fn dialplan_is_told_the_phones_cause() {
        assert_eq!(
            fails("USER_BUSY"),
            ";fswake_cause=USER_BUSY;fswake_bridge=error/USER_BUSY;originate_signal_bond="
        );
        assert!(fails("X;y=${z}").contains("=error/NORMAL_CLEARING;"));
        assert!(status("u", Some(486)).ends_with("_cause sip:486"));
        assert!(status("u", None).ends_with("_cause "));
        assert_eq!(time_left(Duration::from_millis(4100)), ";call_timeout=5");
    }

    #[test]
    fn record_of_a_wake_is_plain_words_whatever_the_phone_calls_its_app() {
        let call = CallId(Uuid::nil());
        let record = Record {
            pushes: 2,
            wake: Some(Duration::from_micros(812_900)),
            device: Some("apns:a b;x=${y}\nuuid_kill:0badcafe".into()),
            rung_by_freeswitch: false,
        };
        assert_eq!(
            report("u", call, "timeout", &record),
            format!(
                "uuid_setvar_multi u fswake_result=timeout;fswake_call={call};fswake_pushes=2;fswake_wake_ms=812;\
                 fswake_device=apns:a_b_x___y__uuid_kill:0badcafe"
            )
        );
        assert!(report("u", call, "held", &Record::default()).ends_with(";fswake_pushes=0"));
        let beside = Record {
            rung_by_freeswitch: true,
            ..Record::default()
        };
        assert!(report("u", call, "held", &beside).ends_with(";fswake_pushes=0;fswake_ring=woken"));
    }
}
