//! What a leg takes over from its call, as a leg of FreeSWITCH's own `bridge` does: variables, caller, roles.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(30)));

/// The INVITE to a desk phone for a call.
async fn invite_of(stage: &Stage, daemon: &Daemon, phone: &Phone, call: &Call) -> (Held, Invite) {
    let (before, from) = (phone.invites().len(), daemon.log.len());
    let held = stage.fs.call(call);
    held.wait_bridged().await;
    daemon.log.wait_from(from, &["call over"]).await;
    (held, phone.invite(before + 1).await)
}

async fn desk(stage: &Stage, daemon: &Daemon) -> Phone {
    let phone = stage.fs.phone(PhoneSpec::new("1001", DOMAIN));
    phone.set_behaviour(ANSWERS);
    daemon.registered(&phone).await;
    phone
}

/// FreeSWITCH would run them on the loopback as well: two recordings into one file.
#[tokio::test]
async fn leg_hooks_are_removed_from_a_loopback_before_it_rings_or_is_answered() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let hooks = "execute_on_answer,api_on_ring";
    let [direct, loopback] = both_ways(&daemon, "1001").map(|call| {
        let call = call.variable("execute_on_answer", "record_session /tmp/x.wav");
        call.variable("api_on_ring", "status").variable("export_vars", hooks)
    });
    for (call, are_taken_off) in [(direct, false), (loopback, true)] {
        let held = woken(&stage, &phone, &call).await;
        phone.invite(1 + usize::from(are_taken_off)).await;
        phone.answer();
        held.wait_bridged().await;
        let commands: Vec<String> = held.commands().into_iter().map(|(_, command)| command).collect();
        let place = |what: String| commands.iter().position(|command| command.contains(&what));
        let channel = &held.uuid;
        let taken_off = |hook: &str| {
            let is_that = |command: &String| {
                command.contains(&format!("uuid_setvar_multi {channel} ")) && command.contains(&format!("{hook}="))
            };
            commands.iter().position(is_that)
        };
        let (ring, answer) = (taken_off("api_on_ring"), taken_off("execute_on_answer"));
        assert_eq!(
            (ring.is_some(), answer.is_some()),
            (are_taken_off, are_taken_off),
            "{commands:?}"
        );
        if are_taken_off {
            let rings = place(format!("uuid_ring_ready {channel}"));
            assert!(ring < rings, "{commands:?}");
            assert!(
                rings < answer,
                "removed although a plain bridge would need it: {commands:?}"
            );
            assert!(answer < place(format!("uuid_answer {channel}")), "{commands:?}");
        }
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

#[tokio::test]
async fn leg_is_a_child_of_the_callers_own_channel_with_both_routings() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    for call in both_ways(&daemon, "1001") {
        let (held, invite) = invite_of(&stage, &daemon, &phone, &call).await;
        let caller = held.behind.as_ref().unwrap_or(&held.uuid);
        for name in ["origination_aleg_uuid", "originating_leg_uuid"] {
            assert_eq!(invite.variable(name), Some(caller.as_str()), "{name}");
        }
        for (name, value) in [
            ("sip_invite_domain", DOMAIN),
            ("presence_id", "1001@fs.test"),
            ("dialed_user", "1001"),
            ("dialed_domain", DOMAIN),
        ] {
            assert_eq!(invite.variable(name), Some(value), "{name}");
        }
        assert_eq!(invite.caller, ("1000".into(), "Alice".into()));
        assert_eq!(invite.offer, ["PCMU", "PCMA"], "not the caller's codecs");
        // The callee's context, and the name for the caller's display.
        let ran = |app: &str, arg: &str| invite_has_run(&phone, &invite, app, arg);
        assert!(ran("set_profile_var", "context=default"));
        until("the callee's name", || {
            ran("set_profile_var", "caller_id_name=Outbound Call") && ran("set_profile_var", "caller_id_number=1001")
        })
        .await;
        assert!(
            !ran("set_profile_var", "callee_id_number=1001"),
            "FreeSWITCH has it there"
        );
        // They would run again when the phone's channel calls another.
        for hook in [
            "execute_on_post_originate_fswake_1",
            "execute_on_post_originate_fswake_2",
        ] {
            assert!(invite.variable(hook).is_some(), "{hook}");
            assert_eq!(stage.fs.variable(&invite.leg, hook), None, "{hook}");
        }
        // The variables that `bridge` leaves on the A leg.
        let disposition = || held.variable("originate_disposition");
        until("SUCCESS", || disposition().as_deref() == Some("SUCCESS")).await;
        let legs = held.variable("originated_legs").unwrap();
        assert!(legs.contains(&invite.leg), "{legs}");
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

fn invite_has_run(phone: &Phone, invite: &Invite, app: &str, arg: &str) -> bool {
    let now = phone.invites();
    let invite = now.iter().find(|i| i.leg == invite.leg).unwrap();
    invite.executed.iter().any(|(a, b)| a == app && b == arg)
}

#[tokio::test]
async fn exported_variables_and_the_callers_headers_reach_the_leg_and_others_do_not() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    let set = |call: Call| {
        call.variable("export_vars", "alert_info,nolocal:sip_auto_answer,record_stereo")
            .variable("alert_info", "<http://example.org/ring>;info=\"a b\"")
            .variable("nolocal:sip_auto_answer", "true")
            .variable("record_stereo", "two words, and a comma")
            .variable("sip_h_X-Own", "7")
            .variable("accountcode", "not for phones")
    };
    let [call, _] = both_ways(&daemon, "1001");
    let (_, invite) = invite_of(&stage, &daemon, &phone, &set(call)).await;
    assert_eq!(invite.variable("sip_auto_answer"), Some("true"));
    assert_eq!(invite.variable("record_stereo"), Some("two words, and a comma"));
    assert_eq!(invite.variable("sip_h_X-Own"), Some("7"));
    assert_eq!(invite.variable("accountcode"), None);
    let info = invite.variable("alert_info").unwrap_or_default();
    assert!(info.starts_with("<http://example.org/ring>"), "{info}");
    // A loopback already has the exports. The caller's own headers are on the channel behind it.
    let [_, call] = both_ways(&daemon, "1001");
    let call = call.variable("sip_auto_answer", "true").behind("sip_h_X-Own", "8");
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call).await;
    assert_eq!(invite.variable("sip_auto_answer"), Some("true"));
    assert_eq!(invite.variable("sip_h_X-Own"), Some("8"));
    assert_eq!(invite.variable("loopback_leg"), None);
    assert_eq!(invite.variable("fswake_bridge"), None);
}

