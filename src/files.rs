//! One reader for all files that operators write, so that all of them accept the same encodings and line ends.
//!
//! | what | where | is |
//! |---|---|---|
//! | byte order mark | any text | not part of it |
//! | UTF-16, with a mark or plainly ASCII | any text | read |
//! | line ends of Windows, no last line end | any text | read |
//! | `\n` written out instead of a line end | keys, certificates | a line end |
//! | Latin-1 | XML that declares it, comments of any XML | read |
//! | anything else that is not UTF-8 | any text | refused, with its line |
//! | blank at the end of a secret's line | secrets | part of it, with a warning |

use std::borrow::Cow;
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use thiserror::Error;

use crate::words;

/// The longest file that is read. A list of all public CAs has a tenth of this size.
const LONGEST: u64 = 4 << 20;

/// Why a file cannot be used. Never shows its content.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system cannot read it.
    #[error("{}", words::of_io(.0))]
    Unread(Error),
    /// A certificate or key as programs store them.
    #[error("a binary file (DER or PKCS #12); convert it to PEM with openssl")]
    Binary,
    /// Not UTF-8.
    #[error("line {line} is not UTF-8 text (Latin-1, perhaps): save the file as UTF-8")]
    NotUtf8 {
        /// Where, from 1 on.
        line: usize,
    },
    /// An incomplete character, or half of a surrogate pair.
    #[error("line {line} is broken UTF-16: save the file as UTF-8")]
    BrokenUtf16 {
        /// Where, from 1 on.
        line: usize,
    },
    /// A secret's file without a secret.
    #[error("must hold one line of text: it is empty")]
    NoLine,
    /// A secret's file with more than one.
    #[error("must hold one line of text: line {line} is a second one")]
    MoreLines {
        /// Which.
        line: usize,
    },
    /// A control in a secret.
    #[error("must hold one line of text: it has a control character")]
    Control,
}

// No `source`: a chain of causes would repeat the text.
impl From<Error> for FileError {
    fn from(error: Error) -> Self {
        Self::Unread(error)
    }
}

/// A secret on a line of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretLine {
    /// The line without its end.
    pub text: String,
    /// Whether it begins or ends with a blank, which is part of the secret but rarely intended.
    pub has_outer_blank: bool,
}

/// Reads a whole file of keys, certificates or templates.
///
/// Only regular files are read: a FIFO would block the reader, and a device may have no end.
///
/// # Errors
/// The system's error; also for anything but a regular file, and for one that is longer than 4 MiB.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(no_wait)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST {
        let problem = format!("longer than {} MiB", LONGEST >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, problem));
    }
    Ok(content)
}

/// Reads a text.
///
/// # Errors
/// When it cannot be read or is not text.
pub fn text(path: &Path) -> Result<String, FileError> {
    decode(&read(path)?)
}

/// Reads a secret on a line of its own.
///
/// # Errors
/// If there is none, or more than one line.
pub fn line(path: &Path) -> Result<SecretLine, FileError> {
    let text = text(path)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if let Some(at) = line.find(['\r', '\n']) {
        return Err(FileError::MoreLines {
            line: line_at(text.as_bytes(), at) + 1,
        });
    }
    if line.trim().is_empty() {
        return Err(FileError::NoLine);
    }
    if line.contains(char::is_control) {
        return Err(FileError::Control);
    }
    Ok(SecretLine {
        has_outer_blank: line.trim() != line,
        text: line.to_owned(),
    })
}

/// Reads keys or certificates (PEM, RFC 7468).
///
/// # Errors
/// When it is not text.
pub fn pem(path: &Path) -> Result<String, FileError> {
    pem_of(&read(path)?)
}

/// The same of what was read.
///
/// # Errors
/// When it is not text.
pub fn pem_of(bytes: &[u8]) -> Result<String, FileError> {
    match decode(bytes) {
        // SEQUENCE: what every certificate, key and PKCS #12 file begins with (X.690).
        Err(FileError::NotUtf8 { .. }) if bytes.starts_with(&[0x30]) => Err(FileError::Binary),
        text => Ok(with_line_ends(&text?).into_owned()),
    }
}

