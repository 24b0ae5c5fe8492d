//! TLS for PostgreSQL: certificates are checked against the system's authorities, or those of one file.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Encrypted;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::files;

/// Makes TLS sessions with servers whose certificates are valid.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl Connector {
    /// `root`: a PEM file with the only authorities that are trusted, instead of the system's.
    pub(super) fn new(root: Option<&Path>) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let config = match root {
            Some(file) => builder.with_root_certificates(authorities(file)?),
            None => builder.with_platform_verifier().map_err(|e| e.to_string())?,
        };
        Ok(Self(TlsConnector::from(Arc::new(config.with_no_client_auth()))))
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let shown = file.display();
    let mut store = RootCertStore::empty();
    let pem = files::pem(file).map_err(|e| format!("sslrootcert {shown}: {e}"))?;
    for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = authority.map_err(|e| e.to_string()).map(|a| store.add(a));
        added
            .and_then(|a| a.map_err(|e| e.to_string()))
            .map_err(|e| format!("sslrootcert {shown}: {e}"))?;
    }
    if store.is_empty() {
        return Err(format!("sslrootcert {shown}: no certificate in it"));
    }
    Ok(store)
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Session<S>;
    type TlsConnect = TlsHandshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, name: &str) -> io::Result<TlsHandshake> {
        let name = ServerName::try_from(name.to_owned());
        Ok(TlsHandshake {
            connector: self.0.clone(),
            // Unix sockets have no name and no TLS; a connector is made all the same.
            name: name.ok(),
        })
    }
}

/// One session to be made.
pub(super) struct TlsHandshake {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl<S> TlsConnect<S> for TlsHandshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Session<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Session<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = self.name.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the host's name cannot be in a certificate",
                )
            })?;
            Ok(Session(self.connector.connect(name, stream).await?))
        })
    }
}

/// An encrypted connection.
pub(super) struct Session<S>(Encrypted<S>);

impl<S> TlsStream for Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S> AsyncRead for Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S> AsyncWrite for Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_as_any_file_of_an_operator() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let pem = fswake_test_support::tls::Authority::default().pem();
        let utf_16: Vec<u8> = format!("\u{feff}{pem}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for content in [
            pem.clone().into_bytes(),
            format!("\u{feff}{pem}").into_bytes(),
            pem.replace('\n', "\r\n").into_bytes(),
            pem.trim_end().as_bytes().to_vec(),
            utf_16,
        ] {
            std::fs::write(&file, &content).unwrap();
            assert_eq!(authorities(&file).map(|found| found.len()), Ok(1), "{content:?}");
        }
        for (content, said) in [
            (&b"a\n\xe9\n"[..], "line 2 is not UTF-8 text"),
            (b"\x30\x82\xff", "a binary file"),
            (b"", "no certificate in it"),
        ] {
            std::fs::write(&file, content).unwrap();
            let problem = authorities(&file).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
