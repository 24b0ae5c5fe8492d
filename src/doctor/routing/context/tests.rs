//! Contexts as FreeSWITCH prints them, and what is found in them.

use super::super::dialplan::{bridges, handovers, transfers};
use super::*;

#[test]
fn shipped_snippets_are_written_well() {
    for file in [
        include_str!("../../../../fs-conf/dialplan/fswake.xml"),
        include_str!("../../../../fs-conf/dialplan/default/00_fswake.xml"),
    ] {
        let found = handovers(file);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].socket.addresses(), ["127.0.0.1:8084"]);
        assert!(written("context x", &found[0].socket).is_empty());
    }
    assert!(handovers("can't find anything\n").is_empty());
}

#[test]
fn socket_that_cannot_hold_or_would_strand_a_caller_is_an_error() {
    let bare = r#"<context><action application="socket" data="h:1|[::1]:2"/></context>"#;
    let bare = handovers(bare).remove(0).socket;
    assert_eq!(bare.addresses(), ["h:1", "[::1]:2"]);
    for (data, resumes, errors) in [
        (&*bare.data, false, 1),
        ("h:1 full", false, 0),
        ("h:1 full", true, 1),
        ("h:1 async full", true, 0),
        ("h:1 async full", false, 1),
        ("h:1 async", false, 2),
    ] {
        let data = data.to_owned();
        let checks = written("context x", &Socket { data, resumes });
        let found = checks.iter().filter(|c| c.state == CheckState::Error).count();
        assert_eq!((found, checks.len()), (errors, errors), "{checks:?}");
    }
}

fn of(name: &str, actions: &str) -> Context {
    Context {
        name: name.into(),
        is_there: true,
        handovers: handovers(actions),
        handler: None,
        bridges: bridges(actions),
        transfers: transfers(actions),
    }
}

const SOCKET: &str =
    r#"<action application="set" data="socket_resume=true"/><action application="socket" data="h:1 async full"/>"#;

#[test]
fn every_socket_of_a_context_is_looked_at_with_what_is_set_for_its_own_calls() {
    let bare = r#"<action application="socket" data="h:2 async full"/>"#;
    let context = of(
        "default",
        &format!("<context><extension>{SOCKET}</extension><extension>{bare}</extension></context>"),
    );
    let sockets = context
        .handovers
        .iter()
        .map(|routing| (routing.socket.data.as_str(), routing.socket.resumes));
    assert_eq!(
        sockets.collect::<Vec<_>>(),
        [("h:1 async full", true), ("h:2 async full", false)]
    );
    let findings = context.findings();
    assert!(
        findings.len() == 1 && findings[0].seen.contains("socket h:2"),
        "{findings:?}"
    );
    // Set for all in an extension that goes on with the next.
    let set = r#"<extension continue="true"><action application="set" data="socket_resume=true"/></extension>"#;
    let context = of(
        "default",
        &format!("<context>{set}<extension>{bare}</extension></context>"),
    );
    assert!(context.findings().is_empty(), "{:?}", context.findings());
}

