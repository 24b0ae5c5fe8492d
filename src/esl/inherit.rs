//! What a leg inherits from its parent channel. Pure.
//!
//! FreeSWITCH's `bridge` knows the A leg when it makes a leg, and copies what follows. An `originate` from the event
//! socket has no A leg and copies nothing (switch_ivr_originate.c, mod_sofia.c, in 1.10 and 1.11). So fswake reads the
//! same from the A leg's channel data and writes it into the `originate`. `origination_aleg_uuid` does the rest inside
//! FreeSWITCH: codecs, SDP, caller profile, `process_cdr`.
//!
//! Values come from callers and dialplans. Each is quoted for its position ([`quoted`]). What cannot be quoted safely
//! is left out and logged once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::encode::{Word, is_plain};
use super::options::is_false;
use crate::types::Printable;

/// Longer values are left out: FreeSWITCH reads commands byte by byte.
const LONGEST: usize = 2048;
/// Copied whether they are exported or not (mod_sofia.c, `sofia_outgoing_channel`).
const COPIED: [&str; 5] = [
    "sip_multipart",
    "rtp_video_fmtp",
    "sip-force-contact",
    "sip_sticky_contact",
    "sip_cid_type",
];
/// Copied from the A leg into an originate (switch_ivr_originate.c), as far as fswake's legs need it.
const ORIGINATE: [&str; 9] = [
    "group_confirm_key",
    "group_confirm_file",
    "group_confirm_error_file",
    "group_confirm_read_timeout",
    "group_confirm_timeout",
    "group_confirm_cancel_timeout",
    "group_confirm_early_ok",
    "progress_timeout",
    "language",
];
/// Never inherited, even if exported: fswake's legs have their own, and these would end, name or move them.
const OURS: [&str; 21] = [
    "absolute_codec_string",
    // The call's media passes through FreeSWITCH until it is bridged: docs/ARCHITECTURE.md.
    "bypass_media",
    "bypass_media_after_bridge",
    "call_timeout",
    "ignore_early_media",
    "leg_timeout",
    "max_forwards",
    "originate_continue_on_timeout",
    "originate_retries",
    "originate_timeout",
    "originating_leg_uuid",
    "origination_aleg_uuid",
    "origination_caller_id_name",
    "origination_caller_id_number",
    "origination_privacy",
    "origination_uuid",
    "park_timeout",
    "process_cdr",
    "proxy_media",
    "sip_invite_call_id",
    "socket_resume",
];
/// Prefixes of names that describe a loopback itself, its dialplan or its codec, or the wake.
const OF_A_LOOPBACK: [&str; 24] = [
    "DP_MATCH",
    "apn_",
    "call_uuid",
    "channel_name",
    "continue_on_fail",
    "current_application",
    "dialed_",
    "direction",
    "enable_send_apn",
    "endpoint_disposition",
    "ent_originate",
    "force_transfer_context",
    "fswake_",
    "hangup_after_bridge",
    "is_loopback",
    "loopback_",
    "media_mix_inbound_outbound_codecs",
    "originate",
    "other_loopback_",
    "read_",
    "session_id",
    "socket_",
    "uuid",
    "write_",
];

/// What a leg inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InheritedVariables {
    /// By name: values quoted for the braces of an `originate`.
    variables: Vec<(String, String)>,
    /// The leg's codecs, if the A leg sets them (`absolute_codec_string` exported).
    pub codecs: Option<String>,
    /// What was left out and why, for the log.
    pub left_out: Vec<String>,
}

impl InheritedVariables {
    /// The value of a variable, quoted for braces.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(&self.variables[found].1)
    }

    /// The value of a variable as it was, if it may stand in a command so.
    pub fn plain(&self, name: &str) -> Option<String> {
        let value = self.get(name)?.replace(r"\,", ",");
        is_plain(&value).then_some(value)
    }

    /// The names of the hooks among them.
    pub fn hooks(&self) -> impl Iterator<Item = &str> {
        let is_hook = |name: &&str| name.starts_with("execute_on_") || name.starts_with("api_on_");
        self.variables.iter().map(|(name, _)| name.as_str()).filter(is_hook)
    }

    /// `,name=value` for each.
    pub fn write(&self, braces: &mut String) {
        for (name, value) in &self.variables {
            let _ = write!(braces, ",{name}={value}");
        }
    }

    /// Takes from another channel what is missing here.
    pub fn complete(&mut self, other: Self) {
        for (name, value) in other.variables {
            if let Err(at) = self.variables.binary_search_by(|(n, _)| n.cmp(&name)) {
                self.variables.insert(at, (name, value));
            }
        }
        self.codecs = self.codecs.take().or(other.codecs);
        self.left_out.extend(other.left_out);
    }
}

