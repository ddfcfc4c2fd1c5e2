use std::fmt;

use url::Url;

use super::veil::elide;

/// Longest address that is looked at, in bytes.
const ADDRESS_BYTES_MAX: usize = 8_192;

/// The address of a playlist or of media: absolute, `http` or `https`, with a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Url);

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("not an address: {0}")]
    Syntax(#[from] url::ParseError),
    #[error("{0}: only http and https can be looked at")]
    Scheme(String),
    #[error("an address with a user or a password cannot be looked at")]
    User,
    #[error("an address of more than {ADDRESS_BYTES_MAX} bytes")]
    Long,
}

impl Address {
    /// Reads an address that somebody typed.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::new(Url::parse(text)?)
    }

    /// What a line of the playlist at this address names (section 4.1).
    pub fn join(&self, line: &str) -> Result<Self, AddressError> {
        Self::new(self.0.join(line)?)
    }

    fn new(mut url: Url) -> Result<Self, AddressError> {
        if ADDRESS_BYTES_MAX < url.as_str().len() {
            return Err(AddressError::Long);
        }
        if !["http", "https"].contains(&url.scheme()) {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::User);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// This address with more pairs in its query, as they stand; before them, those it has.
    pub(super) fn with_query(&self, pairs: &str) -> Self {
        let mut url = self.0.clone();
        let query = match url.query().unwrap_or_default() {
            "" => pairs.to_owned(),
            own => format!("{own}&{pairs}"),
        };
        url.set_query(Some(&query));
        Self(url)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Host, and port where it is not the usual one: what a `Host` field says.
    pub(super) fn authority(&self) -> &str {
        self.0.authority()
    }

    pub(super) fn path(&self) -> &str {
        self.0.path()
    }

    /// Without the question mark.
    pub(super) fn query(&self) -> &str {
        self.0.query().unwrap_or_default()
    }

    /// Path and query: what a request line says.
    pub(super) fn target(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// For people: an address may carry a token in its query, so values are left out.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&elide(self.0.as_str()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_asked_are_taken() {
        for text in ["", "live.m3u8", "ftp://h/x", "http://", "http://me:pw@h/", "file:///etc/x"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let address = Address::parse("https://H.example:8443/a/b.m3u8?t=1#x").expect("good");
        assert_eq!(address.as_str(), "https://h.example:8443/a/b.m3u8?t=1");
        let named = ["host", "h.example", "authority", "h.example:8443"];
        assert_eq!(["host", address.host(), "authority", address.authority()], named);
        assert_eq!((address.port(), address.is_encrypted()), (8443, true));
    }

    #[test]
    fn a_line_names_what_is_beside_its_playlist() {
        let playlist = Address::parse("http://[::1]:81/a/b.m3u8?t=1").expect("good");
        assert_eq!(playlist.host(), "::1");
        for (line, expected) in [
            ("s1.m4s", "http://[::1]:81/a/s1.m4s"),
            ("../c/s1.m4s?x=1", "http://[::1]:81/c/s1.m4s?x=1"),
            ("/s1.m4s", "http://[::1]:81/s1.m4s"),
            ("//other/s1.m4s", "http://other/s1.m4s"),
        ] {
            assert_eq!(playlist.join(line).expect("good").as_str(), expected);
        }
        assert!(playlist.join("data:text/plain,x").is_err());
        let long = |length: usize| playlist.join(&"s".repeat(length));
        let room = ADDRESS_BYTES_MAX - "http://[::1]:81/a/".len();
        assert!(long(room).is_ok());
        assert_eq!(long(room + 1), Err(AddressError::Long));
        let asked = playlist.with_query("_HLS_msn=1");
        assert_eq!(asked.target(), "/a/b.m3u8?t=1&_HLS_msn=1");
    }

    #[test]
    fn a_token_is_not_shown() {
        let address = Address::parse("http://h/a?token=SECRET&_HLS_msn=4&flag").expect("good");
        assert_eq!(address.to_string(), "http://h/a?token=…&_HLS_msn=4&flag");
    }
}
