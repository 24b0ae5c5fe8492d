//! A FreeSWITCH configured like an installed one: authenticated callers, presence, directory variables, CDRs. Every row
//! of the table has three dialplans: with the shipped `bridge user/..`, with fswake's dialplan snippet, and with
//! fswake's dial-string.
//!
//! User numbers have five digits: the [`Routing`], the row's number with three digits, and the phone's. Phone 0 calls.
//! Calls to phones 1 to 4 use the routing; calls to phones 5 to 9 always use the plain one.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::config::{ESL_PASSWORD, PASSWORD, Ports, configuration, inside, snippet};
use super::nodes;
use crate::sip::level_of;

/// The voice in this site's music. No phone has it.
const MUSIC: u8 = 8;

/// The domain of all users here.
pub const VANILLA_DOMAIN: &str = "fidelity.test";

/// How a phone is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Routing {
    /// FreeSWITCH's own `bridge`, with its shipped dial-string.
    Plain,
    /// Through fs-conf/dialplan/default/00_fswake.xml.
    Dialplan,
    /// Through fs-conf/directory/fswake.xml and fs-conf/dialplan/fswake.xml.
    DialString,
    /// As [`Routing::Plain`], through the second of two FreeSWITCHes, where the phone is registered.
    Hop,
}

impl Routing {
    /// Those that rows are played with.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Dialplan, Self::DialString];
    /// All routings.
    const EVERY: [Self; 4] = [Self::Plain, Self::Dialplan, Self::DialString, Self::Hop];

    /// The first digit of its users.
    pub fn digit(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Dialplan => 2,
            Self::DialString => 3,
            Self::Hop => 4,
        }
    }

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Dialplan => "dialplan",
            Self::DialString => "dial-string",
            Self::Hop => "plain through two",
        }
    }

    /// Whether it is without fswake.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Plain | Self::Hop)
    }
}

/// The dialplan of one row: applications with their data. `{id}` is replaced by routing and row, `{1}` by the user of
/// phone 1.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Actions after the settings of the default configuration, before its `bridge`.
    pub before: Vec<(String, String)>,
    /// The argument of `bridge`. If it is empty, it is `user/` with the dialled number.
    pub bridge: String,
    /// Actions after the `bridge`.
    pub after: Vec<(String, String)>,
    /// Further directory variables of phone 1.
    pub variables: Vec<(String, String)>,
}

/// Modules to load, if they are installed.
const MODULES: [&str; 23] = [
    "mod_console",
    "mod_logfile",
    "mod_event_socket",
    // Video without transcoding. Codecs must come before the modules that use them.
    "mod_h26x",
    "mod_sofia",
    "mod_loopback",
    "mod_commands",
    "mod_dptools",
    "mod_dialplan_xml",
    "mod_sms",
    "mod_tone_stream",
    "mod_json_cdr",
    "mod_cdr_csv",
    "mod_xml_cdr",
    "mod_valet_parking",
    "mod_hash",
    "mod_db",
    "mod_expr",
    "mod_spandsp",
    "mod_sndfile",
    "mod_native_file",
    "mod_local_stream",
    "mod_conference",
];

const DIAL_STRING: &str = "{^^:sip_invite_domain=${dialed_domain}:presence_id=${dialed_user}@${dialed_domain}}${sofia_contact(*/${dialed_user}@${dialed_domain})}";
/// The contexts of the users: phone 0's, and the others'.
const CONTEXTS: [&str; 2] = ["site", "office"];
/// Contexts that log every call, because no call should reach them.
const OTHER_CONTEXTS: [&str; 2] = ["default", "public"];

/// A profile that sends P-Asserted-Identity, and does not tell callers who has answered. Its port is [`Ports::single`].
pub const ASSERTING: &str = "asserting";

fn profiles(ports: &Ports) -> String {
    let presence = format!(
        r#"<param name="manage-presence" value="true"/>
            <param name="presence-hosts" value="{VANILLA_DOMAIN},127.0.0.1"/>"#
    );
    let asserts = r#"<param name="manage-presence" value="false"/>
            <param name="caller-id-type" value="pid"/>
            <param name="pass-callee-id" value="false"/>"#;
    profile(ports, "internal", ports.sip, &presence)
        + &profile(ports, ASSERTING, ports.single, asserts)
        + &profile(ports, nodes::PROFILE, ports.node, nodes::SETTINGS)
}

