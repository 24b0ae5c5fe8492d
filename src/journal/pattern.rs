//! The known ways in which waking fails: docs/TROUBLESHOOTING.md has a section for each.

use serde::Serialize;

/// The known ways in which waking fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Apple takes the pushes, and the phones never register.
    IphoneNeverRegisters,
    /// Phones that register without a push token, or whose app has no credentials.
    NoTokenOrApp,
    /// The provider refuses the app's credentials.
    CredentialsRefused,
    /// Tokens that are gone, wrong, or of the other environment.
    StaleTokens,
    /// The phone registers, and the INVITE right after fails.
    InviteAfterRegisterFails,
    /// Google takes the pushes, and the phones never register.
    AndroidNeverRegisters,
    /// Phones register when the call is over.
    LateRegisters,
    /// The provider cannot be reached, or does not answer in time.
    ProviderUnreachable,
    /// The provider answers that it takes no pushes for now.
    ProviderBusy,
}

impl Pattern {
    /// All of them, in the order of docs/TROUBLESHOOTING.md.
    pub const ALL: [Self; 9] = [
        Self::IphoneNeverRegisters,
        Self::NoTokenOrApp,
        Self::CredentialsRefused,
        Self::StaleTokens,
        Self::InviteAfterRegisterFails,
        Self::AndroidNeverRegisters,
        Self::LateRegisters,
        Self::ProviderUnreachable,
        Self::ProviderBusy,
    ];

    /// Its name, as in JSON and in docs/TROUBLESHOOTING.md.
    pub fn name(self) -> &'static str {
        match self {
            Self::IphoneNeverRegisters => "iphone-never-registers",
            Self::NoTokenOrApp => "no-token-or-app",
            Self::CredentialsRefused => "credentials-refused",
            Self::StaleTokens => "stale-tokens",
            Self::InviteAfterRegisterFails => "invite-after-register-fails",
            Self::AndroidNeverRegisters => "android-never-registers",
            Self::LateRegisters => "late-registers",
            Self::ProviderUnreachable => "provider-unreachable",
            Self::ProviderBusy => "provider-busy",
        }
    }
}
