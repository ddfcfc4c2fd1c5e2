//! The server under attack: a process of its own, with its own folder, ports, keys and log, and
//! what the kernel and its operator can see of it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ghostlight::accounts::issue_key;
use ghostlight::base::{ChannelId, Clock, Rival, SystemClock};
use ghostlight::rtmp::client::Target;
use ghostlight::store;
use tempfile::TempDir;

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// The kernel's clock ticks in `/proc` are a hundredth of a second on every Linux (USER_HZ).
const TICK: Duration = Duration::from_millis(10);
/// What of the log is shown when a test fails.
const LOG_TAIL_LINES: usize = 60;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Settings, such as `GHOSTLIGHT_LIMITS_DRAIN_GRACE`.
    env: Vec<(String, String)>,
    /// Words of a command that becomes the server: a shell with limits, another namespace.
    launcher: Vec<String>,
    /// Where it listens; this machine alone unless another is to reach it.
    host: Option<IpAddr>,
}

impl Setup {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A limit by its name in the section `limits`.
    pub(crate) fn limit(self, name: &str, value: &str) -> Self {
        self.env(&format!("GHOSTLIGHT_LIMITS_{}", name.to_ascii_uppercase()), value)
    }

    /// The last of these words has to execute the rest of its command line, so that the process
    /// stays the same: `sh -c 'ulimit -n 256; exec "$@"' sh`.
    pub(crate) fn launcher(mut self, words: &[&str]) -> Self {
        self.launcher = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    pub(crate) fn host(mut self, host: IpAddr) -> Self {
        self.host = Some(host);
        self
    }

    pub(crate) fn start(self) -> Stage {
        let home = tempfile::tempdir().expect("a folder");
        let local = IpAddr::from([127, 0, 0, 1]);
        let anywhere = SocketAddr::new(self.host.unwrap_or(local), 0);
        let mut stage = Stage {
            log: home.path().join("log"),
            child: None,
            home,
            setup: self,
            http: anywhere,
            rtmp: anywhere,
            admin: anywhere,
        };
        File::create(&stage.log).expect("a log");
        stage.run();
        stage
    }
}

/// A running server. Dropping it kills the process; a failing test shows the end of its log.
#[derive(Debug)]
pub(crate) struct Stage {
    child: Option<Child>,
    setup: Setup,
    log: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) rtmp: SocketAddr,
    pub(crate) admin: SocketAddr,
    home: TempDir,
}

impl Stage {
    /// With these limits, by their names in the section `limits`, and no other setting.
    pub(crate) fn start(limits: &[(&str, &str)]) -> Self {
        let setup = Setup::default();
        limits.iter().fold(setup, |setup, (name, value)| setup.limit(name, value)).start()
    }

    /// Starts the process on its addresses, the first time on free ports, and waits until it is
    /// ready.
    fn run(&mut self) {
        let before = self.log().matches(" ready ").count();
        let log = File::options().append(true).open(&self.log).expect("a log");
        let mut words = self.setup.launcher.clone();
        words.push(binary());
        let (program, rest) = words.split_first().expect("the server at least");
        let mut command = Command::new(program);
        command.args(rest).arg("serve").arg("--data").arg(self.home.path());
        for (flag, addr) in [("--http", self.http), ("--rtmp", self.rtmp), ("--admin", self.admin)]
        {
            command.args([flag, &addr.to_string()]);
        }
        command.env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        command.envs(self.setup.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("it starts"));
        self.wait_until("it is ready", |stage| before < stage.log().matches(" ready ").count());
        self.http = self.address_of("http");
        self.rtmp = self.address_of("rtmp");
        self.admin = self.address_of("admin");
    }

