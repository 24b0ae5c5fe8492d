//! FreeSWITCH's configuration: the repository's own snippets (`fs-conf/`), and the minimum around them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// The domain whose users are rung at their registered address. Calls to `7<user>` use dialplan routing.
pub const DOMAIN: &str = "live.test";
/// The domain whose users have dial-string routing.
pub const WAKE_DOMAIN: &str = "wake.test";
/// Domains whose users have plain contacts in their dial-string besides fswake: as shipped, as for mod_apn's users, and
/// as in mod_apn's README.
pub const BESIDE_DOMAINS: [&str; 3] = ["beside.test", "apn.test", "readme.test"];
/// The first user. Users are the same in all domains.
pub const FIRST_USER: u32 = 10_000;
/// One more user in all domains.
pub const CAPITALS: &str = "Ann.Lee";
/// Every user's password.
pub const PASSWORD: &str = "1234";
/// The event socket's password.
pub const ESL_PASSWORD: &str = "ClueCon";

/// The ports of a FreeSWITCH.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The address of its RTP. Every instance has its own, because FreeSWITCH shares RTP ports (SO_REUSEADDR): two on
    /// one address would receive each other's packets.
    pub rtp: Ipv4Addr,
    /// Event socket.
    pub esl: SocketAddr,
    /// SIP over UDP and TCP.
    pub sip: SocketAddr,
    /// SIP over TLS.
    pub tls: SocketAddr,
    /// SIP over WebSocket, in the same profile.
    pub ws: SocketAddr,
    /// The same with TLS.
    pub wss: SocketAddr,
    /// A profile with `multiple-registrations=false`.
    pub single: SocketAddr,
    /// A profile with `multiple-registrations=call-id`.
    pub by_call_id: SocketAddr,
    /// A profile on `::1`, if this machine has IPv6.
    pub six: Option<SocketAddr>,
    /// Where other FreeSWITCHes send INVITEs for phones that are registered here.
    pub node: SocketAddr,
    /// The address that its `socket` application connects to.
    pub fswake: SocketAddr,
}

impl Ports {
    /// fswake's address on `::1`, if this machine has IPv6.
    pub fn fswake_six(&self) -> Option<SocketAddr> {
        self.six.map(|six| SocketAddr::new(six.ip(), self.fswake.port()))
    }
}

/// The modules that fswake needs, and sounds. There is no `mod_fifo`, conference and the like.
const MODULES: [&str; 11] = [
    "mod_console",
    "mod_logfile",
    "mod_event_socket",
    "mod_sofia",
    "mod_loopback",
    "mod_commands",
    "mod_dptools",
    "mod_dialplan_xml",
    "mod_hash",
    "mod_sms",
    "mod_tone_stream",
];

/// A snippet of the repository, without comments and with its ports replaced.
pub(super) fn snippet(name: &str, ports: &Ports) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fs-conf").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = without_comments(&text)
        .replace("127.0.0.1:8084", &ports.fswake.to_string())
        .replace("\"8021\"", &format!("\"{}\"", ports.esl.port()));
    in_mode(&text)
}

/// A dialplan with `socket` as `$FSWAKE_SOCKET` says: with `async`, without it (`static`), or as
/// [`super::RealFs::holds_with_async`] sets it (`either`).
pub(super) fn in_mode(dialplan: &str) -> String {
    let (is, others) = ("socket_resume=false", "socket_resume=true");
    match std::env::var("FSWAKE_SOCKET").as_deref() {
        Ok("static") => dialplan.replace(" async full\"", " full\"").replace(others, is),
        Ok("async") => dialplan
            .replace(" full\"", " async full\"")
            .replace(" async async ", " async ")
            .replace(is, others),
        Ok("either") => {
            let dialplan = dialplan.replace(" async full\"", " full\"").replace(others, is);
            // Some of these calls wait for longer than the snippet's limit.
            let dialplan = dialplan.replace("call_timeout=20\"", "call_timeout=600\"");
            dialplan
                .replace(" full\"", " ${socket_mode}\"")
                .replace(is, "socket_resume=${socket_resumes}")
        }
        _ => dialplan.to_owned(),
    }
}

fn without_comments(xml: &str) -> String {
    let mut parts = xml.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .filter_map(|part| part.split_once("-->"))
        .fold(first, |all, (_comment, rest)| all + rest)
}

