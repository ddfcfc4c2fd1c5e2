use std::io;
use std::net::SocketAddr;

/// Where a crowd goes: `http://host[:port]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it stands in the address, with its port where it names one.
    pub authority: String,
    /// With its query.
    pub path: String,
}

/// Why a text is no address for a crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the address of a playlist starts with http://")]
    Scheme,
    #[error("https:// is not spoken here: encryption would cost the crowd more than the server")]
    Tls,
    #[error("the address names no host, or a user")]
    Host,
    #[error("the address is http://host[:port]/playlist, and this one names no playlist")]
    Path,
    #[error("the address is longer than {} bytes or is no plain ASCII text", Address::BYTES_MAX)]
    Text,
}

impl Address {
    /// Longest address taken.
    pub const BYTES_MAX: usize = 2_048;
    const PORT: u16 = 80;

    /// Reads the address of a playlist.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > Self::BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError::Text);
        }
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(AddressError::Tls),
            _ => return Err(AddressError::Scheme),
        }
        let at = rest.find('/').ok_or(AddressError::Path)?;
        let (authority, path) = rest.split_at(at);
        if authority.is_empty() || authority.starts_with(':') || authority.contains(['@', '?']) {
            return Err(AddressError::Host);
        }
        if path == "/" {
            return Err(AddressError::Path);
        }
        let path = path.split('#').next().unwrap_or(path);
        Ok(Self { authority: authority.to_owned(), path: path.to_owned() })
    }

    /// All sockets the host stands for; never none.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let bare =
            self.authority.rsplit_once(']').map_or(self.authority.as_str(), |(_, port)| port);
        let with_port = if bare.contains(':') {
            self.authority.clone()
        } else {
            format!("{}:{}", self.authority, Self::PORT)
        };
        let found: Vec<_> = tokio::net::lookup_host(with_port).await?.collect();
        if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_falls_into_host_and_path() {
        for (text, authority, path) in [
            ("http://h/live/index.m3u8", "h", "/live/index.m3u8"),
            ("HTTP://h:8080/a?b=c#d", "h:8080", "/a?b=c"),
            ("http://[::1]:8080/a", "[::1]:8080", "/a"),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!((&*address.authority, &*address.path), (authority, path), "{text}");
        }
    }

    #[test]
    fn what_no_crowd_can_go_to_is_named() {
        use AddressError::{Host, Path, Scheme, Text, Tls};
        for (text, expected) in [
            ("", Scheme),
            ("h/a", Scheme),
            ("rtmp://h/a", Scheme),
            ("https://h/a", Tls),
            ("http://h", Path),
            ("http://h/", Path),
            ("http:///a", Host),
            ("http://:80/a", Host),
            ("http://me@h/a", Host),
            ("http://h/a\r\nX: y", Text),
            ("http://h/é", Text),
        ] {
            assert_eq!(Address::parse(text), Err(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn the_port_may_be_left_out() {
        for (text, expected) in [
            ("http://127.0.0.1/a", "127.0.0.1:80"),
            ("http://127.0.0.1:7/a", "127.0.0.1:7"),
            ("http://[::1]/a", "[::1]:80"),
            ("http://[::1]:7/a", "[::1]:7"),
        ] {
            let found = Address::parse(text).expect(text).resolve().await.expect(text);
            assert_eq!(found, [expected.parse().expect("a socket")], "{text}");
        }
    }
}