/// Replaces written-out line ends by real ones, in keys that were copied from JSON or an environment variable.
pub fn with_line_ends(pem: &str) -> Cow<'_, str> {
    if pem.contains("\\n") {
        pem.replace("\\r", "").replace("\\n", "\n").into()
    } else {
        pem.into()
    }
}

/// Reads XML, which may be declared as Latin-1 (FreeSWITCH passes bytes on as they are).
///
/// # Errors
/// If it is neither UTF-8 nor the declared encoding.
pub fn xml(path: &Path) -> Result<String, FileError> {
    xml_of(&read(path)?)
}

fn xml_of(bytes: &[u8]) -> Result<String, FileError> {
    match decode(bytes) {
        Err(FileError::NotUtf8 { line }) => {
            if says_latin_1(bytes) {
                return Ok(bytes.iter().map(|byte| windows_1252(*byte)).collect());
            }
            let outside = std::str::from_utf8(&without_comments(bytes)).is_ok();
            if outside {
                Ok(String::from_utf8_lossy(bytes).into_owned())
            } else {
                Err(FileError::NotUtf8 { line })
            }
        }
        decoded => decoded,
    }
}

/// The text of bytes.
///
/// # Errors
/// When they are not text.
pub fn decode(bytes: &[u8]) -> Result<String, FileError> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks(2).map(|pair| pair.try_into().map(unit));
        let mut text = String::with_capacity(bytes.len() / 2);
        let broken = |text: &str| FileError::BrokenUtf16 {
            line: line_at(text.as_bytes(), text.len()),
        };
        // The last chunk may be half a unit.
        let whole = units.clone().filter_map(Result::ok);
        for c in char::decode_utf16(whole) {
            text.push(c.map_err(|_| broken(&text))?);
        }
        if bytes.len().is_multiple_of(2) {
            Ok(text)
        } else {
            Err(broken(&text))
        }
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf_16(text, u16::from_be_bytes),
        // No valid text begins with NUL or has one in its second place.
        [1..=0x7f, 0, ..] => utf_16(bytes, u16::from_le_bytes),
        [0, 1..=0x7f, ..] => utf_16(bytes, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] | text => utf_8(text),
    }
}

fn utf_8(bytes: &[u8]) -> Result<String, FileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| FileError::NotUtf8 {
        line: line_at(bytes, error.valid_up_to()),
    })?;
    Ok(text.to_owned())
}

/// The number of a byte's line, from 1 on.
fn line_at(bytes: &[u8], at: usize) -> usize {
    bytes.iter().take(at).filter(|b| **b == b'\n').count() + 1
}

/// Whether the XML declaration names an encoding of one byte a character.
fn says_latin_1(xml: &[u8]) -> bool {
    let end = xml.iter().position(|b| *b == b'>').unwrap_or(0);
    let declaration = String::from_utf8_lossy(&xml[..end]).to_ascii_lowercase();
    let names = ["iso-8859-1\"", "latin1\"", "latin-1\"", "windows-1252\"", "us-ascii\""];
    let declaration = declaration.replace('\'', "\"");
    declaration.trim_start().starts_with("<?xml") && names.iter().any(|name| declaration.contains(name))
}

