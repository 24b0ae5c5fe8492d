//! Video that is there from the start, added or removed, and T.38.

use super::words::*;

pub fn rows() -> Vec<Row> {
    let mut rows = fax();
    rows.extend(video());
    rows
}

/// The variables that let T.38 through, on both legs.
const PASSES: &[(&str, &str)] = &[("export", "fax_enable_t38=true"), ("export", "t38_passthru=true")];

fn fax() -> Vec<Row> {
    let both = |name| row(7, name).caller(|s| s.fax = true).callee_with(|s| s.fax = true);
    vec![
        both("t38_by_callee").before(PASSES).steps(up()).steps(faxes(Callee)),
        both("t38_by_caller").before(PASSES).steps(up()).steps(faxes(Caller)),
        both("t38_by_callee_without_passthru").steps(up()).steps(faxes(Callee)),
        both("t38_by_caller_without_passthru").steps(up()).steps(faxes(Caller)),
        both("t38_by_callee_passthru_on_the_caller_alone")
            .before(&[("set", "fax_enable_t38=true"), ("set", "t38_passthru=true")])
            .steps(up())
            .steps(faxes(Callee)),
        both("t38_by_caller_passthru_on_the_caller_alone")
            .before(&[("set", "fax_enable_t38=true"), ("set", "t38_passthru=true")])
            .steps(up())
            .steps(faxes(Caller)),
        both("t38_by_callee_passthru_once")
            .before(&[("export", "fax_enable_t38=true"), ("export", "t38_passthru=once")])
            .steps(up())
            .steps(faxes(Callee)),
        row(7, "t38_by_callee_refused_by_caller")
            .callee_with(|s| s.fax = true)
            .before(PASSES)
            .steps(up())
            .steps(faxes(Callee)),
        row(7, "t38_by_caller_refused_by_callee")
            .caller(|s| s.fax = true)
            .before(PASSES)
            .steps(up())
            .steps(faxes(Caller)),
        both("t38_by_callee_bypass_media")
            .before(PASSES)
            .before(&[("set", "bypass_media=true")])
            .steps(up())
            .steps([Wait(1500)])
            .steps(faxes(Callee)),
    ]
}

/// This phone switches to T.38 and back to audio. It waits for the bridge: a loopback does not pass on T.38
/// (docs/ARCHITECTURE.md, "Limits"), and on a busy machine the caller is answered long before the bridge.
fn faxes(who: super::super::row::Who) -> Vec<Step> {
    let other = if who == Caller { Callee } else { Caller };
    vec![
        Until(Talk),
        OfferFax(who),
        Wait(500),
        See("is answered", Media(who)),
        See("the other is offered", Reoffered(other)),
        See("caller gets T.38", Faxed(Caller, 500)),
        See("callee gets T.38", Faxed(Callee, 500)),
        Reinvite(who, &[0, 8]),
        Wait(600),
        See("is answered then", Media(who)),
        See("the other is offered then", Reoffered(other)),
        See("it is offered", Reoffered(who)),
        See("caller hears", Hears(Caller, 400)),
        See("callee hears", Hears(Callee, 400)),
        HangUp(who),
        Until(Over(other)),
        See("the other", EndCause(other)),
    ]
}

fn video() -> Vec<Row> {
    let seeing = |name| {
        row(7, name)
            .needs_video()
            .caller(|s| s.video = true)
            .callee_with(|s| s.video = true)
    };
    let added = |name| row(7, name).needs_video();
    vec![
        seeing("video_flows").steps(up()).steps(media()).steps(pictures()),
        seeing("video_flows_bypass_media")
            .before(&[("set", "bypass_media=true")])
            .steps(up())
            .steps([Wait(1500), See("audio goes", Direct)])
            .steps(pictures()),
        seeing("video_flows_bypass_media_after_bridge")
            .before(&[("set", "bypass_media_after_bridge=true")])
            .steps(up())
            .steps([Wait(1500), See("audio goes", Direct)])
            .steps(pictures()),
        seeing("video_flows_proxy_media")
            .before(&[("set", "proxy_media=true")])
            .steps(up())
            .steps(media())
            .steps(pictures()),
        seeing("video_is_taken_back_by_caller")
            .steps(up())
            .steps([Until(Talk), DropVideo(Caller), Wait(600)])
            .steps(reoffers(Caller)),
        seeing("video_is_taken_back_by_callee")
            .steps(up())
            .steps([Until(Talk), DropVideo(Callee), Wait(600)])
            .steps(reoffers(Callee)),
        added("video_is_added_by_caller")
            .callee_with(|s| s.video = true)
            .steps(up())
            .steps(comes_and_goes(Caller)),
        added("video_is_added_by_callee")
            .steps(up())
            .steps([CanVideo(Caller)])
            .steps(comes_and_goes(Callee)),
    ]
}

/// Waits for the bridge, as [`faxes`] does.
fn comes_and_goes(who: super::super::row::Who) -> Vec<Step> {
    [
        vec![Until(Talk), AddVideo(who), Wait(600)],
        reoffers(who),
        vec![DropVideo(who), Wait(600)],
        reoffers(who),
    ]
    .concat()
}

fn reoffers(who: super::super::row::Who) -> Vec<Step> {
    let other = if who == Caller { Callee } else { Caller };
    let mut all = vec![
        See("is answered", Media(who)),
        See("the other is offered", Reoffered(other)),
        See("it is offered", Reoffered(who)),
    ];
    all.extend(pictures());
    all
}

fn media() -> Vec<Step> {
    vec![
        See("callee is offered", Offered(Callee)),
        See("caller gets", Media(Caller)),
    ]
}

fn pictures() -> Vec<Step> {
    vec![
        See("caller sees", Sees(Caller, 600)),
        See("callee sees", Sees(Callee, 600)),
        See("caller hears", Hears(Caller, 400)),
        See("callee hears", Hears(Callee, 400)),
    ]
}