/// A channel whose variables a leg inherits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The caller's own channel: its exports, and what mod_sofia copies.
    Caller,
    /// The caller's own channel behind a loopback that has the exports already: what mod_sofia copies.
    CallerBehind,
    /// A dial-string's loopback: everything that the dial-string and the caller's exports set on it.
    Loopback,
}

/// A variable's name without `variable_`, and its value.
pub type Variable<'a> = (&'a str, &'a str);

/// Reads what a leg inherits from a channel's variables.
pub fn read(of: Of, variables: &[Variable<'_>]) -> InheritedVariables {
    let taken = match of {
        Of::Loopback => of_a_loopback(variables),
        Of::Caller => {
            let mut taken = copied(variables);
            taken.extend(exported(variables));
            taken
        }
        Of::CallerBehind => copied(variables),
    };
    let mut inherited = InheritedVariables {
        codecs: taken.get("absolute_codec_string").map(|codecs| (*codecs).to_owned()),
        ..InheritedVariables::default()
    };
    for (name, value) in taken {
        if is_ours(name) || value.is_empty() {
            continue;
        }
        if let Some(value) = is_name(name).then(|| quoted(value)).flatten() {
            inherited.variables.push((name.to_owned(), value));
        } else {
            let name: String = name.chars().take(64).collect();
            inherited.left_out.push(format!(
                "{} is not passed on to the phone: its value cannot be written safely",
                Printable(&name)
            ));
        }
    }
    inherited
}

/// FreeSWITCH ignores the case of variable names.
fn is_ours(name: &str) -> bool {
    let starts = |with: &str| {
        name.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) || starts("fswake_") || starts("sip_h_X-Fswake-Call")
}

type InheritedValues<'a> = BTreeMap<&'a str, &'a str>;

fn find<'a>(variables: &[Variable<'a>], name: &str) -> Option<&'a str> {
    variables.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

fn of_a_loopback<'a>(variables: &[Variable<'a>]) -> InheritedValues<'a> {
    let its_own = |name: &str| OF_A_LOOPBACK.iter().any(|start| name.starts_with(start));
    variables.iter().copied().filter(|(name, _)| !its_own(name)).collect()
}

fn copied<'a>(variables: &[Variable<'a>]) -> InheritedValues<'a> {
    let copies_headers = !find(variables, "sip_copy_custom_headers").is_some_and(is_false);
    let is_copied = |name: &str| {
        COPIED.contains(&name) || ORIGINATE.contains(&name) || (copies_headers && name.starts_with("sip_h_"))
    };
    variables.iter().copied().filter(|(name, _)| is_copied(name)).collect()
}

fn exported<'a>(variables: &[Variable<'a>]) -> InheritedValues<'a> {
    let Some(exports) = find(variables, "export_vars") else {
        return InheritedValues::new();
    };
    let names = exports.split(',').map(str::trim);
    let mut taken: InheritedValues<'a> = names
        .filter_map(|name| Some((strip_nolocal(name), find(variables, name)?)))
        .collect();
    taken.insert("export_vars", exports);
    taken
}

/// A name from `export_vars`, without the prefix that keeps it off the exporting channel.
fn strip_nolocal(name: &str) -> &str {
    let strip = |mark: &str| {
        name.get(..mark.len())
            .filter(|n| n.eq_ignore_ascii_case(mark))
            .map(|_| &name[mark.len()..])
    };
    strip("nolocal:").or_else(|| strip("_nolocal_")).unwrap_or(name)
}

/// A variable's name that is safe in braces.
fn is_name(name: &str) -> bool {
    Word::new(name).is_some()
}

