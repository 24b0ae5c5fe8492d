//! Status output: registrations, profiles, channels.

use super::bus::lock;
use super::clock;
use super::core::Core;
use super::registry::Registration;

const RULE: &str = "=================================================================================================";

fn registrations(core: &Core) -> Vec<Registration> {
    core.world().registrations.values().cloned().collect()
}

/// `show registrations as json`.
pub(crate) fn registrations_json(core: &Core) -> String {
    let all = registrations(core);
    let rows: Vec<String> = all
        .iter()
        .map(|r| {
            let quote = |text: &str| serde_json::Value::from(text).to_string();
            format!(
                "{{\"reg_user\":{},\"realm\":{},\"token\":{},\"url\":{},\"expires\":\"{}\",\"network_ip\":{},\
                 \"network_port\":{},\"network_proto\":{},\"hostname\":{},\"metadata\":\"\"}}",
                quote(&r.user),
                quote(&r.domain),
                quote(&r.call_id),
                quote(&r.dial_string()),
                r.since + u64::from(r.expires),
                quote(&r.ip),
                quote(&r.port),
                quote(&r.transport),
                quote(&core.config.hostname),
            )
        })
        .collect();
    as_rows(&rows)
}

/// `show channels as json`: uuid and name only.
pub(crate) fn channels_json(core: &Core) -> String {
    let world = core.world();
    let row = |c: &super::channel::Channel| format!("{{\"uuid\":\"{}\",\"name\":\"{}\"}}", c.uuid, c.name());
    let rows: Vec<String> = world.channels.values().filter(|c| c.cause.is_none()).map(row).collect();
    as_rows(&rows)
}

/// `show channels like <part of a name> as json`.
pub(crate) fn channels_like(core: &Core, arg: &str) -> String {
    let like = arg.trim_start_matches("channels like ").trim_end_matches(" as json");
    let world = core.world();
    let alive = world
        .channels
        .values()
        .filter(|c| c.cause.is_none() && c.name().contains(like));
    let rows: Vec<String> = alive
        .map(|c| format!("{{\"uuid\":\"{}\",\"name\":\"{}\"}}", c.uuid, c.name()))
        .collect();
    as_rows(&rows)
}

/// `uuid_dump`: all data of a caller's channel; for a leg, only the line with its state. Legs that a test invented as
/// FreeSWITCH's own get the test's answer.
pub(crate) fn dump(core: &Core, uuid: &str) -> String {
    let is_leg = core.world().channels.get(uuid).map(super::channel::Channel::is_leg);
    match is_leg {
        Some(true) => format!("Channel-Call-State: DOWN\nUnique-ID: {uuid}\n"),
        Some(false) => {
            let data = core.channel_data(uuid).unwrap_or_default();
            let is_parked = core.world().channels.get(uuid).is_some_and(|c| c.parked_elsewhere);
            // `uuid_park` changes the number at once (CS_PARK). The channel's thread changes the name when it gets
            // there.
            let state = |line: &str| match line.strip_prefix("Channel-State-Number: ") {
                Some(_) if is_parked => "Channel-State-Number: 6\n".to_owned(),
                _ => format!("{line}\n"),
            };
            data.lines().map(state).collect()
        }
        None => "-ERR No such channel!\n".to_owned(),
    }
}

/// FreeSWITCH itself has the space after the colon of an empty list (mod_commands.c, `show_function`).
fn as_rows(rows: &[String]) -> String {
    if rows.is_empty() {
        return "{\"row_count\": 0}\n".to_owned();
    }
    format!("{{\"row_count\":{},\"rows\":[{}]}}", rows.len(), rows.join(","))
}

/// Values as shipped by FreeSWITCH.
const PROFILES_CODECS: &str = "OPUS,G722,PCMU,PCMA,H264,VP8";

/// `sofia status ...` and `sofia xmlstatus ...`.
pub(crate) fn sofia(core: &Core, words: &[&str]) -> String {
    match words {
        ["status"] => {
            let profile = &core.config.profile;
            format!(
                "{:>25}\t   Type\t  {:>40}\tState\n{RULE}\n{profile:>25}\tprofile\t  {:>40}\tRUNNING (0)\n{RULE}\n\
                 1 profile 0 aliases\n",
                "Name", "Data", "sip:mod_sofia@127.0.0.1:5060"
            )
        }
        ["status", "profile", name, "reg"] => {
            let regs = of_profile(core, name);
            let Some(regs) = regs else {
                return "Invalid Profile!\n".to_owned();
            };
            let items: String = regs.iter().map(|r| in_text(core, r)).collect();
            format!(
                "\nRegistrations:\n{RULE}\n{items}Total items returned: {}\n{RULE}\n\n",
                regs.len()
            )
        }
        ["xmlstatus"] => {
            let name = &core.config.profile;
            let mut names = vec![name.clone()];
            names.extend(registrations(core).into_iter().map(|r| r.profile));
            names.sort();
            names.dedup();
            names.retain(|name| !core.world().stopped.contains(name));
            let all: String = names.iter().map(|name| profile_in_xml(name)).collect();
            format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<profiles>\n{all}</profiles>\n\n")
        }
        ["xmlstatus", "profile", name] => {
            let Some(regs) = of_profile(core, name) else {
                return "Invalid Profile!\n".to_owned();
            };
            format!(
                "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<profile>\n  <profile-info>\n    <name>{name}</name>\n    \
                 <inbound-codecs>{PROFILES_CODECS}</inbound-codecs>\n    <outbound-codecs>{PROFILES_CODECS}</outbound-codecs>\n    \
                 <registrations>{}</registrations>\n  </profile-info>\n</profile>\n\n",
                regs.len()
            )
        }
        ["xmlstatus", "profile", name, kind @ ("reg" | "user"), search @ ..] => {
            let Some(mut regs) = of_profile(core, name) else {
                return "Invalid Profile!\n".to_owned();
            };
            if let Some(search) = search.first() {
                regs.retain(|r| match *kind {
                    "reg" => r.contact.to_ascii_lowercase().contains(&search.to_ascii_lowercase()),
                    _ => format!("{}@{}", r.user, r.domain) == *search,
                });
            }
            let items: String = regs.iter().map(|r| in_xml(core, r)).collect();
            format!(
                "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<profile>\n  <registrations>\n{items}  </registrations>\n\
                 </profile>\n\n"
            )
        }
        _ => "-USAGE: sofia status|xmlstatus\n".to_owned(),
    }
}

