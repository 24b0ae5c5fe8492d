//! FreeSWITCH: login, port, silence, and dialplans that lead nowhere.

use super::*;

#[tokio::test]
async fn faults_of_freeswitch_are_reported_with_advice() {
    let mut stage = clinic().await;
    stage.set("store.journal-keep", "1d");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    stage
        .fs
        .answer("xml_locate dialplan context name fswake", "can't find anything\n");
    stage.fs.answer("module_exists mod_loopback", "false");
    stage
        .fs
        .answer("version", "FreeSWITCH Version 1.10.9-release~64bit ( 64bit)\n");
    stage.fs.answer(
        "xml_locate configuration configuration name sofia.conf",
        "<profile name=\"internal\"/>",
    );
    stage.fs.expand_no_commands();
    let found = doctor(&stage).await;
    assert_eq!(found.code, Some(1));
    for (name, state) in [
        ("api-expansion", "warning"),
        ("calls", "error"),
        ("modules", "error"),
        ("version", "warning"),
        ("profile internal", "warning"),
        ("login", "ok"),
    ] {
        assert_eq!(found.state(name), state, "{:#}", found.report);
    }
    assert!(
        found.check("profile internal")["seen"]
            .as_str()
            .unwrap()
            .contains("multiple-registrations")
    );
    let (code, out, err) = stage.tool(&["doctor"]).await;
    assert_eq!(
        (code, err.as_str()),
        (Some(1), "fswake: 2 errors; fix this one first: freeswitch, modules\n"),
        "{out}"
    );
    assert!(
        out.contains("leads to context fswake, which is not in FreeSWITCH's files: calls to it fail")
            && out.contains("           -> install fs-conf/dialplan/fswake.xml")
            && out.contains("fs-conf/ is in /usr/share/fswake"),
        "{out}"
    );
}

#[tokio::test]
async fn wrong_port_in_the_dialplan_and_wrong_password_are_errors() {
    let mut stage = clinic().await;
    let context = r#"<context><action application="set" data="socket_resume=true"/><action application="socket" data="127.0.0.1:1 async full"/></context>"#;
    stage.fs.answer("xml_locate dialplan context name fswake", context);
    let daemon = stage.start().await;
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("outbound port")),
        (Some(1), "error"),
        "{:#}",
        found.report
    );
    drop(daemon);
    std::fs::write(stage.dir.path().join("password"), "open-sesame\n").unwrap();
    stage.secret("open-sesame");
    stage.set("freeswitch.password-file", "password");
    let _config = stage.command();
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("login")),
        (Some(1), "error"),
        "{:#}",
        found.report
    );
}

/// Accepts connections and sends one line of `greeting` for every line that it receives, then stays silent.
async fn falls_silent(greeting: &'static [&'static str]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 1024];
                for words in greeting {
                    let _ = stream.write_all(words.as_bytes()).await;
                    let _ = stream.read(&mut heard).await;
                }
                while stream.read(&mut heard).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    port
}

#[tokio::test]
async fn silent_freeswitch_and_providers_do_not_block_the_doctor() {
    let mut stage = clinic().await;
    let freeswitch = falls_silent(&[
        "Content-Type: auth/request\n\n",
        "Content-Type: command/reply\nReply-Text: +OK accepted\n\n",
    ])
    .await;
    stage.set("freeswitch.port", i64::from(freeswitch));
    let provider = falls_silent(&[]).await;
    let key = stage.apns.key_file().display().to_string();
    for name in ["a", "b", "c", "d"] {
        stage.app(&format!(
            "name = '{name}'\nprovider = 'apns'\napp-ids = ['com.example.{name}']\nkey-file = '{key}'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'\n\
             base-url = 'https://127.0.0.1:{provider}'"
        ));
    }
    let _config = stage.command();
    let began = std::time::Instant::now();
    let found = doctor(&stage).await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!((found.code, found.state("login")), (Some(1), "ok"));
    assert_eq!(found.state("version"), "error");
    let advice = found.check("events")["advice"].as_str().unwrap();
    assert!(
        advice.contains("fs_cli -x status"),
        "the advice is about permissions: {advice}"
    );
    for (name, state) in [("version", "error"), ("modules", "warning"), ("calls", "warning")] {
        let check = found.check(name);
        assert_eq!(check["state"], state, "{check}");
        let says = "FreeSWITCH takes commands and does not answer them";
        assert!(check["seen"].as_str().unwrap().contains(says), "{check}");
        assert!(
            check["advice"].as_str().unwrap().contains("fs_cli -x status"),
            "{check}"
        );
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(found.check(name)["pattern"], "provider-unreachable");
    }
    assert_eq!(found.state("ios"), "ok");

    // A FreeSWITCH that hangs accepts connections and sends nothing. Neither its password nor its ACL is the cause.
    stage.set("freeswitch.port", i64::from(falls_silent(&[]).await));
    let _config = stage.command();
    let found = doctor(&stage).await;
    let login = found.check("login");
    assert_eq!(login["state"], "error");
    let advice = login["advice"].as_str().unwrap();
    assert!(
        advice.contains("fs_cli -x status") && !advice.contains("acl"),
        "{advice}"
    );
}

