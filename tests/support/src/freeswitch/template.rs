//! Channel events as FreeSWITCH sent them, with the values that depend on the call replaced by slots.

use std::borrow::Cow;
use std::collections::HashSet;

use super::capture;
use super::channel::Channel;
use super::clock;
use super::event::Event;
use super::recognise::parts_of;

/// A value that depends on the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    CoreUuid,
    Hostname,
    Sequence,
    Now,
    NowLocal,
    NowGmt,
    HeldUuid,
    HeldSipCallId,
    CallerName,
    CallerNumber,
    Callee,
    Destination,
    Domain,
    LegUuid,
    LegUri,
    LegParams,
    LegTail,
    LegAddr,
    LegPort,
    LegAgent,
    LegSipCallId,
    /// The caller's channel behind a loopback.
    BehindUuid,
    /// The loopback's other end.
    EndUuid,
    TransferSource,
    HidesName,
    HidesNumber,
    AnswerState,
    OwnSessionId,
    OwnCodec,
    OwnOffer,
    App,
    AppArg,
    AppUuid,
    SocketArg,
    Cause,
    Q850,
    SipStatus,
    SipPhrase,
    Time(When, Form),
    Lasted(Form, bool),
}

/// A point in a channel's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Created,
    Progress,
    Media,
    Answered,
    Bridged,
    Hangup,
}

/// The format of a point in time or a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Micros,
    Millis,
    Seconds,
    Stamp,
}

/// A piece of a header value.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text(String),
    Slot(Slot),
}

#[derive(Debug, Clone)]
enum Item {
    Header(String, Vec<Part>),
    /// The variables that a channel was made with (`dialed_user`, or those in `{}` of an originate).
    FirstVariables,
    /// The variables set later.
    LaterVariables,
}

/// The recorded values that slots replace, longest first.
pub(crate) type Symbols = Vec<(String, Slot)>;

/// Properties of the server that sends an event.
pub(crate) struct Server<'a> {
    pub(crate) core_uuid: &'a str,
    pub(crate) hostname: &'a str,
    pub(crate) sequence: u64,
}

/// A recorded event, ready to be filled in.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    name: String,
    items: Vec<Item>,
}

const FIRST: &[&str] = &[
    "dialed_user",
    "dialed_domain",
    "socket_resume",
    "origination_uuid",
    "originate_timeout",
];
const FIRST_TOO: &[&str] = &["ignore_early_media", "park_timeout", "origination_caller_id_number"];
const LATER: &[&str] = &["absolute_codec_string", "hangup_after_bridge"];

/// The variables that the dialplan and the client of a recording set: those in an `originate`, and all others.
fn set_in(file: &str) -> (HashSet<&'static str>, HashSet<&'static str>) {
    let (mut first, mut later) = (HashSet::new(), HashSet::new());
    if !file.starts_with("1.11/") {
        return (first, later);
    }
    first.extend([
        "call_timeout",
        "hangup_after_bridge",
        "fswake_bridge",
        "process_cdr",
        "fswake_ready",
    ]);
    let commands = capture::lines(file).iter().filter(|line| !line.from_freeswitch);
    for text in commands.map(|line| line.data.trim_end()) {
        let names = |list: &'static str, separator: char| {
            list.split(separator).filter_map(|pair| Some(pair.split_once('=')?.0))
        };
        if let Some((_, braces)) = text.split_once("originate {") {
            first.extend(names(braces, ','));
        } else if let Some((_, list)) = text.split_once("uuid_setvar_multi ") {
            later.extend(names(list.split_once(' ').map_or("", |(_, list)| list), ';'));
        } else if let Some((_, rest)) = text.split_once("uuid_setvar ") {
            later.extend(rest.split(' ').nth(1));
        }
    }
    (first, later)
}

