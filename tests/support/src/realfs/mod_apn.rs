//! A FreeSWITCH in which mod_apn wakes the phones of one domain, for benches that compare it with fswake.
//!
//! mod_apn is at <https://github.com/sem32/freeswitch-PushNotificator>. Its module has to be among FreeSWITCH's.

use std::path::{Path, PathBuf};

use super::{RealFs, WAKE_DOMAIN, config, modules};

/// The dial-string of mod_apn's users, from its README, without the plain contacts, and with more than its 60 s.
const DIAL_STRING: &str = "[apn_wait_any_register=true,originate_timeout=600]apn_wait/${dialed_user}@${dialed_domain}";

/// Parameters of a Contact, as this configuration names them for mod_apn.
pub fn mod_apn_params(token: &str) -> String {
    format!(";app-id=org.example.app;pn-voip-tok={token};pn-platform=iOS")
}

fn configuration(gateway: &str) -> String {
    format!(
        r#"<configuration name="apn.conf">
      <settings>
        <param name="contact_voip_token_param" value="pn-voip-tok"/>
        <param name="contact_im_token_param" value="pn-im-tok"/>
        <param name="contact_app_id_param" value="app-id"/>
        <param name="contact_platform_param" value="pn-platform"/>
      </settings>
      <profiles><profile name="voip">
        <param name="id" value="0"/>
        <param name="url" value="{gateway}/${{type}}/${{realm}}/${{user}}/${{token}}"/>
        <param name="method" value="post"/>
        <param name="auth_type" value="none"/>
        <param name="auth_data" value="none"/>
        <param name="content_type" value="application/json"/>
        <param name="connect_timeout" value="5"/>
        <param name="timeout" value="10"/>
      </profile></profiles>
    </configuration>"#
    )
}

impl RealFs {
    /// Whether this FreeSWITCH has mod_apn.
    pub fn has_mod_apn(prefix: &Path) -> bool {
        modules(prefix).join("mod_apn.so").is_file()
    }

    /// Starts a FreeSWITCH that has the dial-string of mod_apn for the users of [`WAKE_DOMAIN`]. The pushes go to this
    /// gateway, `http://host:port`. Before calls come, [`Self::load_mod_apn`].
    pub async fn start_for_mod_apn(prefix: &Path, users: u32, gateway: &str) -> Self {
        Self::start_with(prefix, |ports, _| {
            let all = config::write(ports, users);
            let domain = format!(r#"<domain name="{WAKE_DOMAIN}">"#);
            let (before, woken) = all.split_once(&domain).expect("the domain");
            let name = r#"name="dial-string" value=""#;
            let (start, value) = woken.split_once(name).expect("its dial-string");
            let (_, rest) = value.split_once('"').expect("the end of the dial-string");
            let all = format!("{before}{domain}{start}{name}{DIAL_STRING}\"{rest}");
            let section = r#"<section name="configuration">"#;
            all.replacen(section, &format!("{section}{}", configuration(gateway)), 1)
        })
        .await
    }

    /// The file with mod_apn's tokens. mod_apn cannot make its table in SQLite.
    pub fn mod_apn_database(&self) -> PathBuf {
        self.dir.path().join("db/carusto.db")
    }

    /// Loads mod_apn.
    pub async fn load_mod_apn(&self) {
        let answer = self.api("load mod_apn").await;
        assert!(answer.contains("+OK"), "load mod_apn: {answer}\n{}", self.log());
    }
}