/// A value quoted for the braces of an `originate` from the event socket; `None` if FreeSWITCH would read it as
/// something else.
///
/// The command passes four readers (switch_utils.c, switch_event.c, switch_ivr_originate.c). It is split at blanks
/// outside quotes, which takes the quotes away and reads `\'` and `\\`. It is searched for `:_:`. Its braces are
/// counted without regard to quotes. What is in them is split at commas, then at the first `=`, with the same escapes
/// each time: a quote or a backslash is escaped three times over. `${` and `$(` are refused, and `^^` at the start
/// names another separator (all measured).
pub fn quoted(value: &str) -> Option<String> {
    let is_safe = !value.is_empty()
        && value.len() <= LONGEST
        && !value.starts_with('^')
        && [":_:", "$(", "${"].iter().all(|bad| !value.contains(bad))
        && !value
            .chars()
            .any(|c| c.is_control() || "{}\u{2028}\u{2029}".contains(c));
    if !is_safe {
        return None;
    }
    let mut escaped = String::with_capacity(value.len() + 2);
    for c in value.chars() {
        match c {
            '\'' => escaped.push_str(r"\\\\\\\'"),
            '\\' => escaped.push_str(r"\\\\\\\\"),
            ',' => escaped.push_str(r"\,"),
            c => escaped.push(c),
        }
    }
    Some(if value.contains(' ') {
        format!("'{escaped}'")
    } else {
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(inherited: &InheritedVariables) -> String {
        let mut text = String::new();
        inherited.write(&mut text);
        text
    }

    #[test]
    fn exported_variables_reach_the_leg_and_others_do_not() {
        let read = read(
            Of::Caller,
            &[
                ("export_vars", "alert_info,nolocal:foo,_nolocal_bar,gone"),
                ("alert_info", "<http://x/ring>;info=a"),
                ("nolocal:foo", "1"),
                ("_nolocal_bar", "two words"),
                ("secret", "x"),
            ],
        );
        assert_eq!(
            text(&read),
            ",alert_info=<http://x/ring>;info=a,bar='two words',export_vars=alert_info\\,nolocal:foo\\,_nolocal_bar\\,gone,foo=1"
        );
        assert!(read.left_out.is_empty(), "{read:?}");
        assert_eq!((read.get("foo"), read.get("secret")), (Some("1"), None));
    }

    #[test]
    fn loopback_passes_on_what_was_put_on_it_and_nothing_of_its_own() {
        let mut read_b = read(
            Of::Loopback,
            &[
                ("foo", "1"),
                ("sip_auto_answer", "true"),
                ("loopback_leg", "B"),
                ("dialed_user", "1001"),
                ("fswake_aor", "1@d"),
                ("uuid", "u"),
                ("read_codec", "L16"),
            ],
        );
        read_b.complete(read(
            Of::CallerBehind,
            &[
                ("sip_h_X-Own", "7"),
                ("export_vars", "nolocal:foo"),
                ("nolocal:foo", "2"),
                ("sip_cid_type", "none"),
            ],
        ));
        assert_eq!(
            text(&read_b),
            ",foo=1,sip_auto_answer=true,sip_cid_type=none,sip_h_X-Own=7"
        );
    }

    #[test]
    fn headers_of_the_caller_are_copied_unless_the_site_says_no() {
        let headers = [("sip_h_X-Own", "7"), ("sip_h_Diversion", "<sip:1@h>;reason=busy")];
        assert_eq!(
            text(&read(Of::Caller, &headers)),
            ",sip_h_Diversion=<sip:1@h>;reason=busy,sip_h_X-Own=7"
        );
        let refused = [&headers[..], &[("sip_copy_custom_headers", "false")]].concat();
        assert_eq!(read(Of::Caller, &refused), InheritedVariables::default());
    }

    #[test]
    fn what_a_leg_has_of_its_own_is_not_inherited() {
        let read = read(
            Of::Caller,
            &[
                (
                    "export_vars",
                    "originate_timeout,absolute_codec_string,fswake_mode,socket_resume",
                ),
                ("originate_timeout", "3"),
                ("absolute_codec_string", "PCMA"),
                ("fswake_mode", "wake"),
                ("socket_resume", "true"),
            ],
        );
        assert_eq!(read.codecs.as_deref(), Some("PCMA"));
        let names: Vec<_> = read.variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["export_vars"]);
    }

    #[test]
    fn value_that_could_mean_something_to_freeswitch_is_left_out_and_named() {
        for hostile in [
            "a}sofia/gateway/evil/1",
            "{x=y}",
            "a:_:sofia/gateway/evil/1",
            "${system rm}",
            "$(x)",
            "a\nbgapi shutdown",
            "^^;x",
        ] {
            let read = read(Of::Caller, &[("sip_h_X-Evil", hostile)]);
            assert_eq!(text(&read), "", "{hostile}");
            assert_eq!(read.left_out.len(), 1, "{hostile}");
            assert!(read.left_out[0].contains("sip_h_X-Evil"), "{read:?}");
        }
        let quotes = read(Of::Caller, &[("sip_h_X-Name", r"it's a\b")]);
        assert_eq!(text(&quotes), r",sip_h_X-Name='it\\\\\\\'s a\\\\\\\\b'");
        let name = read(Of::Caller, &[("sip_h_X,origination_uuid", "1")]);
        assert_eq!((text(&name).as_str(), name.left_out.len()), ("", 1));
    }
}
