//! What is written to FreeSWITCH: command texts, pure.
//!
//! Everything from the network passes one of the functions here before it stands in a command:
//! [`number`], [`name`], [`codecs`], [`super::inherit::quoted`], or it is a dial-string from `contact`'s writer, or a UUID.

use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use crate::engine::Record;
use crate::types::{Aor, CallId, LegId, Target};

/// `user@domain` of an AOR; `None` where it does not fit into a command.
pub fn user(aor: &Aor) -> Option<String> {
    plain_user(&aor.user)
        .zip(plain_user(&aor.domain))
        .map(|(user, domain)| format!("{user}@{domain}"))
}

/// The question whose number this is: the directory finds users by their id and by their `number-alias`.
pub fn ask_user(aor: &Aor) -> Option<String> {
    user(aor).map(|user| format!("user_data {user} attr id"))
}

/// The question for a user's variables.
pub fn ask_variables(aor: &Aor) -> Option<String> {
    let (user, domain) = plain_user(&aor.user).zip(plain_user(&aor.domain))?;
    Some(format!("find_user_xml id {user} {domain}"))
}

/// Sets variables of a channel, some at a time. `uuid_setvar_multi` is split at `;` outside quotes, which are taken away, and reads
/// `\'` and `\\` (switch_utils.c); what cannot be written so is left out.
pub fn set_variables(channel: &str, variables: &[(String, String)]) -> Vec<String> {
    const AT_ONCE: usize = 50;
    let escaped = |(name, value): &(String, String)| {
        let is_written = is_plain(name, 128, b"_-.:") && value.len() <= 4096 && !value.chars().any(char::is_control);
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        is_written.then(|| format!("{name}='{value}'"))
    };
    let all: Vec<_> = variables.iter().filter_map(escaped).collect();
    let command = |some: &[String]| format!("uuid_setvar_multi {channel} {}", some.join(";"));
    all.chunks(AT_ONCE).map(command).collect()
}

/// A user's id, where it is one that fits into a command.
pub fn plain_user(id: &str) -> Option<&str> {
    is_plain(id, 128, b"+-_.").then_some(id)
}

/// `uuid_kill` with a cause; a cause that is not one of FreeSWITCH's words becomes `NORMAL_CLEARING`.
pub fn kill(channel: impl std::fmt::Display, cause: &str) -> String {
    format!("uuid_kill {channel} {}", word(cause).unwrap_or("NORMAL_CLEARING"))
}

/// The same a second later, for a channel that is not there (yet): an `originate` in the background may be slower than what kills
/// its leg. FreeSWITCH does it by itself, whatever becomes of our connection.
pub fn kill_later(channel: Uuid, cause: &str) -> String {
    format!("sched_api +1 {channel}/end {}", kill(channel, cause))
}

/// The scheduler's group of a leg's lease. The first is a `sched_hangup`, which FreeSWITCH files under the channel; two names take
/// turns after it, so that the next lease stands before the last one is deleted.
fn lease_group(channel: Uuid, renewals: u32) -> String {
    match renewals {
        0 => channel.to_string(),
        n => format!("{channel}/{}", n % 2),
    }
}

/// Starts the `renewals`th lease of a leg after its first.
pub fn lease_renew(channel: Uuid, renewals: u32, seconds: u32) -> String {
    let group = lease_group(channel, renewals);
    format!("sched_api +{seconds} {group} uuid_kill {channel} LOSE_RACE")
}

/// Ends that lease.
pub fn lease_end(channel: Uuid, renewals: u32) -> String {
    format!("sched_del {}", lease_group(channel, renewals))
}

/// Takes these variables off a channel; `None` when there are none.
pub fn forget_hooks<'a>(channel: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let pairs: Vec<String> = names.filter_map(word).map(|name| format!("{name}=")).collect();
    (!pairs.is_empty()).then(|| format!("uuid_setvar_multi {channel} {}", pairs.join(";")))
}

/// The held channel's variables before it is answered: its side takes the leg's codec where the caller has offered it, so that
/// nothing is transcoded. Its video codecs stay.
pub fn prepare_answer(held: &str, call: CallId, codec: Option<&str>, offered: Option<&str>) -> String {
    let mut command = format!("uuid_setvar_multi {held} fswake_call={call}");
    let is_offered = |codec: &&str| {
        offered.is_none_or(|all| {
            let mut names = all.split(',').map(name_of);
            names.any(|name| name.eq_ignore_ascii_case(codec))
        })
    };
    if let Some(codec) = codec.and_then(word).filter(is_offered) {
        let _ = write!(command, ";absolute_codec_string={codec}");
        for video in offered.unwrap_or_default().split(',').filter(|c| is_video(c)) {
            if let Some(name) = word(name_of(video)) {
                let _ = write!(command, ",{name}");
            }
        }
    }
    command
}

