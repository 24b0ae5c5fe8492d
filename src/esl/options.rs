//! A held channel's variables that set how fswake treats the call: read, checked, typed. Pure.
//!
//! What reaches a channel: on the caller's own channel, what its dialplan set. On a loopback's B channel (measured with
//! 1.10.12), what `<>`, `{}` and `[]` of the dial-string set and what the caller's channel exports; not what it only
//! sets.

use std::time::Duration;

use crate::engine::{CallOptions, EarlyMedia, Mode, Ringing};
use crate::types::Printable;

/// What a channel's variables set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// For the engine.
    pub options: CallOptions,
    /// The shortest of the call's own limits.
    pub max_wait: Option<Duration>,
    /// Only the user's dial-string can tell whether FreeSWITCH rings the plain contacts itself. The answer without it
    /// is in `options`.
    pub ask_directory: bool,
    /// Values that were ignored, for the log.
    pub ignored: Vec<String>,
}

/// Reads them all. `get` returns a header without blanks around it, or `None` if it is empty.
pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Variables {
    let mut asked = Variables::default();
    let whole = seconds("originate_timeout", for_legs(&get, "originate_timeout"), &mut asked);
    let set = seconds("call_timeout", get("variable_call_timeout"), &mut asked);
    let each = seconds("leg_timeout", for_legs(&get, "leg_timeout"), &mut asked);
    asked.max_wait = [whole, set, each].into_iter().flatten().min();
    let no_push = flag(&get, "enable_send_apn", &mut asked) == Some(false);
    // mod_apn's sample uses the second name, its code the first.
    let any = flag(&get, "apn_wait_any_register", &mut asked);
    let any = any.or_else(|| flag(&get, "apn_originate_wait_any_register", &mut asked));
    let beside = beside(&get, any == Some(true), &mut asked);
    asked.options = CallOptions {
        push_awake: false,
        no_push,
        wait_any: any == Some(true),
        ringing: if beside { Ringing::FreeSwitch } else { Ringing::Ours },
        hands_off: get("variable_originate_reg_token").is_some(),
        mode: mode(&get, &mut asked),
        // On a loopback it is the loopback's: FreeSWITCH sets it on every part of a `:_:` dial-string.
        leg_timeout: each.is_some() && each == asked.max_wait,
        early_media: match get("variable_ignore_early_media") {
            Some("ring_ready") => EarlyMedia::Rings,
            Some(value) if !is_false(value) => EarlyMedia::Ignored,
            _ => EarlyMedia::PassedOn,
        },
    };
    asked
}

/// The value that a variable would have on a leg of `bridge`: on a loopback its own, which the dial-string or an export
/// set; on the caller's channel an exported one.
pub fn for_legs<'a>(get: &impl Fn(&str) -> Option<&'a str>, name: &str) -> Option<&'a str> {
    if get("variable_loopback_leg").is_some() {
        return get(&format!("variable_{name}"));
    }
    let exports = get("variable_export_vars")?;
    let marks = ["", "nolocal:", "_nolocal_"];
    let names = marks.iter().map(|mark| format!("{mark}{name}"));
    let mut exported = names.filter(|exported| exports.split(',').any(|e| e.trim().eq_ignore_ascii_case(exported)));
    exported.find_map(|name| get(&format!("variable_{name}")))
}

/// `fswake_mode` and `fswake_wait`.
fn mode<'a>(get: &impl Fn(&str) -> Option<&'a str>, asked: &mut Variables) -> Option<Mode> {
    let mut choice = |name: &str, words: [&str; 2]| {
        let value = get(&format!("variable_{name}"))?;
        let found = words.iter().position(|word| value.eq_ignore_ascii_case(word));
        if found.is_none() {
            let value = shortened(value);
            let [one, other] = words;
            asked
                .ignored
                .push(format!("{name}={} is ignored: {one} or {other}", Printable(&value)));
        }
        found
    };
    let waits_for_all = choice("fswake_wait", ["first", "all"]) == Some(1);
    Some(match choice("fswake_mode", ["connect", "wake"])? {
        0 => Mode::Connect,
        _ if waits_for_all => Mode::WakeAll,
        _ => Mode::WakeFirst,
    })
}

