//! Holds of FreeSWITCH's application `sleep`: how they are announced, kept and ended (fs-conf/dialplan).
//!
//! Two global variables have the holder's name, which every connection of fswake's makes anew: while `fswake_holder` has it, the
//! dialplan holds calls for that connection; while `fswake_lease` has it, FreeSWITCH keeps them. Each is taken away by
//! FreeSWITCH itself unless fswake renews it.

/// The event by which the dialplan announces a held call.
pub const ANNOUNCEMENT: &str = "fswake::hold";
/// The variable of a held channel that has the holder's name.
pub const HOLDER: &str = "fswake_held";
/// The variable of a held channel that names its first lease: FreeSWITCH's answer to `sched_api`.
pub const FIRST_LEASE: &str = "fswake_lease";

/// Ends the hold of a channel.
pub fn end_sleep(channel: &str) -> String {
    format!("uuid_break {channel}")
}

/// Ends it where this holder has it: elsewhere it would end what the channel plays.
pub fn end_hold(channel: &str, holder: &str) -> String {
    format!("expand uuid_break ${{regex(${{uuid_getvar({channel} {HOLDER})}}|^{holder}|{channel}|n)}}")
}

/// The channel is held no more: whoever has it may sleep for his own reasons.
pub fn forget_holder(channel: &str) -> String {
    format!("uuid_setvar {channel} {HOLDER}")
}

/// It is held again.
pub fn set_holder(channel: &str, holder: &str) -> String {
    format!("uuid_setvar {channel} {HOLDER} {holder}")
}

/// Has FreeSWITCH look once a second, as long as the channel lives, whether this holder is there, and else end the hold. The reply
/// names the task ([`task`]).
pub fn hold_lease(channel: &str, holder: &str) -> String {
    let told = format!("${{uuid_getvar({channel} {HOLDER})}}${{global_getvar(fswake_lease)}}");
    format!("sched_api @1 {channel} expand uuid_break ${{regex({told}|^{holder}(?!{holder})|{channel}|n)}}")
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

/// The `renewals`th renewal: both variables are set, and will be taken away so many seconds from now, unless there is another.
pub fn hold_calls(holder: &str, renewals: u32, seconds: u32) -> Vec<String> {
    let group = |n: u32| format!("fswake/{holder}/{}", n % 2);
    let [holds_no_calls, keeps_no_calls] = hold_no_calls(holder);
    let mut all = vec![
        format!("sched_api +{seconds} {} {holds_no_calls}", group(renewals)),
        format!("sched_api +{seconds} {} {keeps_no_calls}", group(renewals)),
    ];
    if renewals > 0 {
        all.push(format!("sched_del {}", group(renewals - 1)));
    }
    all.push(format!("global_setvar fswake_lease={holder}"));
    all.push(format!("global_setvar fswake_holder={holder}"));
    all
}

/// Calls are held for this holder no more. What another has set meanwhile stays.
pub fn hold_no_calls(holder: &str) -> [String; 2] {
    ["fswake_holder", "fswake_lease"].map(|name| format!("global_setvar {name}=={holder}"))
}

/// The question who keeps calls.
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
            "another's stays: {all:?}"
        );
    }
}
