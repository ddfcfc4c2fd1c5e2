//! The playlists of all streams, one after the other, under the eyes of the lint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ghostlight::load::{Body, Http, resolve};
use ghostlight::testing::lint::{check_playlist, check_reload};

/// Looks at one stream at a time.
#[derive(Debug)]
pub(crate) struct Judge {
    http: Http,
    authority: Arc<str>,
    streams: usize,
    next: usize,
    /// The last version of each playlist, by its path: a later broadcast has another.
    last: BTreeMap<String, String>,
    looks: u64,
    findings: Vec<String>,
}

impl Judge {
    pub(crate) fn new(addr: SocketAddr, streams: usize) -> Self {
        let authority: Arc<str> = addr.to_string().into();
        Self {
            http: Http::new(addr, Arc::clone(&authority)),
            authority,
            streams,
            next: 0,
            last: BTreeMap::new(),
            looks: 0,
            findings: Vec::new(),
        }
    }

    pub(crate) fn looks(&self) -> u64 {
        self.looks
    }

    pub(crate) fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Judges every stream that has a playlist now.
    pub(crate) async fn look(&mut self) {
        for _ in 0..self.streams {
            let entry = format!("/c{}/index.m3u8", self.next);
            self.next = (self.next + 1) % self.streams.max(1);
            // Between two broadcasts there is none, which is right.
            let Some(text) = self.get(&entry).await else { continue };
            let uri = text.lines().find(|line| !line.starts_with('#') && !line.is_empty());
            let path = uri.and_then(|uri| resolve(&entry, uri, &self.authority));
            let Some(path) = path else {
                self.findings.push(format!("{entry} names no playlist"));
                continue;
            };
            if let Some(text) = self.get(&path).await {
                self.judge(path, text);
            }
        }
    }

    fn judge(&mut self, path: String, text: String) {
        self.looks += 1;
        let reload = self.last.get(&path).map(|last| check_reload(last, &text));
        let findings = check_playlist(&text).into_iter().chain(reload.into_iter().flatten());
        self.findings.extend(findings.map(|finding| format!("{path}: {finding}")));
        self.last.insert(path, text);
    }

    async fn get(&mut self, path: &str) -> Option<String> {
        let answer = self.http.get(path, Body::Keep).await.ok()?;
        (answer.status == 200).then(|| String::from_utf8(answer.body).ok()).flatten()
    }
}
