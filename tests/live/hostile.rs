//! Hostile text from the network that could be executed as a command.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Phone, Reaction, Script};
use fswake_test_support::site::{Settings, Site, Wakes, new_token, push_params};

use crate::site;
use crate::steps::{answers, hang_up, new_sleeper};

crate::trials![
    contact_that_would_dial_elsewhere_does_not,
    contact_that_is_not_sip_harms_nobody,
    contact_that_freeswitch_cuts_gives_no_cut_token,
    display_name_that_would_be_a_variable_arrives_harmless,
    call_id_that_would_be_a_command_is_only_a_call_id,
];

/// A phone that must never ring.
async fn decoy(site: &Site) -> Phone {
    let phone = site.caller().await;
    phone.behave(Reaction::Ring);
    phone
}

/// The daemon runs, FreeSWITCH answers commands, and no injected command has written to this file.
async fn unharmed(site: &Site, decoy: &Phone) {
    assert_eq!(decoy.invites(), 0, "{}", decoy.story());
    let pwned = site.fs.api("global_getvar fswake_pwned").await;
    // How FreeSWITCH prints an empty value.
    assert_eq!(pwned.trim(), "-ERR no reply");
    // At most the caller and one leg. FreeSWITCH lists a finished leg for a moment longer.
    for _ in 0..50 {
        if site.fs.channels().await.len() <= 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:#?}", site.fs.channels().await);
}

async fn contact_that_would_dial_elsewhere_does_not(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("max-wait", "8s")).await;
    let decoy = decoy(&site).await;
    let elsewhere = format!("sofia/internal/sip:x@{}", decoy.address());
    let users = [
        format!("a,{elsewhere}"),
        format!("a|{elsewhere}"),
        format!("a:_:{elsewhere}"),
        format!(
            "a%2C{}",
            elsewhere.replace('/', "%2F").replace('@', "%40").replace(':', "%3A")
        ),
        "a{origination_uuid=x}".to_owned(),
        "[leg_timeout=1]a".to_owned(),
        "<x=y>a".replace(['<', '>'], "%3C"),
        "a${system(touch x)}".to_owned(),
        "a$${global_setvar(fswake_pwned=1)}".to_owned(),
        "${global_setvar(fswake_pwned=1)}".to_owned(),
        "a'b\"c^d\\e`f".to_owned(),
        "a b".to_owned(),
        "a%0Abgapi%20global_setvar%20fswake_pwned=1".to_owned(),
        "a &park() b".to_owned(),
    ];
    for name in users {
        let user = site.fs.new_user();
        let phone = Phone::new(site.fs.account(&user, DOMAIN), answers(50)).await;
        let token = new_token();
        phone.contact_text(&format!("<sip:{name}@127.0.0.1:PORT{}>", push_params(&token)));
        let registered = phone.register().await;
        if registered == 200 {
            site.heard_of(&user).await;
        }
        let call = site.caller().await.call(&format!("6{user}"));
        let outcome = call.outcome().await;
        eprintln!(
            "{name}: REGISTER {registered}, call {outcome}, INVITEs {}",
            phone.invites()
        );
        match outcome {
            200 => {
                assert_eq!(phone.invites(), 1, "{name}: {}", phone.story());
                unharmed(&site, &decoy).await;
                hang_up(&call, &phone).await;
            }
            other => assert_eq!((other, phone.invites()), (410, 0), "{name}: {}", phone.story()),
        }
        site.fs.becomes_silent(Duration::from_secs(5)).await;
        unharmed(&site, &decoy).await;
    }
    assert!(site.daemon().log.count(&["ERROR"]) == 0, "{}", site.daemon().log.end());
}

async fn contact_that_is_not_sip_harms_nobody(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("max-wait", "8s")).await;
    let decoy = decoy(&site).await;
    for contact in [
        "<tel:+4930123456>",
        "<mailto:a@example.org>",
        "<sip:>",
        "<sip:@>",
        "<http://127.0.0.1:PORT/>",
    ] {
        let user = site.fs.new_user();
        let phone = Phone::new(site.fs.account(&user, DOMAIN), Script::default()).await;
        phone.contact_text(contact);
        let registered = phone.wait_registered(Duration::from_secs(2)).await;
        if registered == Some(200) {
            site.heard_of(&user).await;
        }
        let call = site.caller().await.call(&format!("6{user}"));
        let outcome = call.outcome().await;
        eprintln!("{contact}: REGISTER {registered:?}, call {outcome}");
        // FreeSWITCH may parse the last one as a SIP URI and ring it.
        let harmless = if contact.starts_with("<http:") {
            &[(410, 0), (200, 1)][..]
        } else {
            &[(410, 0)][..]
        };
        assert!(harmless.contains(&(outcome, phone.invites())), "{contact}: {outcome}");
        call.hang_up().await;
        if outcome == 200 {
            // Its leg ends although the caller hung up before the bridge.
            phone.ended().await;
        }
        unharmed(&site, &decoy).await;
    }
}

