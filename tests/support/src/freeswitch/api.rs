//! The API commands behind `api` and `bgapi`, with FreeSWITCH's output.

use std::sync::Arc;

use super::core::Core;
use super::held::{Call, Held, Outcome};
use super::{cause, dialstring, lists};

/// Runs one API command and returns its output.
pub(crate) async fn execute(core: &Arc<Core>, name: &str, arg: Option<&str>) -> String {
    let arg = arg.unwrap_or("").trim();
    let words: Vec<&str> = arg.split_whitespace().collect();
    let answer = core
        .world()
        .answers
        .get_mut(format!("{name} {arg}").trim())
        .map(|answer| {
            answer.asked += 1;
            (answer.text.clone(), answer.after)
        });
    if let Some((text, after)) = answer {
        tokio::time::sleep(after).await;
        return text;
    }
    if name == "expand" && arg.contains("uuid_bridge(") {
        let faster = core.world().faster.take();
        if let Some((held, number)) = faster {
            core.pick_up(&held, super::core::new_uuid(), &number);
        }
    }
    match name.to_ascii_lowercase().as_str() {
        "originate" => match dialstring::parse(arg) {
            Ok(plan) if plan.endpoints[0].target.starts_with("null/") => originate_nobody(core, &plan),
            Ok(plan) => core
                .originate(plan)
                .await
                .map_or_else(|cause| format!("-ERR {cause}\n"), |uuid| format!("+OK {uuid}\n")),
            Err(why) => {
                core.complain(format!("originate: {why}: {arg}"));
                "-USAGE: <call url> <exten>|&<application_name>(<app_args>)\n".to_owned()
            }
        },
        "expand" => {
            if let Some(text) = Box::pin(expand(core, arg)).await {
                let (name, arg) = text.split_once(' ').unwrap_or((&text, ""));
                Box::pin(execute(core, name, Some(arg))).await
            } else {
                core.complain(format!("expand {arg}"));
                "-ERR Cannot execute command\n".to_owned()
            }
        }
        "regex" => {
            let matched = arg
                .rsplit_once('|')
                .is_some_and(|(text, pattern)| matches(text, pattern));
            matched.to_string()
        }
        "cond" => cond(arg).unwrap_or("-ERR").to_owned(),
        "uuid_exists" => core.exists(arg).to_string(),
        "uuid_kill" => {
            let [uuid, rest @ ..] = words.as_slice() else {
                return "-USAGE: <uuid> [cause]\n".to_owned();
            };
            let cause = rest
                .first()
                .copied()
                .filter(|cause| cause::known(cause))
                .unwrap_or("NORMAL_CLEARING");
            core.touches(uuid, name);
            let is_stranger = core.world().strangers.remove(*uuid).is_some();
            no_such_channel_unless(is_stranger || core.kill(uuid, cause))
        }
        "sched_hangup" => core.sched_hangup(&words),
        "sched_api" => core.sched_api(arg),
        "sched_del" => core.sched_del(arg),
        "uuid_recv_dtmf" => match words.as_slice() {
            [end, _digit] if core.end_reads_a_digit(end) => "+OK\n".to_owned(),
            _ => "-ERR no reply\n".to_owned(),
        },
        "uuid_ring_ready" => {
            core.touches(arg, name);
            if core.exists(arg) {
                core.ring_ready(arg);
                "+OK\n"
            } else {
                "-ERROR\n"
            }
            .to_owned()
        }
        "uuid_answer" => {
            core.touches(arg, name);
            core.needs_its_partner(arg, name);
            if core.answer_held(arg) { "+OK\n" } else { "-ERROR\n" }.to_owned()
        }
        "uuid_pre_answer" => {
            core.touches(arg, name);
            core.needs_its_partner(arg, name);
            if core.exists(arg) && core.early_media(arg) {
                "+OK\n"
            } else {
                "-ERROR\n"
            }
            .to_owned()
        }
        "uuid_media" | "uuid_display" => {
            let uuid = words.iter().find(|word| **word != "off").copied().unwrap_or_default();
            core.touches(uuid, name);
            if core.exists(uuid) {
                "+OK Success\n"
            } else {
                "-ERR Operation failed\n"
            }
            .to_owned()
        }
        "uuid_bridge" => match words.as_slice() {
            [one, other] if core.bridge(one, other) => {
                core.touches(one, name);
                core.touches(other, name);
                format!("+OK {other}\n")
            }
            [_, _, ..] => "-ERR Invalid uuid\n".to_owned(),
            _ => "-USAGE: <uuid> <other_uuid>\n".to_owned(),
        },
        "uuid_setvar" => {
            let parts = dialstring::separate(arg, ' ');
            let [uuid, variable, value @ ..] = parts.as_slice() else {
                return "-USAGE: <uuid> <var> [value]\n".to_owned();
            };
            let value = value.first().map_or("", String::as_str);
            if variable != "socket_resume" {
                core.touches(uuid, name);
            }
            no_such_channel_unless(core.set_variable(uuid, variable, value) || core.is_a_loopbacks_end(uuid))
        }
        "uuid_setvar_multi" => {
            let Some((uuid, list)) = arg.split_once(' ') else {
                return "-USAGE: <uuid> <var>=<value>;<var>=<value>...\n".to_owned();
            };
            core.touches(uuid, name);
            let mut known = core.exists(uuid);
            for pair in dialstring::separate(list, ';') {
                let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
                known &= core.set_variable(uuid, name.trim(), value);
            }
            no_such_channel_unless(known)
        }
        "uuid_getvar" => {
            let (uuid, name) = arg.split_once(' ').unwrap_or((arg, ""));
            let world = core.world();
            let value = match world.channels.get(uuid).filter(|channel| channel.cause.is_none()) {
                Some(channel) => channel
                    .variable(name)
                    .map(str::to_owned)
                    .or_else(|| channel.own_variable(name)),
                None if !world.strangers.contains_key(uuid) => return "-ERR No such channel!\n".to_owned(),
                None => world.of_a_stranger(uuid, name),
            };
            value.unwrap_or_else(|| "_undef_".to_owned())
        }
        "global_getvar" if arg == "core_uuid" => core.core_uuid(),
        "hash" => core.hash(arg),
        "global_getvar" => {
            let value = core.config.globals.iter().find(|(name, _)| name == arg);
            value.map(|(_, value)| value.clone()).unwrap_or_default()
        }
        "module_exists" => core.config.modules.iter().any(|module| module == arg).to_string(),
        "show" if arg == "registrations as json" => lists::registrations_json(core),
        "show" if arg == "registrations count" => format!("\n{} total.\n", core.world().registrations.len()),
        "show" if arg == "channels as json" || arg == "calls as json" => lists::channels_json(core),
        "show" if arg.starts_with("channels like ") => lists::channels_like(core, arg),
        "uuid_dump" => lists::dump(core, arg),
        "show" if arg == "channels count" => format!("\n{} total.\n", core.world().channels.len()),
        "sofia" => {
            let answer = lists::sofia(core, &words);
            if words.last() == Some(&"reg") {
                let takes = core.world().list_takes;
                tokio::time::sleep(takes).await;
            }
            answer
        }
        "sofia_contact" => lists::sofia_contact(core, arg),
        "status" => lists::status(core),
        "version" => "FreeSWITCH Version 1.10.12-release~64bit ( 64bit)\n".to_owned(),
        "echo" => arg.to_owned(),
        // Sets FreeSWITCH's own configuration, as an operator would.
        "xml_locate" => "can't find anything\n".to_owned(),
        "user_data" | "domain_data" => String::new(),
        "find_user_xml" => {
            let user = arg.split(' ').nth(1).unwrap_or_default();
            format!(
                "<user id=\"{user}\"><variables><variable name=\"user_context\" value=\"default\"/></variables></user>"
            )
        }
        _ => {
            core.complain(format!("api {name} {arg}"));
            format!("-ERR {name} Command not found!\n")
        }
    }
}

