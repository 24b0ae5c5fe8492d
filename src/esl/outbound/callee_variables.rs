//! Sets the callee's directory variables on legs, as the endpoint `user/` does.
//!
//! The directory is asked before anybody waits for the answer ([`crate::esl::directory`]). A leg gets the variables
//! when it rings. If the directory is slow it gets them later, even after it was bridged and this connection has ended.

use freeswitch_esl_tokio::EslError;
use tokio::sync::oneshot;

use super::callee::Callee;
use super::command::{api, execute};
use super::connection::Connection;
use crate::esl::directory::User;
use crate::esl::encode;
use crate::types::LegId;

impl Connection {
    /// Asks the directory for the callee, once.
    pub(super) fn ask_for_callee(&mut self) {
        if matches!(self.callee, Callee::Unasked) {
            let directory = self.shared.nodes.get(self.shared.node).directory.clone();
            let aor = self.held.call.aor.clone();
            let (found, answer) = oneshot::channel();
            tokio::spawn(async move {
                let _ = found.send(directory.user(&aor).await);
            });
            self.callee = Callee::Asked(answer);
        }
    }

    /// The directory has answered.
    pub(super) async fn callee_is(&mut self, user: Option<User>) -> Result<(), EslError> {
        self.callee = user.map_or(Callee::Unknown, Callee::Known);
        if self.held.behind.is_none() && !self.callee.dial_variables().is_empty() {
            // The next leg's originate contains more than what was prepared.
            self.prepared = None;
        }
        for leg in std::mem::take(&mut self.awaiting_variables) {
            if !self.ended.iter().any(|(ended, _)| *ended == leg) {
                self.write_variables(leg).await?;
            }
        }
        Ok(())
    }

    /// Sets the callee's variables on a leg once they are known.
    pub(super) async fn set_callee_variables(&mut self, leg: LegId) -> Result<(), EslError> {
        if encode::user(&self.held.call.aor).is_none() {
            return Ok(());
        }
        self.ask_for_callee();
        self.write_variables(leg).await
    }

    async fn write_variables(&mut self, leg: LegId) -> Result<(), EslError> {
        match &self.callee {
            Callee::Unasked | Callee::Asked(_) => self.awaiting_variables.push(leg),
            Callee::Known(user) => {
                let commands = encode::set_variables(&leg.channel().to_string(), &user.variables);
                self.all(commands.into_iter().map(api).collect()).await?;
            }
            // FreeSWITCH may know more: it looks the callee up itself, in the leg's own thread.
            Callee::Unknown => {
                if let Some(user) = encode::user(&self.held.call.aor) {
                    self.all(vec![execute(Some(leg), "set_user", user)]).await?;
                }
            }
        }
        Ok(())
    }

    /// Sets the variables of a bridged leg over another connection, because this one ends soon.
    pub(super) fn set_callee_variables_later(&mut self, leg: LegId) {
        if !self.awaiting_variables.contains(&leg) {
            return;
        }
        if let Callee::Asked(answer) = std::mem::replace(&mut self.callee, Callee::Unknown) {
            let socket = self.shared.nodes.get(self.shared.node).socket.clone();
            tokio::spawn(async move {
                if let Ok(Some(user)) = answer.await {
                    let commands = encode::set_variables(&leg.channel().to_string(), &user.variables);
                    socket.run(commands).await;
                }
            });
        }
    }
}
