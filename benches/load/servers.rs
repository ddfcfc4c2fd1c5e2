//! The servers under test, each a process of its own with ports and folders of its own, and what
//! the kernel says they cost.

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ghostlight::load::{Body, Http};
use ghostlight::rtmp::client::Target;
use tempfile::TempDir;

/// The kernel's clock ticks in `/proc` are a hundredth of a second on every Linux (USER_HZ).
const TICK: Duration = Duration::from_millis(10);
const PAGE_BYTES: u64 = 4_096;
/// Longest wait for a server to listen, and to end.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// What nginx needs as a module, where Debian puts it.
const NGINX_RTMP: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub http: SocketAddr,
    /// Where it tells its numbers; nginx does not.
    admin: Option<SocketAddr>,
    pub targets: Vec<Target>,
    /// From its start to the first connection it took.
    pub listening_after: Duration,
    /// Removed after the process has ended.
    _folder: TempDir,
}

/// What a server has used so far, over all its processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub cpu: Duration,
    pub memory_bytes: u64,
}

/// What one process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Of its own; the pages of its program come and go with the machine's memory.
    pub resident_kib: u32,
    pub descriptors: u32,
    pub threads: u32,
}

impl Server {
    /// Our own release build with a fresh data folder and one channel for each publisher:
    /// `c0`, `c1` and so on. `settings` are those of the environment, without their prefix.
    pub(crate) fn ghostlight(
        channels: usize,
        settings: &[(&'static str, &str)],
    ) -> io::Result<Self> {
        let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        Self::ghostlight_with(channels, || settings.iter().map(owned).collect())
    }

    /// The same with settings that are made when the server starts: keys take their time.
    pub(crate) fn ghostlight_with(
        channels: usize,
        settings: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> io::Result<Self> {
        let binary = env!("CARGO_BIN_EXE_ghostlight");
        let folder = TempDir::with_prefix("ghostlight-load-")?;
        let (http, rtmp, admin) = (free_port()?, free_port()?, free_port()?);
        let mut targets = Vec::new();
        for number in 0..channels {
            let key = key_for(binary, folder.path(), &format!("c{number}"))?;
            targets.push(target(rtmp, &key)?);
        }
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(folder.path());
        for (flag, addr) in [("--http", http), ("--rtmp", rtmp), ("--admin", admin)] {
            command.arg(flag).arg(addr.to_string());
        }
        command.env("GHOSTLIGHT_LOG_FILTER", "warn");
        // All publishers and players of a bench come from one address.
        for limit in [
            "RTMP_CONNECTIONS_PER_ADDRESS_MAX",
            "RTMP_ACCEPTS_PER_SECOND_MAX",
            "HTTP_CONNECTIONS_PER_ADDRESS_MAX",
            "BLOCKED_REQUESTS_PER_ADDRESS_MAX",
        ] {
            command.env(format!("GHOSTLIGHT_LIMITS_{limit}"), "50000");
        }
        for (name, value) in settings() {
            command.env(format!("GHOSTLIGHT_{name}"), value);
        }
        Self::start(command, http, Some(admin), targets, folder)
    }

    /// Whether nginx and its RTMP module are installed.
    pub(crate) fn has_nginx() -> bool {
        let installed = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
        installed.is_ok_and(|status| status.success()) && Path::new(NGINX_RTMP).exists()
    }

    /// nginx with its RTMP module, plain HLS into memory.
    pub(crate) fn nginx(channels: usize) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::Builder::new().prefix("ghostlight-load-").tempdir_in(memory)?
        } else {
            TempDir::with_prefix("ghostlight-load-")?
        };
        let (http, rtmp) = (free_port()?, free_port()?);
        fs::create_dir(folder.path().join("hls"))?;
        let config = folder.path().join("nginx.conf");
        let user = fs::metadata(folder.path()).is_ok_and(|meta| is_root(&meta));
        let text = nginx_config(folder.path(), http, rtmp, user);
        fs::File::create(&config)?.write_all(text.as_bytes())?;
        let targets = (0..channels)
            .map(|number| target(rtmp, &format!("c{number}")))
            .collect::<io::Result<_>>()?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
        Self::start(command, http, None, targets, folder)
    }

    fn start(
        mut command: Command,
        http: SocketAddr,
        admin: Option<SocketAddr>,
        targets: Vec<Target>,
        folder: TempDir,
    ) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let start = Instant::now();
        let child = command.spawn()?;
        let mut server =
            Self { child, http, admin, targets, listening_after: Duration::ZERO, _folder: folder };
        while TcpStream::connect(http).is_err() {
            if start.elapsed() > START_TIME_MAX || server.child.try_wait()?.is_some() {
                return Err(io::Error::other("the server did not start"));
            }
            thread::sleep(Duration::from_micros(200));
        }
        server.listening_after = start.elapsed();
        Ok(server)
    }

