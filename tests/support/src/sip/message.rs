//! SIP messages as text: enough of RFC 3261 for a phone that talks to FreeSWITCH.

use std::time::Instant;

/// A received request or response.
#[derive(Clone, Debug)]
pub struct Message {
    /// When it was read from the socket.
    pub at: Instant,
    /// Request line or status line.
    pub start: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// The text after the blank line.
    pub body: String,
}

impl Message {
    /// Parses a datagram; `None` for keep-alives and other noise.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let at = Instant::now();
        let text = String::from_utf8_lossy(datagram);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next().filter(|s| s.contains("SIP/2.0"))?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            at,
            start,
            headers,
            body: body.to_owned(),
        })
    }

    /// The first header field of that name; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All header fields of that name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A response's status; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method, also of a response.
    pub fn method(&self) -> &str {
        self.header("CSeq").split(' ').nth(1).unwrap_or_default()
    }

    /// The number in `CSeq`.
    pub fn sequence(&self) -> u32 {
        self.header("CSeq")
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or_default()
    }

    /// A request's URI.
    pub fn request_uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The text of `Reason`, if there is one.
    pub fn reason(&self) -> Option<String> {
        self.all("Reason").next().map(str::to_owned)
    }

    /// The `tag` of a From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let (_, tag) = self.header(name).rsplit_once(";tag=")?;
        tag.split(';').next()
    }

    /// Identifies a dialog of this phone: Call-ID and the far end's tag.
    pub(super) fn dialog(&self, far_end: &str) -> String {
        format!("{} {}", self.header("Call-ID"), self.tag(far_end).unwrap_or_default())
    }

    /// The URI of the Contact.
    pub fn contact_uri(&self) -> Option<&str> {
        let contact = self.header("Contact");
        let (_, rest) = contact.split_once('<')?;
        rest.split_once('>').map(|(uri, _)| uri)
    }

    /// A parameter of a server's or a proxy's challenge.
    pub(super) fn challenge(&self, name: &str) -> Option<&str> {
        let challenge = self
            .all("WWW-Authenticate")
            .chain(self.all("Proxy-Authenticate"))
            .next()?;
        let (_, rest) = challenge.split_once(&format!("{name}="))?;
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split([',', ' ']).next(),
        }
    }
}
