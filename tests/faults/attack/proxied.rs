//! What a proxy of another make hands on.

use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::http1::ambiguous;
use super::{Crowd, Street};
use crate::machine::waive;
use crate::rows::until;
use crate::stage::{PATIENCE, get};

/// An nginx before the server, with one connection to it that all its viewers share.
#[derive(Debug)]
struct Nginx {
    child: Child,
    door: PathBuf,
    _home: TempDir,
}

impl Nginx {
    /// `None` where there is none.
    fn start(before: SocketAddr) -> Option<Self> {
        let home = tempfile::tempdir().expect("a folder");
        let (at, door) = (home.path().display(), home.path().join("door"));
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders: String =
            kinds.iter().map(|kind| format!("{kind}_temp_path {at}/{kind};\n")).collect();
        let text = format!(
            "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/errors;
             events {{ worker_connections 64; }}
             http {{
                 access_log off;
                 {folders}
                 upstream viewers {{ server {before}; keepalive 1; }}
                 server {{
                     listen unix:{at}/door;
                     location / {{
                         proxy_pass http://viewers;
                         proxy_http_version 1.1;
                         proxy_request_buffering off;
                         proxy_set_header Connection \"\";
                     }}
                 }}
             }}"
        );
        let config = home.path().join("config");
        fs::write(&config, text).expect("written");
        let errors = home.path().join("errors");
        let mut command = Command::new("nginx");
        let child =
            command.arg("-e").arg(errors).arg("-c").arg(config).stderr(Stdio::null()).spawn();
        if child.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return None;
        }
        let nginx = Self { child: child.expect("it starts"), door, _home: home };
        until("nginx listens", PATIENCE, || UnixStream::connect(&nginx.door).is_ok());
        Some(nginx)
    }

    /// Everything that comes back until it closes.
    fn told(&self, question: &str) -> String {
        let mut io = UnixStream::connect(&self.door).expect("it listens");
        io.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // It may close before it has read it all, with or without a reset.
        let _ = io.write_all(question.as_bytes());
        let mut said = Vec::new();
        let read = io.read_to_end(&mut said);
        let late = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        assert!(!late, "{question}: {}", String::from_utf8_lossy(&said));
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker leaves when the master asks it to, and not when that is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Bodies that hold a request; no address takes one.
fn hidden(request: &str) -> [String; 3] {
    let (length, get) = (request.len(), "GET / HTTP/1.1\r\nHost: x\r\n");
    [
        format!("{get}Content-Length: {length}\r\n\r\n{request}"),
        format!("{get}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{request}\r\n0\r\n\r\n"),
        format!("POST {}Content-Length: {length}\r\n\r\n{request}", &get[4..]),
    ]
}

/// W14: behind a proxy that reads requests in its own way, nothing that one viewer sends becomes a
/// request of its own, and no viewer gets the answer to another's.
#[test]
fn nothing_is_smuggled_past_a_proxy() {
    let street = Street::open(&[]);
    let Some(nginx) = Nginx::start(street.stage.http) else {
        waive("W14 behind nginx", "nginx is not installed");
        return street.close(Crowd::default());
    };
    let (_, healthy) = get(street.stage.http, "/healthz").expect("an answer");
    // The only request here that earns its status.
    let smuggled = "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let earned = "HTTP/1.1 405 ";
    assert!(nginx.told(smuggled).starts_with(earned));
    let modest = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let open = ambiguous().into_iter().map(|question| question + modest);
    for question in hidden(smuggled).into_iter().map(|question| question + modest).chain(open) {
        let told = nginx.told(&question);
        assert!(!told.contains(earned), "{question}: {told}");
        for _ in 0..3 {
            let answer = nginx.told(modest);
            assert!(answer.starts_with("HTTP/1.1 200 "), "after {question}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{healthy}")), "after {question}: {answer}");
        }
    }
    street.close(Crowd { viewers: 4, ..Crowd::default() });
}
