//! The FreeSWITCH snippets are well-formed, say where they are installed, and fail open.

use std::path::{Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// FusionPBX's dialplan, wake only: the bridge after it is FusionPBX's own.
const FUSIONPBX: &str = "fs-conf/fusionpbx/885_fswake.xml";

/// An `<action>`: its application and data.
type Action = (String, String);

/// The actions of one extension, with its context; if a file has no context, its path stands for it.
struct Extension {
    context: String,
    actions: Vec<Action>,
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("fs-conf")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut folders } else { &mut found }.push(path);
        }
    }
    found.sort();
    found
}

fn attribute(element: &BytesStart<'_>, name: &str) -> String {
    let found = element
        .attributes()
        .map(Result::unwrap)
        .find(|a| a.key.as_ref() == name);
    found.map_or_else(String::new, |a| a.value.into_owned())
}

/// Parses a whole file. Fails if it is not well-formed.
fn extensions(path: &Path) -> Vec<Extension> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_comments = true;
    let (mut found, mut open, mut roots, mut context) = (Vec::<Extension>::new(), 0, 0, String::new());
    loop {
        let event = reader
            .read_event()
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        match &event {
            Event::Start(e) | Event::Empty(e) => {
                roots += i32::from(open == 0);
                open += i32::from(matches!(event, Event::Start(_)));
                match e.name().as_ref() {
                    "context" => context = attribute(e, "name"),
                    "extension" => found.push(Extension {
                        context: context.clone(),
                        actions: Vec::new(),
                    }),
                    "action" => {
                        let action = (attribute(e, "application"), attribute(e, "data"));
                        found.last_mut().unwrap().actions.push(action);
                    }
                    _ => {}
                }
            }
            Event::End(_) => open -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((open, roots), (0, 1), "{}", path.display());
    found
}

/// Those for FreeSWITCH's own configuration.
fn all_extensions() -> Vec<Extension> {
    let files = files().into_iter().filter(|f| !f.ends_with(FUSIONPBX));
    files.flat_map(|f| extensions(&f)).collect()
}

fn position(actions: &[Action], application: &str, data: &str) -> Option<usize> {
    actions
        .iter()
        .position(|(a, d)| a == application && d.starts_with(data))
}

#[test]
fn every_file_is_well_formed_and_starts_with_its_place() {
    let files = files();
    assert_eq!(files.len(), 10);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("<!-- ") && first.ends_with(" -->"),
            "{}",
            file.display()
        );
        assert!(
            ["Installed as conf/", "Goes into <", "Installed as /var/www/fusionpbx/"]
                .iter()
                .any(|place| first.contains(place)),
            "{}",
            file.display()
        );
        extensions(&file);
    }
}

