//! Converts mod_apn's templates: the same `${names}`, but parsed, and with encoded values.

use crate::push::template::{BodyTemplate, JSON, TemplateError, UrlTemplate};
use crate::types::Printable;

/// The content type that curl uses by default.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
const PLAIN: &str = "text/plain";

/// A template that fswake's parser accepts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FittedTemplate<T> {
    pub template: T,
    /// Names that fswake does not know: they become empty.
    pub dropped: Vec<String>,
}

/// A body, and what it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub text: String,
    pub content_type: String,
}

/// A URL without user and password, and those (`user:password`, decoded).
pub(super) fn url(written: &str) -> Result<(FittedTemplate<String>, Option<String>), String> {
    let mut url = written.trim().to_owned();
    let mut user = None;
    if let Some((scheme, rest)) = written.trim().split_once("://") {
        let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if let Some((info, _)) = authority.rsplit_once('@') {
            let after = &rest[info.len() + 1..];
            // curl takes the scheme in any case.
            url = format!("{}://{after}", scheme.to_ascii_lowercase());
            user = Some(
                percent_encoding::percent_decode_str(info)
                    .decode_utf8_lossy()
                    .into_owned(),
            );
        } else {
            url = format!("{}://{rest}", scheme.to_ascii_lowercase());
        }
    }
    let fitted = fit(
        url,
        |url| UrlTemplate::parse(url).map(drop),
        |url, name| url.replace(name, ""),
    )?;
    Ok((fitted, user))
}

/// A body: of its declared content type if that fits, else of the type that it looks like.
pub(super) fn body(written: &str, content_type: Option<&str>) -> Result<FittedTemplate<Body>, String> {
    let looks_like = if written.trim_start().starts_with(['{', '[']) {
        JSON
    } else {
        FORM
    };
    let mut types: Vec<&str> = content_type.into_iter().collect();
    types.extend([looks_like, PLAIN]);
    let mut first_problem = None;
    for content_type in types {
        let parse = |body: &String| BodyTemplate::parse(content_type, Some(body)).map(drop);
        // Outside quotes an empty value is invalid JSON.
        let drop_name = |body: &str, name: &str| {
            let emptied = body.replace(name, "");
            let broken = matches!(
                BodyTemplate::parse(content_type, Some(&emptied)),
                Err(TemplateError::NotJson(_)
                    | TemplateError::NotAnObject
                    | TemplateError::InKey(_)
                    | TemplateError::Shape(_))
            );
            if broken { body.replace(name, "null") } else { emptied }
        };
        match fit(written.to_owned(), parse, drop_name) {
            Ok(fitted) => {
                return Ok(FittedTemplate {
                    template: Body {
                        text: fitted.template,
                        content_type: content_type.to_owned(),
                    },
                    dropped: fitted.dropped,
                });
            }
            Err(problem) => drop(first_problem.get_or_insert(problem)),
        }
    }
    Err(first_problem.unwrap_or_default())
}

/// Removes unknown names until it can be parsed.
fn fit(
    mut template: String,
    parse: impl Fn(&String) -> Result<(), TemplateError>,
    without: impl Fn(&str, &str) -> String,
) -> Result<FittedTemplate<String>, String> {
    let mut dropped = Vec::new();
    loop {
        match parse(&template) {
            Ok(()) => return Ok(FittedTemplate { template, dropped }),
            Err(TemplateError::UnknownName { name, .. }) => {
                let written = format!("${{{name}}}");
                let fewer = without(&template, &written);
                if fewer == template {
                    return Err(format!("it has the unknown {}", Printable(&written)));
                }
                dropped.push(Printable(&written).to_string());
                template = fewer;
            }
            Err(problem) => return Err(format!("it {problem}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_what_they_look_like() {
        for (written, content_type, fitted) in [
            ("type=${type}&token=${token}", None, FORM),
            ("type=${type}&token=${token}", Some("application/json"), FORM),
            (r#"{"t":"${token}","p":${payload}}"#, None, JSON),
            (
                r#"{"t":"${token}"}"#,
                Some("application/vnd.acme+json; charset=utf-8"),
                "application/vnd.acme+json; charset=utf-8",
            ),
            ("<push token='${token}'/>", Some("text/xml"), "text/xml"),
            (r#"{"t":"${token}" "u":"${user}"}"#, None, PLAIN),
            ("wake ${token}", Some("multipart/mixed"), PLAIN),
        ] {
            let body = body(written, content_type).unwrap();
            assert_eq!(body.template.content_type, fitted, "{written}");
            assert_eq!(body.template.text, written);
            assert!(body.dropped.is_empty());
        }
    }

    #[test]
    fn nothing_stands_for_names_that_fswake_does_not_know() {
        let json = body(r#"{"a":"x${Event-Name}","b":${nothing},"c":"${nothing}"}"#, None).unwrap();
        assert_eq!(json.template.text, r#"{"a":"x","b":null,"c":"null"}"#);
        assert_eq!(json.dropped, ["${nothing}", "${Event-Name}"]);
        let (url, _) = url("https://h/${token}?at=${strftime(%H)}&u=${user}").unwrap();
        assert_eq!(url.template, "https://h/${token}?at=&u=${user}");
        assert_eq!(url.dropped, ["${strftime(%H)}"]);
    }

    #[test]
    fn user_and_password_leave_the_url() {
        let (fitted, user) = url("HTTPS://me:p%40ss@push.example.org/a@b/${token}").unwrap();
        assert_eq!(fitted.template, "https://push.example.org/a@b/${token}");
        assert_eq!(user.as_deref(), Some("me:p@ss"));
        assert_eq!(url("https://push.example.org/${token}").unwrap().1, None);
    }

    #[test]
    fn urls_that_no_value_may_complete_are_refused() {
        for bad in [
            "push.example.org/${token}",
            "https://${host}/x",
            "https://h/a b",
            "https://h/${token",
            "ftp://h/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
