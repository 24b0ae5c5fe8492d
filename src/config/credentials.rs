//! How an `[[app]]` proves to its provider that it may push.

use super::app::Section;
use super::raw;
use super::values::CheckResult;
use crate::push::app::Credentials;
use crate::types::Provider;

impl Section<'_> {
    /// Takes the credentials out of an app's table. Those of another provider are an error.
    pub(super) fn credentials(&self, provider: &Provider, raw: &mut raw::AppTable) -> CheckResult<Credentials> {
        let credentials = match provider {
            Provider::Apns | Provider::ApnsSandbox if raw.cert_file.is_some() && raw.key_file.is_none() => {
                let cert_file = self.need("cert-file", raw.cert_file.take(), "")?;
                Credentials::ApnsCertificate {
                    key_file: self
                        .file("cert-key-file", raw.cert_key_file.take())?
                        .unwrap_or_else(|| cert_file.clone()),
                    cert_file,
                }
            }
            Provider::Apns | Provider::ApnsSandbox => Credentials::ApnsToken {
                key_file: self.need(
                    "key-file",
                    raw.key_file.take(),
                    "a .p8 file with key-id and team-id, or else cert-file",
                )?,
                key_id: self.apple_id("key-id", raw.key_id.take())?,
                team_id: self.apple_id("team-id", raw.team_id.take())?,
            },
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
            Credentials::ApnsToken { .. } => "key-file, key-id and team-id without other credentials",
            Credentials::ApnsCertificate { .. } => "cert-file and cert-key-file without other credentials",
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
            ("cert-file", &raw.cert_file),
            ("cert-key-file", &raw.cert_key_file),
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
            && reqwest::Url::parse(url).ok().is_none_or(|url| url.scheme() != "https")
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

    fn apple_id(&self, key: &str, id: Option<String>) -> CheckResult<String> {
        let allowed = "10 letters and digits";
        match id {
            None => Err(self.at.missing(&self.key(key), allowed)),
            Some(id) if id.len() == 10 && id.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(id),
            Some(id) => self.wrong(key, id, allowed),
        }
    }
}