fn profile(ports: &Ports, name: &str, at: SocketAddr, more: &str) -> String {
    let shipped = snippet("sip_profiles/fswake.xml", ports);
    let (port, rtp) = (at.port(), ports.rtp);
    format!(
        r#"<profile name="{name}"><settings>
            <param name="context" value="public"/>
            <param name="dialplan" value="XML"/>
            <param name="sip-ip" value="127.0.0.1"/>
            <param name="rtp-ip" value="{rtp}"/>
            <param name="sip-port" value="{port}"/>
            <param name="inbound-codec-prefs" value="G722,PCMU,PCMA,H264,VP8"/>
            <param name="outbound-codec-prefs" value="G722,PCMU,PCMA,H264,VP8"/>
            <param name="inbound-codec-negotiation" value="generous"/>
            <param name="rtp-timer-name" value="soft"/>
            <param name="rfc2833-pt" value="101"/>
            <param name="dtmf-duration" value="2000"/>
            <param name="auth-calls" value="true"/>
            {more}
            <param name="auth-subscriptions" value="true"/>
            <param name="auth-all-packets" value="false"/>
            <param name="challenge-realm" value="auto_from"/>
            <param name="nonce-ttl" value="60"/>
            <param name="rtp-timeout-sec" value="300"/>
            <param name="rtp-hold-timeout-sec" value="1800"/>
            <param name="log-auth-failures" value="false"/>
            <param name="inbound-use-callid-as-uuid" value="true"/>
            {}
        </settings></profile>"#,
        inside(&shipped, "settings"),
    )
}

