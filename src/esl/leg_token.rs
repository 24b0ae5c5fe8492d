//! Signed headers of legs from one FreeSWITCH to another.
//!
//! Such a leg is an INVITE with `X-Fswake-Leg`. It names one binding, and the FreeSWITCH that has it. fswake there
//! rings that binding and nothing else. The header is `BASE64(claims).BASE64(HMAC-SHA256(key, claims))` (RFC 4648
//! section 5, RFC 2104).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::types::{Aor, Secret, TargetDigest, UnixSeconds};

/// The header. FreeSWITCH has it as the variable `sip_h_X-Fswake-Leg`.
pub const HEADER: &str = "X-Fswake-Leg";

/// How long one is valid. The INVITE is sent at once, and the clocks of all hosts agree within some seconds.
const LIFE: UnixSeconds = 10;

/// Longer ones are not read.
const LONGEST: usize = 4096;

/// Variables of a leg that say how FreeSWITCH treats the phone, and that the INVITE to another FreeSWITCH does not say.
pub const TOLD: [&str; 14] = [
    "dtmf_type",
    "rtp_secure_media",
    "rtp_secure_media_outbound",
    "rtp_secure_media_suites",
    "sip_auto_answer",
    "sip_auto_answer_suppress_notify",
    "sip_cid_type",
    "sip_contact_user",
    "sip_invite_contact_params",
    "sip_invite_params",
    "sip_invite_to_params",
    "sip_secure_media",
    "sip_sticky_contact",
    "zrtp_secure_media",
];

/// The key that all fswakes of a cluster have.
pub struct ClusterKey(hmac::Key);

/// What a leg from another FreeSWITCH may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegClaims {
    /// The leg's channel at the call's FreeSWITCH: no two legs have the same.
    pub leg: Uuid,
    /// The call's FreeSWITCH.
    pub from: String,
    /// The FreeSWITCH that has the binding.
    pub to: String,
    /// Whose binding: user.
    pub user: String,
    /// And domain.
    pub domain: String,
    /// Which of the bindings.
    pub binding: TargetDigest,
    /// The Call-ID of the INVITE to the phone.
    pub call_id: String,
    /// The context in which a transfer by the phone is dialled: that of the caller.
    pub context: String,
    /// Variables of the phone's leg: those of [`TOLD`] that the call has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<(String, String)>,
    /// Media does not pass through the phone's FreeSWITCH: the call's will take itself out too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bypasses_media: bool,
    /// How long it may ring, in seconds.
    pub ring: u32,
    /// Until when this may be used (UTC).
    pub until: UnixSeconds,
}

/// Why a header is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no key.
    #[error("cluster.key-file is not set here")]
    NoKey,
    /// It is not one of fswake's.
    #[error("it is not a signed header of fswake")]
    Malformed,
    /// Signed with another key, or changed on its way.
    #[error("its signature does not fit this cluster's key")]
    Signature,
    /// Too late, or the clocks differ.
    #[error("it is too old, or the clocks of the two hosts differ")]
    Expired,
    /// Meant for another FreeSWITCH.
    #[error("it is for another FreeSWITCH")]
    WrongNode,
    /// It has been used.
    #[error("it was used before")]
    Replayed,
}

impl Refusal {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::WrongNode => "wrong-node",
            Self::Replayed => "replayed",
        }
    }
}

impl ClusterKey {
    /// From the file's text.
    pub fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
    }

    /// Signs a text; for what is not a leg, with a word of its own in front.
    pub fn sign(&self, text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text.as_bytes()))
    }

    /// Whether a text was signed with this key; takes the same time for every signature.
    pub fn has_signed(&self, text: &str, signature: &str) -> bool {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature);
        signature.is_ok_and(|signature| hmac::verify(&self.0, text.as_bytes(), &signature).is_ok())
    }

    /// The header of a leg.
    pub fn header(&self, claims: &LegClaims) -> String {
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
        let signature = self.sign(&claims);
        format!("{claims}.{signature}")
    }

    /// Reads a header that came to this FreeSWITCH. Whether it was used before is not known here.
    ///
    /// # Errors
    /// If it is not to be trusted.
    pub fn claims(&self, header: &str, node: &str, now: UnixSeconds) -> Result<LegClaims, Refusal> {
        if header.len() > LONGEST {
            return Err(Refusal::Malformed);
        }
        let (claims, signature) = header.trim().split_once('.').ok_or(Refusal::Malformed)?;
        if !self.has_signed(claims, signature) {
            return Err(Refusal::Signature);
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(claims).map_err(|_| Refusal::Malformed)?;
        let claims: LegClaims = serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)?;
        // Nobody signs for longer: a time further away is of a clock that is wrong.
        if now > claims.until || claims.until > now + 2 * LIFE {
            return Err(Refusal::Expired);
        }
        if claims.to != node {
            return Err(Refusal::WrongNode);
        }
        Ok(claims)
    }
}

impl LegClaims {
    /// Whose binding it is.
    pub fn aor(&self) -> Aor {
        Aor::new(self.user.as_str(), self.domain.as_str())
    }

    /// Until when a header may be used that is signed now.
    pub fn until(now: UnixSeconds) -> UnixSeconds {
        now + LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = 1_800_000_000;

    fn key(secret: &str) -> ClusterKey {
        ClusterKey::new(&Secret::new(secret))
    }

    fn claims() -> LegClaims {
        LegClaims {
            leg: Uuid::from_u128(7),
            from: "a".into(),
            to: "b".into(),
            user: "1001".into(),
            domain: "example.org".into(),
            binding: [7; 16],
            call_id: "x@y".into(),
            context: "site".into(),
            variables: vec![("sip_cid_type".into(), "none".into())],
            bypasses_media: true,
            ring: 30,
            until: LegClaims::until(NOW),
        }
    }

    #[test]
    fn header_is_read_back_where_and_when_it_is_valid() {
        let header = key("secret").header(&claims());
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        assert!(header.bytes().all(safe), "safe in a dial-string: {header}");
        let read = |node, now| key("secret").claims(&header, node, now);
        assert_eq!(read("b", NOW), Ok(claims()));
        assert_eq!(read("b", NOW + LIFE), Ok(claims()));
        assert_eq!(read("b", NOW + LIFE + 1), Err(Refusal::Expired));
        assert_eq!(read("b", NOW - LIFE - 1), Err(Refusal::Expired));
        assert_eq!(read("a", NOW), Err(Refusal::WrongNode));
        assert_eq!(key("other").claims(&header, "b", NOW), Err(Refusal::Signature));
    }

    #[test]
    fn changed_header_is_refused_whatever_was_changed() {
        let header = key("secret").header(&claims());
        for at in 0..header.len() {
            let mut bytes = header.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(key("secret").claims(&changed, "b", NOW).is_err(), "{at}: {changed}");
        }
        for other in ["", ".", "a.b", "a", &header[..header.len() - 1], &"x.".repeat(5000)] {
            assert!(key("secret").claims(other, "b", NOW).is_err(), "{other}");
        }
    }
}