/// The beginning of the last of [`name_callee`]'s arguments.
pub const LAST_OF_CALLEE: &str = "callee_id_number=";

/// Arguments of `set_profile_var` by which an answered leg goes on naming its phone as the one that is called.
///
/// When an `originate` ends in an application, FreeSWITCH swaps the leg's caller and callee (`switch_channel_flip_cid`), and
/// `uuid_bridge` would show the caller to himself. With the callee in both places, it does not matter when the swap comes;
/// `uuid_bridge` then writes the leg's caller anew.
pub fn name_callee(name: &str, number: &str) -> [String; 4] {
    let (name, number) = (self::name(name), self::number(number));
    [
        format!("caller_id_name={name}"),
        format!("caller_id_number={number}"),
        format!("callee_id_name={name}"),
        format!("{LAST_OF_CALLEE}{number}"),
    ]
}

/// Whether the held channel goes on in the dialplan when our connection ends: not as soon as its bridge is announced, because
/// from then on it lives without us.
pub fn resumes(held: &str, resumes: bool) -> String {
    format!("uuid_setvar {held} socket_resume {resumes}")
}

/// The held channel's codecs as its dialplan had set them, after [`prepare_answer`].
pub fn own_codecs(held: &str, codecs: Option<&str>) -> String {
    format!(
        "uuid_setvar {held} absolute_codec_string {}",
        codec_list(codecs.unwrap_or_default())
    )
}

fn codec_list(codecs: &str) -> String {
    let is_codecs = |c: &char| c.is_ascii_alphanumeric() || "@,.:^_-".contains(*c);
    codecs.chars().filter(is_codecs).collect()
}

/// The variables by which FreeSWITCH finds a channel's partner, each without a value.
const PARTNER: &str = "signal_bond=;originate_signal_bond=";

/// Once the held channel is answered, the leg that was made last is not its partner any more ([`bridge`]).
pub fn forget_leg(held: &str) -> String {
    format!("uuid_setvar {held} originate_signal_bond")
}

/// The order to bridge, which FreeSWITCH follows only while nobody has moved the caller since `moved_by` was the source of his last
/// transfer. Asking first would leave the time of a reply to whoever picks him up, and `uuid_bridge` takes a channel from anybody.
/// Where that source does not fit into the question nothing is asked.
///
/// `intercept` hangs up on a channel's partner, and FreeSWITCH then hangs up on the channel that was to be bridged with it
/// (`uuid_bridge_on_soft_execute`). So the same command takes the A leg's partner away. The bridge gives it back.
pub fn bridge(a_leg: &str, leg: LegId, caller: &str, moved_by: Option<&str>) -> String {
    let leg = leg.channel();
    let other = match moved_by.filter(|source| is_plain(source, 512, b" :/_.,+*#@=<>-")) {
        Some(source) => format!("${{cond('${{uuid_getvar({caller} transfer_source)}}' == '{source}' ?{leg}:-)}}"),
        None => leg.to_string(),
    };
    let is_ordered = format!("${{regex(${{uuid_bridge({a_leg} {other})}}|OK)}}");
    format!("expand uuid_setvar_multi ${{cond('{is_ordered}' == 'true' ?{a_leg} {PARTNER}:-)}}")
}

/// The same for a FreeSWITCH that runs no command while it reads another (`api-expansion`), in two commands and without a question.
pub fn plain_bridge(a_leg: &str, leg: LegId) -> [String; 2] {
    [
        format!("uuid_bridge {a_leg} {}", leg.channel()),
        format!("uuid_setvar_multi {a_leg} {PARTNER}"),
    ]
}

/// The question who has moved a channel last.
pub fn who_moved(channel: &str) -> String {
    format!("uuid_getvar {channel} transfer_source")
}

/// The question for all that has moved a channel, in order.
pub fn all_moves(channel: &str) -> String {
    format!("uuid_getvar {channel} transfer_history")
}

/// The question whom a channel is bridged with: it has an answer while the bridge stands.
pub fn bridged_with(channel: &str) -> String {
    format!("uuid_getvar {channel} bridge_to")
}

