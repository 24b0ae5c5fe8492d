//! Access to private parsers for tests/fuzz: texts in, plain values out. It is not a public interface.

use std::borrow::Cow;
use std::path::Path;
use std::time::SystemTime;

use freeswitch_esl_tokio::{EslEvent, EslResponse};
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::config::{Config, ConfigError, Environment};
use crate::engine::Notification;
use crate::esl::link::{self, Message};
use crate::http::PushBody;
use crate::postgres::Dsn;
use crate::push::app::PayloadStyle;
use crate::push::gateway::digest::Digest;
use crate::push::payload::Composer;
use crate::push::template::{BodyTemplate, Json, Name, UrlTemplate, Values, Vocabulary};
use crate::push::{PushError, PushRequest};
use crate::types::{Provider, Secret};

/// One message of FreeSWITCH's on the connection of a held call.
#[derive(Debug)]
pub enum EslMessage {
    /// The reply to a command.
    Reply(EslResponse),
    /// An event.
    Event(EslEvent),
    /// The connection ends.
    Goodbye,
    /// A message that is ignored.
    Ignored,
}

/// Removes the first message from what has been read, if it is complete.
pub fn take_message(unread: &mut Vec<u8>) -> Result<Option<EslMessage>, String> {
    let taken = link::take(unread).map_err(|error| error.to_string())?;
    Ok(taken.map(|message| match message {
        Message::Reply(reply) => EslMessage::Reply(reply),
        Message::Event(event) => EslMessage::Event(event),
        Message::Goodbye => EslMessage::Goodbye,
        Message::Other => EslMessage::Ignored,
    }))
}

/// The `Authorization` with which a challenge (`WWW-Authenticate`) is answered, if it can be.
pub fn answer_to_challenge(challenge: &str, user: &str, password: &str) -> Option<String> {
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(challenge).ok()?);
    let digest = Digest::new(user.to_owned(), Secret::new(password));
    if !digest.learn(&headers) {
        return None;
    }
    let value = digest.authorization("POST", "/wake?user=1001")?;
    value.to_str().ok().map(str::to_owned)
}

/// Every name of a template has this value.
struct Same<'a>(&'a str);

impl Values for Same<'_> {
    fn text(&self, _: Name) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn json(&self, name: Name) -> Value {
        match name {
            Name::Payload => json!({ "text": self.0 }),
            _ => Value::String(self.0.to_owned()),
        }
    }
}

/// A gateway's URL filled with one value; the outer `None`: the template is refused.
pub fn fill_url(template: &str, value: &str) -> Option<Option<String>> {
    let template = UrlTemplate::parse(template).ok()?;
    Some(template.fill(&Same(value)).ok().map(String::from))
}

/// A gateway's body filled with one value; `None`: the template is refused.
pub fn fill_body(content_type: &str, template: &str, value: &str) -> Option<String> {
    let template = BodyTemplate::parse(content_type, Some(template)).ok()?;
    Some(template.fill(&Same(value)))
}

/// A payload filled with one value; `None`: the template is refused.
pub fn fill_payload(template: &str, value: &str) -> Option<Value> {
    let template = Json::parse(template, Vocabulary::Payload).ok()?;
    Some(template.fill(&Same(value)))
}

/// The notification that a body of `POST /v1/push` asks for.
pub fn notification(body: &[u8]) -> Option<Notification> {
    let axum::Json(asked) = axum::Json::<PushBody>::from_bytes(body).ok()?;
    asked.notification(0).ok()
}

/// The body in which a provider gets a push: APNs' in bytes, FCM's and HMS' for a wait of ten seconds, web push's before
/// it is encrypted.
pub fn provider_body(req: &PushRequest) -> Result<Vec<u8>, PushError> {
    let composer = Composer::new(&PayloadStyle::Default, &req.to.provider)
        .map_err(|error| PushError::settings(error.to_string()))?;
    match req.to.provider {
        Provider::Fcm => {
            let push = composer.fcm(req, SystemTime::UNIX_EPOCH)?;
            Ok(push.body(std::time::Duration::from_secs(10)).to_string().into_bytes())
        }
        Provider::Hms => {
            let push = composer.hms(req, SystemTime::UNIX_EPOCH)?;
            Ok(push.body(std::time::Duration::from_secs(10)).to_string().into_bytes())
        }
        Provider::WebPush => Ok(composer.web_push(req, 3993, SystemTime::UNIX_EPOCH)?.payload),
        _ => Ok(composer
            .apns(req, Some("com.example.acme"), SystemTime::UNIX_EPOCH)?
            .body),
    }
}

/// Reads a configuration from a text; files that it names need not exist.
pub fn config(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/nowhere/fswake.toml"), &Environment::default())
}

/// The parts of a connection string: user, password, database.
pub type Login = (Option<String>, Option<Vec<u8>>, Option<String>);

/// Reads it off a connection string.
pub fn login(dsn: &Dsn) -> Login {
    let config = &dsn.config;
    (
        config.get_user().map(str::to_owned),
        config.get_password().map(<[u8]>::to_owned),
        config.get_dbname().map(str::to_owned),
    )
}
