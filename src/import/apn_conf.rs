//! mod_apn's configuration, `autoload_configs/apn.conf.xml`, as mod_apn and its forks read it.

use std::collections::BTreeMap;

use quick_xml::events::{BytesStart, Event};

use crate::xml::entities::decoded;
use crate::xml::variables::Variables;

/// What mod_apn reads in `<settings>`; it ignores everything else.
pub const SETTINGS: [&str; 5] = [
    "odbc_dsn",
    "contact_voip_token_param",
    "contact_im_token_param",
    "contact_app_id_param",
    "contact_platform_param",
];
/// What mod_apn reads in a `<profile>`; it ignores everything else.
pub const PROFILE: [&str; 9] = [
    "id",
    "url",
    "method",
    "auth_type",
    "auth_data",
    "content_type",
    "connect_timeout",
    "timeout",
    "post_data_template",
];

/// The configuration: values only, nothing is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApnConf {
    /// `<settings>`.
    pub settings: Params,
    /// `<profiles>`, in the order of the file. Of two with one name mod_apn uses the last.
    pub profiles: Vec<Profile>,
    /// `X-PRE-PROCESS` lines that are not supported, with their line numbers.
    pub not_done: Vec<(usize, String)>,
}

/// A `<profile>`: one push server, for one type of push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The type that it is for: `voip` for calls, `im` for messages, or whatever events name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// Its parameters.
    pub params: Params,
}

/// `<param name=".." value=".."/>`s: names in lower case, empty values left out, of two the last, as mod_apn does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    known: BTreeMap<&'static str, ParamValue>,
    /// Names that mod_apn does not know, with their lines.
    pub unknown: Vec<(usize, String)>,
}

/// One parameter's value.
#[derive(Clone, PartialEq, Eq)]
pub struct ParamValue {
    /// As FreeSWITCH would give it to the module, except for unknown variables.
    pub text: String,
    /// Names of unknown global variables in it: the text still has `$${name}` for them.
    pub unknown: Vec<String>,
    /// Where it is.
    pub line: usize,
}

/// Without the value: it may be a password.
impl std::fmt::Debug for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value(line {}, {} bytes)", self.line, self.text.len())
    }
}

impl Params {
    /// A parameter that is given and not empty.
    pub fn get(&self, name: &str) -> Option<&ParamValue> {
        self.known.get(name)
    }

    fn add(&mut self, known: &[&'static str], name: &str, value: ParamValue) {
        match known.iter().find(|k| k.eq_ignore_ascii_case(name)) {
            Some(_) if value.text.is_empty() => {}
            Some(name) => drop(self.known.insert(name, value)),
            None => self.unknown.push((value.line, name.to_owned())),
        }
    }
}

/// Why the file is not mod_apn's configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApnConfError {
    /// Not well-formed, or too much of it.
    #[error("line {line}: {problem}")]
    Xml {
        /// Where.
        line: usize,
        /// The parser's error.
        problem: String,
    },
    /// Neither settings nor profiles.
    #[error("no <settings> and no <profiles>: is this mod_apn's apn.conf.xml?")]
    Nothing,
}

/// Global variables of a file such as FreeSWITCH's `vars.xml`, added to those that are known.
///
/// # Errors
/// When it is not XML.
pub fn variables(text: &str, mut vars: Variables) -> Result<Variables, ApnConfError> {
    each(text, |_, seen, _| {
        pre_process(&seen, &mut vars)?;
        Ok(())
    })?;
    Ok(vars)
}

