use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::value::{parse_duration, parse_list, parse_listen, render_duration};
use crate::base::{Limits, WebAddress};
use crate::gate::ScheduleSettings;
use crate::{hls, hub};

/// Everything an operator can set, with the values in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub http_listen: SocketAddr,
    pub https_listen: Option<SocketAddr>,
    /// The address that viewers use: pages name it as their own, and newcomers are told it.
    pub public_url: Option<WebAddress>,
    pub http_hosts: Vec<String>,
    pub http_trusted_proxies: Vec<IpAddr>,
    pub rtmp_listen: SocketAddr,
    pub rtmps_listen: SocketAddr,
    pub rtmp_apps: Vec<String>,
    pub admin_listen: SocketAddr,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub data_dir: PathBuf,
    pub hls: hls::Settings,
    pub hub: hub::Settings,
    pub log_format: LogFormat,
    pub log_filter: String,
    /// The schedule as written; the gate reads the instants.
    pub sunset: ScheduleSettings,
    pub limits: Limits,
}

impl Config {
    /// The built-in values; every one is usable as it is. `data_dir` depends on the machine.
    pub(super) fn built_in(data_dir: PathBuf) -> Self {
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Self {
            http_listen: any(8080),
            https_listen: None,
            public_url: None,
            http_hosts: Vec::new(),
            http_trusted_proxies: Vec::new(),
            rtmp_listen: any(1935),
            rtmps_listen: any(1936),
            rtmp_apps: ["live", "app", "stream"].map(str::to_owned).to_vec(),
            admin_listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081),
            tls_certificate: None,
            tls_key: None,
            data_dir,
            hls: hls::Settings::default(),
            hub: hub::Settings::default(),
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            sunset: ScheduleSettings::default(),
            limits: Limits::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// On SIGHUP, without touching what runs.
    Live,
    /// At the next start.
    Restart,
}

/// One setting: `section.name` in the file, `GHOSTLIGHT_SECTION_NAME` in the environment.
#[derive(Debug)]
pub struct Key {
    pub path: &'static str,
    /// What values it takes, to follow the words "it takes".
    pub allowed: &'static str,
    pub reload: Reload,
    /// Stores a value; `None` when it is not allowed.
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    /// The value in force, as it would be written; `None` when there is none.
    pub(super) show: fn(&Config) -> Option<String>,
}

impl Key {
    pub(super) const fn new(
        path: &'static str,
        allowed: &'static str,
        reload: Reload,
        set: fn(&mut Config, &str) -> Option<()>,
        show: fn(&Config) -> Option<String>,
    ) -> Self {
        Self { path, allowed, reload, set, show }
    }

