//! What is known of the callee.

use tokio::sync::oneshot;

use crate::esl::directory::User;

/// What is known of the callee.
#[derive(Debug, Default)]
pub(super) enum Callee {
    /// The directory has not been asked.
    #[default]
    Unasked,
    /// It has.
    Asked(oneshot::Receiver<Option<User>>),
    /// It has answered.
    Known(User),
    /// The directory could not be asked, or does not know the callee.
    Unknown,
}

impl Callee {
    /// The directory's answer; pending for ever if none is due. Cancel-safe.
    pub(super) async fn answer(&mut self) -> Option<User> {
        match self {
            Self::Asked(answer) => answer.await.ok().flatten(),
            _ => std::future::pending().await,
        }
    }

    /// What the originates of the callee's legs must contain (`dial-var-..`).
    pub(super) fn dial_variables(&self) -> &[(String, String)] {
        match self {
            Self::Known(user) => &user.dial_variables,
            _ => &[],
        }
    }
}
