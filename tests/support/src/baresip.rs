//! baresip, a real SIP client without sound card and display, controlled through its ctrl_tcp.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};

use crate::sip::{Account, level_of};

const PROGRAM: &str = "/usr/bin/baresip";
/// Where Debian installs its modules, with or without the architecture in the path.
const MODULES: [&str; 2] = ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"];
/// Limit for starting it and for each command.
const PATIENCE: Duration = Duration::from_secs(6);

/// Whether baresip is installed.
pub fn is_installed() -> bool {
    Path::new(PROGRAM).is_file() && MODULES.iter().any(|folder| Path::new(folder).is_dir())
}

/// Options of a baresip.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Registers, and refreshes the registration.
    pub registers: bool,
    /// Accepts only calls with SDES-SRTP (RFC 4568).
    pub encrypts: bool,
}

/// A running baresip. It stops when dropped.
pub struct Baresip {
    account: Account,
    orders: Mutex<tokio::net::tcp::OwnedWriteHalf>,
    said: watch::Receiver<String>,
    _child: Child,
    _dir: TempDir,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a TCP port");
    listener.local_addr().expect("its address").port()
}

/// A minute and a half of a constant value: what a scripted phone sends with this voice.
fn voice(voice: u8) -> Vec<u8> {
    let samples = 8000_u32 * 90;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + samples * 2).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    for word in [1_u16, 1] {
        wav.extend(word.to_le_bytes());
    }
    wav.extend(8000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    for word in [2_u16, 16] {
        wav.extend(word.to_le_bytes());
    }
    wav.extend(b"data");
    wav.extend((samples * 2).to_le_bytes());
    let value = i16::try_from(level_of(voice)).unwrap_or(i16::MAX).to_le_bytes();
    for _ in 0..samples {
        wav.extend(value);
    }
    wav
}

impl Baresip {
    /// Starts it for this account. It answers calls at once, and sends `as_voice`.
    pub async fn start(account: Account, as_voice: u8, settings: Settings) -> Self {
        let dir = TempDir::new().expect("a directory");
        let (path, port) = (dir.path(), free_port());
        let folder = MODULES.iter().find(|folder| Path::new(folder).is_dir());
        let config = format!(
            "poll_method epoll\ncall_local_timeout 120\ncall_max_calls 4\naudio_source aufile,{wav}\naudio_player aubridge,none\n\
             audio_alert aubridge,none\nausrc_srate 8000\nauplay_srate 8000\njitter_buffer_type off\nmodule_path {folder}\n\
             module g711.so\nmodule srtp.so\nmodule aufile.so\nmodule aubridge.so\nmodule account.so\nmodule ctrl_tcp.so\nmodule menu.so\n\
             ctrl_tcp_listen 127.0.0.1:{port}\n",
            wav = path.join("voice.wav").display(),
            folder = folder.expect("its modules"),
        );
        let accounts = format!(
            "<sip:{}@{}>;auth_pass={};outbound=\"sip:{};transport=udp\";regint={};audio_codecs=PCMU/8000/1,PCMA/8000/1;answermode=auto{}\n",
            account.user,
            account.domain,
            account.password,
            account.server,
            if settings.registers { 3600 } else { 0 },
            if settings.encrypts { ";mediaenc=srtp-mand" } else { "" },
        );
        for (name, text) in [
            ("config", config.as_bytes()),
            ("accounts", accounts.as_bytes()),
            ("contacts", b""),
        ] {
            std::fs::write(path.join(name), text).expect("a file");
        }
        std::fs::write(path.join("voice.wav"), voice(as_voice)).expect("a file");
        let child = Command::new(PROGRAM)
            .arg("-f")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("baresip starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                break stream;
            }
            assert!(Instant::now() < deadline, "baresip has not started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let (mut read, orders) = stream.into_split();
        let (sender, said) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = read.read(&mut buffer).await {
                sender.send_modify(|said| said.push_str(&String::from_utf8_lossy(&buffer[..length])));
            }
        });
        Self {
            account,
            orders: Mutex::new(orders),
            said,
            _child: child,
            _dir: dir,
        }
    }

    /// Sends a command from its menu.
    pub async fn command(&self, command: &str, params: &str) {
        let order = serde_json::json!({ "command": command, "params": params }).to_string();
        let order = format!("{}:{order},", order.len());
        let _ = self.orders.lock().await.write_all(order.as_bytes()).await;
    }

    /// Calls this number.
    pub async fn dial(&self, number: &str) {
        self.command("dial", &format!("sip:{number}@{}", self.account.domain))
            .await;
    }

    /// Waits until it has printed this text this many times. Returns whether it did.
    pub async fn says(&self, what: &str, times: usize) -> bool {
        let mut said = self.said.clone();
        let has = said.wait_for(|said| said.matches(what).count() >= times);
        matches!(tokio::time::timeout(PATIENCE, has).await, Ok(Ok(_)))
    }

    /// Everything that it has printed.
    pub fn said(&self) -> String {
        self.said.borrow().clone()
    }
}
