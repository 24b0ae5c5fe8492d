//! Questions to FreeSWITCH about legs that are not fswake's.

use freeswitch_esl_tokio::EslError;

use super::command::api;
use super::connection::Connection;
use crate::engine::{Event, OtherLegState};
use crate::esl::other_leg;
use crate::input::Input;
use crate::types::Target;

impl Connection {
    /// Reports the variables whose values were ignored.
    pub(super) async fn complain(&mut self) {
        let ignored = std::mem::take(&mut self.held.ignored);
        if !ignored.is_empty() {
            let warnings = Input::Warnings(self.held.call.aor.clone(), ignored);
            let _ = self.shared.inputs.send(warnings).await;
        }
    }

    /// Asks for FreeSWITCH's own leg to a contact, and reports it.
    pub(super) async fn ask_other_leg(&mut self, target: Target) -> Result<(), EslError> {
        let mut leg = OtherLegState::None;
        if let Some(question) = other_leg::ask_legs(&target) {
            let shown = self.ask(question).await?;
            for other in other_leg::legs(&target, &shown) {
                leg = leg.max(other_leg::leg(&self.ask(other_leg::ask_leg(other)).await?));
            }
        }
        let call = self.call;
        self.emit(Event::OtherLegSeen { call, target, leg }).await;
        Ok(())
    }

    /// An API command's output.
    pub(super) async fn ask(&mut self, command: String) -> Result<String, EslError> {
        let reply = self.link.send(api(command)).await?;
        Ok(reply.body().unwrap_or_default().to_owned())
    }
}