#[tokio::test]
async fn privacy_and_asserted_identity_of_the_caller_are_passed_on() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    let [call, by_loopback] = both_ways(&daemon, "1001");
    let asserting = [
        call.clone().variable("sip_P-Asserted-Identity", "1000"),
        by_loopback.behind("sip_P-Asserted-Identity", "1000"),
    ];
    for call in asserting {
        let (_, invite) = invite_of(&stage, &daemon, &phone, &call).await;
        assert_eq!(invite.variable("sip_cid_type"), Some("pid"));
    }
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call.clone().variable("sip_cid_type", "none")).await;
    assert_eq!(
        invite.variable("sip_cid_type"),
        Some("none"),
        "the site's own value must stay"
    );
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call.clone()).await;
    assert_eq!(
        (invite.variable("sip_cid_type"), invite.variable("origination_privacy")),
        (None, None)
    );
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call.hides("number")).await;
    assert_eq!(invite.variable("origination_privacy"), Some("screen:hide_number"));
    assert_eq!(
        invite.caller.0, "1000",
        "the number is kept and marked private, as with `bridge`"
    );
}

#[tokio::test]
async fn dialplan_sets_the_displayed_caller() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    let [call, _] = both_ways(&daemon, "1001");
    let call = call
        .variable("effective_caller_id_number", "+4930123")
        .variable("effective_caller_id_name", "O'Brien, Jr");
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call).await;
    assert_eq!(invite.caller, ("+4930123".into(), "O'Brien, Jr".into()));
}