/// A byte of Windows-1252, which is what files declared as Latin-1 contain (WHATWG, "Encoding").
fn windows_1252(byte: u8) -> char {
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

fn without_comments(xml: &[u8]) -> Vec<u8> {
    let find = |from: usize, what: &[u8]| {
        xml[from..]
            .windows(what.len())
            .position(|w| w == what)
            .map(|at| from + at)
    };
    let mut kept = Vec::with_capacity(xml.len());
    let mut from = 0;
    while let Some(begin) = find(from, b"<!--") {
        kept.extend_from_slice(&xml[from..begin]);
        from = find(begin, b"-->").map_or(xml.len(), |end| end + 3);
    }
    kept.extend_from_slice(&xml[from..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf_16(text: &str, unit: fn(u16) -> [u8; 2], mark: bool) -> Vec<u8> {
        let mark = mark.then_some('\u{feff}');
        let text: String = mark.into_iter().chain(text.chars()).collect();
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn marks_are_not_part_of_a_text_and_utf_16_is_read() {
        let text = "{\"a\":\"Zoë ☎\"}\r\n";
        let marked = format!("\u{feff}{text}");
        for bytes in [
            text.as_bytes().to_vec(),
            marked.into_bytes(),
            utf_16(text, u16::to_le_bytes, true),
            utf_16(text, u16::to_be_bytes, true),
            utf_16(text, u16::to_le_bytes, false),
            utf_16(text, u16::to_be_bytes, false),
        ] {
            assert_eq!(decode(&bytes).unwrap(), text, "{bytes:?}");
        }
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_line() {
        let said = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert!(said(b"a\nb\xe9\n").starts_with("line 2 is not UTF-8 text"));
        let mut half = utf_16("a\nb", u16::to_le_bytes, true);
        half.pop();
        assert!(said(&half).starts_with("line 2 is broken UTF-16"));
        assert!(said(&[0xff, 0xfe, 0x00, 0xd8, b'a', 0]).starts_with("line 1 is broken UTF-16"));
        for der in [
            [0x30, 0x82, 0x01, 0x22],
            [0x30, 0x81, 0x87, 0x02],
            [0x30, 0x77, 0x02, 0xff],
        ] {
            assert!(matches!(pem_of(&der), Err(FileError::Binary)));
        }
    }

    #[test]
    fn secret_is_one_line_and_its_blanks_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let read = |content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            line(&file)
                .map(|l| (l.text, l.has_outer_blank))
                .map_err(|e| e.to_string())
        };
        for same in [
            &b"secret"[..],
            b"secret\n",
            b"secret\r\n",
            b"\xef\xbb\xbfsecret\n\n",
            b"s\0e\0c\0r\0e\0t\0",
        ] {
            assert_eq!(read(same), Ok(("secret".into(), false)), "{same:?}");
        }
        assert_eq!(read(b"se cret \n"), Ok(("se cret ".into(), true)));
        assert_eq!(read(b" secret"), Ok((" secret".into(), true)));
        for (other, said) in [
            (&b""[..], "must hold one line of text: it is empty"),
            (b" \n", "must hold one line of text: it is empty"),
            (b"\xef\xbb\xbf\r\n", "must hold one line of text: it is empty"),
            (b"one\ntwo\n", "must hold one line of text: line 2 is a second one"),
            (b"one\x01", "must hold one line of text: it has a control character"),
            (
                b"one\xe9",
                "line 1 is not UTF-8 text (Latin-1, perhaps): save the file as UTF-8",
            ),
        ] {
            assert_eq!(read(other), Err(said.into()));
        }
    }

    #[test]
    fn xml_in_latin_1_is_read_where_it_says_so_or_in_comments() {
        let said = xml_of(b"<?xml version='1.0' encoding='ISO-8859-1'?>\n<a v=\"Zo\xeb \x80\"/>").unwrap();
        assert!(said.ends_with("<a v=\"Zoë €\"/>"), "{said}");
        let comment = xml_of(b"<!-- Zo\xeb --><a v=\"x\"/><!--#set \"b=c\"--><!-- \xeb").unwrap();
        assert!(comment.contains("<a v=\"x\"/><!--#set \"b=c\"-->"), "{comment}");
        let outside = xml_of(b"<!-- Zo\xeb -->\n\n<a v=\"Zo\xeb\"/>").unwrap_err().to_string();
        assert!(outside.starts_with("line 1 is not UTF-8"), "{outside}");
        // A wrong declaration does not harm valid text.
        let right = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a v=\"Zoë\"/>";
        assert_eq!(xml_of(right.as_bytes()).unwrap(), right);
    }
}
