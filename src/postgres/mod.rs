//! PostgreSQL: names of databases as FreeSWITCH and libpq write them, and connections to them.

mod dsn;
mod tls;

pub use dsn::{Dsn, DsnError, Tls, split_scheme};

use std::time::Duration;

use crate::words;
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification, Socket};

/// How long connecting may take, unless the connection string sets it.
const CONNECT: Duration = Duration::from_secs(10);

/// Why there is no connection. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server, no database, or it does not let us in.
    #[error("{place}: {reason}")]
    Refused {
        /// Server and database.
        place: String,
        /// The server's or the system's error.
        reason: String,
    },
    /// Its certificate is not one that we trust.
    #[error("{place}: TLS: {reason}")]
    Tls {
        /// Server and database.
        place: String,
        /// The error.
        reason: String,
    },
}

/// Connects. The connection lives on a task of its own, and ends with the client.
///
/// # Errors
/// When the server cannot be reached, is not the one that it should be, or does not let us in.
pub async fn connect(dsn: &Dsn) -> Result<Client, ConnectError> {
    connect_with_notifications(dsn).await.map(|(client, _)| client)
}

/// Connects. The receiver gets the server's notifications, and ends with the connection.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with_notifications(
    dsn: &Dsn,
) -> Result<(Client, mpsc::UnboundedReceiver<Notification>), ConnectError> {
    let place = dsn.place();
    let mut config = dsn.config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    let refused = |e: tokio_postgres::Error| {
        let reason = words::of(&e);
        if reason.contains("certificate") {
            ConnectError::Tls {
                place: place.clone(),
                reason,
            }
        } else {
            ConnectError::Refused {
                place: place.clone(),
                reason,
            }
        }
    };
    match &dsn.tls {
        Tls::None => {
            config.ssl_mode(SslMode::Disable);
            open(&config, NoTls).await.map_err(refused)
        }
        Tls::IfOffered { root } | Tls::Required { root } => {
            let tls = tls::Connector::new(root.as_deref()).map_err(|reason| ConnectError::Tls {
                place: place.clone(),
                reason,
            })?;
            let required = matches!(dsn.tls, Tls::Required { .. });
            config.ssl_mode(if required { SslMode::Require } else { SslMode::Prefer });
            open(&config, tls).await.map_err(refused)
        }
    }
}

async fn open<T>(
    config: &Config,
    tls: T,
) -> Result<(Client, mpsc::UnboundedReceiver<Notification>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect(tls).await?;
    let (sender, notifications) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // The client's queries fail with the same error.
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                // Most callers do not listen.
                let _ = sender.send(notification);
            }
        }
    });
    Ok((client, notifications))
}
