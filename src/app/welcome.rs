//! What a person reads on standard output when the server has started.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use crate::base::{ChannelId, Secret, WallTime, WebAddress};

/// The facts a newcomer needs.
#[derive(Debug)]
pub(super) struct Welcome<'a> {
    pub(super) http: SocketAddr,
    pub(super) rtmp: SocketAddr,
    pub(super) public_url: Option<&'a WebAddress>,
    /// The channel and key made at the first start: the one time the key is shown.
    pub(super) first: Option<(&'a ChannelId, &'a Secret)>,
    /// The instant of a rehearsal.
    pub(super) rehearsal: Option<WallTime>,
}

impl Welcome<'_> {
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        let line = |text: &mut String, words: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{words}");
        };
        line(&mut text, "");
        line(&mut text, &format!("  Ghostlight {} is on.", env!("CARGO_PKG_VERSION")));
        if let Some(at) = self.rehearsal {
            line(&mut text, &format!("  REHEARSAL: everything behaves as if it were {at}."));
        }
        line(&mut text, "");
        let page = self.page();
        match self.first {
            None => line(&mut text, &format!("  Watch        {page}/")),
            Some((channel, key)) => {
                line(&mut text, &format!("  Watch        {page}/{channel}"));
                line(&mut text, "");
                line(&mut text, "  In OBS: Settings > Stream > Service: Custom...");
                line(&mut text, &format!("  Server       {}", self.ingest()));
                line(&mut text, &format!("  Stream Key   {}", key.reveal()));
                line(&mut text, "");
                line(&mut text, "  The key is shown this once; whoever has it can go live.");
                line(&mut text, "  Another one: ghostlight key add CHANNEL");
                line(&mut text, "  No encoder at hand? Stop this and run: ghostlight demo");
            }
        }
        if self.first.is_none() {
            line(&mut text, &format!("  Publish to   {}  with your stream key", self.ingest()));
            line(&mut text, "  New key      ghostlight key add CHANNEL");
        }
        line(&mut text, "");
        text
    }

    /// For a server that plays its own clip and keeps no records.
    pub(super) fn render_demo(&self, channel: &ChannelId) -> String {
        let page = self.page();
        format!(
            "\n  Ghostlight {} plays its demo clip.\n\n  Watch        {page}/{channel}\n\n  \
             Nothing is kept. Ctrl-C ends it.\n\n",
            env!("CARGO_PKG_VERSION")
        )
    }

    fn page(&self) -> String {
        match self.public_url {
            Some(url) => url.to_string(),
            None => format!("http://{}", authority(host(self.http), self.http.port(), 80)),
        }
    }

    fn ingest(&self) -> String {
        let host = self.public_url.map_or_else(|| host(self.rtmp), |url| url.host().to_owned());
        format!("rtmp://{}/live", authority(host, self.rtmp.port(), 1935))
    }
}

/// A host as a person on this machine types it.
fn host(addr: SocketAddr) -> String {
    match addr.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn authority(host: String, port: u16, usual_port: u16) -> String {
    if port == usual_port { host } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome<'a>(first: Option<(&'a ChannelId, &'a Secret)>) -> Welcome<'a> {
        Welcome {
            http: "0.0.0.0:8080".parse().unwrap(),
            rtmp: "0.0.0.0:1935".parse().unwrap(),
            public_url: None,
            first,
            rehearsal: None,
        }
    }

    #[test]
    fn the_first_start_says_what_to_paste_and_what_to_open() {
        let (channel, key) = (ChannelId::parse("main").unwrap(), Secret::new("k_secret"));
        let text = welcome(Some((&channel, &key))).render();
        assert!(text.contains("Server       rtmp://localhost/live"), "{text}");
        assert!(text.contains("Stream Key   k_secret"), "{text}");
        assert!(text.contains("http://localhost:8080/main"), "{text}");
    }

    #[test]
    fn a_public_address_is_what_people_are_told() {
        let url = WebAddress::parse("https://video.example").unwrap();
        let text = Welcome { public_url: Some(&url), ..welcome(None) }.render();
        assert!(text.contains("https://video.example/\n"), "{text}");
        assert!(text.contains("rtmp://video.example/live"), "{text}");
    }

    #[test]
    fn a_later_start_shows_no_key() {
        let text = welcome(None).render();
        assert!(!text.contains("Stream Key  "), "{text}");
        assert!(text.contains("http://localhost:8080/"), "{text}");
    }
}