/// The question who is a channel's partner, and the command that makes the leg its partner.
pub fn partner(a_leg: &str, leg: LegId) -> [String; 2] {
    [
        format!("uuid_getvar {a_leg} signal_bond"),
        format!("uuid_setvar {a_leg} signal_bond {}", leg.channel()),
    ]
}

/// Ends, a second from now, another channel that picked the A leg up too late: where the A leg is still bridged with this leg then, and
/// the other channel with nobody.
pub fn end_latecomer(other: &str, a_leg: &str, leg: LegId) -> String {
    let leg = leg.channel();
    let bridges = format!("${{uuid_getvar({a_leg} bridge_to)}}${{uuid_getvar({other} bridge_to)}}");
    format!("sched_api +1 none expand uuid_kill ${{cond('{bridges}' == '{leg}_undef_' ?{other}:-)}} LOSE_RACE")
}

/// The scheduler's group of [`end_alone`].
fn alone_group(leg: LegId) -> String {
    format!("{}/alone", leg.channel())
}

/// Ends a leg, when this time is over, that was to be bridged with the A leg and never was: FreeSWITCH leaves it as it is, answered
/// and with nobody, where the A leg is transferred or parked between the order to bridge and the bridge (measured).
///
/// `last_bridge_to` stands on whatever has ever been bridged, with media or past FreeSWITCH, and the leg's `transfer_source` names the
/// A leg until somebody else moves it.
pub fn end_alone(a_leg: &str, leg: LegId, after: Duration) -> String {
    let (group, leg, seconds) = (alone_group(leg), leg.channel(), seconds_up(after));
    let told = format!("${{uuid_getvar({leg} last_bridge_to)}}${{uuid_getvar({leg} transfer_source)}}");
    let is_alone = format!("${{regex({told}|^_undef_.*:uuid_br:{a_leg})}}");
    format!("sched_api +{seconds} {group} expand uuid_kill ${{cond('{is_alone}' == 'true' ?{leg}:-)}} LOSE_RACE")
}

/// Takes [`end_alone`] back.
pub fn is_not_alone(leg: LegId) -> String {
    format!("sched_del {}", alone_group(leg))
}

/// The A leg's variables once the bridge stands: what `bridge` leaves there, and what the dialplan finds when the call is over
/// and it goes on. A bridge that dials nobody does nothing.
pub fn bridged(a_leg: &str, codecs: Option<&str>, legs: &[LegId], user: &str) -> String {
    let mut command = format!(
        "uuid_setvar_multi {a_leg} fswake_bridge=;originate_signal_bond=;originate_disposition=SUCCESS;DIALSTATUS=SUCCESS"
    );
    if let Some(own) = codecs {
        let _ = write!(command, ";absolute_codec_string={}", codec_list(own));
    }
    command.push_str(";originated_legs=ARRAY::");
    for (n, leg) in legs.iter().enumerate() {
        let between = if n == 0 { "" } else { "|:" };
        let number = word(user).unwrap_or_default();
        let _ = write!(command, r"{between}{}\;Outbound Call\;{number}", leg.channel());
    }
    command
}

/// The held channel's variables while it is held, and before it goes back to the dialplan or is ended.
pub fn report(held: &str, call: CallId, result: &str, record: &Record) -> String {
    format!(
        "uuid_setvar_multi {held} fswake_result={result};fswake_call={call}{}{}",
        of_wake(record),
        // The plain bridge that comes next in the dialplan must not ring what FreeSWITCH rings.
        if record.rung_by_freeswitch {
            ";fswake_ring=woken"
        } else {
            ""
        }
    )
}

/// More variables for [`report`]: how the dialplan's `bridge` ends, as if it had rung the phones itself. FreeSWITCH's endpoint
/// `error/` ends it with the phones' cause, and what happens then is FreeSWITCH's own doing (`continue_on_fail`, ..).
pub fn fails(cause: &str) -> String {
    let cause = word(cause).unwrap_or("NORMAL_CLEARING");
    format!(";fswake_cause={cause};fswake_bridge=error/{cause};originate_signal_bond=")
}

/// The SIP status that the phones gave, for whoever called: FreeSWITCH answers with it rather than with its cause's own.
pub fn status(a_leg: &str, status: Option<u16>) -> String {
    let status = status.map(|s| format!("sip:{s}")).unwrap_or_default();
    format!("uuid_setvar {a_leg} last_bridge_proto_specific_hangup_cause {status}")
}

