//! FreeSWITCH's own XML, as `xml_locate`, `find_user_xml` and `sofia xmlstatus` print it.

pub(crate) mod entities;
pub mod variables;

use quick_xml::Reader;
use quick_xml::events::Event;

/// One opening tag: its name and attributes.
pub(crate) struct Tag {
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    /// An attribute's value; empty when it is missing.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

/// All opening tags, in order. Stops silently at the first malformed markup.
pub(crate) fn tags(xml: &str) -> Vec<Tag> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    let mut tags = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                let attributes = tag.attributes().flatten().map(|a| {
                    let value = quick_xml::escape::unescape(&a.value).map_or_else(|_| a.value.to_string(), Into::into);
                    (a.key.as_ref().to_owned(), value)
                });
                tags.push(Tag {
                    name: tag.name().as_ref().to_owned(),
                    attributes: attributes.collect(),
                });
            }
            Ok(Event::Eof) | Err(_) => return tags,
            Ok(_) => {}
        }
    }
}

/// The texts of the elements with this name, in what `sofia xmlstatus` prints. FreeSWITCH writes each on a line of its
/// own, and does not escape what phones send (a Call-ID may contain `<`). So each line is read as one element; an XML
/// parser would fail.
pub(crate) fn lines<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let (from, to) = (format!("<{name}>"), format!("</{name}>"));
    let each = xml.lines().map(str::trim);
    each.filter_map(move |line| line.strip_prefix(&from)?.strip_suffix(&to))
}