impl Template {
    /// Event number `nth` with the name `called` of channel `uuid` in a recording, with the session's values as slots.
    pub(crate) fn pick(file: &str, uuid: &str, name: &str, nth: usize, symbols: &Symbols) -> Self {
        let is_it = |headers: &Vec<(String, String)>| {
            let has = |key: &str, value: &str| headers.iter().any(|(k, v)| k == key && v == value);
            has("Event-Name", name) && has("Unique-ID", uuid)
        };
        let mut found = capture::lines(file)
            .iter()
            .filter(|line| line.from_freeswitch)
            .filter_map(|line| capture::event_headers(&line.data))
            .filter(is_it);
        let headers = found
            .nth(nth)
            .unwrap_or_else(|| panic!("{file} has no {name} number {nth} of {uuid}"));
        let mut items: Vec<Item> = Vec::with_capacity(headers.len());
        let (first, later) = set_in(file);
        let is_new = !first.is_empty();
        for (header, value) in headers {
            let item = match header.strip_prefix("variable_") {
                Some(v) if FIRST.contains(&v) || FIRST_TOO.contains(&v) || first.contains(v) => Item::FirstVariables,
                Some(v) if LATER.contains(&v) || later.contains(v) => Item::LaterVariables,
                Some("transfer_history") if is_new => continue,
                None if header.ends_with("-Transfer-Source") && is_new => continue,
                _ => {
                    let parts = parts_of(&header, &value, symbols);
                    Item::Header(header, parts)
                }
            };
            let repeated = |old: &Item| match item {
                Item::FirstVariables => matches!(old, Item::FirstVariables),
                Item::LaterVariables => matches!(old, Item::LaterVariables),
                Item::Header(..) => false,
            };
            if !items.iter().any(repeated) {
                items.push(item);
            }
        }
        let mut template = Self {
            name: name.to_owned(),
            items,
        };
        template.place_variables();
        if is_new { template.with_answer_state() } else { template }
    }

    /// Adds a place for variables, after the last one, to events recorded without any.
    fn place_variables(&mut self) {
        let has_variables = self.items.iter().any(|item| matches!(item, Item::FirstVariables));
        let has_later = self.items.iter().any(|item| matches!(item, Item::LaterVariables));
        if has_variables && !has_later {
            let last = self.items.iter().rposition(|item| match item {
                Item::Header(name, _) => name.starts_with("variable_"),
                _ => true,
            });
            self.items
                .insert(last.map_or(self.items.len(), |at| at + 1), Item::LaterVariables);
        }
    }

    /// The event's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same channel in another event, for steps that no recording shows.
    pub(crate) fn derive(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            items: self.items.clone(),
        }
        .set("Event-Name", &[Err(name)])
    }

    /// Replaces a header's value, or appends the header.
    pub(crate) fn set(mut self, header: &str, value: &[Result<Slot, &str>]) -> Self {
        let made = Item::Header(header.to_owned(), made_parts(value));
        match self.position(header) {
            Some(at) => self.items[at] = made,
            None => self.items.push(made),
        }
        self
    }

    /// Adds the channel's answer state.
    pub(crate) fn with_answer_state(self) -> Self {
        self.set("Answer-State", &[Ok(Slot::AnswerState)])
    }

    /// Makes this the end of the given application, whatever was recorded.
    pub(crate) fn of_app(self, name: &str) -> Self {
        let named = self.set("Application", &[Err(name)]);
        match name {
            "socket" => named.set("Application-Data", &[Ok(Slot::SocketArg)]),
            _ => named,
        }
    }

    /// Adds a header after another.
    pub(crate) fn insert_after(mut self, behind: &str, header: &str, slot: Slot) -> Self {
        let at = self.position(behind).map_or(self.items.len(), |at| at + 1);
        self.items
            .insert(at, Item::Header(header.to_owned(), made_parts(&[Ok(slot)])));
        self
    }

    /// Removes headers.
    pub(crate) fn without(mut self, headers: &[&str]) -> Self {
        self.items
            .retain(|item| !matches!(item, Item::Header(name, _) if headers.contains(&name.as_str())));
        self
    }

    fn position(&self, header: &str) -> Option<usize> {
        self.items
            .iter()
            .position(|item| matches!(item, Item::Header(name, _) if name == header))
    }

    /// Fills in the event for `own`, with `peer` on the other side.
    pub(crate) fn fill(&self, server: &Server<'_>, own: &Channel, peer: Option<&Channel>) -> Event {
        let now = clock::micros();
        let mut headers: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(self.items.len() + own.variables.len());
        for item in &self.items {
            let later = match item {
                Item::Header(name, parts) => {
                    let mut value = String::new();
                    for part in parts {
                        match part {
                            Part::Text(text) => value.push_str(text),
                            Part::Slot(slot) => value.push_str(&fill_slot(*slot, server, own, peer, now)),
                        }
                    }
                    // FreeSWITCH omits what a caller profile or a channel does not have.
                    if !value.is_empty() {
                        headers.push((Cow::Owned(name.clone()), value));
                    }
                    continue;
                }
                Item::FirstVariables => false,
                Item::LaterVariables => true,
            };
            let variables = own.variables.iter().filter(|variable| variable.later == later);
            headers.extend(variables.map(|v| (Cow::Owned(format!("variable_{}", v.name)), v.value.clone())));
        }
        Event::new(&self.name, headers, None)
    }
}

