//! The commands of the event socket (mod_event_socket.c, `parse_command`).

use std::borrow::Cow;
use std::sync::Arc;

use super::api;
use super::bus::Subscription;
use super::channel::Channel;
use super::conn::{Command, Conn};
use super::core::new_uuid;

/// The event names that the stand-in knows. Others are not recognised.
const EVENT_NAMES: &[&str] = &[
    "CUSTOM",
    "CHANNEL_CREATE",
    "CHANNEL_DESTROY",
    "CHANNEL_STATE",
    "CHANNEL_CALLSTATE",
    "CHANNEL_ANSWER",
    "CHANNEL_HANGUP",
    "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_EXECUTE",
    "CHANNEL_EXECUTE_COMPLETE",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_OUTGOING",
    "CHANNEL_PARK",
    "CHANNEL_UNPARK",
    "CHANNEL_APPLICATION",
    "CHANNEL_ORIGINATE",
    "CHANNEL_UUID",
    "CHANNEL_DATA",
    "API",
    "LOG",
    "MESSAGE",
    "MESSAGE_WAITING",
    "PRESENCE_IN",
    "HEARTBEAT",
    "SHUTDOWN",
    "RELOADXML",
    "MODULE_LOAD",
    "MODULE_UNLOAD",
    "DTMF",
    "CODEC",
    "BACKGROUND_JOB",
    "DETECTED_SPEECH",
    "TALK",
    "NOTALK",
    "SESSION_HEARTBEAT",
    "RE_SCHEDULE",
    "CALL_UPDATE",
    "ALL",
];

const MY_EVENTS: &[&str] = &[
    "CHANNEL_ANSWER",
    "CHANNEL_APPLICATION",
    "CHANNEL_BRIDGE",
    "CHANNEL_CREATE",
    "CHANNEL_DATA",
    "CHANNEL_DESTROY",
    "CHANNEL_EXECUTE",
    "CHANNEL_EXECUTE_COMPLETE",
    "CHANNEL_HANGUP",
    "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_ORIGINATE",
    "CHANNEL_UUID",
    "CHANNEL_OUTGOING",
    "CHANNEL_PARK",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_STATE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_UNPARK",
    "DETECTED_SPEECH",
    "DTMF",
    "NOTALK",
    "TALK",
];

/// API commands for which FreeSWITCH queries its directory or runs a script. They may take seconds (mod_xml_curl,
/// mod_lua), during which the connection does nothing else.
const SLOW: &[&str] = &[
    "user_data",
    "user_exists",
    "domain_data",
    "domain_exists",
    "find_user_xml",
    "xml_locate",
    "group",
    "group_call",
    "in_group",
    "sofia_contact",
    "lua",
    "luarun",
];