#[tokio::test]
async fn hostile_values_are_left_out_and_logged_once() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    for hostile in [
        "a}sofia/gateway/evil/1",
        "a:_:sofia/gateway/evil/1",
        "${system touch x}",
        "a\nbgapi shutdown",
        "^^;x",
    ] {
        for call in both_ways(&daemon, "1001") {
            let call = call.variable("sip_h_X-Evil", hostile);
            let (held, invite) = invite_of(&stage, &daemon, &phone, &call).await;
            assert_eq!(invite.variable("sip_h_X-Evil"), None, "{hostile}");
            assert_eq!(invite.uri, format!("sip:1001@{}", phone.spec().address));
            held.caller_hangs_up();
        }
    }
    assert_eq!(
        daemon.log.count(&["WARN", "sip_h_X-Evil", "cannot be written safely"]),
        1
    );
    // Quotes and backslashes are not hostile, but must be escaped.
    let [call, _] = both_ways(&daemon, "1001");
    let (held, invite) = invite_of(&stage, &daemon, &phone, &call.variable("sip_h_X-Odd", r"it's a\b, 'c'")).await;
    assert_eq!(invite.variable("sip_h_X-Odd"), Some(r"it's a\b, 'c'"));
    held.caller_hangs_up();
    // The name of a header may be hostile, too.
    let [call, _] = both_ways(&daemon, "1001");
    let call = call.variable("sip_h_X,origination_uuid", "1");
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call).await;
    assert_ne!(invite.leg, "1");
}

/// A leg has its own limits and names. Those that its dialplan exports would end it or move it.
#[tokio::test]
async fn what_a_leg_has_of_its_own_is_not_inherited() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    let [call, _] = both_ways(&daemon, "1001");
    let call = call
        .variable("export_vars", "origination_uuid,park_timeout,fswake_mode,socket_resume")
        .variable("origination_uuid", "1")
        .variable("park_timeout", "60")
        .variable("fswake_mode", "connect");
    let (_, invite) = invite_of(&stage, &daemon, &phone, &call).await;
    assert_ne!(invite.leg, "1");
    assert_ne!(invite.variable("park_timeout"), Some("60"));
    assert_eq!(
        (invite.variable("fswake_mode"), invite.variable("socket_resume")),
        (None, None)
    );
}

#[tokio::test]
async fn phone_to_be_confirmed_by_a_key_is_reported_before_the_key_is_pressed() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let mut spec = PhoneSpec::new("1001", DOMAIN);
    spec.asserts = Some("77".into());
    let phone = stage.fs.phone(spec);
    phone.set_behaviour(Behaviour::Manual);
    daemon.registered(&phone).await;
    let call = Call::to(daemon.address, "1001", DOMAIN).variable("group_confirm_key", "1");
    let held = stage.fs.call(&call);
    phone.invite(1).await;
    phone.answer();
    // Of four commands, in any order with FreeSWITCH's own swap of caller and callee.
    for name in ["caller_id_number=77", "callee_id_number=77"] {
        let is_named = |invites: &[Invite]| invites[0].executed.iter().any(|(_, argument)| argument == name);
        phone.wait_for(name, is_named).await;
    }
    assert!(held.outcomes().is_empty(), "bridged before the key was pressed");
    phone.press_key();
    held.wait_bridged().await;
    let named: Vec<_> = phone.invites()[0]
        .executed
        .iter()
        .map(|(_, argument)| argument.clone())
        .collect();
    assert!(
        !named.iter().any(|name| name.ends_with("=1001")),
        "FreeSWITCH would swap that in: {named:?}"
    );
}