#[tokio::test]
async fn host_outside_the_acl_is_reported() {
    use tokio::io::AsyncWriteExt;
    let mut stage = clinic().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    stage.set("freeswitch.port", i64::from(listener.local_addr().unwrap().port()));
    let _config = stage.command();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The message as in FreeSWITCH 1.11.2.
            let said = "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n";
            let _ = stream.write_all(said.as_bytes()).await;
        }
    });
    let found = doctor(&stage).await;
    let login = found.check("login");
    assert!(
        login["seen"]
            .as_str()
            .unwrap()
            .ends_with("apply-inbound-acl does not allow this host"),
        "{login}"
    );
    assert!(login["advice"].as_str().unwrap().contains("acl.conf.xml"), "{login}");
}

#[tokio::test]
async fn hanging_daemon_is_reported_where_its_port_is_checked() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.signal("STOP");
    let found = doctor(&stage).await;
    daemon.signal("CONT");
    let port = found.check("outbound port");
    assert_eq!(port["state"], "error", "{:#}", found.report);
    assert!(port["advice"].as_str().unwrap().contains("fswake hangs"), "{port}");
}

#[tokio::test]
async fn dialplan_that_leads_nowhere_is_not_reported_as_ok() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    assert_eq!(doctor(&stage).await.code, Some(0));
    let port = stage.settings["listen"]["addresses"][0].as_str().unwrap().to_owned();
    let context = |socket: &str, after: &str| {
        format!(
            "<context name=\"x\"><action application=\"set\" data=\"socket_resume=true\"/>\
             <action application=\"socket\" data=\"{socket} async full\"/>{after}</context>"
        )
    };
    let fswake = "xml_locate dialplan context name fswake";
    for (after, says) in [
        ("", "nothing after the socket application goes on"),
        (
            "<action application=\"hangup\"/>",
            "nothing after the socket application goes on",
        ),
        (
            "<action application=\"bridge\" data=\"user/${dialed_user}@${dialed_domain}\"/>",
            "call loops",
        ),
        (
            "<action application=\"transfer\" data=\"1 XML nowhere\"/>",
            "context nowhere, which is not in FreeSWITCH's files",
        ),
    ] {
        stage.fs.answer(fswake, &context(&port, after));
        stage
            .fs
            .answer("xml_locate dialplan context name nowhere", "can't find anything\n");
        let found = doctor(&stage).await;
        assert_eq!(
            (found.code, found.state("context fswake")),
            (Some(1), "error"),
            "{:#}",
            found.report
        );
        assert!(
            found.check("context fswake")["seen"].as_str().unwrap().contains(says),
            "{:#}",
            found.report
        );
    }
    // Two sockets, one of them wrong.
    let bridge = "<action application=\"bridge\" data=\"sofia/internal/1\"/>";
    stage.fs.answer(fswake, &context(&port, bridge));
    stage.fs.answer(
        "xml_locate dialplan context name public",
        &context("127.0.0.1:1", bridge),
    );
    let found = doctor(&stage).await;
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
    assert_eq!(
        found.state("outbound port of context public"),
        "error",
        "{:#}",
        found.report
    );
}

#[tokio::test]
async fn dialplan_is_followed_from_the_users_own_context_through_transfers() {
    let stage = clinic().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    stage.stored(1).await;
    let (fs, port) = (&stage.fs, stage.settings["listen"]["addresses"][0].as_str().unwrap());
    let contacts = "${sofia_contact(*/${dialed_user}@${dialed_domain})}";
    fs.answer(&format!("user_data 1001@{DOMAIN} param dial-string"), contacts);
    fs.answer("xml_locate dialplan context name fswake", "can't find anything\n");
    let found = doctor(&stage).await;
    assert_eq!((found.code, found.state("calls")), (Some(1), "error"));
    let context = |name: &str, actions: &str| {
        let xml = format!("<context name=\"{name}\"><extension>{actions}</extension></context>");
        fs.answer(&format!("xml_locate dialplan context name {name}"), &xml);
    };
    let action = |application: &str, data: &str| format!(r#"<action application="{application}" data="{data}"/>"#);
    let socket = [
        action("set", "socket_resume=true"),
        action("socket", &format!("{port} async full")),
        action("bridge", "${fswake_bridge}"),
    ]
    .concat();
    // A tenant's users call from their own context.
    fs.answer(&format!("user_data 1001@{DOMAIN} var user_context"), "tenant");
    context("tenant", &action("transfer", "$1 XML wake"));
    context("wake", &socket);
    let found = doctor(&stage).await;
    assert_eq!(
        (found.code, found.state("calls")),
        (Some(0), "ok"),
        "{:#}",
        found.report
    );
    assert_eq!(found.check("calls")["seen"], "by the dialplan, context wake");
    assert_eq!(found.state("outbound port"), "ok", "{:#}", found.report);
    // The same, into the context of the dial-string.
    context("tenant", &action("transfer", "$1@$2 XML fswake"));
    context("fswake", &socket);
    let found = doctor(&stage).await;
    assert_eq!(found.check("calls")["seen"], "by the dialplan, context fswake");
    assert_eq!(found.code, Some(0), "{:#}", found.report);
    // A context that does not exist.
    context("tenant", &[socket, action("transfer", "$1 XML missing")].concat());
    context("public", &action("transfer", "$1 XML elsewhere"));
    let found = doctor(&stage).await;
    let seen = |name: &str| found.check(name)["seen"].as_str().unwrap();
    assert_eq!(found.state("context public"), "warning", "{:#}", found.report);
    assert!(
        seen("context public").starts_with("it sends calls to context elsewhere, which FreeSWITCH's files do not have")
    );
    assert!(seen("context tenant").starts_with("after fswake the call goes to context missing"));
}