    /// Starts it again on the same folder and the same ports after it has ended.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        self.run();
    }

    /// A new key for a channel, which is made if it is missing, as an address to publish to.
    pub(crate) fn key(&self, channel: &str) -> Target {
        let mut command = Command::new(binary());
        command.args(["key", "add", channel, "--data"]).arg(self.home.path());
        // Not ours: a setting that is none is an error.
        command.env_clear().env("HOME", self.home.path());
        let added = command.output().expect("the server's program");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let key = String::from_utf8(added.stdout).expect("a key is text");
        Target::parse(&format!("rtmp://{}/live/{}", self.rtmp, key.trim())).expect("an address")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Keys for many channels, `<prefix>0` and on, made without a process for each.
    pub(crate) fn keys(&self, prefix: &str, count: usize) -> Vec<Target> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let home = self.home.path();
        let now = SystemClock::new().now().wall;
        let issued = async {
            let store = store::open(home).await.expect("its folder");
            let mut targets = Vec::new();
            for number in 0..count {
                let channel = ChannelId::parse(&format!("{prefix}{number}")).expect("a good name");
                let issued = issue_key(&*store, &channel, "", Rival::default(), None, now).await;
                let key = issued.expect("a key").text;
                let address = format!("rtmp://{}/live/{}", self.rtmp, key.reveal());
                targets.push(Target::parse(&address).expect("an address"));
            }
            targets
        };
        runtime.expect("a runtime").block_on(issued)
    }

    /// Sends a signal by its name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Ends it without a word of warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let child = self.child.as_mut().expect("it runs");
            if let Some(status) = child.try_wait().expect("it is ours") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(LOOK);
        }
    }

    // --- what the kernel sees ---

    /// Bytes that are resident now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was ever resident.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("a running process");
        let line = status.lines().find(|line| line.starts_with(field)).expect("its size");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<u64>().expect("digits") * 1_024
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("a running process").count()
    }

    /// Processor time used so far, in all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).expect("a running process");
        // The name may hold spaces; behind its bracket stand state, parent and so on.
        let fields = stat.rsplit_once(") ").expect("a name").1;
        let times = fields.split(' ').skip(11).take(2);
        TICK * times.map(|ticks| ticks.parse::<u32>().expect("ticks")).sum::<u32>()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.pid())
    }

    // --- what the operator sees ---

    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    pub(crate) fn metrics(&self) -> String {
        let (status, body) = get(self.admin, "/metrics").expect("an answer");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The sum of all lines of a metric, by its name without `ghostlight_`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        sum(&self.metrics(), name, "")
    }

    /// Connections of either protocol that ended for this cause, or were refused for it.
    pub(crate) fn drops(&self, cause: &str) -> u64 {
        let counters =
            ["rtmp_connections_ended", "http_connections_refused", "http_connections_closed"];
        let (metrics, label) = (self.metrics(), format!("reason=\"{cause}\""));
        counters.iter().map(|name| sum(&metrics, &format!("{name}_total"), &label)).sum()
    }

    /// A new viewer is served, and the process is the one that was started.
    pub(crate) fn assert_healthy(&self) {
        let (status, body) = get(self.http, "/healthz").expect("an answer");
        assert_eq!(status, 200, "{body}");
        assert!(!self.log().contains("panicked at"), "{}", self.log());
    }

    /// Looks until it is so; fails after [`PATIENCE`].
    pub(crate) fn wait_until(&mut self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(self) {
            let child = self.child.as_mut().expect("it runs");
            let ended = child.try_wait().expect("it is ours");
            assert!(ended.is_none(), "it left with {ended:?} before {what}");
            assert!(Instant::now() < deadline, "not so: {what}");
            thread::sleep(LOOK);
        }
    }

    /// Where it listens for `what`, as it said last when it was ready.
    fn address_of(&self, what: &str) -> SocketAddr {
        let log = self.log();
        let ready = log.lines().rfind(|line| line.contains(" ready ")).expect("it is ready");
        let address = ready.split(&format!(" {what}=")).nth(1).expect("it says where");
        let address = address.split_whitespace().next().expect("an address");
        address.parse().expect("an address")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(LOG_TAIL_LINES);
            for line in log.lines().skip(skipped) {
                eprintln!("server: {line}");
            }
        }
        if let Some(child) = &mut self.child {
            // It may have ended already, which is no error here.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program under test: what `tests/run` has built, or else what cargo built beside this test.
pub(crate) fn binary() -> String {
    std::env::var("GHOSTLIGHT_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ghostlight").to_owned())
}

/// Sends a signal by its name, such as `STOP`, to a process of ours.
pub(crate) fn signal(pid: u32, name: &str) {
    let words = ["-c", "kill -\"$1\" \"$2\"", "sh", name, &pid.to_string()];
    let sent = Command::new("sh").args(words).status();
    assert!(sent.expect("a shell").success(), "{name}");
}

/// One request on a connection of its own.
pub(crate) fn get(addr: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// All lines of one metric that carry `label`, added up.
fn sum(metrics: &str, name: &str, label: &str) -> u64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("ghostlight_"));
    let lines = lines.filter_map(|line| line.strip_prefix(name));
    let lines = lines.filter(|rest| rest.starts_with([' ', '{']) && rest.contains(label));
    lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)).sum()
}

/// The numbers of a metric are found by name and label and nothing else.
#[test]
fn lines_of_a_metric_add_up() {
    let metrics = "ghostlight_a_total{x=\"1\",y=\"2\"} 3\nghostlight_a_total{x=\"2\",y=\"2\"} 4\n\
                   ghostlight_a_total_b 9\nghostlight_c 5\n";
    assert_eq!(sum(metrics, "a_total", "y=\"2\""), 7);
    assert_eq!(sum(metrics, "a_total", "x=\"1\""), 3);
    assert_eq!(sum(metrics, "c", ""), 5);
}

/// A server that is killed comes back on its folder and its ports, and what is seen of it is its
/// own, whoever launched it.
#[test]
fn a_server_is_started_killed_and_started_again() {
    let mut stage = Setup::default().launcher(&["sh", "-c", "exec \"$@\"", "sh"]).start();
    let (http, first) = (stage.http, stage.pid());
    stage.assert_healthy();
    assert!(0 < stage.resident_bytes() && 0 < stage.descriptors());
    stage.wait_until("it has worked for a while", |stage| {
        0 < stage.metric("http_answers_total") && Duration::ZERO < stage.cpu()
    });
    assert_eq!(stage.drops("key_unknown"), 0);
    stage.kill();
    assert!(get(http, "/healthz").is_err());
    stage.restart();
    assert_eq!(http, stage.http);
    assert_ne!(first, stage.pid());
    stage.assert_healthy();
    stage.signal("TERM");
    assert!(stage.wait().success());
}