/// Expands `[uuid:<uuid> ]text` as `switch_event_expand_headers` does: `${variable_..}` becomes the channel's variable,
/// `${name(..)}` the output of that command. The results are not expanded again. Returns `None` for syntax that the
/// stand-in does not know.
async fn expand(core: &Arc<Core>, arg: &str) -> Option<String> {
    let (uuid, mut text) = match arg.strip_prefix("uuid:") {
        Some(rest) => rest.split_once(' ')?,
        None => ("", arg),
    };
    let mut expanded = String::new();
    while let Some((before, rest)) = text.split_once("${") {
        expanded.push_str(before);
        let (inside, rest) = braced(rest)?;
        text = rest;
        if let Some((name, args)) = inside.split_once('(') {
            let args = Box::pin(expand(core, args.strip_suffix(')')?)).await?;
            if core.world().expands_no_commands {
                expanded.push_str("<API execute Permission Denied>");
            } else {
                expanded.push_str(&Box::pin(execute(core, name, Some(&args))).await);
            }
        } else {
            let name = inside.strip_prefix("variable_")?;
            let world = core.world();
            let channel = world.channels.get(uuid).filter(|channel| channel.cause.is_none());
            expanded.push_str(channel.and_then(|channel| channel.variable(name)).unwrap_or_default());
        }
    }
    // FreeSWITCH would give any further `$` or `\` a meaning of its own.
    let is_plain = !text.contains(['$', '\\']);
    expanded.push_str(text);
    is_plain.then_some(expanded)
}

