//! How much is known of the callee.

use tokio::sync::oneshot;

use crate::esl::directory::User;

/// How much is known of the callee.
#[derive(Debug, Default)]
pub(super) enum Callee {
    /// The directory has not been asked.
    #[default]
    Unasked,
    /// It has.
    Asked(oneshot::Receiver<Option<User>>),
    /// It has answered.
    Known(User),
    /// It could not be asked, or does not know him.
    Unknown,
}

impl Callee {
    /// The directory's answer; never, where none is to come. Cancel-safe.
    pub(super) async fn answer(&mut self) -> Option<User> {
        match self {
            Self::Asked(answer) => answer.await.ok().flatten(),
            _ => std::future::pending().await,
        }
    }

    /// What his legs' originates are to say (`dial-var-..`).
    pub(super) fn dial_variables(&self) -> &[(String, String)] {
        match self {
            Self::Known(user) => &user.dial_variables,
            _ => &[],
        }
    }
}
