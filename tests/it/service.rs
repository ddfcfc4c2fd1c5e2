//! The server as a service manager runs it: told when it is ready and when it stops, handed its
//! sockets, and stopped by a signal without a word of complaint.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// How long anything here may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// A running server and the socket on which it notifies its manager.
pub(super) struct Service {
    child: Child,
    manager: UnixDatagram,
    log: PathBuf,
    _home: TempDir,
}

impl Service {
    /// `passed` becomes the first socket that the manager hands over, if there is one.
    pub(super) fn start(args: &[&str], env: &[(&str, &str)], passed: Option<&TcpListener>) -> Self {
        Self::start_after(":", args, env, passed)
    }

    /// The same, after a shell has run `first`.
    pub(super) fn start_after(
        first: &str,
        args: &[&str],
        env: &[(&str, &str)],
        passed: Option<&TcpListener>,
    ) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let notify = home.path().join("notify");
        let manager = UnixDatagram::bind(&notify).expect("a socket");
        manager.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let log = home.path().join("log");
        // As a service manager does it: descriptor 3, and the process' own number.
        let script = if passed.is_some() {
            "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\""
        } else {
            "exec \"$@\""
        };
        let socket = passed.map(|listener| listener.try_clone().expect("another handle"));
        let child = Command::new("sh")
            .args([
                "-c",
                &format!("{first} || exit; {script}"),
                "sh",
                env!("CARGO_BIN_EXE_ghostlight"),
            ])
            .args(args)
            .args(["--rtmp", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .env_clear()
            .env("HOME", home.path())
            .env("NOTIFY_SOCKET", &notify)
            .env("GHOSTLIGHT_LIMITS_DRAIN_GRACE", "2s")
            .envs(env.iter().copied())
            .stdin(socket.map_or_else(Stdio::null, |socket| OwnedFd::from(socket).into()))
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .expect("it starts");
        Self { child, manager, log, _home: home }
    }

    /// Bytes that are resident now.
    pub(super) fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its size");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<usize>().expect("digits") * 1024
    }

    /// What the manager hears next.
    pub(super) fn told(&self) -> String {
        let mut said = [0; 256];
        let length = self.manager.recv(&mut said).unwrap_or_else(|_| panic!("{}", self.log()));
        let said = said.get(..length).unwrap_or_default();
        String::from_utf8_lossy(said).trim().to_owned()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn wait_for_line(&self, words: &str) {
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if self.log().contains(words) {
                return;
            }
            thread::sleep(LOOK);
        }
        panic!("{words} is not in\n{}", self.log());
    }

    /// Where it listens for `what`, as it says when it is ready.
    pub(super) fn address_of(&self, what: &str) -> SocketAddr {
        let field = format!(" {what}=");
        self.wait_for_line(&field);
        let log = self.log();
        let address = log.split(&field).nth(1).and_then(|rest| rest.split_whitespace().next());
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{log}"))
    }

    /// One of the numbers it shows to operators.
    pub(super) fn metric(&self, name: &str) -> usize {
        let mut operator = TcpStream::connect(self.address_of("admin")).expect("it listens");
        operator.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        operator.write_all(request).expect("sent");
        let mut answer = String::new();
        operator.read_to_string(&mut answer).expect("an answer");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.expect(name).trim().parse().expect("digits")
    }

    /// Asks it to stop as a service manager does; answers its log.
    fn stop(mut self) -> String {
        let number = self.child.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &number]).status();
        assert!(asked.expect("a shell").success());
        assert_eq!(self.told(), "STOPPING=1");
        let ended = self.child.wait().expect("it ends");
        assert_eq!(ended.code(), Some(0), "{}", self.log());
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // After a stop it has ended already, which is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// G9: a service whose end lies behind it starts, runs and stops as any other.
#[test]
fn a_manager_is_told_and_a_signal_is_no_failure() {
    let ended = [("GHOSTLIGHT_SUNSET_PUBLISH_CLOSE_AT", "2021-03-31 end-of-day Europe/Paris")];
    for (env, words) in [(&[][..], "no end is declared"), (&ended, "phase=read_only")] {
        let service = Service::start(&["serve", "--http", "127.0.0.1:0"], env, None);
        assert_eq!(service.told(), "READY=1");
        let log = service.stop();
        assert!(log.contains(words) && log.contains("stopped live=0"), "{log}");
    }
}

/// The demo's own encoder leaves with the server and does not complain of being sent away. Who is
/// first to close differs from time to time, so there are several.
#[test]
fn the_demo_stops_without_a_warning() {
    let env = [("GHOSTLIGHT_LIMITS_DRAIN_GRACE", "10s")];
    let demos = [(); 4].map(|()| {
        thread::spawn(move || {
            let demo = Service::start(&["demo", "--http", "127.0.0.1:0"], &env, None);
            assert_eq!(demo.told(), "READY=1");
            demo.wait_for_line("broadcast started");
            demo.stop()
        })
    });
    for demo in demos {
        let log = demo.join().expect("it stops");
        let (_, leaving) = log.split_once("stopping live=").expect("it says so");
        // A starved machine may warn of other things.
        for complaint in ["the demo clip was interrupted", "connections were cut"] {
            assert!(!leaving.contains(complaint), "{log}");
        }
    }
}

/// The manager holds the port, which stays open when the server is gone.
#[test]
fn a_passed_socket_is_served() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = held.local_addr().expect("its address");
    let service = Service::start(&["serve", "--http", &addr.to_string()], &[], Some(&held));
    assert_eq!(service.told(), "READY=1");
    let ask = || {
        let mut viewer = TcpStream::connect(addr).expect("somebody listens");
        viewer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        viewer
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("sent");
        viewer
    };
    let mut answer = String::new();
    ask().read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    service.stop();
    let _waits_for_the_next_server = ask();
}
