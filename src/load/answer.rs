use std::str;

use super::http::Body;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest body that is kept; what is only counted may be of any length.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A whole answer. Its body lies where `B` says: with the answer, or where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<B = Vec<u8>> {
    pub status: u16,
    /// Empty where it was not asked for.
    pub body: B,
    pub body_bytes: usize,
    /// Whether the connection serves for another request.
    pub(super) reusable: bool,
}

impl Answer<&[u8]> {
    /// The answer with a body of its own.
    pub(super) fn to_owned(&self) -> Answer {
        let Self { status, body, body_bytes, reusable } = *self;
        Answer { status, body: body.to_vec(), body_bytes, reusable }
    }
}

/// Why an answer is none that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("this is no answer of HTTP/1.1")]
    Head,
    #[error("the head of the answer is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error(
        "the answer does not say how long it is (Content-Length), which is all this tool reads"
    )]
    NoLength,
    #[error("the playlist is longer than {KEPT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the server sent more than it was asked for")]
    Surplus,
}

/// Makes one answer of the bytes as they come (RFC 9112, section 2.1): head, then a body whose
/// length the head says. What comes in one piece is read where it lies.
#[derive(Debug)]
pub(super) struct Reader {
    body: Body,
    /// The beginning of a head, or of a body.
    kept: Vec<u8>,
    head: Option<Head>,
    /// Of the body.
    missing: usize,
}

impl Reader {
    pub(super) fn new(body: Body) -> Self {
        Self { body, kept: Vec::new(), head: None, missing: 0 }
    }

    /// Whether any of the answer has come.
    pub(super) fn has_begun(&self) -> bool {
        self.head.is_some() || !self.kept.is_empty()
    }

    /// Takes what arrived; the answer once it is whole.
    pub(super) fn handle_bytes<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> Result<Option<Answer<&'a [u8]>>, AnswerError> {
        let Some(head) = self.head else { return self.handle_head(bytes) };
        self.missing = self.missing.checked_sub(bytes.len()).ok_or(AnswerError::Surplus)?;
        if self.body == Body::Keep {
            self.kept.extend_from_slice(bytes);
        }
        Ok((self.missing == 0).then(|| head.with(&self.kept)))
    }

    fn handle_head<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> Result<Option<Answer<&'a [u8]>>, AnswerError> {
        let before = self.kept.len();
        if before > 0 {
            self.kept.extend_from_slice(bytes);
        }
        let read = if before > 0 { &self.kept } else { bytes };
        // The empty line may have begun in what came before.
        let from = before.saturating_sub(3);
        let behind = read.get(from..).unwrap_or_default();
        let Some(end) = end_of_head(behind) else {
            let short = read.len() <= HEAD_BYTES_MAX;
            if before == 0 {
                self.kept.extend_from_slice(bytes);
            }
            return if short { Ok(None) } else { Err(AnswerError::HeadTooLong) };
        };
        let (text, _) = read.split_at(from + end);
        let head = Head::parse(text)?;
        let rest = bytes.get(text.len() - before..).unwrap_or_default();
        self.kept.clear();
        let keep = self.body == Body::Keep;
        if keep && head.length > KEPT_BYTES_MAX {
            return Err(AnswerError::TooLong);
        }
        self.missing = head.length.checked_sub(rest.len()).ok_or(AnswerError::Surplus)?;
        let rest = if keep { rest } else { &[] };
        if self.missing == 0 {
            return Ok(Some(head.with(rest)));
        }
        if keep {
            self.kept.reserve_exact(head.length);
            self.kept.extend_from_slice(rest);
        }
        self.head = Some(head);
        Ok(None)
    }
}