impl Conn {
    /// Runs one command and sends its reply.
    pub(crate) async fn handle(&mut self, command: Command) {
        let line = command.line.clone();
        if let Some(session) = &self.listener.session {
            self.core.record_command(session, &line);
            let mut words = line.split(' ');
            let is_api = matches!(words.next(), Some("api" | "bgapi"));
            if is_api && words.next().is_some_and(|verb| SLOW.contains(&verb)) {
                self.core.complain(format!("on a call's own connection: {line}"));
            }
        } else {
            for heard in self.listener.channels() {
                self.core.record_command(&heard, &line);
            }
        }
        let starts = |word: &str| {
            line.get(..word.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let reply = if starts("exit") || starts("...") {
            self.running = false;
            "+OK bye".to_owned()
        } else if !self.authed {
            let delay = self.core.world().login_delay;
            tokio::time::sleep(delay).await;
            self.log_in(&line)
        } else if starts("filter ") {
            let text = line[7..].trim_start_matches(' ');
            self.core
                .bus
                .change(&self.listener, |subscription| filter(subscription, text))
        } else if starts("resume") && self.listener.session.is_some() {
            self.resume = true;
            self.core.set_variable(self.session(), "socket_resume", "true");
            "+OK".to_owned()
        } else if starts("connect") && self.listener.session.is_some() {
            return self.connect().await;
        } else if starts("getvar ") && self.listener.session.is_some() {
            let world = self.core.world();
            let channel = world.channels.get(self.session());
            let name = line[7..].trim();
            let of = |channel: &Channel| {
                channel
                    .variable(name)
                    .map(str::to_owned)
                    .or_else(|| channel.own_variable(name))
            };
            channel
                .and_then(of)
                .unwrap_or_else(|| "-ERR command not found".to_owned())
        } else if starts("myevents") && self.listener.session.is_some() {
            self.my_events(&line)
        } else if starts("sendmsg") {
            self.send_message(&command, line[7..].trim())
        } else if starts("sendevent") {
            self.send_event(command, line[9..].trim())
        } else if self.listener.session.is_none() && self.is_forbidden(&line) {
            "-ERR permission denied".to_owned()
        } else if starts("api ") {
            let (name, arg) = split_word(&line[4..]);
            let mut text = api::execute(&self.core, name, arg).await;
            if text.is_empty() {
                text.push_str("-ERR no reply\n");
            }
            let answer = format!("Content-Type: api/response\nContent-Length: {}\n\n{text}", text.len());
            return self.write(answer.as_bytes()).await;
        } else if starts("bgapi ") {
            return self.background(&command, &line[6..]).await;
        } else if starts("linger") {
            self.linger_for(line[6..].trim())
        } else if starts("nolinger") {
            self.linger = None;
            "+OK will not linger".to_owned()
        } else if starts("event") {
            let words = line.split_once(' ').map_or("", |(_, words)| words);
            self.core
                .bus
                .change(&self.listener, |subscription| subscribe(subscription, words))
        } else if starts("nixevent") {
            let words = line.split_once(' ').map_or("", |(_, words)| words);
            self.core
                .bus
                .change(&self.listener, |subscription| unsubscribe(subscription, words))
        } else if starts("noevents") {
            self.listener.take_events();
            self.core.bus.change(&self.listener, |subscription| {
                let listened = !subscription.events.is_empty();
                subscription.events.clear();
                subscription.subclasses.clear();
                if listened {
                    "+OK no longer listening for events"
                } else {
                    "-ERR not listening for events"
                }
                .to_owned()
            })
        } else if starts("log") {
            "+OK log level  [7]".to_owned()
        } else {
            "-ERR command not found".to_owned()
        };
        if let Some(raw) = reply.strip_prefix('~') {
            self.write(format!("Content-Type: command/reply\n{raw}").as_bytes())
                .await;
        } else {
            self.reply(&reply).await;
        }
    }

    /// Whether `esl-allowed-api` refuses the command. Only `api` and `bgapi` are limited.
    fn is_forbidden(&self, line: &str) -> bool {
        let mut words = line.split(' ');
        let is_api = matches!(words.next(), Some("api" | "bgapi"));
        is_api
            && words
                .next()
                .is_some_and(|verb| self.core.world().forbidden.contains(verb))
    }

    fn session(&self) -> &str {
        self.listener.session.as_deref().unwrap_or("")
    }

    fn log_in(&mut self, line: &str) -> String {
        let config = &self.core.config;
        let allowed = if let Some(password) = line.strip_prefix("auth ") {
            (password == config.password).then(|| "+OK accepted".to_owned())
        } else if let Some(given) = line.strip_prefix("userauth ") {
            let known = config.users.iter().any(|(user, password)| {
                let (name, domain) = user.split_once('@').unwrap_or((user, ""));
                given == format!("{user}:{password}") || given == format!("{name}:{password}@{domain}")
            });
            let reply = "~Reply-Text: +OK accepted\nAllowed-Events: all\nAllowed-API: all\nAllowed-LOG: true\n\n";
            known.then(|| reply.to_owned())
        } else {
            return "-ERR command not found".to_owned();
        };
        self.authed = allowed.is_some();
        if self.authed {
            self.core.logins.end();
        }
        self.running = self.authed;
        allowed.unwrap_or_else(|| "-ERR invalid".to_owned())
    }

    async fn connect(&mut self) {
        if let Some(text) = self.core.channel_data(self.session()) {
            self.write(text.as_bytes()).await;
            self.core.parked(self.session());
            self.core.pick_up_unheard(self.session());
        }
    }

    fn my_events(&self, line: &str) -> String {
        self.core.bus.change(&self.listener, |subscription| {
            if subscription.myevents {
                return "-ERR aready enabled.".to_owned();
            }
            subscription
                .events
                .extend(MY_EVENTS.iter().map(|name| (*name).to_owned()));
            subscription.myevents = true;
            subscription.json = line.contains("json");
            "+OK Events Enabled".to_owned()
        })
    }

    fn send_message(&self, command: &Command, uuid: &str) -> String {
        let target = if uuid.is_empty() {
            command.get("session-id").unwrap_or("")
        } else {
            uuid
        };
        let target = if target.is_empty() { self.session() } else { target };
        if self.core.queue_message(target, command) {
            "+OK".to_owned()
        } else {
            format!("-ERR invalid session id [{target}]")
        }
    }

    fn send_event(&self, command: Command, name: &str) -> String {
        let uuid = new_uuid();
        let name = if name.is_empty() { "CUSTOM" } else { name };
        if name.starts_with("PRESENCE_") {
            self.core.presence();
        }
        let subclass = command.get("Event-Subclass").map(str::to_owned);
        let calling = ("mod_event_socket.c", "parse_command", "2217");
        let base = self.core.base_headers(name, subclass.as_deref(), calling);
        let given = command
            .headers
            .into_iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("Event-Subclass"));
        let mut headers: Vec<(Cow<'static, str>, String)> = vec![(Cow::Borrowed("Command"), command.line)];
        headers.extend(given.map(|(name, value)| (Cow::Owned(name), value)));
        headers.push((Cow::Borrowed("Event-UUID"), uuid.clone()));
        headers.extend(base);
        self.core
            .fire(name, headers, (!command.body.is_empty()).then_some(command.body));
        format!("+OK {uuid}")
    }

    async fn background(&mut self, command: &Command, text: &str) {
        let (name, arg) = split_word(text);
        let (name, arg) = (name.to_owned(), arg.map(str::to_owned));
        let job = command.get("Job-UUID").map_or_else(new_uuid, str::to_owned);
        let (core, owner) = (Arc::clone(&self.core), self.session().to_owned());
        let answer = format!("Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n");
        tokio::spawn(async move {
            let body = api::execute(&core, &name, arg.as_deref()).await;
            let calling = ("mod_event_socket.c", "api_exec", "1572");
            let mut headers = core.base_headers("BACKGROUND_JOB", None, calling);
            headers.push((Cow::Borrowed("Job-UUID"), job));
            headers.push((Cow::Borrowed("Job-Owner-UUID"), owner));
            headers.push((Cow::Borrowed("Job-Command"), name));
            headers.extend(arg.map(|arg| (Cow::Borrowed("Job-Command-Arg"), arg)));
            core.fire("BACKGROUND_JOB", headers, Some(body));
        });
        self.write(answer.as_bytes()).await;
    }

    fn linger_for(&mut self, seconds: &str) -> String {
        if self.listener.session.is_none() {
            return "-ERR not controlling a session".to_owned();
        }
        let given: Option<i64> = seconds.parse().ok();
        self.linger = Some(given.unwrap_or(-1));
        given.map_or_else(
            || "+OK will linger".to_owned(),
            |seconds| format!("+OK will linger {seconds} seconds"),
        )
    }
}

fn split_word(text: &str) -> (&str, Option<&str>) {
    text.split_once(' ')
        .map_or((text, None), |(word, rest)| (word, Some(rest)))
}

fn filter(subscription: &mut Subscription, text: &str) -> String {
    let (name, value) = split_word(text);
    let (name, value) = match (name.to_ascii_lowercase().as_str(), value) {
        ("delete", Some(rest)) => {
            let (name, value) = split_word(rest);
            if name.eq_ignore_ascii_case("all") {
                subscription.filters.clear();
            } else {
                let same = |n: &str, v: &str| n.eq_ignore_ascii_case(name) && value.is_none_or(|value| value == v);
                subscription.filters.retain(|(n, v)| !same(n, v));
            }
            return format!("+OK filter deleted. [{name}][{}]", value.unwrap_or(""));
        }
        ("add", Some(rest)) => split_word(rest),
        _ => (name, value),
    };
    let Some(value) = value else {
        return "-ERR invalid syntax".to_owned();
    };
    subscription.filters.push((name.to_owned(), value.to_owned()));
    format!("+OK filter added. [{name}]=[{value}]")
}

fn subscribe(subscription: &mut Subscription, words: &str) -> String {
    let mut custom = false;
    let mut keys = 0;
    for (place, word) in words.split(' ').enumerate() {
        let upper = word.to_ascii_uppercase();
        match (place, upper.as_str()) {
            (0, "PLAIN" | "XML") => subscription.json = false,
            (0, "JSON") => subscription.json = true,
            _ if custom => {
                subscription.subclasses.insert(word.to_owned());
            }
            (_, name) if EVENT_NAMES.contains(&name) => {
                keys += 1;
                custom = name == "CUSTOM";
                subscription.events.insert(upper);
            }
            _ => {}
        }
    }
    if keys == 0 {
        return "-ERR no keywords supplied".to_owned();
    }
    format!(
        "+OK event listener enabled {}",
        if subscription.json { "json" } else { "plain" }
    )
}

fn unsubscribe(subscription: &mut Subscription, words: &str) -> String {
    let mut custom = false;
    let mut keys = 0;
    for word in words.split(' ') {
        let upper = word.to_ascii_uppercase();
        if custom {
            subscription.subclasses.remove(word);
        } else if upper == "CUSTOM" {
            (custom, keys) = (true, keys + 1);
        } else if upper == "ALL" {
            subscription.events.clear();
            keys += 1;
        } else if EVENT_NAMES.contains(&upper.as_str()) {
            subscription.events.remove(&upper);
            keys += 1;
        }
    }
    if keys == 0 {
        "-ERR no keywords supplied"
    } else {
        "+OK events nixed"
    }
    .to_owned()
}