#[test]
fn context_that_calls_are_sent_to_and_nobody_has_is_named() {
    let sends = |data: &str| {
        of(
            "public",
            &format!(r#"<context><action application="transfer" data="{data}"/></context>"#),
        )
    };
    let to = |data: &str| sends(data).transfers.into_iter().collect::<Vec<_>>();
    assert_eq!(to("$1 XML wake"), ["wake"]);
    assert_eq!(to("-bleg 1000 XML wake"), ["wake"]);
    for nowhere in [
        "$1",
        "$1 enum",
        "$1 XML ${user_context}",
        "1000 LUA wake.lua",
        "a b c d",
    ] {
        assert_eq!(to(nowhere), Vec::<String>::new(), "{nowhere}");
    }
    let gone = Context {
        is_there: false,
        ..of("wake", "")
    };
    let found = sends("$1 XML wake").misses(&[gone]).unwrap();
    assert!(
        found
            .seen
            .contains("it sends calls to context wake, which FreeSWITCH's files do not have"),
        "{found:?}"
    );
    assert!(sends("$1 XML wake").misses(&[of("wake", "")]).is_none());
    let by_script = Context {
        is_there: false,
        handler: Some(Handler::Lua),
        ..of("wake", "")
    };
    assert!(sends("$1 XML wake").misses(&[by_script]).is_none());
}

#[test]
fn way_back_from_fswake_is_looked_at() {
    let after = |rest: &str| of("fswake", &format!("<context>{SOCKET}{rest}</context>"));
    let says = |context: &Context, next: &[Context], is_led_to: bool| {
        let found = context.way_back(next, is_led_to);
        assert!(found.iter().all(|c| c.state == CheckState::Error), "{found:?}");
        found.into_iter().map(|c| c.seen).collect::<Vec<_>>().join("; ")
    };
    let plain = r#"<action application="bridge" data="{process_cdr=true}${sofia_contact(*/${dialed_user}@${dialed_domain})}"/>"#;
    assert_eq!(says(&after(plain), &[], true), "");
    for circle in [
        "user/${dialed_user}@${dialed_domain}",
        "{process_cdr=true}user/${dialed_user}@${dialed_domain}",
        "sofia/gateway/x/1,[leg_timeout=5]loopback/${dialed_user}@${dialed_domain}/fswake",
    ] {
        let context = after(&format!(r#"<action application="bridge" data="{circle}"/>"#));
        assert!(says(&context, &[], true).contains("call loops"), "{circle}");
        // Dial-strings that do not lead here make no circle.
        assert_eq!(says(&context, &[], false), "");
    }
    assert!(says(&after(""), &[], true).contains("nothing after the socket"));
    assert_eq!(says(&after(""), &[], false), "");
    // It leads to another context, which must exist and not lead back.
    let on = after(r#"<action application="execute_extension" data="next XML fswake-after"/>"#);
    assert_eq!(on.leads_on().collect::<Vec<_>>(), ["fswake-after"]);
    let gone = Context {
        is_there: false,
        ..of("fswake-after", "")
    };
    assert!(says(&on, &[gone], true).contains("goes to context fswake-after, which is not in FreeSWITCH's files"));
    let by_script = Context {
        is_there: false,
        handler: Some(Handler::Lua),
        ..of("fswake-after", "")
    };
    assert_eq!(says(&on, &[by_script], true), "");
    assert_eq!(says(&on, &[of("fswake-after", plain)], true), "");
    let back = of("fswake-after", r#"<action application="bridge" data="user/1@d"/>"#);
    assert!(says(&on, &[back], true).contains("call loops"));
}

#[test]
fn other_extensions_are_other_calls_and_an_end_is_no_way_on() {
    let context = |extension: &str, after: &str| {
        let other = r#"<extension name="other"><action application="transfer" data="1 XML missing"/></extension>"#;
        let before = r#"<extension name="emergency"><action application="set" data="call_timeout=5"/></extension>"#;
        of(
            "default",
            &format!("<context>{before}<extension{extension}>{SOCKET}{after}</extension>{other}</context>"),
        )
    };
    let bridge = r#"<action application="bridge" data="${fswake_bridge}"/>"#;
    let fine = context("", bridge);
    assert_eq!(
        fine.leads_on().count(),
        0,
        "the other extension's context is not fswake's"
    );
    assert!(fine.cut_short(Duration::from_secs(25), &[]).is_none());
    assert!(fine.way_back(&[], true).is_empty());
    for end in [
        r#"<action application="hangup"/>"#,
        r#"<action application="respond" data="480"/>"#,
        r#"<action application="set" data="a=b"/>"#,
    ] {
        let found = context("", end).way_back(&[], true);
        assert!(
            found.len() == 1 && found[0].seen.contains("calls that wake nobody end there"),
            "{end}: {found:?}"
        );
        assert!(
            context(r#" continue="true""#, end).way_back(&[], true).is_empty(),
            "{end}"
        );
    }
    for on in ["voicemail", "lua", "ivr"] {
        let action = format!(r#"<action application="{on}" data="x"/>"#);
        assert!(context("", &action).way_back(&[], true).is_empty(), "{on}");
    }
}

#[test]
fn time_of_the_dialplans_own_that_is_shorter_than_the_wait_is_a_warning() {
    let wait = Duration::from_secs(25);
    let with = |set: &str| {
        let set = format!(r#"<context><action application="set" data="{set}"/>{SOCKET}</context>"#);
        of("fswake", &set).cut_short(wait, &[]).map(|c| (c.state, c.seen))
    };
    let (state, seen) = with("call_timeout=10").unwrap();
    assert_eq!(state, CheckState::Warning);
    assert!(
        seen.starts_with("call_timeout=10 ends the call after 10 s, not wake.max-wait (25 s)"),
        "{seen}"
    );
    for fine in [
        "call_timeout=30",
        "call_timeout=25",
        "call_timeout=${x}",
        "originate_timeout=10",
        "hangup_after_bridge=true",
    ] {
        assert_eq!(with(fine), None, "{fine}");
    }
    let later = format!(r#"<context>{SOCKET}<action application="set" data="call_timeout=10"/></context>"#);
    assert_eq!(of("fswake", &later).cut_short(wait, &[]), None);
}

#[test]
fn bridge_to_users_that_ends_before_the_wait_is_a_warning_where_they_lead_to_fswake() {
    let wait = Duration::from_secs(25);
    let in_extension = |actions: &str| {
        let other = r#"<extension><action application="set" data="call_timeout=5"/></extension>"#;
        of(
            "default",
            &format!("<context>{other}<extension>{actions}</extension></context>"),
        )
    };
    let bridge = |data: &str| format!(r#"<action application="bridge" data="{data}"/>"#);
    let set = r#"<action application="set" data="call_timeout=12"/>"#;
    for (actions, expected) in [
        (bridge("user/1@d"), None),
        (
            format!("{set}{}", bridge("user/1@d")),
            Some("call_timeout=12 ends the call after 12 s"),
        ),
        (bridge("{call_timeout=9}user/1@d"), Some("call_timeout=9 ends")),
        (bridge("[leg_timeout=8]user/1@d,user/2@d"), Some("leg_timeout=8 ends")),
        (bridge("[leg_timeout=8]sofia/gateway/x/1,user/2@d"), None),
        (bridge("{leg_timeout=7}loopback/1@d/fswake"), Some("leg_timeout=7 ends")),
        (bridge("{leg_timeout=7}loopback/1@d/other"), None),
        (format!("{set}{}", bridge("sofia/gateway/x/1")), None),
    ] {
        let found = in_extension(&actions).cut_short(wait, &["fswake"]).map(|c| c.seen);
        match expected {
            None => assert_eq!(found, None, "{actions}"),
            Some(says) => assert!(found.as_ref().is_some_and(|f| f.contains(says)), "{actions}: {found:?}"),
        }
        // If no dial-string leads to fswake, its bridges do not delay anybody.
        assert!(in_extension(&actions).cut_short(wait, &[]).is_none());
    }
}
