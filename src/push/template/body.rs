//! The operator's body: JSON, a form, markup or plain text, by its content type.

use reqwest::header::HeaderValue;

use crate::push::template::error::TemplateError;
use crate::push::template::form::Form;
use crate::push::template::json::Json;
use crate::push::template::name::{Name, Vocabulary};
use crate::push::template::text::{Encoding, Text, Values};

/// The content type of a profile that names none.
pub const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Whether a content type is one that a header can carry: a media type (RFC 9110 section 8.3.1).
pub fn is_media_type(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok() && text.contains('/') && !text.contains("${")
}

/// mod_apn's default body, as its authors meant it: theirs lacks a comma.
const DEFAULT_JSON: &str = r#"{"type":"${type}","app":"${app_id}","token":"${token}","user":"${user}","realm":"${realm}","payload":${payload},"platform":"${platform}"}"#;
/// The same as a form.
const DEFAULT_FORM: &str =
    "type=${type}&app=${app_id}&token=${token}&user=${user}&realm=${realm}&payload=${payload}&platform=${platform}";

/// A checked body template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyTemplate(Shape);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Json(Json),
    Form(Form),
    Text(Encoding, Text),
}

impl BodyTemplate {
    /// Parses and checks a template for a content type; without a template it is mod_apn's body, as JSON or as a form.
    pub fn parse(content_type: &str, template: Option<&str>) -> Result<Self, TemplateError> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        let (_, subtype) = essence.split_once('/').unwrap_or_default();
        let is = |kind: &str| subtype == kind || subtype.strip_suffix(kind).is_some_and(|rest| rest.ends_with('+'));
        let shape = if is("json") {
            Shape::Json(Json::parse(template.unwrap_or(DEFAULT_JSON), Vocabulary::Gateway)?)
        } else if essence == FORM {
            Shape::Form(Form::parse(template.unwrap_or(DEFAULT_FORM))?)
        } else if essence.starts_with("multipart/") {
            let problem = "cannot be multipart: a value could hold the boundary between the parts";
            return Err(TemplateError::Shape(problem.into()));
        } else {
            let Some(template) = template else {
                let problem = format!("is needed with a content type other than {JSON} and {FORM}");
                return Err(TemplateError::Shape(problem));
            };
            let place = if is("xml") || is("html") {
                Encoding::Markup
            } else {
                Encoding::Line
            };
            Shape::Text(place, Text::parse(template, Vocabulary::Gateway)?)
        };
        Ok(Self(shape))
    }

    /// Whether it is a form.
    pub fn is_form(&self) -> bool {
        matches!(self.0, Shape::Form(_))
    }

    pub(crate) fn names(&self) -> Vec<Name> {
        match &self.0 {
            Shape::Json(json) => json.names(),
            Shape::Form(form) => form.names(),
            Shape::Text(_, text) => text.names().collect(),
        }
    }

    pub(crate) fn fill(&self, values: &impl Values) -> String {
        let mut out = String::new();
        match &self.0 {
            Shape::Json(json) => out = json.fill(values).to_string(),
            Shape::Form(form) => form.fill(values, &mut out),
            Shape::Text(place, text) => text.fill(values, *place, &mut out),
        }
        out
    }
}