    /// The name of the environment variable.
    pub fn environment(&self) -> String {
        format!("GHOSTLIGHT_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }
}

const LISTEN: &str = "an address and port such as \"0.0.0.0:8080\", or a port alone";
const INSTANT: &str = "an instant with offset such as \"2027-03-31T23:59:00+02:00\", or \
                       \"2027-03-31 end-of-day Europe/Paris\"";

macro_rules! sunset_key {
    ($name:ident, $allowed:expr) => {
        Key::new(
            concat!("sunset.", stringify!($name)),
            $allowed,
            Reload::Live,
            |c, v| put(&mut c.sunset.$name, text(v).map(Some)),
            |c| c.sunset.$name.clone(),
        )
    };
}

/// Every setting but the limits.
pub(super) const SETTINGS: &[Key] = &[
    Key::new(
        "http.listen",
        LISTEN,
        Reload::Restart,
        |c, v| put(&mut c.http_listen, parse_listen(v)),
        |c| Some(c.http_listen.to_string()),
    ),
    Key::new(
        "http.tls_listen",
        LISTEN,
        Reload::Restart,
        |c, v| put(&mut c.https_listen, parse_listen(v).map(Some)),
        |c| c.https_listen.map(|a| a.to_string()),
    ),
    Key::new(
        "http.public_url",
        "an address such as \"https://video.example\"",
        Reload::Restart,
        |c, v| put(&mut c.public_url, WebAddress::parse(v).map(Some)),
        |c| c.public_url.as_ref().map(WebAddress::to_string),
    ),
    Key::new(
        "http.hosts",
        "host names separated by commas; none means any",
        Reload::Restart,
        |c, v| put(&mut c.http_hosts, Some(parse_list(v))),
        |c| Some(c.http_hosts.join(",")),
    ),
    Key::new(
        "http.trusted_proxies",
        "IP addresses separated by commas, such as \"127.0.0.1,::1\"",
        Reload::Restart,
        |c, v| {
            let read: Result<_, _> = parse_list(v).iter().map(|a| a.parse()).collect();
            put(&mut c.http_trusted_proxies, read.ok())
        },
        |c| {
            let list: Vec<_> = c.http_trusted_proxies.iter().map(IpAddr::to_string).collect();
            Some(list.join(","))
        },
    ),
    Key::new(
        "rtmp.listen",
        LISTEN,
        Reload::Restart,
        |c, v| put(&mut c.rtmp_listen, parse_listen(v)),
        |c| Some(c.rtmp_listen.to_string()),
    ),
    Key::new(
        "rtmp.tls_listen",
        LISTEN,
        Reload::Restart,
        |c, v| put(&mut c.rtmps_listen, parse_listen(v)),
        |c| Some(c.rtmps_listen.to_string()),
    ),
    Key::new(
        "rtmp.apps",
        "one or more application names separated by commas",
        Reload::Restart,
        |c, v| put(&mut c.rtmp_apps, Some(parse_list(v)).filter(|apps| !apps.is_empty())),
        |c| Some(c.rtmp_apps.join(",")),
    ),
    Key::new(
        "rtmp.resume_window",
        "a duration from 0s to 30m",
        Reload::Restart,
        |c, v| put(&mut c.hub.resume_window, duration(v, 0, 1_800_000)),
        |c| Some(render_duration(c.hub.resume_window)),
    ),
    Key::new(
        "admin.listen",
        LISTEN,
        Reload::Restart,
        |c, v| put(&mut c.admin_listen, parse_listen(v)),
        |c| Some(c.admin_listen.to_string()),
    ),
    Key::new(
        "tls.certificate",
        "the path of a PEM file with the certificate chain",
        Reload::Restart,
        |c, v| put(&mut c.tls_certificate, path(v).map(Some)),
        |c| c.tls_certificate.as_ref().map(|p| p.display().to_string()),
    ),
    Key::new(
        "tls.key",
        "the path of a PEM file with the private key",
        Reload::Restart,
        |c, v| put(&mut c.tls_key, path(v).map(Some)),
        |c| c.tls_key.as_ref().map(|p| p.display().to_string()),
    ),
    Key::new(
        "data.dir",
        "the path of a folder the server may write to",
        Reload::Restart,
        |c, v| put(&mut c.data_dir, path(v)),
        |c| Some(c.data_dir.display().to_string()),
    ),
    Key::new(
        "hls.segment",
        "a duration from 1s to 10s",
        Reload::Restart,
        |c, v| put(&mut c.hls.segment_target, duration(v, 1_000, 10_000)),
        |c| Some(render_duration(c.hls.segment_target)),
    ),
    Key::new(
        "hls.part",
        "a duration from 100ms to 1s",
        Reload::Restart,
        |c, v| put(&mut c.hls.part_target, duration(v, 100, 1_000)),
        |c| Some(render_duration(c.hls.part_target)),
    ),
    Key::new(
        "hls.window",
        "a duration from 12s to 4h",
        Reload::Restart,
        |c, v| put(&mut c.hls.window, duration(v, 12_000, 14_400_000)),
        |c| Some(render_duration(c.hls.window)),
    ),
    Key::new(
        "log.format",
        "text or json",
        Reload::Restart,
        |c, v| {
            let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            put(&mut c.log_format, formats.iter().find(|(name, _)| *name == v).map(|f| f.1))
        },
        |c| Some(if c.log_format == LogFormat::Json { "json" } else { "text" }.to_owned()),
    ),
    Key::new(
        "log.filter",
        "a level (error, warn, info, debug, trace) or target=level pairs separated by commas",
        Reload::Live,
        |c, v| {
            v.parse::<tracing_subscriber::filter::Targets>().ok()?;
            put(&mut c.log_filter, text(v))
        },
        |c| Some(c.log_filter.clone()),
    ),
    sunset_key!(announced_at, INSTANT),
    sunset_key!(keys_close_at, INSTANT),
    sunset_key!(claims_close_at, INSTANT),
    sunset_key!(publish_close_at, INSTANT),
    sunset_key!(finish_until, INSTANT),
    sunset_key!(settle_at, INSTANT),
    sunset_key!(archive_close_at, INSTANT),
    sunset_key!(gone_at, INSTANT),
    sunset_key!(policy, "finish or cut"),
    sunset_key!(time_zone, "the name of a time zone such as \"Europe/Paris\""),
    sunset_key!(info_url, "the address of a page that says more"),
    sunset_key!(allow_shorten, "true or false"),
    sunset_key!(skew, "a length of at most 60s, such as \"500ms\""),
];

fn put<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

fn duration(value: &str, min_millis: u64, max_millis: u64) -> Option<Duration> {
    let range = Duration::from_millis(min_millis)..=Duration::from_millis(max_millis);
    parse_duration(value).filter(|length| range.contains(length))
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn path(value: &str) -> Option<PathBuf> {
    (!value.is_empty() && !value.contains('\0')).then(|| value.into())
}
