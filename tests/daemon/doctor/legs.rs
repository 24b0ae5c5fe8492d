//! Whether a FreeSWITCH takes legs from the others: the profile at `freeswitch.sip`, its context and its ACL.

use fswake_test_support::freeswitch::FakeFreeSwitch;

use super::*;
use crate::nodes;

const EXTENSION: &str = "<context><condition field=\"${sip_h_X-Fswake-Leg}\" expression=\"^.\"/></context>";

/// B has a profile for phones and one for the other nodes, with these parameters.
fn profiles(b: &FakeFreeSwitch, params: &str) {
    let entry = |name: &str| {
        format!("<profile>\n<name>{name}</name>\n<type>profile</type>\n<state>RUNNING (0)</state>\n</profile>\n")
    };
    b.answer(
        "sofia xmlstatus",
        &format!("<profiles>{}{}</profiles>", entry("internal"), entry("nodes")),
    );
    for (name, port) in [("internal", 5060), ("nodes", 5080)] {
        b.answer(
            &format!("sofia xmlstatus profile {name}"),
            &format!(
                "<profile><profile-info>\n<context>{name}</context>\n<bind-url>sip:mod_sofia@192.0.2.2:{port}</bind-url>\n\
                 </profile-info></profile>\n"
            ),
        );
    }
    b.answer(
        "xml_locate configuration configuration name sofia.conf",
        &format!("<profile name=\"internal\"/><profile name=\"nodes\">{params}</profile>"),
    );
}

/// What the doctor says of B.
async fn says(stage: &Stage, check: &str) -> (String, String) {
    let found = doctor(stage).await;
    let check = format!("{check} (b)");
    let seen = found.check(&check)["seen"].as_str().unwrap_or_default().to_owned();
    (found.state(&check).to_owned(), seen)
}

/// The extension counts only in the context of the profile at freeswitch.sip.
#[tokio::test]
async fn extension_for_legs_belongs_to_the_profile_at_that_address() {
    let (stage, b) = nodes::stage().await;
    let _daemon = stage.start_alone().await;
    profiles(&b, "");
    b.answer("xml_locate dialplan context name internal", EXTENSION);
    b.answer("xml_locate dialplan context name nodes", "<context/>");
    let (state, seen) = says(&stage, "legs from other nodes").await;
    assert_eq!(state, "error");
    let elsewhere = "is in context internal, but the SIP profile at freeswitch.sip uses nodes:";
    assert!(seen.contains(elsewhere), "{seen}");
    b.answer("xml_locate dialplan context name nodes", EXTENSION);
    let ok = ("ok".to_owned(), "context nodes takes them".to_owned());
    assert_eq!(says(&stage, "legs from other nodes").await, ok);
}

#[tokio::test]
async fn profile_for_other_nodes_takes_their_invites_without_a_password() {
    let (stage, b) = nodes::stage().await;
    let _daemon = stage.start_alone().await;
    let list = "<param name=\"apply-inbound-acl\" value=\"nodes\"/>";
    let password = "<param name=\"auth-calls\" value=\"true\"/>";
    for (params, allowed, state, expected) in [
        (String::new(), "false", "ok", "without a password"),
        (list.to_owned(), "true", "ok", "without a password"),
        (
            list.to_owned(),
            "false",
            "error",
            "profile nodes answers a (192.0.2.1) with 403",
        ),
        (format!("{list}{password}"), "true", "ok", "without a password"),
        (
            format!("{list}{password}"),
            "false",
            "error",
            "profile nodes answers a (192.0.2.1) with 407",
        ),
        (
            password.to_owned(),
            "true",
            "error",
            "with 407: phones registered here are not rung",
        ),
    ] {
        profiles(&b, &params);
        b.answer("acl 192.0.2.1 nodes", allowed);
        let (is, seen) = says(&stage, "INVITEs of other nodes").await;
        assert!(
            is == state && seen.contains(expected),
            "{params} {allowed}: {is}: {seen}"
        );
    }
}
