//! Slow, huge and broken requests do not affect calls or the interface.

use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;
use crate::site::Site;

/// Sends bytes and reads until the daemon closes the connection.
async fn raw(site: &Site, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    // The daemon may close it before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon("end of connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn garbage_and_oversized_requests_are_refused_and_the_daemon_goes_on() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/push HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\nhost localhost\n\n",
    ] {
        let answer = raw(&site, garbage).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    let endless = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(200_000));
    assert!(!raw(&site, endless.as_bytes()).await.contains(" 200 "));
    let headers = "x-filler: filler\r\n".repeat(5_000);
    let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    assert!(!raw(&site, many.as_bytes()).await.contains(" 200 "));
    let no_host = raw(&site, b"GET /v1/calls HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(no_host.contains(" 421 "), "{no_host}");
    let two = b"GET /v1/calls HTTP/1.1\r\nhost: localhost\r\nhost: attacker.example\r\nconnection: close\r\n\r\n";
    assert!(!raw(&site, two).await.contains(" 200 "));

    let huge = site
        .request(Method::POST, "/v1/push")
        .header("content-type", "application/json");
    let huge = huge.body(vec![b' '; 10 << 20]).send().await;
    // It is refused while it is still being sent, so the answer may be lost.
    assert!(huge.map_or(true, |r| r.status() == 413));
    let deep = format!(
        r#"{{"aor":"a@b","payload":{}1{}}}"#,
        r#"{"a":"#.repeat(5_000),
        "}".repeat(5_000)
    );
    let deep = site
        .request(Method::POST, "/v1/push")
        .header("content-type", "application/json")
        .body(deep);
    assert_eq!(deep.send().await.unwrap().status(), 400);
    assert_eq!(site.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(daemon.log.count(&["panicked"]), 0);
}

#[tokio::test]
async fn many_silent_connections_do_not_affect_calls() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let beginning: &[u8] = if n % 2 == 0 {
            b"GET /v1/calls HTTP/1.1\r\nhost: lo"
        } else {
            b""
        };
        stream.write_all(beginning).await.unwrap();
        silent.push(stream);
    }
    let _held = stage.call(&daemon, "1001");
    stage.push().await;
    // They time out, and real clients are served.
    let asked = tokio::time::timeout(LONG, site.get("/healthz")).await;
    assert!(asked.is_ok_and(|(status, _)| status == 200));
    drop(silent);
}

#[tokio::test]
async fn address_full_of_silent_connections_leaves_the_other_to_operators() {
    let mut stage = Stage::new().await;
    stage.set("http.addresses", vec!["127.0.0.1:0", "127.0.0.2:0"]);
    let daemon = stage.start_alone().await;
    let address = async |ip: &str| {
        let line = daemon.log.wait(&["HTTP: metrics", ip]).await;
        let address: std::net::SocketAddr = line.split("address=").nth(1).unwrap().trim().parse().unwrap();
        address
    };
    let (own, open) = (address("127.0.0.1:").await, address("127.0.0.2:").await);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(open).await.unwrap());
    }
    let ask = async |address| {
        let get = reqwest::get(format!("http://{address}/metrics"));
        tokio::time::timeout(Duration::from_secs(3), get).await
    };
    assert!(ask(open).await.is_err(), "served although all places are taken");
    assert_eq!(ask(own).await.unwrap().unwrap().status(), 200);
    drop(silent);
}

#[tokio::test]
async fn slow_request_head_ends_the_connection() {
    let stage = Stage::new().await;
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(25), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "still open after 25 s");
}