fn actions(list: &[(String, String)], id: &str) -> String {
    let mut all = String::new();
    for (application, data) in list {
        let data = filled(data, id);
        let data = data.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let _ = write!(all, r#"<action application="{application}" data="{data}"/>"#);
    }
    all
}

/// Replaces `{id}` and `{1}`.
pub fn filled(text: &str, id: &str) -> String {
    let mut text = text.replace("{id}", id).replace("{domain}", VANILLA_DOMAIN);
    for phone in 0..10 {
        text = text.replace(&format!("{{{phone}}}"), &format!("{id}{phone}"));
    }
    text
}

/// The extension of a row for one routing.
fn extension(way: Routing, id: &str, plan: &Plan, shipped: &str) -> String {
    // As the default configuration's Local_Extension does.
    let goes_on = r#"<action application="set" data="continue_on_fail=true"/>"#;
    let before = goes_on.to_owned() + &actions(&plan.before, id);
    let after = actions(&plan.after, id);
    let numbers = format!("^({id}[1-4])$");
    let bridge = match plan.bridge.as_str() {
        "" => "user/${dialed_user}@${dialed_domain}".to_owned(),
        other => filled(other, id),
    };
    let bridge = if way == Routing::Hop {
        nodes::through_the_other(&bridge)
    } else {
        bridge
    };
    if way == Routing::Dialplan {
        let (head, tail) = shipped.rsplit_once("</condition>").expect("the snippet's condition");
        let socket = r#"<action application="socket""#;
        assert!(
            head.contains(socket) && head.contains("^(10[01][0-9])$"),
            "the snippet has changed"
        );
        // The row's own settings follow the shipped ones, as in the plain extension.
        let text = head.replacen(socket, &format!("{before}{socket}"), 1);
        let text = text.replace("user/${dialed_user}@${dialed_domain}", &bridge);
        return text.replace("^(10[01][0-9])$", &numbers) + &after + "</condition>" + tail;
    }
    format!(
        r#"<extension name="row"><condition field="destination_number" expression="{numbers}">
          <action application="set" data="dialed_user=$1"/>
          <action application="set" data="dialed_domain=${{domain_name}}"/>
          <action application="set" data="call_timeout=30"/>
          <action application="set" data="hangup_after_bridge=true"/>
          {before}
          <action application="bridge" data="{bridge}"/>
          {after}
        </condition></extension>"#
    )
}

fn dialplan(ports: &Ports, plans: &[Plan], desks: Option<SocketAddr>) -> String {
    let shipped = snippet("dialplan/default/00_fswake.xml", ports);
    let shipped = inside(&shipped, "include");
    let mut rows = String::new();
    for (number, plan) in plans.iter().enumerate() {
        for way in Routing::EVERY {
            let id = format!("{}{number:03}", way.digit());
            rows.push_str(&extension(way, &id, plan, shipped));
        }
    }
    let mut all = nodes::context(ports);
    let (desk, row_desk) = nodes::desks(desks);
    for context in CONTEXTS.into_iter().chain(OTHER_CONTEXTS) {
        let _ = write!(
            all,
            r#"<context name="{context}">
              <extension name="domain" continue="true"><condition>
                <action application="set" data="domain_name={VANILLA_DOMAIN}"/>
              </condition></extension>
              {rows}
              <extension name="desk"><condition field="destination_number" expression="^([1-4]\d{{3}}[5-9])$">
                <action application="set" data="hangup_after_bridge=true"/>
                <action application="bridge" data="{desk}"/>
              </condition></extension>
              <extension name="which"><condition field="destination_number" expression="^5([1-4]\d{{3}})$">
                <action application="set" data="hangup_after_bridge=true"/>
                <action application="export" data="sip_h_X-Context={context}"/>
                <action application="bridge" data="{row_desk}"/>
              </condition></extension>
              <extension name="pick-up"><condition field="destination_number" expression="^7([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="intercept" data="${{global_getvar(fid-$1-target)}}"/>
              </condition></extension>
              <extension name="pick-up-the-other"><condition field="destination_number" expression="^8([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="intercept" data="-bleg ${{global_getvar(fid-$1-target)}}"/>
              </condition></extension>
              <extension name="pick-up-by-extension"><condition field="destination_number" expression="^9([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="intercept" data="${{hash(select/{VANILLA_DOMAIN}-last_dial_ext/${{1}}1)}}"/>
                <action application="sleep" data="2000"/>
              </condition></extension>
              <extension name="pick-up-of-the-group"><condition field="destination_number" expression="^\*8([1-4]\d{{3}})$">
                <action application="pickup" data="group$1"/>
              </condition></extension>
              <extension name="conference"><condition field="destination_number" expression="^\*3([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="conference" data="room$1@default"/>
              </condition></extension>
              <extension name="pick-up-by-group"><condition field="destination_number" expression="^\*9([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="intercept" data="${{hash(select/{VANILLA_DOMAIN}-last_dial_ext/group${{1}})}}"/>
                <action application="sleep" data="2000"/>
              </condition></extension>
              <extension name="park"><condition field="destination_number" expression="^\*4([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="valet_park" data="lot$1 8001"/>
              </condition></extension>
              <extension name="hears"><condition field="destination_number" expression="^6([1-4]\d{{3}})$">
                <action application="answer"/>
                <action application="playback" data="tone_stream://%(10000,0,500);loops=-1"/>
              </condition></extension>
            </context>"#
        );
    }
    let contexts = snippet("dialplan/fswake.xml", ports);
    all + inside(&contexts, "include")
}

fn user(way: Routing, id: &str, phone: u32, plan: &Plan, woken: &str) -> String {
    let user = format!("{id}{phone}");
    let params = if way == Routing::DialString && (1..5).contains(&phone) {
        woken
    } else {
        ""
    };
    let context = CONTEXTS[usize::from(phone > 0)];
    let mut variables = String::new();
    if phone == 1 {
        for (name, value) in &plan.variables {
            let value = filled(value, id);
            let _ = write!(variables, r#"<variable name="{name}" value="{value}"/>"#);
        }
    }
    format!(
        r#"<user id="{user}"><params><param name="password" value="{PASSWORD}"/>{params}</params><variables>
          <variable name="toll_allow" value="domestic,local"/>
          <variable name="accountcode" value="{user}"/>
          <variable name="user_context" value="{context}"/>
          <variable name="effective_caller_id_name" value="Extension {user}"/>
          <variable name="effective_caller_id_number" value="{user}"/>
          {variables}
        </variables></user>"#
    )
}

fn directory(ports: &Ports, plans: &[Plan]) -> String {
    let shipped = snippet("directory/fswake.xml", ports);
    let woken = inside(&shipped, "params");
    let mut users = String::new();
    for (number, plan) in plans.iter().enumerate() {
        for way in Routing::EVERY {
            let id = format!("{}{number:03}", way.digit());
            for phone in 0..8 {
                users.push_str(&user(way, &id, phone, plan, woken));
            }
        }
    }
    format!(
        r#"<domain name="{VANILLA_DOMAIN}"><params><param name="dial-string" value="{DIAL_STRING}"/></params>
          <groups><group name="default"><users>{users}</users></group></groups></domain>"#
    )
}

/// Four seconds of a phone's steady voice as a WAV file: the music of this site, which phones recognise.
fn steady(voice: u8) -> Vec<u8> {
    const RATE: u32 = 8000;
    let length = RATE * 4 * 2;
    let level = i16::try_from(level_of(voice)).unwrap_or(i16::MAX);
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    wav.extend([1, 0, 1, 0]);
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 2).to_le_bytes());
    wav.extend([2, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    for _ in 0..length / 2 {
        wav.extend(level.to_le_bytes());
    }
    wav
}

/// The complete `freeswitch.xml`. `desks` is another FreeSWITCH that has the desk phones. CDRs are written into
/// subdirectories of `dir`; modules are in `folder`.
pub fn write(ports: &Ports, plans: &[Plan], desks: Option<SocketAddr>, dir: &Path, folder: &Path) -> String {
    let is_there = |module: &&str| folder.join(format!("{module}.so")).is_file();
    let modules = MODULES.into_iter().filter(is_there);
    let music = dir.join("music");
    std::fs::create_dir_all(&music).expect("a directory");
    std::fs::write(music.join("music.wav"), steady(MUSIC)).expect("a file");
    format!(
        r#"<?xml version="1.0"?>
<document type="freeswitch/xml">
  <X-PRE-PROCESS cmd="set" data="hold_music=tone_stream://%(10000,0,600);loops=-1"/>
  <X-PRE-PROCESS cmd="set" data="music={dir}/music/music.wav"/>
  <section name="configuration">
    {configuration}
    <configuration name="event_socket.conf"><settings>
      <param name="listen-ip" value="127.0.0.1"/>
      <param name="listen-port" value="{esl}"/>
      <param name="password" value="{ESL_PASSWORD}"/>
    </settings></configuration>
    <configuration name="json_cdr.conf"><settings>
      <param name="log-b-leg" value="true"/>
      <param name="prefix-a-leg" value="true"/>
      <param name="encode-values" value="false"/>
      <param name="log-dir" value="{dir}/cdr"/>
    </settings></configuration>
    <configuration name="xml_cdr.conf"><settings>
      <param name="log-b-leg" value="true"/>
      <param name="prefix-a-leg" value="true"/>
      <param name="encode" value="false"/>
      <param name="log-dir" value="{dir}/cdr-xml"/>
    </settings></configuration>
    <configuration name="cdr_csv.conf"><settings>
      <param name="log-base" value="{dir}"/>
      <param name="default-template" value="asterisk"/>
      <param name="legs" value="ab"/>
    </settings><templates>
      <template name="asterisk">"${{accountcode}}","${{caller_id_number}}","${{destination_number}}","${{channel_name}}","${{bridge_channel}}","${{last_app}}","${{last_arg}}","${{uuid}}"</template>
    </templates></configuration>
    <configuration name="hash.conf"><remotes/></configuration>
    <configuration name="db.conf"><settings/></configuration>
    <configuration name="local_stream.conf"><directory name="moh" path="{dir}/music">
      <param name="rate" value="8000"/>
      <param name="channels" value="1"/>
      <param name="interval" value="20"/>
      <param name="timer-name" value="soft"/>
    </directory></configuration>
    <configuration name="conference.conf"><caller-controls/><profiles><profile name="default">
      <param name="rate" value="8000"/>
      <param name="interval" value="20"/>
      <param name="energy-level" value="0"/>
    </profile></profiles></configuration>
    <configuration name="spandsp.conf"><modem-settings/><fax-settings/><descriptors/></configuration>
  </section>
  <section name="dialplan">{dialplan}</section>
  <section name="chatplan"><context name="default"/></section>
  <section name="directory">{directory}</section>
</document>
"#,
        esl = ports.esl.port(),
        dir = dir.display(),
        configuration = configuration(modules, 1_000, &profiles(ports)),
        dialplan = dialplan(ports, plans, desks),
        directory = directory(ports, plans),
    )
}
