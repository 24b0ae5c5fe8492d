//! Calls that FreeSWITCH's application `sleep` holds: how they are announced, kept and released (fs-conf/dialplan).
//!
//! Two global variables name the holder. Each connection of fswake's has a random name. While `fswake_holder` has it, the
//! dialplan holds calls for that connection; while `fswake_lease` has it, FreeSWITCH keeps them. FreeSWITCH removes both
//! unless fswake renews them.

/// The event by which the dialplan announces a held call.
pub const ANNOUNCEMENT: &str = "fswake::hold";
/// A held channel's variable with the holder's name.
pub const HOLDER: &str = "fswake_held";
/// A held channel's variable that names its first lease: FreeSWITCH's answer to `sched_api`.
pub const FIRST_LEASE: &str = "fswake_lease";

/// Ends the hold of a channel.
pub fn end_sleep(channel: &str) -> String {
    format!("uuid_break {channel}")
}

/// Ends the hold only if this holder has the channel; otherwise it would end what the channel plays.
pub fn end_hold(channel: &str, holder: &str) -> String {
    format!("expand uuid_break ${{regex(${{uuid_getvar({channel} {HOLDER})}}|^{holder}|{channel}|n)}}")
}

/// Asks which holder has the channel.
pub fn ask_holder_of(channel: &str) -> String {
    format!("uuid_getvar {channel} {HOLDER}")
}

/// The channel is no longer held: a later `sleep` in its dialplan is not a hold.
pub fn forget_holder(channel: &str) -> String {
    format!("uuid_setvar {channel} {HOLDER}")
}

/// The channel is held again.
pub fn set_holder(channel: &str, holder: &str) -> String {
    format!("uuid_setvar {channel} {HOLDER} {holder}")
}

/// FreeSWITCH checks once a second, as long as the channel lives, that this holder's lease stands, and otherwise ends the
/// hold. The reply names the task ([`task`]).
pub fn hold_lease(channel: &str, holder: &str) -> String {
    let names = format!("${{uuid_getvar({channel} {HOLDER})}}${{global_getvar(fswake_lease)}}");
    format!("sched_api @1 {channel} expand uuid_break ${{regex({names}|^{holder}(?!{holder})|{channel}|n)}}")
}

/// The task's number in FreeSWITCH's answer to `sched_api`.
pub fn task(answer: &str) -> Option<String> {
    let number = answer.trim().strip_prefix("+OK Added: ")?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| number.to_owned())
}

/// Ends a task of FreeSWITCH's scheduler.
pub fn end_task(task: &str) -> String {
    format!("sched_del {task}")
}

/// The `renewals`th renewal: sets both variables. FreeSWITCH removes them after so many seconds unless the next renewal
/// comes first.
pub fn hold_calls(holder: &str, renewals: u32, seconds: u32) -> Vec<String> {
    let group = |n: u32| format!("fswake/{holder}/{}", n % 2);
    let removals = hold_no_calls(holder).into_iter();
    let mut all: Vec<String> = removals
        .map(|removal| format!("sched_api +{seconds} {} {removal}", group(renewals)))
        .collect();
    if renewals > 0 {
        all.push(format!("sched_del {}", group(renewals - 1)));
    }
    all.push(format!("global_setvar fswake_lease={holder}"));
    all.push(format!("global_setvar fswake_holder={holder}"));
    all
}

/// No more calls are held for this holder. A name that another holder has set meanwhile stays.
pub fn hold_no_calls(holder: &str) -> [String; 2] {
    ["fswake_holder", "fswake_lease"].map(|name| format!("global_setvar {name}=={holder}"))
}

/// Asks who holds calls.
pub const ASK_HOLDER: &str = "global_getvar fswake_lease";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_ends_where_another_name_or_none_is_in_the_lease() {
        let lease = hold_lease("u", "id");
        assert_eq!(
            lease,
            "sched_api @1 u expand uuid_break \
             ${regex(${uuid_getvar(u fswake_held)}${global_getvar(fswake_lease)}|^id(?!id)|u|n)}"
        );
        assert_eq!(task("+OK Added: 17\n").as_deref(), Some("17"));
        for other in ["-ERR no", "+OK Added: x;y", "+OK Added: ", ""] {
            assert_eq!(task(other), None, "{other}");
        }
    }

    #[test]
    fn next_lease_stands_before_the_last_one_is_deleted() {
        let all = hold_calls("id", 3, 2);
        let place = |text: &str| all.iter().position(|command| command.starts_with(text)).unwrap();
        assert!(place("sched_api +2 fswake/id/1") < place("sched_del fswake/id/0"));
        assert!(place("sched_del") < place("global_setvar fswake_holder=id"));
        assert!(
            all[0].ends_with(" global_setvar fswake_holder==id"),
            "another holder's name stays: {all:?}"
        );
    }
}
