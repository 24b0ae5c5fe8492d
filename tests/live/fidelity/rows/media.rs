//! Codecs, hold, video, encryption, and media that does not go through FreeSWITCH.

use fswake_test_support::sip::{Script, Transport};

use super::words::*;

fn tcp() -> Script {
    Script {
        transport: Transport::Tcp,
        ..answers(Callee)
    }
}

pub fn rows() -> Vec<Row> {
    vec![
        row(7, "codecs_callee_prefers_another")
            .callee_with(|s| s.codecs = vec![8, 0])
            .steps(up())
            .steps(codecs()),
        row(7, "codecs_caller_has_one")
            .caller(|s| s.codecs = vec![8])
            .steps(up())
            .steps(codecs()),
        row(7, "codecs_callee_has_one")
            .callee_with(|s| s.codecs = vec![8])
            .steps(up())
            .steps(codecs()),
        row(7, "codecs_callee_has_wideband")
            .callee_with(|s| s.codecs = vec![9, 0, 8])
            .steps(up())
            .steps(codecs()),
        row(7, "codecs_none_in_common")
            .callee_with(|s| s.codecs = vec![3])
            .steps([
                Until(Final),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
                See("callee is offered", Offered(Callee)),
            ]),
        row(7, "absolute_codec_string_exported")
            .before(&[("export", "absolute_codec_string=PCMA")])
            .steps(up())
            .steps(codecs()),
        row(7, "reinvite_by_caller_with_another_codec")
            .steps(up())
            .steps([Reinvite(Caller, &[8]), Wait(400)])
            .steps([See("caller gets", Media(Caller)), See("codecs", Codecs)])
            .steps(audio()),
        row(7, "reinvite_by_callee_with_another_codec")
            .steps(up())
            .steps([Reinvite(Callee, &[8]), Wait(400)])
            .steps([See("callee gets", Media(Callee)), See("codecs", Codecs)])
            .steps(audio()),
        row(7, "hold_by_caller").steps(up()).steps([
            Hold(Caller),
            Wait(400),
            See("caller gets", Media(Caller)),
            See("callee gets", Media(Callee)),
            See("callee hears", Hears(Callee, 600)),
            Unhold(Caller),
            Wait(300),
            See("callee hears then", Hears(Callee, 400)),
        ]),
        row(7, "hold_by_callee").steps(up()).steps([
            Hold(Callee),
            Wait(400),
            See("callee gets", Media(Callee)),
            See("caller hears", Hears(Caller, 600)),
            Unhold(Callee),
            Wait(300),
            See("caller hears then", Hears(Caller, 400)),
        ]),
        row(7, "digits").steps(up()).steps([
            Press(Caller, &[1, 2, 3, 11]),
            Press(Callee, &[9, 8, 10]),
            Wait(2200),
            See("callee hears", Digits(Callee)),
            See("caller hears", Digits(Caller)),
        ]),
        row(7, "tcp_phone").callee(tcp()).steps(up()).steps(codecs()).steps([
            HangUp(Callee),
            Until(Over(Caller)),
            See("caller", End(Caller)),
        ]),
        row(7, "tcp_phone_awake")
            .awake()
            .callee(tcp())
            .steps(up())
            .steps(codecs())
            .steps(over()),
        row(7, "tcp_phone_with_a_stale_place")
            .stale()
            .callee(tcp())
            .steps(up())
            .steps([See("INVITEs", Invites(Callee)), See("callee hears", Hears(Callee, 300))])
            .steps(over())
            .steps([See("CDRs", Cdrs(&["caller", "dest", "hangup_cause"]))]),
        row(7, "tcp_caller_and_phone_cancelled")
            .caller(|s| s.transport = Transport::Tcp)
            .callee(Script {
                transport: Transport::Tcp,
                ..rings(Callee)
            })
            .steps(cancelled(300))
            .steps([Until(Over(Callee)), See("callee", End(Callee)), See("caller", Answers)]),
        row(7, "rtp_secure_media_exported")
            .before(&[("export", "nolocal:rtp_secure_media=true")])
            .steps(up())
            .steps(media()),
        row(7, "caller_offers_a_key")
            .caller(|s| s.secure = true)
            .steps(up())
            .steps(media()),
        row(7, "video_on_both_sides")
            .caller(|s| s.video = true)
            .callee_with(|s| s.video = true)
            .steps(up())
            .steps(media()),
        row(7, "video_and_a_caller_without")
            .callee_with(|s| s.video = true)
            .steps(up())
            .steps(media()),
        row(7, "video_and_a_callee_without")
            .caller(|s| s.video = true)
            .steps(up())
            .steps(media()),
        row(7, "bypass_media")
            .before(&[("set", "bypass_media=true")])
            .steps(up())
            .steps(media())
            .steps([Until(Straight), See("audio goes", Direct)]),
        row(7, "bypass_media_after_bridge")
            .before(&[("set", "bypass_media_after_bridge=true")])
            .steps(up())
            .steps([Wait(1500), See("audio goes", Direct), See("caller", End(Caller))]),
        row(7, "proxy_media")
            .before(&[("set", "proxy_media=true")])
            .steps(up())
            .steps(media())
            .steps(audio()),
    ]
}

fn codecs() -> Vec<Step> {
    let mut all = media();
    all.push(See("codecs", Codecs));
    all.extend(audio());
    all
}

fn media() -> Vec<Step> {
    vec![
        See("callee is offered", Offered(Callee)),
        See("caller gets", Media(Caller)),
    ]
}

fn audio() -> Vec<Step> {
    vec![
        See("caller hears", Hears(Caller, 400)),
        See("callee hears", Hears(Callee, 400)),
    ]
}
