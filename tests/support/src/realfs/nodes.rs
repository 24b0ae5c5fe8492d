//! Two FreeSWITCHes: what each takes from the other, and how calls reach phones that are registered there.

use std::net::SocketAddr;

use super::config::{Ports, inside, snippet};
use super::vanilla::VANILLA_DOMAIN;

/// Through how many FreeSWITCHes a call reaches the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topology {
    /// The phone is registered at the call's FreeSWITCH.
    One,
    /// It is registered at another one, and its leg goes through that.
    Two,
}

impl Topology {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];
}

/// The profile for the other FreeSWITCH's INVITEs. Its port is [`Ports::node`].
pub const PROFILE: &str = "nodes";

/// Its settings: no password, and a context of its own, as docs/CLUSTER.md says.
pub const SETTINGS: &str = r#"<param name="context" value="nodes"/>
    <param name="auth-calls" value="false"/>
    <param name="manage-presence" value="false"/>"#;

/// That context: the shipped extension, and calls that the other FreeSWITCH passes on without fswake: to desk phones,
/// and with [`super::Routing::Hop`].
pub fn context(ports: &Ports) -> String {
    let shipped = snippet("dialplan/public/00_fswake_node.xml", ports);
    format!(
        r#"<context name="nodes">
          {}
          <extension name="desk"><condition field="destination_number" expression="^([1-4]\d{{3}}[5-9])$">
            <action application="set" data="hangup_after_bridge=true"/>
            <action application="bridge" data="user/$1@{VANILLA_DOMAIN}"/>
          </condition></extension>
          <extension name="hop"><condition field="destination_number" expression="^(4\d{{3}}[1-4])$">
            <action application="set" data="process_cdr=false"/>
            <action application="set" data="execute_on_blind_transfer=set process_cdr=true"/>
            <action application="set" data="hangup_after_bridge=true"/>
            <action application="set" data="force_transfer_context=site"/>
            <action application="bridge" data="user/$1@{VANILLA_DOMAIN}"/>
          </condition></extension>
        </context>"#,
        inside(&shipped, "include"),
    )
}

/// The global variable with the address of the other FreeSWITCH's profile.
pub const OTHER: &str = "other_node";

/// A bridge's argument, for users whose phones are registered at the other FreeSWITCH.
pub fn through_the_other(bridge: &str) -> String {
    let there = format!("@${{global_getvar({OTHER})}}");
    let to_there = bridge
        .replace("user/", "sofia/internal/")
        .replace("@${dialed_domain}", &there)
        .replace(&format!("@{VANILLA_DOMAIN}"), &there);
    format!("{{sip_invite_domain={VANILLA_DOMAIN}}}{to_there}")
}

/// How `bridge` reaches the dialled desk phone, and the one of the dialled row: at the FreeSWITCH that has them.
pub fn desks(there: Option<SocketAddr>) -> (String, String) {
    match there {
        None => (
            format!("user/$1@{VANILLA_DOMAIN}"),
            format!("user/${{1}}5@{VANILLA_DOMAIN}"),
        ),
        Some(node) => (
            format!("sofia/internal/$1@{node}"),
            format!("sofia/internal/${{1}}5@{node}"),
        ),
    }
}
