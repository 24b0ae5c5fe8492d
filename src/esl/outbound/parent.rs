//! What legs inherit: from the held channel, and from the caller behind it if that is a loopback.

use freeswitch_esl_tokio::{EslCommand, EslError, EslResponse};

use super::command::{api, execute};
use super::connection::Connection;
use crate::esl::decode::HeldChannel;
use crate::esl::inherit::{self, Of, Variable};
use crate::esl::options::is_true;
use crate::esl::originate::{self, NAMES};
use crate::esl::{encode, link};
use crate::input::Input;
use crate::types::LegId;

/// While it is set, FreeSWITCH does not send the phone a new name or number of the other side.
const IGNORES_DISPLAY: &str = "ignore_display_updates";

/// Writes one field of the leg's caller profile.
pub(super) fn set_profile(leg: LegId, argument: String) -> EslCommand {
    execute(Some(leg), "set_profile_var", argument)
}

/// Reads the held channel's variables, as far as legs inherit them.
pub(super) fn inherit(held: &mut HeldChannel, data: &EslResponse) {
    let of = if held.behind.is_some() {
        Of::Loopback
    } else {
        Of::Caller
    };
    held.parent.inherited = inherit::read(
        of,
        &variables(data.headers().iter().map(|(name, value)| (name.as_str(), value))),
    );
}

fn variables<'a>(headers: impl Iterator<Item = (&'a str, &'a String)>) -> Vec<Variable<'a>> {
    let variable = |(name, value): (&'a str, &'a String)| Some((name.strip_prefix("variable_")?, value.as_str()));
    headers.filter_map(variable).collect()
}

impl Connection {
    /// Looks up the channel behind a loopback: legs become its children, as they would without the loopback.
    pub(super) async fn find_caller(&mut self) -> Result<(), EslError> {
        self.keep_hooks_for_the_legs().await?;
        let Some(behind) = &mut self.held.behind else {
            return Ok(());
        };
        let Some(caller) = behind.caller.take() else {
            return Ok(());
        };
        let command = format!("uuid_dump {caller}");
        let reply = self.link.send(api(command)).await?;
        let dump = link::dump(reply.body().unwrap_or_default());
        let header = |name: &str| link::header(&dump, name);
        // A loopback behind a loopback is not a caller: FreeSWITCH takes them out one by one.
        if header("Channel-Name").is_none_or(|name| name.starts_with("loopback/")) {
            return Ok(());
        }
        behind.caller = Some(caller);
        self.is_caller_answered = header("Answer-State") == Some("answered");
        self.held.parent.is_behind(header);
        let is_set = |name: &str| header(name).is_some_and(is_true);
        self.held.bypass_media |= is_set("variable_bypass_media") || is_set("variable_bypass_media_after_bridge");
        let copied = variables(dump.iter().map(|(name, value)| (*name, value)));
        self.held
            .parent
            .inherited
            .complete(inherit::read(Of::CallerBehind, &copied));
        Ok(())
    }

    /// Removes hooks for legs (`execute_on_answer`, `api_on_ring`, ..) from the loopback. FreeSWITCH runs them there,
    /// too, and a recording of the same name would spoil the phone's.
    async fn keep_hooks_for_the_legs(&mut self) -> Result<(), EslError> {
        let Some(end) = self.held.behind.as_ref().and_then(|behind| behind.end.clone()) else {
            return Ok(());
        };
        if let Some(command) = encode::forget_hooks(&end, self.held.parent.inherited.hooks()) {
            self.api(command).await?;
        }
        Ok(())
    }

    /// The same for the held end of the loopback, as a command that comes before it rings or is answered: the hooks
    /// that would run then. A plain bridge, if the call goes back to one, passes the others on to its legs.
    pub(super) fn forget_own_hooks(&self, would_run: impl Fn(&str) -> bool) -> Option<EslCommand> {
        self.held.behind.as_ref()?;
        let hooks = self.held.parent.inherited.hooks().filter(|hook| would_run(hook));
        encode::forget_hooks(&self.held.channel, hooks).map(api)
    }

    /// A leg was answered or has early media, and this is the callee's name and number on it. Often its originate has
    /// named just that.
    pub(super) fn reached(&mut self, leg: LegId, name: &str, number: &str) {
        let is_named = originate::callee(&self.held.call.aor) == Some((name, number));
        if is_named && !self.dialled_by_alias.contains(&leg) {
            self.reaches.remove(&leg);
            self.named.push(leg);
        } else {
            self.named.retain(|named| *named != leg);
            self.reaches.insert(leg, encode::name_callee(name, number));
        }
    }

    /// Names the callee to a leg that was answered or has early media; nothing if it has the name.
    pub(super) fn name_callee(&mut self, leg: LegId) -> impl Iterator<Item = EslCommand> + use<> {
        let reached = self.reaches.remove(&leg);
        // Else the originate, which may still run, would name another afterwards.
        let forget = reached
            .as_ref()
            .and_then(|_| encode::forget_hooks(&leg.channel().to_string(), NAMES.into_iter()));
        let arguments = reached.into_iter().flatten();
        forget
            .map(api)
            .into_iter()
            .chain(arguments.map(move |argument| set_profile(leg, argument)))
    }

    /// Before the bridge: the phone is not to show the caller's own number and name, which `uuid_bridge` sends to a leg
    /// that takes such updates, as another FreeSWITCH does (INFO with `X-FS-Display-Name`).
    pub(super) fn hide_caller(&self, leg: LegId) -> Option<EslCommand> {
        let parent = &self.held.parent;
        let is_hidden = parent.is_effective && parent.inherited.get(IGNORES_DISPLAY).is_none();
        is_hidden.then(|| api(format!("uuid_setvar {} {IGNORES_DISPLAY} true", leg.channel())))
    }

    /// Sets the caller on a bridged leg again: `uuid_bridge` has replaced the effective number and name.
    pub(super) async fn name_caller(&mut self, leg: LegId) -> Result<(), EslError> {
        let parent = &self.held.parent;
        if !parent.is_effective {
            return Ok(());
        }
        let (name, number) = (encode::name(&parent.name), encode::number(&parent.number));
        let mut commands = Vec::new();
        if let Some(hide) = self.hide_caller(leg) {
            let channel = leg.channel();
            // The leg's thread reads what it is to execute only later; until then FreeSWITCH may send its own.
            commands.push(api(format!("uuid_setvar {channel} {IGNORES_DISPLAY}")));
            commands.push(api(format!("uuid_display {channel} {name}|{number}")));
            commands.push(hide);
            commands.push(execute(Some(leg), "unset", IGNORES_DISPLAY.to_owned()));
        }
        commands.push(set_profile(leg, format!("caller_id_name={name}")));
        commands.push(set_profile(leg, format!("caller_id_number={number}")));
        self.all(commands).await?;
        Ok(())
    }

    /// Reports what could not be passed on to the phones.
    pub(super) async fn name_what_is_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.held.parent.inherited.left_out);
        if !left_out.is_empty() {
            let warnings = Input::Warnings(self.held.call.aor.clone(), left_out);
            let _ = self.shared.inputs.send(warnings).await;
        }
    }
}
