//! A FreeSWITCH that stands by for another, on one address for both.
//!
//! On loopback the address cannot move from host to host. Instead the address and the ports of its SIP profile for
//! phones are those of the active FreeSWITCH. While that runs, the standby cannot bind them, as on a host that does not
//! have the address yet. When the active FreeSWITCH is dead, [`RealFs::takes_over`] starts the profile, as the script
//! does that keepalived runs when the address has moved.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Ports, RealFs, config, new_ports, takes_registrations};

/// Limit for starting the profile.
const TAKES_OVER: Duration = Duration::from_secs(15);

impl RealFs {
    /// Starts a FreeSWITCH with the same users, which stands by for this one.
    pub async fn standby(&self, users: u32) -> Self {
        let own = new_ports();
        // Both are there when the other is back, so each has its own address for RTP.
        let [high, low] = own.by_call_id.port().to_be_bytes();
        let ports = Ports {
            rtp: Ipv4Addr::new(127, 1, high, low),
            sip: self.ports.sip,
            node: self.ports.sip,
            tls: self.ports.tls,
            ws: self.ports.ws,
            wss: self.ports.wss,
            ..own
        };
        let write = |ports: &Ports, _: &Path| config::write(ports, users).replace(PROFILE, ONE_TRY);
        let mut fs = Self::prepare(&self.prefix, &ports, write);
        fs.is_standby = true;
        fs.launch().await;
        fs
    }

    /// Starts its SIP profile for phones at the address, which is free now.
    pub async fn takes_over(&self) {
        let mut console = self.console().await;
        let deadline = Instant::now() + TAKES_OVER;
        console.api("sofia profile internal start").await.expect("an answer");
        while !takes_registrations(&mut console).await {
            assert!(
                Instant::now() < deadline,
                "the standby does not take over:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

const PROFILE: &str = r#"<profile name="internal"><settings>"#;
/// Without further tries, which would delay its start.
const ONE_TRY: &str = r#"<profile name="internal"><settings><param name="bind-attempts" value="1"/>"#;
