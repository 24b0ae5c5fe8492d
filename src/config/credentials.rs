//! How an `[[app]]` proves to its provider that it may push.

use super::app::Section;
use super::raw;
use super::values::{CheckResult, is_https};
use crate::files;
use crate::push::app::{Credentials, NextKey};
use crate::push::is_pkcs12;
use crate::types::Provider;

impl Section<'_> {
    /// Takes the credentials out of an app's table. Those of another provider are an error.
    pub(super) fn credentials(&self, provider: &Provider, raw: &mut raw::AppTable) -> CheckResult<Credentials> {
        let credentials = match provider {
            Provider::Apns | Provider::ApnsSandbox if raw.cert_file.is_some() && raw.key_file.is_none() => {
                self.certificate(raw)?
            }
            Provider::Apns | Provider::ApnsSandbox => self.signing_key(raw)?,
            Provider::Fcm => Credentials::FcmServiceAccount {
                file: self.need(
                    "service-account-file",
                    raw.service_account_file.take(),
                    "the service account's JSON file",
                )?,
            },
            Provider::Other(name) if **name == *"http" => Credentials::Http(Box::new(self.profiles(raw)?)),
            Provider::WebPush => Credentials::WebPush(Box::new(self.web_push(raw)?)),
            Provider::Hms => self.hms(raw)?,
            Provider::Other(_) => Credentials::Log,
        };
        let allowed = match &credentials {
            Credentials::ApnsToken { .. } => {
                "key-file, key-id and team-id (and next-key-file, next-key-id) without other credentials"
            }
            Credentials::ApnsCertificate { .. } => {
                "cert-file and cert-key-file (or cert-password-file) without other credentials"
            }
            Credentials::FcmServiceAccount { .. } => "service-account-file without other credentials",
            Credentials::HmsClient { .. } => "client-id and client-secret-file without other credentials",
            Credentials::WebPush(_) => "vapid-key-file and vapid-subject without other credentials",
            Credentials::Http(_) => "auth-file in a profile, and no other credentials",
            Credentials::Log => "no credentials with provider log",
        };
        let of_gateways = [
            ("voip", raw.voip.is_some()),
            ("im", raw.im.is_some()),
            ("platforms", !raw.platforms.is_empty()),
        ];
        if let Some((key, _)) = of_gateways.into_iter().find(|(_, written)| *written) {
            return Err(self.at.plain(&self.key(key), "", r#"only with provider = "http""#));
        }
        let of_web_push = [
            ("allow-hosts", &raw.allow_hosts),
            ("deny-hosts", &raw.deny_hosts),
            ("allow-networks", &raw.allow_networks),
            ("deny-networks", &raw.deny_networks),
        ];
        if let Some((key, _)) = of_web_push.into_iter().find(|(_, list)| !list.is_empty()) {
            return Err(self.at.plain(&self.key(key), "", r#"only with provider = "webpush""#));
        }
        let left = [
            ("client-id", &raw.client_id),
            ("client-secret-file", &raw.client_secret_file),
            ("token-url", &raw.token_url),
            ("vapid-key-file", &raw.vapid_key_file),
            ("vapid-subject", &raw.vapid_subject),
            ("key-file", &raw.key_file),
            ("key-id", &raw.key_id),
            ("team-id", &raw.team_id),
            ("next-key-file", &raw.next_key_file),
            ("next-key-id", &raw.next_key_id),
            ("cert-file", &raw.cert_file),
            ("cert-key-file", &raw.cert_key_file),
            ("cert-password-file", &raw.cert_password_file),
            ("service-account-file", &raw.service_account_file),
        ];
        match left.into_iter().find_map(|(key, value)| Some((key, value.as_ref()?))) {
            Some((key, value)) => self.wrong(key, value, allowed),
            None => Ok(credentials),
        }
    }

    /// An app at Huawei.
    fn hms(&self, raw: &mut raw::AppTable) -> CheckResult<Credentials> {
        let allowed = "the app's OAuth 2.0 client id, digits only (AppGallery Connect, project settings)";
        let client_id = match raw.client_id.take() {
            None => return Err(self.at.missing(&self.key("client-id"), allowed)),
            Some(id) if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) => id,
            Some(id) => return self.wrong("client-id", id, allowed),
        };
        let name = self.key("client-secret-file");
        let Some(file) = raw.client_secret_file.take() else {
            return Err(self.at.missing(&name, "a file with the client secret on one line"));
        };
        let token_url = raw.token_url.take();
        if let Some(url) = &token_url
            && !is_https(url)
        {
            return self.wrong_url(
                "token-url",
                url,
                r#"an https URL, as in "https://host/oauth2/v3/token""#,
            );
        }
        Ok(Credentials::HmsClient {
            client_id,
            secret_file: self.files.secret(self.at, &name, &file)?.0,
            token_url,
        })
    }

    /// A client certificate: PEM, or PKCS #12.
    fn certificate(&self, raw: &mut raw::AppTable) -> CheckResult<Credentials> {
        let cert_file = self.need("cert-file", raw.cert_file.take(), "")?;
        let (other_key, password) = (raw.cert_key_file.take(), raw.cert_password_file.take());
        // What this user may not read is not judged.
        let is_pkcs12 = files::read(&cert_file).ok().map(|bytes| is_pkcs12(&bytes));
        match (is_pkcs12, &other_key, &password) {
            (Some(true), Some(file), _) => {
                return self.wrong("cert-key-file", file, "nothing: a PKCS #12 file (.p12) has its key");
            }
            (Some(false), _, Some(file)) => {
                return self.wrong(
                    "cert-password-file",
                    file,
                    "only with a PKCS #12 file (.p12) in cert-file",
                );
            }
            _ => {}
        }
        let name = self.key("cert-password-file");
        let password_file = password
            .map(|file| self.files.secret(self.at, &name, &file))
            .transpose()?;
        Ok(Credentials::ApnsCertificate {
            key_file: self
                .file("cert-key-file", other_key)?
                .unwrap_or_else(|| cert_file.clone()),
            cert_file,
            password_file: password_file.map(|(path, _)| path),
        })
    }

    fn signing_key(&self, raw: &mut raw::AppTable) -> CheckResult<Credentials> {
        let needed = "a .p8 file with key-id and team-id, or else cert-file";
        let key_file = self.need("key-file", raw.key_file.take(), needed)?;
        let key_id = self.apple_id("key-id", raw.key_id.take())?;
        Ok(Credentials::ApnsToken {
            team_id: self.apple_id("team-id", raw.team_id.take())?,
            next: self.next_key(&key_id, raw)?,
            key_file,
            key_id,
        })
    }

    /// The signing key that takes the first one's place.
    fn next_key(&self, key_id: &str, raw: &mut raw::AppTable) -> CheckResult<Option<NextKey>> {
        let (file, id) = (raw.next_key_file.take(), raw.next_key_id.take());
        if file.is_none() && id.is_none() {
            return Ok(None);
        }
        let next = NextKey {
            key_file: self.need("next-key-file", file, "the .p8 file of next-key-id")?,
            key_id: self.apple_id("next-key-id", id)?,
        };
        if next.key_id == key_id {
            return self.wrong("next-key-id", next.key_id, "another than key-id");
        }
        Ok(Some(next))
    }

    fn apple_id(&self, key: &str, id: Option<String>) -> CheckResult<String> {
        let allowed = "10 letters and digits";
        match id {
            None => Err(self.at.missing(&self.key(key), allowed)),
            Some(id) if id.len() == 10 && id.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(id),
            Some(id) => self.wrong(key, id, allowed),
        }
    }
}
