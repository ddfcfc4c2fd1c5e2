use std::str;

use super::http::Body;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest body that is kept; what is only counted may be of any length.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Empty where it was not asked for.
    pub body: Vec<u8>,
    pub body_bytes: usize,
    /// Whether the connection serves for another request.
    pub(super) reusable: bool,
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
/// length the head says.
#[derive(Debug)]
pub(super) struct Reader {
    body: Body,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Body { answer: Answer, missing: usize },
}

impl Reader {
    pub(super) fn new(body: Body) -> Self {
        Self { body, state: State::Head(Vec::new()) }
    }

    /// Takes what arrived; the answer once it is whole.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Option<Answer>, AnswerError> {
        match &mut self.state {
            State::Head(head) => {
                // The empty line may have begun in what came before.
                let from = head.len().saturating_sub(3);
                head.extend_from_slice(bytes);
                let behind = head.get(from..).unwrap_or_default();
                let Some(at) = behind.windows(4).position(|window| window == b"\r\n\r\n") else {
                    let short = head.len() <= HEAD_BYTES_MAX;
                    return if short { Ok(None) } else { Err(AnswerError::HeadTooLong) };
                };
                let read = std::mem::take(head);
                let (head, rest) = read.split_at(from + at + 4);
                let (answer, missing) = parse_head(head)?;
                if self.body == Body::Keep && missing > KEPT_BYTES_MAX {
                    return Err(AnswerError::TooLong);
                }
                self.state = State::Body { answer, missing };
                self.handle_body(rest)
            }
            State::Body { .. } => self.handle_body(bytes),
        }
    }

    fn handle_body(&mut self, bytes: &[u8]) -> Result<Option<Answer>, AnswerError> {
        let State::Body { answer, missing } = &mut self.state else { return Ok(None) };
        *missing = missing.checked_sub(bytes.len()).ok_or(AnswerError::Surplus)?;
        if self.body == Body::Keep {
            answer.body.reserve_exact(bytes.len() + *missing);
            answer.body.extend_from_slice(bytes);
        }
        if *missing > 0 {
            return Ok(None);
        }
        let done = Self::new(self.body);
        match std::mem::replace(self, done).state {
            State::Body { answer, .. } => Ok(Some(answer)),
            State::Head(_) => Ok(None),
        }
    }
}

/// An answer without its body yet, and how long that is.
fn parse_head(bytes: &[u8]) -> Result<(Answer, usize), AnswerError> {
    let text = str::from_utf8(bytes).map_err(|_| AnswerError::Head)?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let (version, rest) = first.split_once(' ').ok_or(AnswerError::Head)?;
    let status: u16 = rest.get(..3).and_then(|code| code.parse().ok()).ok_or(AnswerError::Head)?;
    if !version.starts_with("HTTP/1.") || status < 200 {
        return Err(AnswerError::Head);
    }
    let (mut length, mut reusable) = (None, version == "HTTP/1.1");
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().map_err(|_| AnswerError::Head)?);
        } else if name.eq_ignore_ascii_case("connection") {
            reusable = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    // Neither has a body (RFC 9110, sections 15.3.5 and 15.4.5).
    let length = if [204, 304].contains(&status) { Some(0) } else { length };
    let length = length.ok_or(AnswerError::NoLength)?;
    Ok((Answer { status, body: Vec::new(), body_bytes: length, reusable }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 5\r\n\r\nhello";

    fn read(text: &str) -> Result<Option<Answer>, AnswerError> {
        Reader::new(Body::Keep).handle_bytes(text.as_bytes())
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
            assert_eq!(reader.handle_bytes(second), Ok(Some(whole.clone())), "cut at {at}");
        }
    }

    #[test]
    fn what_is_only_counted_is_not_kept() {
        let answer = Reader::new(Body::Count).handle_bytes(WHOLE.as_bytes());
        let answer = answer.expect("an answer").expect("whole");
        assert_eq!((answer.body.len(), answer.body_bytes), (0, 5));
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
