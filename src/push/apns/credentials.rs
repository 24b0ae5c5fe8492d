//! An app's key or certificate for Apple, read from its files.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::Identity;

use crate::files;
use crate::push::apns::keys::SigningKeys;
use crate::push::apns::token::ProviderToken;
use crate::push::app::{App, Credentials};
use crate::push::certificate;
use crate::push::setup::SetupError;

/// An app's signing keys; the provider tokens are those of `tokens` where the keys are the same.
pub(crate) fn shared_keys(app: &App, tokens: &[Arc<ProviderToken>]) -> Result<SigningKeys, SetupError> {
    let Credentials::ApnsToken {
        key_file,
        key_id,
        team_id,
        next,
    } = &app.credentials
    else {
        return Err(SetupError::app(app, "has no signing key"));
    };
    let key = shared_token(app, tokens, key_file, key_id, team_id)?;
    let next = next
        .as_ref()
        .map(|next| shared_token(app, tokens, &next.key_file, &next.key_id, team_id));
    let next = next.transpose()?;
    if next.as_ref().is_some_and(|next| next.has_same_key(&key)) {
        return Err(SetupError::app(app, "next-key-file has the same key as key-file"));
    }
    Ok(SigningKeys::new(key, next))
}

fn shared_token(
    app: &App,
    tokens: &[Arc<ProviderToken>],
    file: &Path,
    key_id: &str,
    team_id: &str,
) -> Result<Arc<ProviderToken>, SetupError> {
    let is_id = |id: &str| id.len() == 10 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_id(key_id) || !is_id(team_id) {
        return Err(SetupError::app(
            app,
            "key id and team id are 10 letters and digits each",
        ));
    }
    let pem = SetupError::read(app, file, files::pem)?;
    let token = ProviderToken::new(pem.as_bytes(), key_id, team_id).map_err(|e| SetupError::file(app, file, &e))?;
    let known = tokens.iter().find(|t| t.is_for(&token));
    Ok(known.map_or_else(|| Arc::new(token), Arc::clone))
}

/// An app's client certificate with its key, and when it ends.
pub(crate) fn client_certificate(app: &App) -> Result<(Identity, Option<SystemTime>), SetupError> {
    let Credentials::ApnsCertificate {
        cert_file,
        key_file,
        password_file,
    } = &app.credentials
    else {
        return Err(SetupError::app(app, "has no certificate"));
    };
    let pem = certificate::pem_with_key(app, cert_file, key_file, password_file.as_deref())?;
    let ends = certificate::ends(pem.as_bytes());
    // The parser's own message may quote the file.
    let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| {
        let problem = "with its key file: not a PEM certificate and an unencrypted PEM private key";
        SetupError::file(app, cert_file, problem)
    });
    Ok((identity?, ends))
}