    /// What the process and its children have used.
    pub(crate) fn usage(&self) -> Usage {
        let (mut cpu, mut pages) = (Duration::ZERO, 0);
        for stat in self.stats() {
            // Own time, and that of children that have ended.
            cpu += ticks(stat.fields(11..=14));
            pages += stat.fields(21..=21);
        }
        Usage { cpu, memory_bytes: pages * PAGE_BYTES }
    }

    /// What the process itself holds, without children.
    pub(crate) fn held(&self) -> io::Result<Held> {
        let folder = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(folder.join("status"))?;
        let number = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let value = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("no {name} in its status")))
        };
        let descriptors = u32::try_from(fs::read_dir(folder.join("fd"))?.count());
        let descriptors = descriptors.unwrap_or(u32::MAX);
        Ok(Held { resident_kib: number("RssAnon:")?, threads: number("Threads:")?, descriptors })
    }

    /// What this process has used so far.
    pub(crate) fn bench_cpu() -> Duration {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Stat::parse(&stat).map_or(Duration::ZERO, |stat| ticks(stat.fields(11..=12)))
    }

    /// What our own server says of itself under this name.
    pub(crate) async fn gauge(&self, name: &str) -> io::Result<f64> {
        let admin = self.admin.ok_or(io::ErrorKind::Unsupported)?;
        let mut http = Http::new(admin, admin.to_string().into());
        let answer = http.get("/metrics", Body::Keep).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| io::Error::other(format!("no {name} among its numbers")))
    }

    /// The process and its children, which have none of their own.
    fn stats(&self) -> Vec<Stat> {
        let own = self.child.id().to_string();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let stats = entries.flatten().filter_map(|entry| {
            let pid = entry.file_name().to_string_lossy().into_owned();
            pid.parse::<u32>().ok()?;
            let stat = Stat::parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
            (pid == own || stat.text(1) == own).then_some(stat)
        });
        stats.collect()
    }
}

impl Drop for Server {
    /// Asks the process to end, as nginx has children that a kill would leave behind.
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + START_TIME_MAX;
        while asked.is_ok() && Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line of `/proc/PID/stat` behind the name, which may hold anything: field 0 is the state.
struct Stat(Vec<String>);

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        let (_, fields) = line.rsplit_once(") ")?;
        Some(Self(fields.split_whitespace().map(str::to_owned).collect()))
    }

    fn text(&self, field: usize) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    fn fields(&self, range: std::ops::RangeInclusive<usize>) -> u64 {
        range.map(|field| self.text(field).parse::<u64>().unwrap_or(0)).sum()
    }
}

fn ticks(number: u64) -> Duration {
    TICK * u32::try_from(number).unwrap_or(u32::MAX)
}

fn is_root(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.uid() == 0
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn target(rtmp: SocketAddr, key: &str) -> io::Result<Target> {
    Target::parse(&format!("rtmp://{rtmp}/live/{key}")).map_err(io::Error::other)
}

fn key_for(binary: &str, data: &Path, channel: &str) -> io::Result<String> {
    let output = Command::new(binary).args(["key", "add", channel, "--data"]).arg(data).output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("key add failed: {words}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn nginx_config(folder: &Path, http: SocketAddr, rtmp: SocketAddr, root: bool) -> String {
    // Started by root, the workers would change to a user who may not read the folder.
    let user = if root { "user root;" } else { "" };
    let folder = folder.display();
    format!(
        "load_module {NGINX_RTMP};
{user}
worker_processes 2;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
rtmp {{
  access_log off;
  server {{
    listen {rtmp};
    application live {{
      live on;
      hls on;
      hls_path {folder}/hls;
      hls_fragment 2s;
      hls_playlist_length 30s;
    }}
  }}
}}
http {{
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000;
  open_file_cache off;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
  client_body_temp_path {folder}/t1;
  proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4;
  scgi_temp_path {folder}/t5;
  server {{ listen {http}; root {folder}/hls; }}
}}
"
    )
}
