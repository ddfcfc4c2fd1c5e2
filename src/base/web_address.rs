use std::fmt;

/// The address of a site: `http://` or `https://`, a host, perhaps a port and a folder. No user,
/// no query, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress(String);

impl WebAddress {
    /// Checks a text from outside; slashes at its end are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        let (scheme, rest) = text.split_once("://")?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b);
        let sound = ["http", "https"].contains(&scheme) && rest.bytes().all(plain);
        let address = Self(text.to_owned());
        (sound && !address.host().is_empty()).then_some(address)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or("");
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            Some(_) | None => authority,
        }
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let address = WebAddress::parse(text);
        let found = address.as_ref().map(|address| (address.as_str(), address.host()));
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn only_the_address_of_a_site_is_taken() {
        check("https://video.example", Some(("https://video.example", "video.example")));
        check(
            "http://video.example:81/tv//",
            Some(("http://video.example:81/tv", "video.example")),
        );
        check("https://[2001:db8::1]", Some(("https://[2001:db8::1]", "[2001:db8::1]")));
        check("https://[2001:db8::1]:8443", Some(("https://[2001:db8::1]:8443", "[2001:db8::1]")));
        for text in [
            "",
            "video.example",
            "ftp://video.example",
            "https://",
            "https:///tv",
            "https://:8080",
            "https://me@video.example",
            "https://video.example?a=b",
            "https://video.example\r\nX: y",
            "https://video example",
            "https://\"><script>",
        ] {
            check(text, None);
        }
    }
}