/// Reads the file; `vars` are known global variables, in addition to those that it sets itself.
///
/// # Errors
/// When it is not XML, or another file.
pub fn read(text: &str, mut vars: Variables) -> Result<ApnConf, ApnConfError> {
    let mut conf = ApnConf::default();
    let mut found = false;
    each(text, |path, seen, line| {
        conf.not_done
            .extend(pre_process(&seen, &mut vars)?.map(|what| (line, what)));
        let XmlItem::Element(element) = seen else { return Ok(()) };
        let under = |parents: &[&str]| path.len() >= parents.len() && path[path.len() - parents.len()..] == *parents;
        let attribute = |name: &str| attribute(element, name).map(Option::unwrap_or_default);
        match element.name().as_ref() {
            "settings" | "profiles" => found = true,
            "profile" if under(&["profiles"]) => conf.profiles.push(Profile {
                name: decoded(&vars.expand(&attribute("name")?).text).into_owned(),
                line,
                params: Params::default(),
            }),
            "param" => {
                let (name, written) = (attribute("name")?, attribute("value")?);
                let expanded = vars.expand(&written);
                if vars.are_too_long() {
                    return Err("expanding its variables makes the file too long".into());
                }
                let value = ParamValue {
                    text: decoded(&expanded.text).into_owned(),
                    unknown: expanded.unknown,
                    line,
                };
                if under(&["settings"]) {
                    conf.settings.add(&SETTINGS, &decoded(&name), value);
                } else if under(&["profiles", "profile"])
                    && let Some(profile) = conf.profiles.last_mut()
                {
                    profile.params.add(&PROFILE, &decoded(&name), value);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if !found {
        return Err(ApnConfError::Nothing);
    }
    Ok(conf)
}

/// What a file is read as.
enum XmlItem<'a> {
    Element(&'a BytesStart<'a>),
    Comment(&'a str),
}

/// Does what the preprocessor would do. `Some` names what is not supported.
fn pre_process(seen: &XmlItem<'_>, vars: &mut Variables) -> Result<Option<String>, String> {
    let not_done = match seen {
        XmlItem::Comment(comment) => vars.comment(comment),
        XmlItem::Element(element) if element.name().as_ref().eq_ignore_ascii_case("X-PRE-PROCESS") => {
            let get = |name| attribute(element, name).map(Option::unwrap_or_default);
            vars.command(&get("cmd")?, &get("data")?)
        }
        XmlItem::Element(_) => None,
    };
    if vars.are_too_long() {
        return Err("expanding its variables makes the file too long: does one name itself?".into());
    }
    Ok(not_done)
}

/// An attribute as it is written; the first of that name, as FreeSWITCH reads it.
fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|e| format!("broken XML: {e}"))?;
        if attribute.key.as_ref() == name {
            return Ok(Some(attribute.value.into_owned()));
        }
    }
    Ok(None)
}

/// Visits every element and comment with the names of those around it and its line.
fn each(
    text: &str,
    mut visit: impl FnMut(&[String], XmlItem<'_>, usize) -> Result<(), String>,
) -> Result<(), ApnConfError> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    let mut path: Vec<String> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    loop {
        let event = reader.read_event();
        let at = usize::try_from(reader.buffer_position())
            .unwrap_or(usize::MAX)
            .min(text.len());
        let begins = line;
        // In bytes: the reader does not count a byte order mark.
        line += memchr::memchr_iter(b'\n', &text.as_bytes()[counted..at]).count();
        counted = at;
        let broken = |problem: String| ApnConfError::Xml { line: begins, problem };
        match event {
            Ok(Event::Comment(comment)) => visit(&path, XmlItem::Comment(comment.as_ref()), begins).map_err(broken)?,
            Ok(Event::Empty(element)) => visit(&path, XmlItem::Element(&element), begins).map_err(broken)?,
            Ok(Event::Start(element)) => {
                visit(&path, XmlItem::Element(&element), begins).map_err(broken)?;
                path.push(element.name().as_ref().to_owned());
            }
            Ok(Event::End(_)) => drop(path.pop()),
            Ok(Event::Eof) => match path.last() {
                Some(open) => return Err(broken(format!("broken XML: the file ends inside <{open}>"))),
                None => return Ok(()),
            },
            Ok(_) => {}
            Err(e) => return Err(broken(format!("broken XML: {e}"))),
        }
    }
}