fn made_parts(value: &[Result<Slot, &str>]) -> Vec<Part> {
    value
        .iter()
        .map(|part| match part {
            Ok(slot) => Part::Slot(*slot),
            Err(text) => Part::Text((*text).to_owned()),
        })
        .collect()
}

fn fill_slot<'a>(
    slot: Slot,
    server: &Server<'a>,
    own: &'a Channel,
    peer: Option<&'a Channel>,
    now: u64,
) -> Cow<'a, str> {
    let (held, leg) = if own.is_leg() {
        (peer, Some(own))
    } else {
        (Some(own), peer)
    };
    let text =
        |channel: Option<&'a Channel>, field: fn(&'a Channel) -> &'a str| Cow::Borrowed(channel.map_or("", field));
    match slot {
        Slot::CoreUuid => Cow::Borrowed(server.core_uuid),
        Slot::Hostname => Cow::Borrowed(server.hostname),
        Slot::Sequence => server.sequence.to_string().into(),
        Slot::Now => now.to_string().into(),
        Slot::NowLocal => clock::local(now).into(),
        Slot::NowGmt => clock::gmt(now).into(),
        Slot::HeldUuid => text(held, |c| &c.uuid),
        Slot::HeldSipCallId => text(held, |c| &c.sip_call_id),
        Slot::CallerName => text(held, |c| &c.caller_name),
        Slot::CallerNumber => Cow::Borrowed(&own.caller_number),
        Slot::Callee => Cow::Borrowed(&leg.unwrap_or(own).callee),
        Slot::Destination => text(held, |c| &c.destination),
        Slot::Domain => text(held, |c| &c.domain),
        Slot::LegUuid => text(leg, |c| &c.uuid),
        Slot::LegUri => text(leg, |c| &c.uri),
        Slot::LegParams => text(leg, |c| c.uri.split_once(';').map_or("", |(_, params)| params)),
        Slot::LegTail => text(leg, |c| c.uri.find(';').map_or("", |at| &c.uri[at..])),
        Slot::LegAddr => text(leg, Channel::uri_address),
        Slot::LegPort => text(leg, |c| c.uri_address().rsplit_once(':').map_or("", |(_, port)| port)),
        Slot::LegAgent => text(leg, |c| &c.user_agent),
        Slot::LegSipCallId => text(leg, |c| &c.sip_call_id),
        Slot::BehindUuid => Cow::Borrowed(held.and_then(|c| c.behind.as_deref()).unwrap_or("")),
        Slot::EndUuid => text(held, |c| &c.end),
        Slot::HidesName => own.hides.iter().any(|what| what == "name").to_string().into(),
        Slot::HidesNumber => own.hides.iter().any(|what| what == "number").to_string().into(),
        Slot::AnswerState => Cow::Borrowed(match own {
            _ if own.cause.is_some() => "hangup",
            _ if own.is_answered() => "answered",
            _ if own.has_media() => "early",
            _ => "ringing",
        }),
        Slot::TransferSource => Cow::Borrowed(&own.transfer_source),
        Slot::OwnSessionId => own.session_id.to_string().into(),
        Slot::OwnCodec => Cow::Borrowed(own.codec.as_deref().unwrap_or("PCMU")),
        Slot::OwnOffer => own.offer_as_endpoint_string().into(),
        Slot::App => Cow::Borrowed(&own.app.0),
        Slot::AppArg => Cow::Borrowed(&own.app.1),
        Slot::AppUuid => Cow::Borrowed(&own.app.2),
        Slot::SocketArg => Cow::Borrowed(&own.socket),
        Slot::Cause => Cow::Borrowed(own.cause.as_deref().unwrap_or("")),
        Slot::Q850 => super::cause::q850(own.cause.as_deref().unwrap_or(""))
            .to_string()
            .into(),
        Slot::SipStatus => own.sip_failure.0.to_string().into(),
        Slot::SipPhrase => Cow::Borrowed(&own.sip_failure.1),
        Slot::Time(when, form) => time(own.time(when), form).into(),
        Slot::Lasted(form, billed) => {
            let from = if billed {
                own.time(When::Answered)
            } else {
                own.time(When::Created)
            };
            time(if from == 0 { 0 } else { now.saturating_sub(from) }, form).into()
        }
    }
}

fn time(micros: u64, form: Form) -> String {
    match form {
        Form::Micros => micros.to_string(),
        Form::Millis => (micros / 1000).to_string(),
        Form::Seconds => (micros / 1_000_000).to_string(),
        Form::Stamp if micros == 0 => String::new(),
        Form::Stamp => clock::local(micros),
    }
}
