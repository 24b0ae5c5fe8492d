//! A client of the HTTP interface for the tests.

use std::net::SocketAddr;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::harness::{self, Daemon};

/// The address of the daemon's HTTP interface.
pub struct Site {
    pub address: SocketAddr,
    pub http: reqwest::Client,
}

impl Site {
    pub async fn of(daemon: &Daemon) -> Self {
        let line = daemon.log.wait(&["HTTP: metrics"]).await;
        let address = line.split("address=").nth(1).unwrap().trim().parse().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, http }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// The status and the body of an answer.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.request(Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The JSON body of an answer, which must have status 200.
    pub async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// One series of /metrics.
    pub async fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// Waits until a series has this value.
    pub async fn counts(&self, series: &str, value: f64) {
        harness::soon(&format!("{series} {value}"), async {
            while (self.metric(series).await - value).abs() > 0.5 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Waits until an answer meets a condition.
    pub async fn until(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        harness::soon(path, async {
            loop {
                let (_, body) = self.get(path).await;
                let value: Value = serde_json::from_str(&body).unwrap();
                if good(&value) {
                    return value;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await
    }
}