/// Splits at the brace that closes an opened one: the text before it, and the text after it.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

/// Matches a regular expression that contains only `^` and `.*`.
fn matches(text: &str, pattern: &str) -> bool {
    let (begins, pattern) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let mut rest = text;
    pattern.split(".*").enumerate().all(|(n, part)| {
        let found = rest.find(part).filter(|at| n > 0 || !begins || *at == 0);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

/// `'a' == 'b' ?one:other`.
fn cond(arg: &str) -> Option<&str> {
    let (one, rest) = arg.strip_prefix('\'')?.split_once("' == '")?;
    let (other, rest) = rest.split_once("' ?")?;
    let (then, otherwise) = rest.split_once(':')?;
    Some(if one == other { then } else { otherwise })
}

/// Makes a channel without a callee, which runs `socket` at once. FreeSWITCH splits the argument at unquoted blanks:
/// without the quotes, `async full` would be lost.
fn originate_nobody(core: &Arc<Core>, plan: &dialstring::Plan) -> String {
    let action = plan
        .action
        .strip_prefix("&socket(")
        .and_then(|rest| rest.strip_suffix(')'));
    let socket = action.and_then(|data| data.strip_suffix(" full"));
    let Some(socket) = socket else {
        core.complain(format!("originate of a null channel with action {}", plan.action));
        return "-ERR NORMAL_TEMPORARY_FAILURE\n".to_owned();
    };
    let asynchronous = socket.strip_suffix(" async");
    let call = Call {
        socket: asynchronous.unwrap_or(socket).to_owned(),
        is_static: asynchronous.is_none(),
        uuid: plan.variable("origination_uuid").unwrap_or_default().to_owned(),
        caller_number: String::new(),
        caller_name: String::new(),
        destination: plan.endpoints[0].target["null/".len()..].to_owned(),
        user: String::new(),
        domain: String::new(),
        loopback: false,
        codecs: vec!["L16".to_owned()],
        variables: plan.endpoints[0].variables.clone(),
        sip_call_id: String::new(),
        record: false,
        behind: Vec::new(),
        hides: Vec::new(),
        behind_uuids: Default::default(),
        picked_up_unheard: None,
    };
    let held = Held::start(core, &call);
    tokio::spawn(async move {
        // This dialplan has no further action.
        if matches!(held.outcome().await, Outcome::Resumed { .. }) {
            held.caller_hangs_up();
        }
    });
    format!("+OK {}\n", call.uuid)
}

fn no_such_channel_unless(known: bool) -> String {
    if known { "+OK\n" } else { "-ERR No such channel!\n" }.to_owned()
}
