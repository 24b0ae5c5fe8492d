//! The operator's body: JSON, a form, markup or plain text, told by its content type.

use serde_json::{Map, Value};

use super::text::{Name, Place, TemplateError, Text, Values};
use super::url::{self, Pair};

/// The content type of a profile that names none.
pub const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

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
    Json(Node),
    Form(Vec<Pair>),
    Text(Place, Text),
}

/// A JSON value with values to come in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    /// A string with names in it.
    Text(Text),
    /// A `${name}` outside quotes: the value as JSON.
    Bare(Name),
    Fixed(Value),
}

impl BodyTemplate {
    /// Parses and checks a template for a content type; without a template it is mod_apn's body, as JSON or as a form.
    pub fn parse(content_type: &str, template: Option<&str>) -> Result<Self, TemplateError> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        let (_, subtype) = essence.split_once('/').unwrap_or_default();
        let is = |kind: &str| subtype == kind || subtype.strip_suffix(kind).is_some_and(|rest| rest.ends_with('+'));
        let shape = if is("json") {
            Shape::Json(json(template.unwrap_or(DEFAULT_JSON))?)
        } else if essence == FORM {
            Shape::Form(url::pairs(template.unwrap_or(DEFAULT_FORM))?)
        } else if essence.starts_with("multipart/") {
            let problem = "cannot be multipart: a value could hold the boundary between the parts";
            return Err(TemplateError::Shape(problem.into()));
        } else {
            let Some(template) = template else {
                let problem = format!("is needed with a content type other than {JSON} and {FORM}");
                return Err(TemplateError::Shape(problem));
            };
            let place = if is("xml") || is("html") {
                Place::Markup
            } else {
                Place::Line
            };
            Shape::Text(place, Text::parse(template)?)
        };
        Ok(Self(shape))
    }

    pub(crate) fn names(&self) -> Vec<Name> {
        match &self.0 {
            Shape::Json(node) => {
                let mut names = Vec::new();
                node.names(&mut names);
                names
            }
            Shape::Form(pairs) => url::names(pairs).collect(),
            Shape::Text(_, text) => text.names().collect(),
        }
    }

    pub(crate) fn fill(&self, values: &impl Values) -> String {
        let mut out = String::new();
        match &self.0 {
            Shape::Json(node) => out = node.fill(values).to_string(),
            Shape::Form(pairs) => url::fill_pairs(pairs, values, &mut out),
            Shape::Text(place, text) => text.fill(values, *place, &mut out),
        }
        out
    }
}

/// Marks a bare name while the template is read as JSON: no name begins so.
const BARE: &str = "${=";

/// Reads JSON in which `${name}` may stand where a value stands, as mod_apn's templates have it.
fn json(template: &str) -> Result<Node, TemplateError> {
    let mut quoted = String::with_capacity(template.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if !in_string && rest.starts_with("${") {
            let (name, after) = rest[2..].split_once('}').ok_or(TemplateError::Unclosed)?;
            Name::read(name)?;
            quoted.extend(["\"", BARE, name, "}\""]);
            rest = after;
            continue;
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        if in_string && rest.starts_with(BARE) {
            return Err(TemplateError::UnknownName("=".into()));
        }
        quoted.push(c);
        rest = &rest[c.len_utf8()..];
    }
    let value: Value = serde_json::from_str(&quoted)
        .map_err(|e| TemplateError::Shape(format!("is not JSON with ${{..}} in place of values: {e}")))?;
    if !value.is_object() && !value.is_array() {
        return Err(TemplateError::Shape("must be a JSON object".into()));
    }
    Node::new(value)
}

impl Node {
    fn new(value: Value) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::Object(map) => {
                let member = |(key, value): (String, Value)| {
                    if key.contains("${") {
                        let problem = "must have fixed JSON keys: ${..} may stand in values only";
                        return Err(TemplateError::Shape(problem.into()));
                    }
                    Ok((key, Self::new(value)?))
                };
                Self::Object(map.into_iter().map(member).collect::<Result<_, _>>()?)
            }
            Value::Array(items) => Self::Array(items.into_iter().map(Self::new).collect::<Result<_, _>>()?),
            Value::String(text) => match text.strip_prefix(BARE).and_then(|name| name.strip_suffix('}')) {
                Some(name) => Self::Bare(Name::read(name)?),
                None => Self::Text(Text::parse(&text)?),
            },
            other => Self::Fixed(other),
        })
    }

    fn names(&self, names: &mut Vec<Name>) {
        match self {
            Self::Object(members) => members.iter().for_each(|(_, node)| node.names(names)),
            Self::Array(items) => items.iter().for_each(|node| node.names(names)),
            Self::Text(text) => names.extend(text.names()),
            Self::Bare(name) => names.push(*name),
            Self::Fixed(_) => {}
        }
    }

    fn fill(&self, values: &impl Values) -> Value {
        match self {
            Self::Object(members) => {
                let filled = members.iter().map(|(key, node)| (key.clone(), node.fill(values)));
                Value::Object(filled.collect::<Map<_, _>>())
            }
            Self::Array(items) => Value::Array(items.iter().map(|node| node.fill(values)).collect()),
            Self::Text(text) => {
                let mut out = String::new();
                text.fill(values, Place::JsonString, &mut out);
                Value::String(out)
            }
            Self::Bare(name) => values.json(*name),
            Self::Fixed(value) => value.clone(),
        }
    }
}
