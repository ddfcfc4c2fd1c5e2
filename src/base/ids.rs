use std::fmt;
use std::sync::Arc;

/// Names that are addresses of the server itself and so can be no channel.
const RESERVED: &[&str] = &[
    "admin",
    "api",
    "app",
    "assets",
    "embed",
    "favicon",
    "healthz",
    "hls",
    "live",
    "login",
    "metrics",
    "readyz",
    "replay",
    "robots",
    "static",
    "stream",
    "sunset",
    "well-known",
];

/// The public name of a channel: 1 to 64 of `A-Z a-z 0-9 _ -`, not starting with `-`, and not a
/// reserved word. It is what viewers see in addresses, never the stream key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(Arc<str>);

/// Why a text is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("a channel name has 1 to {max} characters, this one has {got}")]
    Length { got: usize, max: usize },
    #[error(
        "a channel name is made of A-Z a-z 0-9 _ and -, and does not start with -; found {0:?}"
    )]
    Character(char),
    #[error("{0:?} is an address of the server itself; choose another channel name")]
    Reserved(String),
}

impl ChannelId {
    /// Longest channel name, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > Self::LENGTH_MAX {
            let got = text.chars().count();
            return Err(IdError::Length { got, max: Self::LENGTH_MAX });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            return Err(IdError::Character(c));
        }
        if text.starts_with('-') {
            return Err(IdError::Character('-'));
        }
        if RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
            return Err(IdError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelId({})", self.0)
    }
}

/// One live run of a channel: the *generation* in every media address. Greater for every later
/// broadcast of the server, over restarts too; in addresses it is written in base 36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BroadcastId(u64);

impl BroadcastId {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub const fn number(self) -> u64 {
        self.0
    }

    /// Reads the form that [`fmt::Display`] writes: lower-case base 36, no leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if !plain || text.is_empty() || text.len() > 13 || text.starts_with('0') {
            return None;
        }
        u64::from_str_radix(text, 36).ok().map(Self)
    }
}

impl fmt::Display for BroadcastId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(13);
        let mut rest = self.0;
        loop {
            let digit = u32::try_from(rest % 36).expect("a digit is below 36");
            digits.push(char::from_digit(digit, 36).expect("a digit is below 36"));
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(&digits.iter().rev().collect::<String>())
    }
}

/// One connection, numbered from the start of the process; it ties log lines together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The public half of a stream key, safe to print: it names a key in lists and logs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes an identifier the server made itself.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

/// Media sequence number of a segment (draft-pantos-hls-rfc8216bis 4.4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaSeq(pub u64);

impl MediaSeq {
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for MediaSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a part within its segment, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartIndex(pub u32);

impl PartIndex {
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for PartIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names() {
        for good in ["a", "demo", "Studio_2", "a-b", &"x".repeat(64)] {
            assert_eq!(ChannelId::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "-a", "a b", "a/b", "..", "é", "api", "LIVE", "a\0", &"x".repeat(65)] {
            ChannelId::parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn broadcast_ids_read_back() {
        for number in [1, 35, 36, 1_795_222_000_123, u64::MAX] {
            let id = BroadcastId::new(number);
            assert_eq!(BroadcastId::parse(&id.to_string()), Some(id));
        }
        for bad in ["", "0", "01", "A", "-1", "+1", "zzzzzzzzzzzzz", "zzzzzzzzzzzzzz", "1 "] {
            assert_eq!(BroadcastId::parse(bad), None, "{bad}");
        }
    }
}
