//! What the verdict is, for sites of all kinds.

use super::super::dialplan::{Socket, SocketCall};
use super::super::dialstring::leads;
use super::*;
use crate::doctor::check::CheckState;
use crate::journal::{Overview, TimelineStep};

const LEADS: &str = "loopback/${dialed_user}@${dialed_domain}/fswake";

const STATIC: &str = "loopback/${dialed_user}@${dialed_domain}/fswake@static";

const PAST: &str = "${sofia_contact(*/${dialed_user}@${dialed_domain})}";

fn context(name: &str, is_there: bool, handler: Option<Handler>) -> Context {
    let routing = || SocketCall {
        socket: Socket {
            data: "127.0.0.1:8084 async full".into(),
            resumes: true,
        },
        before: Vec::new(),
        after: Vec::new(),
        continues: false,
    };
    Context {
        name: name.into(),
        is_there,
        handovers: is_there.then(routing).into_iter().collect(),
        handler: handler.filter(|_| !name.contains('@')),
        bridges: Vec::new(),
        transfers: BTreeSet::new(),
    }
}

fn users(all: &[(&str, &str, &str)], domains: &[(&str, &str)]) -> Users {
    let user = |(user, domain, dial_string): &(&str, &str, &str)| Callee {
        name: (*user).into(),
        domain: (*domain).into(),
        leads: leads(dial_string),
    };
    Users {
        all: all.iter().map(user).collect(),
        domains: domains
            .iter()
            .map(|(domain, text)| ((*domain).to_owned(), leads(text)))
            .collect(),
        ..Users::default()
    }
}

fn verdict(users: &Users, to_fswake: &[Context], dialplans: &[Context], handler: Option<Handler>) -> Check {
    RoutingChecks {
        users,
        to_fswake,
        dialplans,
        handler,
        wakes: &[],
    }
    .verdict()
}

#[test]
fn every_combination_of_context_dial_string_and_dialplan_has_its_verdict() {
    let there = [context("fswake", true, None)];
    let missing = [context("fswake", false, None)];
    let dialplan = [context("default", true, None)];
    let (d, e, de) = (
        users(&[("1", "d", LEADS)], &[]),
        users(&[("1", "e", PAST)], &[("e", PAST)]),
        users(&[("1", "d", LEADS), ("1", "e", PAST)], &[("e", PAST)]),
    );
    let nobody = users(&[], &[]);
    for (users, to_fswake, dialplans, expected) in [
        (&d, &there, &[][..], CheckState::Ok),
        (&de, &there, &[], CheckState::Warning),
        (&de, &there, &dialplan, CheckState::Ok),
        (&nobody, &there, &[], CheckState::Warning),
        (&e, &there, &[], CheckState::Error),
        (&e, &missing, &dialplan, CheckState::Ok),
        (&e, &missing, &[], CheckState::Error),
        (&d, &missing, &[], CheckState::Error),
        (&d, &missing, &dialplan, CheckState::Error),
    ] {
        let check = verdict(users, to_fswake, dialplans, None);
        assert_eq!(
            check.state, expected,
            "{users:?} {to_fswake:?} {dialplans:?}: {check:?}"
        );
    }
}

#[test]
fn user_with_a_dial_string_of_its_own_is_named_and_the_others_are_not() {
    let there = [context("fswake", true, None)];
    let one = users(&[("1", "d", "sofia/gateway/x/1"), ("2", "d", LEADS)], &[]);
    let check = verdict(&one, &there, &[], None);
    assert_eq!(check.state, CheckState::Warning);
    assert!(
        check
            .seen
            .ends_with("by the dial-string of 2@d; the dial-string of 1@d does not lead to fswake"),
        "{}",
        check.seen
    );
    let alone = users(&[("1", "d", "sofia/gateway/x/1")], &[("d", LEADS)]);
    let check = verdict(&alone, &there, &[], None);
    assert_eq!(
        (check.state, check.seen.as_str()),
        (
            CheckState::Warning,
            "by the dial-string of d; the dial-string of 1@d does not lead to fswake"
        )
    );
    let disturbed = users(&[("1", "d", "error/user_busy"), ("2", "d", LEADS)], &[]);
    assert_eq!(verdict(&disturbed, &there, &[], None).state, CheckState::Ok);
}

#[test]
fn earlier_calls_do_not_hide_that_a_context_has_gone() {
    let came: Vec<Wake> = vec![Wake {
        overview: Overview {
            call: "c".into(),
            daemon: None,
            node: None,
            aor: "1@d".into(),
            held_at_ms: 0,
            held_ms: Some(1),
            caller: String::new(),
            result: Some("connected".into()),
            reason: None,
            answered_by: None,
            devices: 1,
            pushes: 1,
            legs: 1,
        },
        steps: vec![TimelineStep {
            at_ms: 0,
            after_ms: 0,
            step: "call-held".into(),
            kind: Some(StepKind::CallHeld),
            device: None,
            daemon: None,
            node: None,
            words: String::new(),
            detail: serde_json::from_str(r#"{"way": "dial-string"}"#).unwrap(),
        }],
        diagnosis: None,
        dropped: None,
    }];
    let users = users(&[("1", "d", STATIC)], &[]);
    for (handler, is_there, wakes, expected) in [
        (Some(Handler::FusionPbx), true, &came[..], CheckState::Ok),
        (Some(Handler::FusionPbx), false, &came[..], CheckState::Warning),
        (Some(Handler::FusionPbx), false, &[], CheckState::Error),
        // Another script keeps its contexts where it likes.
        (Some(Handler::Lua), false, &came[..], CheckState::Ok),
        (None, false, &came[..], CheckState::Error),
    ] {
        let to_fswake = [context("fswake@static", is_there, handler)];
        let routings = RoutingChecks {
            users: &users,
            to_fswake: &to_fswake,
            dialplans: &[],
            handler,
            wakes: &wakes.iter().collect::<Vec<_>>(),
        };
        let check = routings.verdict();
        assert_eq!(
            check.state,
            expected,
            "{handler:?} {is_there} {}: {}",
            wakes.len(),
            check.seen
        );
    }
}

#[test]
fn fusionpbx_leaves_only_names_with_an_at_to_the_files() {
    let fusionpbx = Some(Handler::FusionPbx);
    let recipe = [context("fswake@static", true, fusionpbx)];
    let readme = [context("fswake", true, fusionpbx)];
    let renamed = users(&[("1", "d", STATIC)], &[]);
    let plain = users(&[("1", "d", LEADS)], &[]);
    assert_eq!(verdict(&renamed, &recipe, &[], fusionpbx).state, CheckState::Ok);
    let check = verdict(&plain, &readme, &[context("default", true, fusionpbx)], fusionpbx);
    assert_eq!(check.state, CheckState::Error);
    assert!(check.seen.contains("FusionPBX's own dialplan"), "{}", check.seen);
    assert!(check.advice.unwrap().contains("docs/FUSIONPBX.md"));
    assert_eq!(
        verdict(&plain, &[context("fswake", true, None)], &[], None).state,
        CheckState::Ok
    );
    assert_eq!(
        verdict(
            &plain,
            &[context("fswake", true, Some(Handler::Lua))],
            &[],
            Some(Handler::Lua)
        )
        .state,
        CheckState::Ok
    );
}