/// The text between the first `<element>` and the last `</element>`.
pub(super) fn inside<'a>(text: &'a str, element: &str) -> &'a str {
    let from = text.find(&format!("<{element}>")).expect("the element's start") + element.len() + 2;
    let to = text.rfind(&format!("</{element}>")).expect("the element's end");
    &text[from..to]
}

fn profile(ports: &Ports, name: &str, at: SocketAddr, more: &str) -> String {
    let rtp = match at {
        SocketAddr::V4(_) => IpAddr::V4(ports.rtp),
        SocketAddr::V6(six) => IpAddr::V6(*six.ip()),
    };
    let shipped = snippet("sip_profiles/fswake.xml", ports);
    // "call-id" does not undo "contact", so the shipped line must be left out.
    let multiple = "name=\"multiple-registrations\"";
    let of_its_own = |line: &&str| more.contains(multiple) && line.contains(multiple);
    let shipped: Vec<&str> = inside(&shipped, "settings")
        .lines()
        .filter(|l| !of_its_own(l))
        .collect();
    format!(
        r#"<profile name="{name}"><settings>
            <param name="context" value="default"/>
            <param name="dialplan" value="XML"/>
            <param name="sip-ip" value="{ip}"/>
            <param name="rtp-ip" value="{rtp}"/>
            <param name="sip-port" value="{port}"/>
            <param name="codec-prefs" value="PCMU,PCMA"/>
            <param name="inbound-codec-negotiation" value="generous"/>
            <param name="rtp-timer-name" value="soft"/>
            <param name="manage-presence" value="false"/>
            <param name="auth-calls" value="false"/>
            <param name="auth-messages" value="false"/>
            <param name="log-auth-failures" value="false"/>
            <param name="sip-expires-late-margin" value="1"/>
            {shipped}
            {more}
        </settings></profile>"#,
        ip = at.ip(),
        port = at.port(),
        shipped = shipped.join("\n"),
    )
}