/// One more variable for [`report`]: how long the dialplan's `bridge` may still ring.
pub fn time_left(left: Duration) -> String {
    format!(";call_timeout={}", seconds_up(left))
}

/// More variables for [`report`] while the call is held: what `bridge` leaves on a channel that hangs up while phones ring. A
/// channel takes no variable once it has hung up.
pub const IF_CANCELLED: &str = ";originate_disposition=ORIGINATOR_CANCEL;DIALSTATUS=CANCEL";

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

/// A caller's name without what breaks a SIP display name or means something to FreeSWITCH: no braces, brackets, double quotes,
/// `:`, `$`, `\`, `^`, `|` or controls.
///
/// FreeSWITCH splits a dial-string at `:_:` before it looks at quotes or braces, and dials every part (measured).
pub fn name(raw: &str) -> String {
    let mut safe = String::new();
    for c in raw.trim().chars().take(80) {
        match c {
            '{' | '}' | '[' | ']' | '<' | '>' | '"' | '$' | '\\' | '^' | '|' | '`' => {}
            ':' => safe.push(' '),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe.trim().to_owned()
}

/// The codecs of a `variable_ep_codec_string`, in order, as `NAME@rateh@ptimei`, or `NAME~parameters` for video, separated by `:`.
pub fn codecs(ep_codec_string: &str) -> Option<String> {
    let list: Vec<String> = ep_codec_string
        .split(',')
        .filter_map(|codec| {
            let (codec, fmtp) = codec.trim().split_once('~').unwrap_or((codec.trim(), ""));
            let mut parts = without_module(codec).split('@');
            // No `_`: between two colons it would be another dial-string's beginning.
            let name = word(parts.next()?).filter(|name| !name.contains('_'))?;
            if let Some(fmtp) = parameters(fmtp) {
                return Some(format!("{name}~{fmtp}"));
            }
            let rest: String = parts
                .filter(|p| p.ends_with('h') || p.ends_with('i'))
                .filter_map(word)
                .fold(String::new(), |all, part| all + "@" + part);
            Some(format!("{name}{rest}"))
        })
        .collect();
    (!list.is_empty()).then(|| list.join(":"))
}

/// Whether it is video: FreeSWITCH writes rate and packet time of audio only, and of video what the caller's `a=fmtp` says.
fn is_video(codec: &str) -> bool {
    codec.contains('~') || !codec.contains('@')
}

/// Whether a profile's codec is video, by its name there: `H264`, `mod_av.H264`, `VP8@90000h`.
pub fn is_name_of_video(codec: &str) -> bool {
    let name = name_of(codec).to_ascii_uppercase();
    name.starts_with("H26") || ["VP8", "VP9", "AV1"].contains(&&*name)
}

/// A caller's codecs, and more by their names.
pub fn and_codecs(ep_codec_string: &str, more: &str) -> String {
    let known: Vec<_> = ep_codec_string.split(',').map(name_of).collect();
    let is_new = |codec: &&str| !known.iter().any(|name| name.eq_ignore_ascii_case(name_of(codec)));
    more.split(',')
        .filter(is_new)
        .fold(ep_codec_string.to_owned(), |all, codec| all + "," + codec)
}

/// The profile that a dial-string goes out by: `sofia/PROFILE/..`.
pub fn profile_of(target: &Target) -> Option<&str> {
    target.as_str().strip_prefix("sofia/")?.split('/').next().and_then(word)
}

/// Whether there is video in a `variable_ep_codec_string`.
pub fn has_video(ep_codec_string: &str) -> bool {
    ep_codec_string.split(',').any(|codec| is_video(codec.trim()))
}

/// The parameters of a video codec (RFC 6184: H.264's profile and level), where they can stand in a command; phones need them,
/// but rather than with others they are offered without.
fn parameters(fmtp: &str) -> Option<String> {
    let text: String = fmtp.chars().filter(|c| *c != ' ').collect();
    is_plain(&text, 160, b"=;-.+/").then_some(text)
}

/// The name of a codec of a `variable_ep_codec_string`.
fn name_of(codec: &str) -> &str {
    let codec = codec.trim().split(['~', '@']).next().unwrap_or_default();
    without_module(codec)
}

/// A codec of a `variable_ep_codec_string` without the module that has it.
fn without_module(codec: &str) -> &str {
    codec.rsplit_once('.').map_or(codec, |(_module, codec)| codec)
}

/// A word of letters, digits, `_`, `-` and `.`, or nothing.
fn word(text: &str) -> Option<&str> {
    is_plain(text, 64, b"_-.").then_some(text)
}

/// Whether a text has letters, digits and these marks only, and how long it may be: it can stand anywhere in a command.
pub(super) fn is_plain(text: &str, longest: usize, marks: &[u8]) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || marks.contains(&b);
    !text.is_empty() && text.len() <= longest && text.bytes().all(is_good)
}

pub(super) fn seconds_up(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        for (raw, safe) in [
            ("O'Brien, Jr", "O'Brien, Jr"),
            ("x}sofia/gateway/evil/1,{y", "xsofia/gateway/evil/1,y"),
            (r"a\'b", "a'b"),
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
        let video = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,mod_h26x.H264~profile-level-id=42801F; packetization-mode=1,\
                     CORE_VPX_MODULE.VP8,mod_av.H263~a}{b";
        let safe = "PCMU@8000h@20i:H264~profile-level-id=42801F;packetization-mode=1:VP8:H263";
        assert_eq!(codecs(video).as_deref(), Some(safe));
        assert!(has_video(video) && !has_video(ep), "{video}, {ep}");
        assert_eq!(codecs("}evil{"), None);
        assert_eq!(codecs("PCMU,_,PCMA").as_deref(), Some("PCMU:PCMA"));
    }

    #[test]
    fn bridge_is_ordered_on_condition_that_nobody_has_moved_the_caller() {
        let (call, n) = (CallId(Uuid::nil()), 0);
        let leg = LegId { call, n };
        let id = leg.channel();
        let order = |other: &str| {
            format!(
                "expand uuid_setvar_multi ${{cond('${{regex(${{uuid_bridge(a {other})}}|OK)}}' == 'true' ?a signal_bond=;originate_signal_bond=:-)}}"
            )
        };
        let asked = format!("${{cond('${{uuid_getvar(c transfer_source)}}' == '_undef_' ?{id}:-)}}");
        assert_eq!(bridge("a", leg, "c", Some("_undef_")), order(&asked));
        assert!(bridge("a", leg, "c", Some("17:x:bl_xfer:*8/XML/site")).contains("'17:x:bl_xfer:*8/XML/site'"));
        for source in [
            None,
            Some("1:x:bl_xfer:set:a='b'/inline/x"),
            Some("${system x}"),
            Some(""),
        ] {
            assert_eq!(bridge("a", leg, "c", source), order(&id.to_string()), "{source:?}");
        }
    }

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
    fn hangup_causes_are_words() {
        let channel = Uuid::nil();
        assert!(kill(channel, "LOSE_RACE").ends_with(" LOSE_RACE"));
        assert!(kill(channel, "X\nbgapi shutdown").ends_with(" NORMAL_CLEARING"));
    }

    #[test]
    fn video_of_the_caller_survives_the_answer() {
        let call = CallId(Uuid::nil());
        let offered = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,CORE_VPX_MODULE.VP8,\
                       mod_h26x.H264~profile-level-id=42801F;packetization-mode=1";
        let command = prepare_answer("u", call, Some("PCMU"), Some(offered));
        assert!(command.ends_with(";absolute_codec_string=PCMU,VP8,H264"), "{command}");
        let foreign = prepare_answer("u", call, Some("opus"), Some(offered));
        assert!(!foreign.contains("absolute_codec_string"), "{foreign}");
    }

    #[test]
    fn call_is_not_called_connected_before_it_is_bridged() {
        let call = CallId(Uuid::nil());
        assert!(!prepare_answer("u", call, Some("PCMA"), None).contains("fswake_result"));
        assert!(resumes("u", false).ends_with("socket_resume false"));
        let leg = |n| LegId { call, n };
        let bridged = bridged("u", Some(""), &[leg(0), leg(1)], "1001");
        assert!(bridged.contains(" fswake_bridge=;"), "{bridged}");
        assert!(
            bridged.contains(";absolute_codec_string=;"),
            "nothing is left behind: {bridged}"
        );
        let one = |n| format!(r"{}\;Outbound Call\;1001", leg(n).channel());
        assert!(
            bridged.ends_with(&format!("ARRAY::{}|:{}", one(0), one(1))),
            "{bridged}"
        );
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