fn profile_in_xml(name: &str) -> String {
    format!(
        "<profile>\n<name>{name}</name>\n<type>profile</type>\n<data>sip:mod_sofia@127.0.0.1:5060</data>\n\
         <state>RUNNING (0)</state>\n</profile>\n"
    )
}

fn of_profile(core: &Core, name: &str) -> Option<Vec<Registration>> {
    let all = registrations(core);
    let known = name == core.config.profile || all.iter().any(|r| r.profile == name);
    let known = known && !core.world().stopped.contains(name);
    known.then(|| all.into_iter().filter(|r| r.profile == name).collect())
}

fn in_text(core: &Core, r: &Registration) -> String {
    let (until, left) = until(r);
    format!(
        "Call-ID:    \t{}\nUser:       \t{u}@{d}\nContact:    \t{}\nAgent:      \t{}\nStatus:     \t{}(unknown) EXP({until}) \
         EXPSECS({left})\nPing-Status:\tReachable\nPing-Time:\t0.00\nHost:       \t{}\nIP:         \t{}\nPort:       \t{}\n\
         Auth-User:  \t{u}\nAuth-Realm: \t{d}\nMWI-Account:\t{u}@{d}\n\n",
        r.call_id,
        r.contact,
        r.agent,
        r.status,
        core.config.hostname,
        r.ip,
        r.port,
        u = r.user,
        d = r.domain,
    )
}

fn in_xml(core: &Core, r: &Registration) -> String {
    let (until, left) = until(r);
    let tags = [
        ("call-id", r.call_id.clone()),
        ("user", format!("{}@{}", r.user, r.domain)),
        ("contact", escape(&r.contact)),
        ("agent", escape(&r.agent)),
        ("status", format!("{}(unknown) exp({until}) expsecs({left})", r.status)),
        ("ping-status", "Reachable".to_owned()),
        ("ping-time", "0.00".to_owned()),
        ("host", core.config.hostname.clone()),
        ("network-ip", r.ip.clone()),
        ("network-port", r.port.clone()),
        ("sip-auth-user", r.user.clone()),
        ("sip-auth-realm", r.domain.clone()),
        ("mwi-account", format!("{}@{}", r.user, r.domain)),
    ];
    let lines: Vec<String> = tags
        .iter()
        .map(|(tag, value)| format!("        <{tag}>{value}</{tag}>\n"))
        .collect();
    format!("    <registration>\n{}    </registration>\n", lines.concat())
}

fn until(r: &Registration) -> (String, u64) {
    let end = r.since + u64::from(r.expires);
    (
        clock::local(end * 1_000_000),
        end.saturating_sub(clock::micros() / 1_000_000),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// `sofia_contact [profile/]user@domain`, where `*` means every profile.
pub(crate) fn sofia_contact(core: &Core, arg: &str) -> String {
    let (profile, address) = arg.split_once('/').unwrap_or(("*", arg));
    let (user, domain) = address.split_once('@').unwrap_or((address, ""));
    let is_it = |r: &&Registration| {
        (profile == "*" || r.profile == profile) && r.user == user && (domain.is_empty() || r.domain == domain)
    };
    let all = registrations(core);
    let found: Vec<String> = all.iter().filter(is_it).map(Registration::dial_string).collect();
    if found.is_empty() {
        "error/user_not_registered".to_owned()
    } else {
        found.join(",")
    }
}

/// `status`.
pub(crate) fn status(core: &Core) -> String {
    let up = lock(&core.started).elapsed();
    let secs = up.as_secs();
    format!(
        "UP 0 years, {} days, {} hours, {} minutes, {} seconds, {} milliseconds, {} microseconds\n\
         FreeSWITCH (Version 1.10.12-release  64bit) is ready\n{} session(s) since startup\n\
         {} session(s) - peak 3, last 5min 3 \n0 session(s) per Sec out of max 5000, peak 6, last 5min 6 \n\
         20000 session(s) max\nmin idle cpu 0.00/87.60\nCurrent Stack Size/Max 240K/8192K\n",
        secs / 86_400,
        secs / 3600 % 24,
        secs / 60 % 60,
        secs % 60,
        up.subsec_millis(),
        up.subsec_micros() % 1000,
        core.sessions.load(std::sync::atomic::Ordering::Relaxed),
        core.world().channels.len(),
    )
}