fn profiles(ports: &Ports) -> String {
    let multiple = |value: &str| format!(r#"<param name="multiple-registrations" value="{value}"/>"#);
    let connections = format!(
        r#"<param name="ws-binding" value="{}"/><param name="wss-binding" value="{}"/>
           <param name="apply-candidate-acl" value="any_v4.auto"/>
           <param name="tls" value="true"/><param name="tls-sip-port" value="{}"/>"#,
        ports.ws,
        ports.wss,
        ports.tls.port()
    );
    let six = ports.six.map(|at| profile(ports, "six", at, ""));
    profile(ports, "internal", ports.sip, &connections)
        + &profile(ports, "single", ports.single, &multiple("false"))
        + &profile(ports, "by-call-id", ports.by_call_id, &multiple("call-id"))
        + &six.unwrap_or_default()
}

/// With mod_lua loaded, looking up a user in the directory takes as long as the global variable `slow_directory` says
/// (`user:ms`).
const SLOW_DIRECTORY: &str = r#"<configuration name="lua.conf"><settings>
    <param name="xml-handler-script" value="~local who, ms = string.match(freeswitch.getGlobalVariable('slow_directory') or '', '(%d+):(%d+)'); if who and params:getHeader('user') == who then freeswitch.msleep(tonumber(ms)) end; XML_STRING = ''"/>
    <param name="xml-handler-bindings" value="directory"/>
  </settings></configuration>"#;

/// The dialplan. `7<user>` uses the shipped snippet, and `9<user>` does with an alias of the user's number. `6<user>`
/// has 410 as the next action, `8<user>` is the same over IPv6. `5<user>` and `4<user><user>` use `user/`, `0<user>`
/// uses a loopback to `5<user>`. `1<n><user>` and `2<n><user><user>` use `user/` of the domains with plain contacts.
/// `7<user>-name=value` and `6<user>-name=value` set a variable first; `5<user>-name=value` exports it.
fn dialplan(ports: &Ports) -> String {
    let shipped = snippet("dialplan/default/00_fswake.xml", ports);
    let numbers = r"^(?|7(\d{5})|(9\d{5}))$";
    let routing = inside(&shipped, "include").replace("^(10[01][0-9])$", numbers);
    assert!(routing.contains(numbers), "the snippet's numbers have changed");
    let contexts = snippet("dialplan/fswake.xml", ports);
    let node = snippet("dialplan/public/00_fswake_node.xml", ports);
    format!(
        r#"<context name="default">
          {node}
          <extension name="domain" continue="true"><condition>
            <action application="set" data="domain_name={DOMAIN}"/>
          </condition></extension>
          {routing}
          <extension name="set"><condition field="destination_number" expression="^([67]\d{{5}})-(\w+)=(\w+)$">
            <action application="set" data="$2=$3"/>
            <action application="transfer" data="$1 XML default"/>
          </condition></extension>
          <extension name="export"><condition field="destination_number" expression="^(5\d{{5}})-(\w+)=(\w+)$">
            <action application="export" data="$2=$3"/>
            <action application="transfer" data="$1 XML default"/>
          </condition></extension>
          {beside}
          <extension name="next"><condition field="destination_number" expression="^6(\d{{5}})$">
            <action application="set" data="fswake_aor=$1@{DOMAIN}"/>
            <action application="set" data="socket_resume=true"/>
            <action application="socket" data="{socket} async full"/>
            <action application="respond" data="410 Gone"/>
          </condition></extension>
          <extension name="six"><condition field="destination_number" expression="^8(\d{{5}})$">
            <action application="set" data="fswake_aor=$1@{DOMAIN}"/>
            <action application="set" data="socket_resume=true"/>
            <action application="socket" data="::1:{port} async full"/>
            <action application="respond" data="410 Gone"/>
          </condition></extension>
          <extension name="user"><condition field="destination_number" expression="^5(\d{{5}})$">
            <action application="set" data="call_timeout=20"/>
            <action application="set" data="hangup_after_bridge=true"/>
            <action application="bridge" data="user/$1@{WAKE_DOMAIN}"/>
          </condition></extension>
          <extension name="fusionpbx"><condition field="destination_number" expression="^3(\d{{5}})$">
            <action application="set" data="hangup_after_bridge=true"/>
            <action application="bridge" data="[leg_timeout=20]loopback/$1@{WAKE_DOMAIN}/fswake@static"/>
          </condition></extension>
          <extension name="helper"><condition field="destination_number" expression="^0(\d{{5}})$">
            <action application="set" data="hangup_after_bridge=true"/>
            <action application="bridge" data="loopback/5$1/default"/>
          </condition></extension>
          <extension name="group"><condition field="destination_number" expression="^4(\d{{5}})(\d{{5}})$">
            <action application="set" data="call_timeout=20"/>
            <action application="set" data="hangup_after_bridge=true"/>
            <action application="bridge" data="user/$1@{WAKE_DOMAIN},user/$2@{WAKE_DOMAIN}"/>
          </condition></extension>
        </context>
        {contexts}
        {fusionpbx}"#,
        socket = ports.fswake,
        port = ports.fswake.port(),
        node = inside(&node, "include"),
        beside = beside(),
        contexts = inside(&contexts, "include"),
        fusionpbx = for_fusionpbx(inside(&contexts, "include")),
    )
}

/// The contexts with the names in docs/FUSIONPBX.md.
fn for_fusionpbx(contexts: &str) -> String {
    let renamed = contexts
        .replace(r#"context name="fswake""#, r#"context name="fswake@static""#)
        .replace(
            r#"context name="fswake-after""#,
            r#"context name="fswake-after@static""#,
        );
    renamed.replace("XML fswake-after", "XML fswake-after@static")
}

/// Calls to the domains with plain contacts.
fn beside() -> String {
    let mut all = String::new();
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let targets = [
            ("1", "", format!("user/$1@{domain}")),
            ("2", r"(\d{5})", format!("user/$1@{domain},user/$2@{domain}")),
        ];
        for (digit, second, target) in targets {
            let _ = write!(
                all,
                r#"<extension name="beside"><condition field="destination_number" expression="^{digit}{n}(\d{{5}}){second}$">
                  <action application="set" data="call_timeout=20"/>
                  <action application="set" data="hangup_after_bridge=true"/>
                  <action application="bridge" data="{target}"/>
                </condition></extension>"#
            );
        }
    }
    all
}

/// Commands that the daemon needs, without those of the doctor.
const NARROW_API: &str = "version sofia show user_data uuid_kill sched_api";
const NARROW_EVENTS: &str =
    "CUSTOM sofia::register sofia::unregister sofia::expire sofia::sip_user_state CHANNEL_HANGUP_COMPLETE";

fn directory(users: u32, ports: &Ports) -> String {
    let shipped = snippet("directory/fswake.xml", ports);
    let woken = &shipped[shipped.find("<params>").expect("the snippet's params")..];
    let plain =
        r#"<params><param name="dial-string" value="${sofia_contact(*/${dialed_user}@${dialed_domain})}"/></params>"#;
    let mut list = String::new();
    for user in FIRST_USER..FIRST_USER + users {
        let _ = write!(
            list,
            r#"<user id="{user}" number-alias="9{user}"><params><param name="password" value="{PASSWORD}"/></params></user>"#
        );
    }
    let _ = write!(
        list,
        r#"<user id="{CAPITALS}"><params><param name="password" value="{PASSWORD}"/></params></user>"#
    );
    let (narrow, secret) = super::RealFs::NARROW;
    let _ = write!(
        list,
        r#"<user id="{narrow}"><params><param name="esl-password" value="{secret}"/>
        <param name="esl-allowed-events" value="{NARROW_EVENTS}"/><param name="esl-allowed-api" value="{NARROW_API}"/></params></user>"#
    );
    let domain = |name: &str, params: &str| {
        format!(
            r#"<domain name="{name}">{params}<groups><group name="all"><users>{list}</users></group></groups></domain>"#
        )
    };
    let shipped = snippet("directory/fswake-beside-contacts.xml", ports);
    let beside = &shipped[shipped.find("<params>").expect("the snippet's params")..];
    let variable = "[fswake_ring=woken]";
    assert!(beside.contains(variable), "the snippet's variable has changed");
    let apn = beside.replace(variable, "[apn_wait_any_register=true]");
    let readme = beside.replace(variable, "");
    let besides: String = BESIDE_DOMAINS
        .iter()
        .zip([beside, apn.as_str(), readme.as_str()])
        .map(|(name, params)| domain(name, params))
        .collect();
    domain(DOMAIN, plain) + &domain(WAKE_DOMAIN, woken) + &besides
}

/// The configuration that every FreeSWITCH of the tests has.
pub(super) fn configuration<'a>(modules: impl IntoIterator<Item = &'a str>, sessions: u32, profile: &str) -> String {
    let modules = modules.into_iter().fold(String::new(), |mut all, module| {
        let _ = write!(all, r#"<load module="{module}"/>"#);
        all
    });
    format!(
        r#"<configuration name="modules.conf"><modules>{modules}</modules></configuration>
    <configuration name="switch.conf"><settings>
      <param name="colorize-console" value="false"/>
      <param name="max-sessions" value="{sessions}"/>
      <param name="sessions-per-second" value="{per_second}"/>
      <param name="loglevel" value="info"/>
      <param name="rtp-start-port" value="16384"/>
      <param name="rtp-end-port" value="32766"/>
    </settings></configuration>
    <configuration name="console.conf"><mappings><map name="all" value="err,crit,alert"/></mappings><settings/></configuration>
    <configuration name="logfile.conf"><settings/><profiles><profile name="default"><settings/>
      <mappings><map name="all" value="info,notice,warning,err,crit,alert"/></mappings></profile></profiles></configuration>
    <configuration name="acl.conf"><network-lists/></configuration>
    <configuration name="timezones.conf"><timezones/></configuration>
    <configuration name="loopback.conf"><settings/></configuration>
    <configuration name="voicemail.conf"><settings/><profiles><profile name="default">
      <param name="file-extension" value="wav"/></profile></profiles></configuration>
    <configuration name="sofia.conf"><global_settings><param name="log-level" value="0"/></global_settings>
      <profiles>{profile}</profiles></configuration>"#,
        per_second = sessions / 2,
    )
}

/// The complete `freeswitch.xml`.
pub fn write(ports: &Ports, users: u32) -> String {
    let event_socket = snippet("autoload_configs/event_socket.conf.xml", ports);
    let event_socket = &event_socket[event_socket.find("<configuration").expect("the snippet's element")..];
    format!(
        r#"<?xml version="1.0"?>
<document type="freeswitch/xml">
  <section name="configuration">
    {configuration}
    {event_socket}
    {SLOW_DIRECTORY}
  </section>
  <section name="dialplan">{dialplan}</section>
  <section name="chatplan"><context name="default">{chatplan}</context></section>
  <section name="directory">{directory}</section>
</document>
"#,
        configuration = configuration(MODULES, 10_000, &profiles(ports)),
        dialplan = in_mode(&dialplan(ports)),
        chatplan = snippet("chatplan/fswake.xml", ports),
        directory = directory(users, ports),
    )
}