/// Where the first empty line ends. Most bytes are neither end of a line, and rule out four places
/// at once.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    const EMPTY_LINE: &[u8] = b"\r\n\r\n";
    let mut last = EMPTY_LINE.len() - 1;
    loop {
        let window = bytes.get(..=last)?;
        if window.ends_with(EMPTY_LINE) {
            return Some(window.len());
        }
        let ends_line = window.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n'));
        last += if ends_line { 1 } else { EMPTY_LINE.len() };
    }
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    /// Of the body.
    length: usize,
    reusable: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let mut first = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
        let version = first.next().unwrap_or_default();
        let status = first.next().filter(|code| code.len() == 3).and_then(number);
        let status = status.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 200);
        let status = status.filter(|_| version.starts_with(b"HTTP/1."));
        let status = status.ok_or(AnswerError::Head)?;
        let (mut length, mut reusable) = (None, version == b"HTTP/1.1");
        // Few lines matter, and all of these begin with the same letter.
        for line in lines.filter(|line| line.first().is_some_and(|c| c.eq_ignore_ascii_case(&b'c')))
        {
            let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(at);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(number(value).ok_or(AnswerError::Head)?);
            } else if name.eq_ignore_ascii_case(b"connection") {
                reusable = !value.eq_ignore_ascii_case(b"close");
            }
        }
        // Neither has a body (RFC 9110, sections 15.3.5 and 15.4.5).
        let length = if [204, 304].contains(&status) { Some(0) } else { length };
        Ok(Self { status, length: length.ok_or(AnswerError::NoLength)?, reusable })
    }

    fn with(self, body: &[u8]) -> Answer<&[u8]> {
        let Self { status, length, reusable } = self;
        Answer { status, body, body_bytes: length, reusable }
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 5\r\n\r\nhello";

    fn read(text: &str) -> Result<Option<Answer>, AnswerError> {
        let mut reader = Reader::new(Body::Keep);
        reader.handle_bytes(text.as_bytes()).map(|answer| answer.map(|answer| answer.to_owned()))
    }

    #[test]
    fn an_answer_is_the_same_wherever_it_is_cut() {
        let whole = read(WHOLE).expect("an answer").expect("whole");
        assert_eq!(
            (whole.status, whole.body.as_slice(), whole.body_bytes),
            (200, &b"hello"[..], 5)
        );
        for at in 0..WHOLE.len() {
            let mut reader = Reader::new(Body::Keep);
            let (first, second) = WHOLE.as_bytes().split_at(at);
            assert_eq!(reader.handle_bytes(first), Ok(None), "cut at {at}");
            let answer = reader.handle_bytes(second).expect("an answer").expect("whole");
            assert_eq!(answer.to_owned(), whole, "cut at {at}");
        }
        let mut reader = Reader::new(Body::Keep);
        let (all, last) = WHOLE.as_bytes().split_at(WHOLE.len() - 1);
        for byte in all {
            assert_eq!(reader.handle_bytes(&[*byte]), Ok(None));
        }
        let answer = reader.handle_bytes(last).expect("an answer").expect("whole");
        assert_eq!(answer.to_owned(), whole);
    }

    #[test]
    fn what_comes_in_one_piece_is_not_copied() {
        let mut reader = Reader::new(Body::Keep);
        let answer = reader.handle_bytes(WHOLE.as_bytes()).expect("an answer").expect("whole");
        assert!(WHOLE.as_bytes().as_ptr_range().contains(&answer.body.as_ptr()));
    }

    #[test]
    fn what_is_only_counted_is_not_kept() {
        for at in 1..WHOLE.len() {
            let mut reader = Reader::new(Body::Count);
            let (first, second) = WHOLE.as_bytes().split_at(at);
            assert_eq!(reader.handle_bytes(first), Ok(None), "cut at {at}");
            let answer = reader.handle_bytes(second).expect("an answer").expect("whole");
            assert_eq!((answer.body.len(), answer.body_bytes), (0, 5), "cut at {at}");
        }
        let mut reader = Reader::new(Body::Count);
        let answer = reader.handle_bytes(WHOLE.as_bytes()).expect("an answer").expect("whole");
        assert_eq!((answer.body.len(), answer.body_bytes), (0, 5));
    }

    /// All texts of up to nine letters, among them every way in which an end can be mistaken.
    #[test]
    fn a_head_ends_at_the_first_empty_line() {
        for length in 0..=9 {
            for nth in 0..3_usize.pow(length) {
                let letter = |place| b"\r\n:"[nth / 3_usize.pow(place) % 3];
                let text: Vec<u8> = (0..length).map(letter).collect();
                let at = text.windows(4).position(|window| window == b"\r\n\r\n");
                assert_eq!(end_of_head(&text), at.map(|at| at + 4), "{text:?}");
            }
        }
    }

    #[test]
    fn a_connection_is_used_again_unless_told_otherwise() {
        let reusable = |text: &str| read(text).expect(text).expect("whole").reusable;
        assert!(reusable("HTTP/1.1 304 Not Modified\r\n\r\n"));
        assert!(!reusable("HTTP/1.1 204 No\r\nConnection: close\r\n\r\n"));
        assert!(!reusable("HTTP/1.0 204 No\r\n\r\n"));
        assert!(reusable("HTTP/1.0 204 No\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
        for (text, expected) in [
            ("RTSP/1.0 200 OK\r\n\r\n", AnswerError::Head),
            ("HTTP/1.1 abc\r\n\r\n", AnswerError::Head),
            ("HTTP/1.1 100 Continue\r\n\r\n", AnswerError::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", AnswerError::Head),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", AnswerError::NoLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", AnswerError::TooLong),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", AnswerError::Surplus),
            (&long, AnswerError::HeadTooLong),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
