//! The first exchange on a connection of the `socket` application: `connect`, and the channel's data.
//!
//! By hand, because whoever can reach the port can open connections and say nothing. Such a stranger costs a file
//! descriptor, and takes no place from calls that are being set up: those are counted from the first byte of the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a new connection may take to begin its answer, and again to end it.
const LIMIT: Duration = Duration::from_secs(5);
/// A channel's data have 5 KiB, more with many variables.
const LONGEST: usize = 256 * 1024;

/// Why a connection is none of FreeSWITCH's.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    /// No answer, or half of one.
    #[error("silent")]
    Silent,
    /// It closed, or the network did.
    #[error("closed")]
    Closed(#[from] std::io::Error),
    /// Too long an answer.
    #[error("its answer has more than {LONGEST} bytes")]
    TooLong,
    /// An answer with a body.
    #[error("its answer is not a channel's data")]
    NotChannelData,
}

/// What FreeSWITCH says of the channel.
#[derive(Debug, Default)]
pub struct ChannelData {
    fields: HashMap<String, String>,
    /// What came behind it already.
    pub rest: Vec<u8>,
}

impl ChannelData {
    /// A header or variable, decoded.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// Asks which channel it is. The permit is one of `places` and means that the connection is being set up.
///
/// # Errors
/// [`Stranger`], when it is not FreeSWITCH, or not in time.
pub async fn hear(
    stream: &mut TcpStream,
    places: &Arc<Semaphore>,
) -> Result<(ChannelData, OwnedSemaphorePermit), Stranger> {
    stream.set_nodelay(true)?;
    stream.write_all(b"connect\n\n").await?;
    timeout(LIMIT, stream.peek(&mut [0]))
        .await
        .map_err(|_| Stranger::Silent)??;
    let closing = |_| std::io::Error::from(std::io::ErrorKind::NotConnected);
    let place = places.clone().acquire_owned().await.map_err(closing)?;
    let data = timeout(LIMIT, read(stream)).await.map_err(|_| Stranger::Silent)??;
    Ok((data, place))
}

async fn read(stream: &mut TcpStream) -> Result<ChannelData, Stranger> {
    let mut bytes = Vec::with_capacity(8 * 1024);
    let mut seen = 0;
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(Stranger::Closed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let from = usize::saturating_sub(seen, 1);
        if let Some(end) = memchr::memmem::find(&bytes[from..], b"\n\n") {
            return parse(&bytes, from + end);
        }
        seen = bytes.len();
        if seen > LONGEST {
            return Err(Stranger::TooLong);
        }
    }
}

/// Headers up to `end`, where the empty line is; all values are percent-encoded.
fn parse(bytes: &[u8], end: usize) -> Result<ChannelData, Stranger> {
    let head = String::from_utf8_lossy(&bytes[..end]);
    let field = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((
            name.to_owned(),
            percent_decode_str(value).decode_utf8_lossy().into_owned(),
        ))
    };
    let data = ChannelData {
        fields: head.lines().filter_map(field).collect(),
        rest: bytes[end + 2..].to_vec(),
    };
    if data.get("Content-Length").is_some_and(|length| length.trim() != "0") {
        return Err(Stranger::NotChannelData);
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_what_follows_is_kept() {
        let bytes = b"Unique-ID: a-1\nCaller-Caller-ID-Name: Zo%C3%AB%0A%2C\nvariable_x: \n\nContent-Type: x\n";
        let end = memchr::memmem::find(bytes, b"\n\n").unwrap();
        let data = parse(bytes, end).unwrap();
        assert_eq!((data.get("Unique-ID"), data.get("variable_x")), (Some("a-1"), Some("")));
        assert_eq!(data.get("Caller-Caller-ID-Name"), Some("Zoë\n,"));
        assert_eq!(data.rest, b"Content-Type: x\n");
    }

    #[test]
    fn answer_with_a_body_is_no_channel() {
        let bytes = b"Unique-ID: a-1\nContent-Length: 1073741824\n\n";
        assert!(matches!(parse(bytes, bytes.len() - 2), Err(Stranger::NotChannelData)));
    }
}