/// FreeSWITCH also executes these inside comments.
#[test]
fn no_file_has_a_preprocessor_line() {
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains("X-PRE-PROCESS") && !text.contains("$${"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn every_snippet_resumes_the_dialplan_and_bridges_to_what_fswake_sets() {
    let mut bridges = Vec::new();
    for Extension { actions, context } in all_extensions() {
        let Some(socket) = position(&actions, "socket", "") else {
            continue;
        };
        let resume = position(&actions, "set", "socket_resume=true").unwrap();
        let bridge = position(&actions, "set", "fswake_bridge=").unwrap();
        assert!(resume < socket && bridge < socket, "{context}");
        assert_eq!(actions[socket].1, "127.0.0.1:8084 async full");
        assert_eq!(actions.len(), socket + 2, "{context}");
        bridges.push(actions[socket + 1].clone());
    }
    let action = |application: &str, data: &str| (application.to_owned(), data.to_owned());
    assert_eq!(
        bridges,
        [
            action("bridge", "${fswake_bridge}"),
            action("execute_extension", "next-${fswake_bridge} XML fswake-after"),
            // Legs from other FreeSWITCHes.
            action("bridge", "${fswake_bridge}"),
        ]
    );
}

#[test]
fn dial_string_context_does_not_bridge_to_its_own_dial_string() {
    let all = all_extensions();
    let mut own = all.iter().filter(|e| e.context == "fswake").flat_map(|e| &e.actions);
    assert!(own.all(|(_, data)| !data.contains("user/") && !data.contains("loopback/")));
}

#[test]
fn after_a_wake_the_loopback_bridges_plainly_or_ends_with_the_phones_cause() {
    let after = all_extensions().into_iter().filter(|e| e.context == "fswake-after");
    let last = |e: Extension| e.actions.last().cloned().unwrap();
    let ends: Vec<_> = after.map(last).collect();
    let hangups: Vec<_> = ends
        .iter()
        .filter(|(a, _)| a == "hangup")
        .map(|(_, d)| d.as_str())
        .collect();
    assert_eq!(hangups, ["USER_NOT_REGISTERED", "USER_NOT_REGISTERED", "$1"]);
    let bridges: Vec<_> = ends
        .iter()
        .filter(|(a, _)| a == "bridge")
        .map(|(_, d)| d.as_str())
        .collect();
    assert!(
        bridges[0].ends_with("${sofia_contact(*/${dialed_user}@${dialed_domain})}"),
        "{bridges:?}"
    );
    assert_eq!(bridges[1..], ["${fswake_bridge}"]);
}

/// A blind transfer that runs in the loopback's context must go on in the caller's context, or else in the user's own.
#[test]
fn transfer_into_the_dial_strings_context_is_sent_on() {
    let all: Vec<_> = all_extensions().into_iter().filter(|e| e.context == "fswake").collect();
    let first = all.first().unwrap();
    assert!(position(&first.actions, "set", "force_transfer_context=$1").is_some());
    let remembered = "fswake_ready=${uuid_setvar(${other_loopback_leg_uuid} fswake_context $1)}";
    assert!(position(&first.actions, "set", remembered).is_some());
    for last in &all[all.len() - 2..] {
        assert!(position(&last.actions, "transfer", "${destination_number} XML $1").is_some());
    }
}

/// Once the loopback has left the call, a transfer by the phone would run in context `fswake-after`, which leads
/// nowhere.
#[test]
fn phone_of_the_plain_bridge_is_transferred_in_the_callers_context() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fs-conf/dialplan/fswake.xml");
    let text = std::fs::read_to_string(&file).unwrap();
    let bridges: Vec<_> = text
        .lines()
        .filter(|line| line.contains("application=\"bridge\"") && line.contains("sofia_contact("))
        .collect();
    assert_eq!(
        bridges.len(),
        2,
        "not two bridges, with the caller's codecs and with any"
    );
    for bridge in bridges {
        assert!(
            bridge.contains(",force_transfer_context=${force_transfer_context},"),
            "{bridge}"
        );
    }
}

/// A chat message is marked and goes on. Its text is not expanded, and its delivery is not stopped.
#[test]
fn chatplan_marks_messages_and_does_not_change_their_delivery() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fs-conf/chatplan/fswake.xml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(r#"<extension name="fswake" continue="true">"#));
    assert!(!text.contains("${"));
    let found = extensions(&file);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].actions, [("set".to_owned(), "fswake_push=im".to_owned())]);
}

/// FusionPBX takes order and context from the extension's attributes, and treats comments inside it as conditions.
#[test]
fn dialplan_for_fusionpbx_only_wakes_and_leaves_the_call_to_the_next_extension() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FUSIONPBX);
    let text = std::fs::read_to_string(&file).unwrap();
    let extension = &text[text.find("<extension").unwrap()..];
    assert!(extension.contains(r#"context="global" continue="true""#) && extension.contains(r#"order="885""#));
    assert!(!extension.contains("<!--"));
    let found = extensions(&file);
    let applications: Vec<_> = found[0].actions.iter().map(|(a, _)| a.as_str()).collect();
    assert_eq!((found.len(), applications), (1, vec!["set", "set", "set", "socket"]));
    let data: Vec<_> = found[0].actions.iter().map(|(_, d)| d.as_str()).collect();
    assert_eq!(
        data[1..],
        ["fswake_mode=wake", "socket_resume=true", "127.0.0.1:8084 async full"]
    );
}