const FIND: &str = "find_user_xml id 1001 fs.test";
const USER: &str = r#"<user id="1001"><params><param name="dial-var-sip_h_X-Floor" value="2; 'old' \ wing"/>
    <param name="dial-var-origination_uuid" value="evil"/></params><variables><variable name="accountcode" value="a;b='c' \d &amp; e"/>
    <variable name="user_context" value="office"/><variable name="bad name" value="x"/></variables></user>"#;

/// Waits until the leg has the variable, and returns its value.
async fn gets(stage: &Stage, leg: &str, name: &str) -> String {
    for _ in 0..400 {
        if let Some(value) = stage.fs.variable(leg, name) {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{leg} has no {name}");
}

#[tokio::test]
async fn legs_get_the_callees_directory_variables_unchanged() {
    let stage = Stage::new().await;
    stage.fs.answer(FIND, USER);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    let floors = [Some("2; 'old' \\ wing"), None];
    for (n, (call, floor)) in (1..).zip(both_ways(&daemon, "1001").into_iter().zip(floors)) {
        phone.expire();
        daemon.log.wait(&["event=Unregistered "]).await;
        let held = stage.fs.call(&call);
        // The phone takes some time to answer. By then the variables from the directory have been prepared.
        while stage.fs.asked(FIND) < n {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        phone.register();
        let invite = phone.invite(n).await;
        assert_eq!(invite.variable("sip_h_X-Floor"), floor);
        assert_ne!(invite.leg, "evil");
        assert_eq!(gets(&stage, &invite.leg, "accountcode").await, "a;b='c' \\d & e");
        assert_eq!(gets(&stage, &invite.leg, "user_context").await, "office");
        held.caller_hangs_up();
        phone.cancelled().await;
    }
    assert_eq!(stage.fs.complaints(), Vec::<String>::new());
}

/// Each idle connection has got FreeSWITCH's farewell, which is no answer to the next question.
#[tokio::test]
async fn legs_after_a_restart_of_freeswitch_get_the_callees_directory_variables() {
    let stage = Stage::new().await;
    stage.fs.answer(FIND, USER);
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    for n in 1..=2 {
        let held = stage.fs.call(&Call::to(daemon.address, "1001", DOMAIN));
        held.wait_bridged().await;
        let leg = phone.invites().last().unwrap().leg.clone();
        assert_eq!(gets(&stage, &leg, "accountcode").await, "a;b='c' \\d & e");
        held.caller_hangs_up();
        phone.got_bye().await;
        stage.fs.restart(false);
        daemon.log.wait_times(n + 1, &["connected to FreeSWITCH"]).await;
    }
}

/// Nothing in the call waits for the directory, in particular not its bridge.
#[tokio::test]
async fn phone_that_answers_before_the_directory_is_bridged_at_once_and_gets_the_variables_later() {
    let stage = Stage::new().await;
    stage.fs.answer_after(Duration::from_secs(3), FIND, USER);
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    phone.set_behaviour(ANSWERS);
    for call in both_ways(&daemon, "1001") {
        let began = std::time::Instant::now();
        let held = stage.fs.call(&call);
        held.wait_bridged().await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let leg = phone.invites().last().unwrap().leg.clone();
        assert_eq!(stage.fs.variable(&leg, "accountcode"), None);
        assert_eq!(gets(&stage, &leg, "accountcode").await, "a;b='c' \\d & e");
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

/// The phone is offered the profile's codecs once more, without video if the caller has none.
#[tokio::test]
async fn phone_without_the_callers_codecs_is_offered_its_profiles_codecs_and_no_video() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = desk(&stage, &daemon).await;
    phone.change(|spec| spec.codecs = vec!["G722".into()]);
    for (call, nth) in both_ways(&daemon, "1001").into_iter().zip([2, 4]) {
        let held = stage.fs.call(&call);
        let invite = phone.invite(nth).await;
        assert_eq!(
            invite.variable("absolute_codec_string"),
            Some("^^:PCMU@8000h@20i:PCMA@8000h@20i:OPUS:G722")
        );
        held.caller_hangs_up();
        daemon.log.wait(&["call over", "abandoned"]).await;
    }
}
