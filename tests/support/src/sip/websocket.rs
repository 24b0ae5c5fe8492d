//! The client's side of a WebSocket (RFC 6455), as far as SIP needs it (RFC 7118).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Opens the WebSocket.
pub(super) async fn shake_hands(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: sip\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("a request");
    stream.flush().await.expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// A message as sent: in a masked text frame on a WebSocket, otherwise as it is.
pub(super) fn framed(text: &str, is_websocket: bool) -> Vec<u8> {
    let payload = text.as_bytes();
    if !is_websocket {
        return payload.to_vec();
    }
    let mut frame = vec![0x81];
    match u16::try_from(payload.len()).expect("a short message") {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).expect("less than 126")),
        long => {
            frame.push(0x80 | 0x7e);
            frame.extend(long.to_be_bytes());
        }
    }
    // A mask of zeros leaves the payload as it is.
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The payload of the next frame, once it is complete. Servers do not mask.
pub(super) fn take_frame(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let short = usize::from(*buffer.get(1)? & 0x7f);
    let (from, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes([*buffer.get(2)?, *buffer.get(3)?]))),
        127 => panic!("a message of more than 64 KiB"),
        length => (2, length),
    };
    (buffer.len() >= from + length).then(|| buffer.drain(..from + length).skip(from).collect())
}
