//! What the services' users ask: right and wrong things, different ones each time, the same in every run.

use std::fmt::Write as _;
use std::io::BufRead;

use anyhow::{Context, Result, bail, ensure};

use super::Service;

/// Numbers that are the same in every run (Marsaglia's xorshift).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The numbers that follow `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub const fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

const SYLLABLES: [&str; 16] =
    ["lo", "ra", "men", "ti", "sol", "ve", "kar", "du", "pin", "as", "ter", "gu", "fi", "no", "bel", "ou"];

/// A word out of some four thousand.
fn word(draw: &mut Draw) -> String {
    (0..=1 + draw.below(2)).map(|_| SYLLABLES[draw.below(SYLLABLES.len())]).collect()
}

fn words(draw: &mut Draw, count: usize) -> String {
    (0..count).map(|_| word(draw)).collect::<Vec<_>>().join(" ")
}

impl Service {
    /// The next question of a client, as bytes. A `wrong` one has a mistake that the service refuses.
    #[must_use]
    pub fn question(self, draw: &mut Draw, wrong: bool) -> Vec<u8> {
        match self {
            Self::Ruby => {
                let path = format!("/documents/doc{}", draw.below(300));
                http(&path, &document(draw, wrong))
            }
            Self::Python => http("/mail", &mail(draw, wrong)),
            Self::Xml => http("/orders", &order(draw, wrong)),
            Self::Redis => {
                let key = format!("doc{}", draw.below(100));
                resp(&["DOC.MERGE", &key, &patch(draw, wrong)])
            }
        }
    }

    /// Reads an answer: whether it says yes. What is neither yes nor the refusal of something wrong is an error.
    #[must_use]
    pub fn answer(self) -> fn(&mut dyn BufRead) -> Result<bool> {
        match self {
            Self::Ruby | Self::Python | Self::Xml => http_answer,
            Self::Redis => resp_answer,
        }
    }
}

fn http(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn http_answer(from: &mut dyn BufRead) -> Result<bool> {
    let status = line(from)?;
    let mut length = 0;
    loop {
        let header = line(from)?.to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().with_context(|| format!("not a length: {header:?}"))?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).context("the answer's body is not whole")?;
    match status.split(' ').nth(1) {
        Some("200") => Ok(true),
        Some("422") => Ok(false),
        _ => bail!("{status}: {}", String::from_utf8_lossy(&body)),
    }
}

/// A command, as Redis reads it.
fn resp(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        // Writing to a string cannot fail.
        let _ = write!(text, "${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}

fn resp_answer(from: &mut dyn BufRead) -> Result<bool> {
    let line = line(from)?;
    match line.as_bytes().first() {
        Some(b':') => Ok(true),
        Some(b'-') if line.starts_with("-ERR a ") => Ok(false),
        _ => bail!("{line}"),
    }
}

fn line(from: &mut dyn BufRead) -> Result<String> {
    let mut line = String::new();
    let read = from.read_line(&mut line).context("no answer")?;
    ensure!(read > 0, "the service has closed the connection");
    Ok(line.trim_end().to_owned())
}

/// A document for a search service. A wrong one has an escape that is none, somewhere in a phrase.
fn document(draw: &mut Draw, wrong: bool) -> String {
    let sentences = 4 + draw.below(20);
    let bad = if wrong { draw.below(sentences) } else { sentences };
    let mut text = String::new();
    for sentence in 0..sentences {
        let before = draw.below(8);
        text += &words(draw, 2 + before);
        let escape = if sentence == bad { "\\u00g1" } else { "\\u00e9" };
        let _ = write!(text, " \"{} caf{escape} {}\" ", word(draw), word(draw));
        text += &words(draw, 3);
        text += ".\n";
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A mail. A wrong one is base64 with a sign that is none; of the right ones, some are quoted-printable or plain.
fn mail(draw: &mut Draw, wrong: bool) -> String {
    let encoding = if wrong { 0 } else { draw.below(3) };
    let name = ["base64", "quoted-printable", "8bit"][encoding];
    let mut text =
        format!("From: {}@example.org\r\nSubject: {}\r\n\t{}\r\n", draw.below(50), words(draw, 3), words(draw, 4));
    for _ in 0..2 + draw.below(3) {
        let _ = write!(text, "Received: from {} by {}\r\n", word(draw), word(draw));
    }
    let _ = write!(text, "X-{}: {}\r\nContent-Transfer-Encoding: {name}\r\n\r\n", word(draw), word(draw));
    let lines = 15 + draw.below(40);
    let bad = if wrong { draw.below(lines) } else { lines };
    for line in 0..lines {
        match encoding {
            0 => {
                text.extend((0..64).map(|_| char::from(BASE64[draw.below(64)])));
                if line == bad {
                    text.push('*');
                }
            }
            1 => text += &(words(draw, 8) + " =C3=A9="),
            _ => text += &words(draw, 10),
        }
        text += "\r\n";
    }
    text
}

/// A patch of a document. Beside fields that all documents have, some have ones that only they have, and lose them again.
/// A wrong one ends in the middle of a byte.
fn patch(draw: &mut Draw, wrong: bool) -> String {
    let mut changes: Vec<String> = (0..2 + draw.below(5))
        .map(|_| {
            let count = 1 + draw.below(12);
            format!("field{}={}", draw.below(12), words(draw, count).replace(' ', "%20"))
        })
        .collect();
    for _ in 0..3 {
        let own = format!("session:{:08}", draw.below(100_000_000));
        changes.push(format!("{own}={}", word(draw)));
        if !wrong {
            changes.push(format!("-{own}"));
        }
    }
    let last = if wrong { "note=100%" } else { "note=100%25" };
    changes.push(last.to_owned());
    changes.join(";")
}

/// An order. A wrong one has a line with something that is not sold, with a note like others.
fn order(draw: &mut Draw, wrong: bool) -> String {
    let lines = 1 + draw.below(8);
    let bad = if wrong { draw.below(lines) } else { lines };
    let mut text = format!("<?xml version=\"1.0\"?>\n<order customer=\"c{}\">\n", draw.below(200));
    for line in 0..lines {
        let product = if line == bad { 5000 } else { 0 } + draw.below(500);
        let count = 5 + draw.below(40);
        let _ = write!(text, "  <line sku=\"P-{product:04}\" quantity=\"{}\">", 1 + draw.below(9));
        let _ = writeln!(text, "<note>{}</note></line>", words(draw, count));
    }
    text + "</order>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_asks_the_same_in_every_run_and_never_twice_the_same() {
        for service in [Service::Ruby, Service::Python, Service::Redis, Service::Xml] {
            let ask = || {
                let mut draw = Draw::new(7);
                [false, true, false].map(|wrong| service.question(&mut draw, wrong))
            };
            assert_eq!(ask(), ask());
            assert_ne!(ask()[0], ask()[2]);
        }
    }

    #[test]
    fn answers_are_yes_no_or_neither() {
        let http = |text: &str| http_answer(&mut text.as_bytes());
        assert!(http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap());
        assert!(!http("HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 0\r\n\r\n").unwrap());
        assert!(http("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{").is_err());
        let resp = |text: &str| resp_answer(&mut text.as_bytes());
        assert!(resp(":3\r\n").unwrap());
        assert!(!resp("-ERR a value is too long\r\n").unwrap());
        assert!(resp("-ERR unknown command\r\n").is_err());
    }
}
