use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::file;
use super::keys::{Config, Key, Reload, SETTINGS};
use super::limit_keys::LIMITS;

/// Variables of ours that are no settings: they steer the build.
const NOT_SETTINGS: &[&str] = &["GHOSTLIGHT_WEB_DIST", "GHOSTLIGHT_BUILD_UNIX"];

/// Where values come from; the later overrides the earlier.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
    /// Flag, key, value: `("--http", "http.listen", "8080")`.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// The process environment and the given file and flags. Without a file, `GHOSTLIGHT_CONFIG`
    /// may name one.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process(
        file: Option<PathBuf>,
        flags: Vec<(&'static str, &'static str, String)>,
    ) -> Self {
        let readable = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment: BTreeMap<_, _> = std::env::vars_os().filter_map(readable).collect();
        let file = file.or_else(|| environment.get("GHOSTLIGHT_CONFIG").map(PathBuf::from));
        Self { file, environment, flags }
    }
}

/// All keys, in the order in which they are printed.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SETTINGS.iter().chain(LIMITS)
}

/// Reads all sources and checks every value: the first thing that is wrong is the answer.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut config = Config::built_in(default_data_dir(&sources.environment));
    if let Some(path) = &sources.file {
        load_file(&mut config, path)?;
    }
    load_environment(&mut config, &sources.environment)?;
    for (flag, path, value) in &sources.flags {
        set(&mut config, path, value, || Origin::Flag { name: flag })?;
    }
    check_tls(&config, sources)?;
    Ok(config)
}

/// The keys whose values differ.
pub fn changed_keys(before: &Config, after: &Config) -> Vec<&'static Key> {
    keys().filter(|key| (key.show)(before) != (key.show)(after)).collect()
}

/// The effective configuration as a file that would give the same.
pub fn render(config: &Config) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in keys() {
        let (in_section, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if in_section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{in_section}]");
            section = in_section;
        }
        let reload = match key.reload {
            Reload::Live => "; live on SIGHUP",
            Reload::Restart => "",
        };
        let _ = match (key.show)(config) {
            Some(value) => writeln!(text, "{name} = {value:?}  # {}{reload}", key.allowed),
            None => writeln!(text, "# {name} is not set  # {}{reload}", key.allowed),
        };
    }
    text
}

fn load_file(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    for entry in file::read(path)? {
        let origin = || Origin::File { path: path.to_owned(), line: entry.line };
        match &entry.value {
            Ok(value) => set(config, &entry.path, value, origin)?,
            Err(written) => {
                let key = find(&entry.path, origin)?;
                return Err(not_allowed(key, written, origin()));
            }
        }
    }
    Ok(())
}

fn load_environment(
    config: &mut Config,
    environment: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for (name, value) in environment {
        let ours = name.starts_with("GHOSTLIGHT_") && name != "GHOSTLIGHT_CONFIG";
        if !ours || NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        let origin = || Origin::Environment { name: name.clone() };
        let Some(key) = keys().find(|key| key.environment() == *name) else {
            let nearest = nearest(&name.trim_start_matches("GHOSTLIGHT_").replace('_', "."));
            return Err(ConfigError::UnknownKey { origin: origin(), key: name.clone(), nearest });
        };
        set(config, key.path, value, origin)?;
    }
    Ok(())
}

fn set(
    config: &mut Config,
    path: &str,
    value: &str,
    origin: impl Fn() -> Origin,
) -> Result<(), ConfigError> {
    let key = find(path, &origin)?;
    (key.set)(config, value).ok_or_else(|| not_allowed(key, value, origin()))
}

fn find(path: &str, origin: impl Fn() -> Origin) -> Result<&'static Key, ConfigError> {
    keys().find(|key| key.path == path).ok_or_else(|| ConfigError::UnknownKey {
        origin: origin(),
        key: path.to_owned(),
        nearest: nearest(path),
    })
}

fn not_allowed(key: &Key, value: &str, origin: Origin) -> ConfigError {
    let value = format!("{value:?}");
    ConfigError::Value { origin, key: key.path.to_owned(), value, allowed: key.allowed.to_owned() }
}

fn check_tls(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let half = match (&config.tls_certificate, &config.tls_key) {
        (Some(_), None) => "tls.certificate is set and tls.key is not; both are needed",
        (None, Some(_)) => "tls.key is set and tls.certificate is not; both are needed",
        (None, None) if config.https_listen.is_some() => {
            "http.tls_listen needs tls.certificate and tls.key"
        }
        (Some(_), Some(_)) | (None, None) => return Ok(()),
    };
    let origin = match &sources.file {
        Some(path) => Origin::File { path: path.clone(), line: 1 },
        None => Origin::Environment { name: "GHOSTLIGHT_TLS_*".into() },
    };
    Err(ConfigError::Conflict { origin, message: half.to_owned() })
}

/// Where the data goes when nobody says: the folder the service manager gives, the user's data
/// folder, or one beside the working directory.
fn default_data_dir(environment: &BTreeMap<String, String>) -> PathBuf {
    let given = |name: &str| environment.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    given("STATE_DIRECTORY")
        .or_else(|| given("XDG_DATA_HOME").map(|dir| dir.join("ghostlight")))
        .or_else(|| given("HOME").map(|dir| dir.join(".local/share/ghostlight")))
        .unwrap_or_else(|| "ghostlight-data".into())
}

/// The key that needs the fewest edits, if it is near enough to have been meant.
fn nearest(path: &str) -> Option<&'static str> {
    let wanted = path.to_ascii_lowercase().replace(['.', '_'], "");
    let distance = |key: &Key| edits(&wanted, &key.path.replace(['.', '_'], ""));
    let best = keys().min_by_key(|key| distance(key))?;
    (distance(best) <= wanted.len() / 2).then_some(best.path)
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let changed = before + usize::from(x != y);
            before = *cell;
            left = changed.min(before + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