async fn contact_that_freeswitch_cuts_gives_no_cut_token(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("max-wait", "8s")).await;
    let user = site.fs.new_user();
    let phone = Phone::new(site.fs.account(&user, DOMAIN), answers(50)).await;
    let long = "ab".repeat(700);
    phone.contact_params(&push_params(&long));
    let registered = phone.register().await;
    assert_eq!(registered, 200);
    site.heard_of(&user).await;
    let call = site.caller().await.call(&format!("6{user}"));
    let outcome = call.outcome().await;
    eprintln!(
        "cut Contact: REGISTER {registered}, call {outcome}, INVITEs {}",
        phone.invites()
    );
    assert_eq!(site.pushes().len(), 0, "a cut token is none");
    if outcome == 200 {
        assert_eq!(phone.invites(), 1);
        hang_up(&call, &phone).await;
    } else {
        assert_eq!(outcome, 410);
    }
}

async fn display_name_that_would_be_a_variable_arrives_harmless(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let decoy = decoy(&site).await;
    let dials = format!("\"a:_:sofia/internal/sip:x@{}:_:b\" ", decoy.address());
    for (display, arrives) in [
        (dials.as_str(), None),
        (r#""O'Brien, Jr" "#, Some("O'Brien, Jr")),
        (r#""a,origination_uuid=x}sofia/internal/sip:x@127.0.0.1" "#, None),
        (r#""x'} {y='" "#, None),
        (r#""${global_setvar(fswake_pwned=1)}" "#, None),
        (r#""$${global_setvar(fswake_pwned=1)}" "#, None),
        (r#""a\"b\\c" "#, None),
        (r#""trailing\\" "#, None),
        (r#""it's\\',x=y" "#, None),
        (r#""[leg_timeout=1]^^:a" "#, None),
        (r#""Zoë 電話 ☎" "#, Some("Zoë 電話 ☎")),
        (r#""a|b:_:c<d>&park()" "#, None),
    ] {
        let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, answers(50)).await;
        let caller = site.caller().await;
        caller.display_name(display);
        let call = caller.call(&format!("6{user}"));
        assert_eq!(call.outcome().await, 200, "{display}: {}", site.daemon().log.end());
        phone.on_the_line().await;
        let invite = phone.invited().await;
        eprintln!("{display} arrives as {}", invite.header("From"));
        if let Some(name) = arrives {
            assert!(invite.header("From").contains(name), "{}", invite.header("From"));
        }
        assert_eq!(phone.invites(), 1, "{display}: {}", phone.story());
        unharmed(&site, &decoy).await;
        hang_up(&call, &phone).await;
    }
}

async fn call_id_that_would_be_a_command_is_only_a_call_id(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let decoy = decoy(&site).await;
    for (n, call_id) in [
        "a,b}{c}[d]'e",
        "${global_setvar(fswake_pwned=1)}",
        "x;y=z|w:_:v",
        "it's@\"quoted\"",
        "(a)<b>%0Ac%00",
    ]
    .iter()
    .enumerate()
    {
        let user = site.fs.new_user();
        let phone = Phone::new(site.fs.account(&user, DOMAIN), answers(50)).await;
        site.give_token(&phone, Wakes::Elsewhere);
        assert_eq!(phone.register_as(&format!("{call_id}{n}")).await, 200);
        site.heard(&phone).await;
        phone.sleep();
        let call = site.caller().await.call_as(&format!("6{user}"), call_id);
        assert_eq!(call.outcome().await, 200, "{call_id}");
        phone.on_the_line().await;
        assert_eq!(phone.invites(), 1, "{call_id}: {}", phone.story());
        unharmed(&site, &decoy).await;
        hang_up(&call, &phone).await;
    }
}
