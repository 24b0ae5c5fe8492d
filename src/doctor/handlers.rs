//! What answers when FreeSWITCH looks up a part of its configuration: its files, or a script.
//!
//! A script comes before the files, for every section that it is bound to. FusionPBX's script answers for each dialplan
//! context with its own extensions, except for names with an `@`.

use super::esl::Session;
use crate::esl::encode;
use crate::xml::tags;

/// A script that answers instead of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    /// FusionPBX's: its configuration is in its database.
    FusionPbx,
    /// Another one, of mod_lua.
    Lua,
    /// A web server, by mod_xml_curl.
    Curl,
}

impl Handler {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FusionPbx => "FusionPBX",
            Self::Lua => "mod_lua's XML handler",
            Self::Curl => "mod_xml_curl",
        }
    }
}

/// The scripts of this FreeSWITCH, by section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Handlers {
    /// What answers for dialplan contexts.
    pub dialplan: Option<Handler>,
    /// What answers for configurations, profiles included.
    pub configuration: Option<Handler>,
}

impl Handlers {
    /// Asks FreeSWITCH which are loaded.
    pub(super) async fn find(session: &mut Session) -> Self {
        let mut found = Self::default();
        if let Some(xml) = configuration(session, "mod_lua", "lua.conf").await {
            found.or(of_lua(&xml));
        }
        if let Some(xml) = configuration(session, "mod_xml_curl", "xml_curl.conf").await {
            found.or(of_curl(&xml));
        }
        found
    }

    fn or(&mut self, other: Self) {
        self.dialplan = self.dialplan.or(other.dialplan);
        self.configuration = self.configuration.or(other.configuration);
    }

    fn bound(handler: Handler, sections: &str) -> Self {
        let sections = sections.to_ascii_lowercase();
        let to = |section: &str| sections.contains(section).then_some(handler);
        Self {
            dialplan: to("dialplan"),
            // FreeSWITCH accepts the short word too.
            configuration: to("config"),
        }
    }
}

async fn configuration(session: &mut Session, module: &str, name: &str) -> Option<String> {
    let loaded = session.api(&encode::ask_module(module)).await;
    if loaded.as_deref() != Ok("true") {
        return None;
    }
    session.api(&encode::ask_configuration(name)).await.ok()
}

pub(super) fn of_lua(xml: &str) -> Handlers {
    let tags = tags(xml);
    let value = |name: &str| {
        let param = tags.iter().find(|t| t.attribute("name") == name);
        param.map_or("", |t| t.attribute("value"))
    };
    let script = value("xml-handler-script");
    if script.is_empty() {
        return Handlers::default();
    }
    // FusionPBX 5: "app.lua xml_handler"; 4: "app/xml_handler/index.lua".
    let handler = if script.contains("xml_handler") {
        Handler::FusionPbx
    } else {
        Handler::Lua
    };
    Handlers::bound(handler, value("xml-handler-bindings"))
}

fn of_curl(xml: &str) -> Handlers {
    let mut found = Handlers::default();
    for url in tags(xml).iter().filter(|t| t.attribute("name") == "gateway-url") {
        // Without bindings it is asked for everything.
        let sections = match url.attribute("bindings") {
            "" => "dialplan|configuration",
            some => some,
        };
        found.or(Handlers::bound(Handler::Curl, sections));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fusionpbx_is_told_by_its_script_and_only_for_the_sections_that_it_is_bound_to() {
        let conf = |script: &str, bindings: &str| {
            of_lua(&format!(
                r#"<configuration name="lua.conf"><settings><param name="xml-handler-script" value="{script}"/>
                   <param name="xml-handler-bindings" value="{bindings}"/></settings></configuration>"#
            ))
        };
        let all = conf("app.lua xml_handler", "configuration,dialplan,directory,languages");
        assert_eq!(all.dialplan, Some(Handler::FusionPbx));
        assert_eq!(all.configuration, Some(Handler::FusionPbx));
        assert_eq!(conf("app.lua xml_handler", "directory").dialplan, None);
        assert_eq!(conf("routes.lua", "dialplan").dialplan, Some(Handler::Lua));
        assert_eq!(
            of_lua(r#"<param name="xml-handler-bindings" value="dialplan"/>"#),
            Handlers::default()
        );
    }

    #[test]
    fn web_server_without_bindings_is_asked_for_everything() {
        let conf = |param: &str| of_curl(&format!("<configuration>{param}</configuration>"));
        let bound = conf(r#"<param name="gateway-url" value="http://h/" bindings="directory"/>"#);
        assert_eq!(bound, Handlers::default());
        let all = conf(r#"<param name="gateway-url" value="http://h/"/>"#);
        assert_eq!(all.dialplan, Some(Handler::Curl));
        assert_eq!(conf(""), Handlers::default());
    }
}