/// Whether FreeSWITCH rings the plain contacts itself, as far as the channel shows.
fn beside<'a>(get: &impl Fn(&str) -> Option<&'a str>, waits_for_any: bool, asked: &mut Variables) -> bool {
    match get("variable_fswake_ring") {
        Some("woken") => return true,
        Some("all") => return false,
        Some(other) => asked.ignored.push(format!(
            "fswake_ring={} is ignored: woken or all",
            Printable(&shortened(other))
        )),
        None => {}
    }
    if get("variable_loopback_leg") != Some("B") {
        return false;
    }
    // FreeSWITCH sets both for every part of a `:_:` dial-string, the first where there is a caller; others may set the
    // second.
    let enterprise =
        get("variable_ent_originate_aleg_uuid").is_some() || get("variable_ignore_early_media") == Some("true");
    asked.ask_directory = enterprise;
    enterprise && waits_for_any
}

/// The longest limit of a call, in seconds: FreeSWITCH reads it as an `int`, and fswake sends one second more.
const LONGEST: u64 = 0x7fff_fffe;

/// Whole seconds. 0 means no limit to FreeSWITCH.
fn seconds(name: &str, value: Option<&str>, asked: &mut Variables) -> Option<Duration> {
    let value = value?;
    let Ok(seconds) = value.parse::<u64>() else {
        let value = shortened(value);
        asked
            .ignored
            .push(format!("{name}={} is ignored: whole seconds", Printable(&value)));
        return None;
    };
    (seconds > 0).then(|| Duration::from_secs(seconds.min(LONGEST)))
}

/// Whether a value means yes to FreeSWITCH (`switch_true`).
pub fn is_true(value: &str) -> bool {
    let words = ["true", "yes", "on", "enable", "enabled", "active", "allow"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word)) || value.parse::<i64>().is_ok_and(|n| n != 0)
}

/// Whether a value means no to FreeSWITCH (`switch_false`).
pub fn is_false(value: &str) -> bool {
    let words = ["false", "no", "off", "disable", "disabled", "inactive", "disallow"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word)) || value.parse::<i64>() == Ok(0)
}

/// The words for yes and no that FreeSWITCH accepts.
fn flag<'a>(get: &impl Fn(&str) -> Option<&'a str>, name: &str, asked: &mut Variables) -> Option<bool> {
    let value = get(&format!("variable_{name}"))?;
    if is_true(value) {
        return Some(true);
    }
    if is_false(value) {
        return Some(false);
    }
    let value = shortened(value);
    asked
        .ignored
        .push(format!("{name}={} is ignored: true or false", Printable(&value)));
    None
}

