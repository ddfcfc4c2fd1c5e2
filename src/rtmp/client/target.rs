use std::fmt;

use crate::base::Secret;

/// Where to publish: `rtmp://host[:port]/app[/more]/key`. The last path piece, with a query behind
/// it, is the stream key; what stands before it is the app. The key is never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    pub app: String,
    pub key: Secret,
}

/// Why a text is no address to publish to. None of these repeats the text: it may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("an address to publish to starts with rtmp://")]
    Scheme,
    #[error("rtmps:// is not supported by this publisher; use rtmp://, or a tunnel that adds TLS")]
    Tls,
    #[error("a user name and password in the address are not supported; use a stream key")]
    UserInfo,
    #[error("the address names no host")]
    NoHost,
    #[error("the port in the address is no number from 1 to 65535")]
    Port,
    #[error("the address is rtmp://host[:port]/app/key, and this one has no key")]
    NoKey,
    #[error(
        "the address is longer than {} bytes or holds spaces or control characters",
        Target::BYTES_MAX
    )]
    Text,
}

impl Target {
    /// The port of `rtmp://` when the address names none (Adobe RTMP 1.0, section 5).
    pub const PORT: u16 = 1935;
    /// Longest address taken, in bytes.
    pub const BYTES_MAX: usize = 2_048;

    /// Reads the address from outside.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > Self::BYTES_MAX
            || text.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(TargetError::Text);
        }
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => {}
            "rtmps" => return Err(TargetError::Tls),
            _ => return Err(TargetError::Scheme),
        }
        let (authority, path) = rest.split_once('/').ok_or(TargetError::NoKey)?;
        let (host, port) = parse_authority(authority)?;
        let (app, key) = parse_path(path)?;
        Ok(Self { host, port, app, key })
    }

    /// The `tcUrl` of `connect`: the address without the key.
    pub fn tc_url(&self) -> String {
        format!("rtmp://{}/{}", self.authority(), self.app)
    }

    /// `host:port` as a socket wants it, with brackets around IPv6.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The address with dots for the key.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tc_url(), self.key)
    }
}

fn parse_authority(text: &str) -> Result<(String, u16), TargetError> {
    if text.contains('@') {
        return Err(TargetError::UserInfo);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(TargetError::NoHost)?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(TargetError::Port),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(TargetError::NoHost);
    }
    let port = match port {
        None => Target::PORT,
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(TargetError::Port)?,
    };
    Ok((host.to_owned(), port))
}

/// Splits `app/more/key?query` before the last slash that is not part of a query.
fn parse_path(path: &str) -> Result<(String, Secret), TargetError> {
    let before_query = path.find('?').unwrap_or(path.len());
    let (names, query) = path.split_at(before_query);
    let (app, key) = names.rsplit_once('/').ok_or(TargetError::NoKey)?;
    if app.is_empty() || (key.is_empty() && query.is_empty()) {
        return Err(TargetError::NoKey);
    }
    Ok((app.to_owned(), Secret::new(format!("{key}{query}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, authority: &str, app: &str, key: &str) {
        let target = Target::parse(text).expect(text);
        assert_eq!(target.authority(), authority, "{text}");
        assert_eq!((target.app.as_str(), target.key.reveal()), (app, key), "{text}");
    }

    #[test]
    fn an_address_falls_into_host_app_and_key() {
        check("rtmp://h/live/k", "h:1935", "live", "k");
        check("RTMP://h:19350/live/k", "h:19350", "live", "k");
        check("rtmp://[::1]/live/k", "[::1]:1935", "live", "k");
        check("rtmp://[::1]:7/live/k", "[::1]:7", "live", "k");
        check("rtmp://h/app/instance/k", "h:1935", "app/instance", "k");
        check("rtmp://h/live/k?a=b/c&d=e", "h:1935", "live", "k?a=b/c&d=e");
        check("rtmp://h/live/?key=k", "h:1935", "live", "?key=k");
    }

    #[test]
    fn a_wrong_address_is_named_without_its_text() {
        use TargetError::{NoHost, NoKey, Port, Scheme, Text, Tls, UserInfo};
        for (text, expected) in [
            ("", Scheme),
            ("h/live/k", Scheme),
            ("http://h/live/k", Scheme),
            ("rtmps://h/live/k", Tls),
            ("rtmp://h", NoKey),
            ("rtmp://h/live", NoKey),
            ("rtmp://h/live/", NoKey),
            ("rtmp://h//k", NoKey),
            ("rtmp:///live/k", NoHost),
            ("rtmp://:1935/live/k", NoHost),
            ("rtmp://[::1/live/k", NoHost),
            ("rtmp://[::1]9/live/k", Port),
            ("rtmp://h:0/live/k", Port),
            ("rtmp://h:65536/live/k", Port),
            ("rtmp://u:p@h/live/k", UserInfo),
            ("rtmp://h/live/k k", Text),
            ("rtmp://h/live/k\r\n", Text),
        ] {
            assert_eq!(Target::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_key_is_printed_nowhere() {
        let target = Target::parse("rtmp://h/live/hunter2?token=hunter2").expect("an address");
        assert!(!format!("{target} {target:?} {}", target.tc_url()).contains("hunter2"));
        assert_eq!(target.to_string(), "rtmp://h:1935/live/••••");
    }
}
