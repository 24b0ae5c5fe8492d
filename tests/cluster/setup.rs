//! Two FreeSWITCHes that are set up well, and one that takes no legs: what the doctor and the log say.

use fswake_test_support::realfs::DOMAIN;
use fswake_test_support::sip::{Phone, Reaction, Script};
use fswake_test_support::site::Settings;

use crate::steps::{answers, call, sleeper};
use crate::{Pair, site, site_at};

crate::trials![
    doctor_finds_that_both_take_legs,
    freeswitch_that_takes_no_legs_is_named_and_its_answer_is_not_the_phones,
];

async fn doctor_finds_that_both_take_legs(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let (_, out, err) = site.tool(&["doctor"]).await;
    for node in ["fs1", "fs2"] {
        for check in ["legs from other nodes", "INVITEs of other nodes", "claims"] {
            let check = format!("{check} ({node})");
            let line = out.lines().find(|line| line.contains(&check));
            let line = line.unwrap_or_else(|| panic!("{check}: {out}{err}"));
            assert!(line.trim_start().starts_with("ok"), "{line}\n{out}");
        }
    }
}

/// B is in fact something that answers each INVITE with 404, as a FreeSWITCH without the extension does.
async fn freeswitch_that_takes_no_legs_is_named_and_its_answer_is_not_the_phones(pair: Pair) {
    let refuses = Script::from(Reaction::Decline(404));
    let stranger = Phone::new(pair.b.account("nobody", DOMAIN), refuses).await;
    let mut ports = pair.b.ports;
    ports.node = stranger.address();
    let settings = Settings {
        others: vec![ports],
        ..Settings::default()
    };
    let site = site_at(&pair.a, &settings).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.b, &user, answers(50)).await;
    let call = call(&site, &pair.a, &user).await;
    let daemon = site.daemon();
    daemon
        .log
        .wait(&[
            "WARN",
            "does not take legs from the others",
            "node=\"fs2\"",
            "status=404",
        ])
        .await;
    daemon
        .log
        .wait(&["event=\"leg-ended\"", "not taken by the phone's FreeSWITCH"])
        .await;
    call.cancel().await;
    assert_eq!(phone.invites(), 0);
}