/// Enough of a value to recognise it.
fn shortened(value: &str) -> String {
    value.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &'static str)]) -> Variables {
        read(|name: &str| {
            let name = name.strip_prefix("variable_")?;
            pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn nothing_asked_is_nothing_wished() {
        assert_eq!(asked(&[]), Variables::default());
    }

    #[test]
    fn the_shortest_of_the_calls_own_limits_counts_and_zero_is_none() {
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let of_a_loopback = [pairs, &[("loopback_leg", "B")]].concat();
            asked(&of_a_loopback).max_wait.map(|d| d.as_secs())
        };
        assert_eq!(wait(&[("originate_timeout", "20"), ("call_timeout", "9")]), Some(9));
        assert_eq!(wait(&[("originate_timeout", "20"), ("leg_timeout", "7")]), Some(7));
        assert_eq!(wait(&[("originate_timeout", "20"), ("call_timeout", "0")]), Some(20));
        assert_eq!(wait(&[("originate_timeout", "0")]), None);
    }

    #[test]
    fn on_the_callers_own_channel_a_legs_limit_counts_where_it_is_exported() {
        let wait = |pairs: &[(&str, &'static str)]| asked(pairs).max_wait.map(|d| d.as_secs());
        assert_eq!(wait(&[("originate_timeout", "3"), ("leg_timeout", "4")]), None);
        assert_eq!(wait(&[("call_timeout", "9"), ("leg_timeout", "4")]), Some(9));
        for (exported, name) in [
            ("leg_timeout", "leg_timeout"),
            ("a,nolocal:leg_timeout", "nolocal:leg_timeout"),
        ] {
            assert_eq!(wait(&[("export_vars", exported), (name, "4")]), Some(4), "{name}");
        }
    }

    #[test]
    fn mode_is_the_calls_own_where_it_says_one() {
        let mode = |pairs: &[(&str, &'static str)]| asked(pairs).options.mode;
        assert_eq!(mode(&[]), None);
        assert_eq!(mode(&[("fswake_mode", "wake")]), Some(Mode::WakeFirst));
        assert_eq!(
            mode(&[("fswake_mode", "Wake"), ("fswake_wait", "all")]),
            Some(Mode::WakeAll)
        );
        assert_eq!(
            mode(&[("fswake_mode", "connect"), ("fswake_wait", "all")]),
            Some(Mode::Connect)
        );
        let odd = asked(&[("fswake_mode", "push"), ("fswake_wait", "none")]);
        assert_eq!((odd.options.mode, odd.ignored.len()), (None, 2));
    }

    #[test]
    fn freeswitchs_words_for_yes_and_no_are_understood() {
        for (value, no_push) in [
            ("false", true),
            ("No", true),
            ("0", true),
            ("true", false),
            ("1", false),
        ] {
            assert_eq!(asked(&[("enable_send_apn", value)]).options.no_push, no_push, "{value}");
        }
        for name in ["apn_wait_any_register", "apn_originate_wait_any_register"] {
            assert!(asked(&[(name, "true")]).options.wait_any, "{name}");
            assert!(!asked(&[(name, "off")]).options.wait_any, "{name}");
        }
        assert!(asked(&[("originate_reg_token", "abc")]).options.hands_off);
    }

    #[test]
    fn values_that_mean_nothing_are_named_and_ignored() {
        let odd = asked(&[
            ("loopback_leg", "B"),
            ("originate_timeout", "soon"),
            ("call_timeout", "-5"),
            ("enable_send_apn", "perhaps\u{1b}[2J"),
            ("apn_wait_any_register", "maybe"),
            ("fswake_ring", "twice"),
        ]);
        assert_eq!((odd.options, odd.max_wait), (CallOptions::default(), None));
        assert_eq!(odd.ignored.len(), 5);
        assert!(odd.ignored.iter().all(|line| !line.contains('\u{1b}')), "{odd:?}");
    }

    #[test]
    fn plain_contacts_beside_a_loopback_are_left_to_freeswitch() {
        let ringing = |pairs: &[(&str, &'static str)]| {
            let asked = asked(pairs);
            (asked.options.ringing, asked.ask_directory)
        };
        let any = ("apn_wait_any_register", "true");
        let b = ("loopback_leg", "B");
        let by_caller = ("ent_originate_aleg_uuid", "u");
        let enterprise = ("ignore_early_media", "true");
        assert_eq!(ringing(&[("fswake_ring", "woken")]), (Ringing::FreeSwitch, false));
        assert_eq!(ringing(&[b, enterprise, any]), (Ringing::FreeSwitch, true));
        assert_eq!(ringing(&[b, by_caller]), (Ringing::Ours, true));
        assert_eq!(
            ringing(&[b, any]),
            (Ringing::Ours, false),
            "exported, to a dial-string of fswake's own"
        );
        assert_eq!(
            ringing(&[enterprise, any]),
            (Ringing::Ours, false),
            "the caller's own channel"
        );
        assert_eq!(
            ringing(&[b, enterprise, any, ("fswake_ring", "all")]),
            (Ringing::Ours, false)
        );
    }
}
