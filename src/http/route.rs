use hyper::Method;

use super::directives::{AskError, Directives};
use crate::base::{BroadcastId, ChannelId, Limits};
use crate::live::{MULTIVARIANT, MediaName, PlaylistForm};

/// What a request asks for. Channel and broadcast have been checked and only ever serve as keys
/// of a map; the texts that remain are looked up in fixed tables. No path of the file system is
/// ever made from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/`: who is live.
    Index,
    /// `/<channel>`.
    Watch(ChannelId),
    /// `/<channel>/` and `/embed/<channel>/`: the same page without the last slash.
    Slash(ChannelId),
    /// `/embed/<channel>`: the player alone, for frames on other sites.
    Embed(ChannelId),
    /// `/<channel>/index.m3u8`.
    Multivariant(ChannelId),
    /// `/hls/<channel>.m3u8` and `/live/<channel>.m3u8`: the multivariant playlist at the address
    /// that other servers give it.
    MultivariantAlias(ChannelId),
    /// `/<channel>/<broadcast>/live.m3u8`, or `plain.m3u8`. Wrong directives are kept, for a
    /// finished broadcast ignores them all, and so does the plain form.
    Playlist {
        channel: ChannelId,
        broadcast: BroadcastId,
        form: PlaylistForm,
        directives: Result<Directives, AskError>,
    },
    /// `/<channel>/<broadcast>/<name>`: an init segment, a segment or a part.
    Media {
        channel: ChannelId,
        broadcast: BroadcastId,
        name: MediaName,
    },
    /// `/sunset`.
    Sunset,
    /// `/.well-known/sunset.json`.
    SunsetDocument,
    /// `/api/v1/channels`.
    Channels,
    /// `/api/v1/channels/<channel>`.
    Channel(ChannelId),
    Healthz,
    Readyz,
    /// `/assets/...` and `/favicon.ico`, by their whole path.
    Asset(&'a str),
    /// `/robots.txt`.
    Robots,
}

/// Why an address or a method is refused before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("there is nothing at this address")]
    NotFound,
    #[error("this address answers GET, HEAD and OPTIONS only")]
    Method,
    #[error("the address is longer than {max} bytes")]
    AddressTooLong { max: usize },
    #[error("the query is longer than {max} bytes")]
    QueryTooLong { max: usize },
    #[error("the query holds more than {max} pairs")]
    TooManyPairs { max: usize },
}

/// What to do at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    /// As GET, and the body stays here.
    Head,
    /// A preflight (Fetch, "CORS-preflight request") or a plain question for what is allowed.
    Options,
}

/// Which class an answer counts to in metrics: a bounded set, whatever is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteClass {
    Page,
    Asset,
    Multivariant,
    Playlist,
    Media,
    Api,
    Probe,
    /// No route at all.
    Unknown,
}

impl RouteClass {
    /// Every class, in the order of their index.
    pub const ALL: [Self; 8] = [
        Self::Page,
        Self::Asset,
        Self::Multivariant,
        Self::Playlist,
        Self::Media,
        Self::Api,
        Self::Probe,
        Self::Unknown,
    ];

    /// Its place in [`RouteClass::ALL`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Page => 0,
            Self::Asset => 1,
            Self::Multivariant => 2,
            Self::Playlist => 3,
            Self::Media => 4,
            Self::Api => 5,
            Self::Probe => 6,
            Self::Unknown => 7,
        }
    }

    /// The metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Asset => "asset",
            Self::Multivariant => "multivariant",
            Self::Playlist => "playlist",
            Self::Media => "media",
            Self::Api => "api",
            Self::Probe => "probe",
            Self::Unknown => "unknown",
        }
    }

    /// Whether problems are told to people, as a page, rather than to programs.
    pub(super) fn is_read_by_people(self) -> bool {
        match self {
            Self::Page | Self::Unknown => true,
            Self::Asset
            | Self::Multivariant
            | Self::Playlist
            | Self::Media
            | Self::Api
            | Self::Probe => false,
        }
    }

    /// Whether its answers are fetched by players on any site, errors included (H117).
    pub fn is_open_to_all_origins(self) -> bool {
        match self {
            Self::Multivariant | Self::Playlist | Self::Media | Self::Api => true,
            Self::Page | Self::Asset | Self::Probe | Self::Unknown => false,
        }
    }
}

impl Route<'_> {
    pub fn class(&self) -> RouteClass {
        match self {
            Self::Index | Self::Watch(_) | Self::Slash(_) | Self::Embed(_) | Self::Sunset => {
                RouteClass::Page
            }
            Self::Asset(_) | Self::Robots => RouteClass::Asset,
            Self::Multivariant(_) | Self::MultivariantAlias(_) => RouteClass::Multivariant,
            Self::Playlist { .. } => RouteClass::Playlist,
            Self::Media { .. } => RouteClass::Media,
            Self::SunsetDocument | Self::Channels | Self::Channel(_) => RouteClass::Api,
            Self::Healthz | Self::Readyz => RouteClass::Probe,
        }
    }
}

/// Reads a request line: the method, the path as it came (nothing is decoded, so an encoded or
/// doubly encoded name is simply an unknown one) and the query without its question mark.
pub fn parse<'a>(
    method: &Method,
    path: &'a str,
    query: Option<&str>,
    limits: &Limits,
) -> Result<(Verb, Route<'a>), RouteError> {
    let query = query.unwrap_or("");
    if limits.request_line_bytes_max < path.len() + query.len() {
        return Err(RouteError::AddressTooLong { max: limits.request_line_bytes_max });
    }
    if limits.query_bytes_max < query.len() {
        return Err(RouteError::QueryTooLong { max: limits.query_bytes_max });
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).count();
    if limits.query_pairs_max < pairs {
        return Err(RouteError::TooManyPairs { max: limits.query_pairs_max });
    }
    let route = parse_path(path, query).ok_or(RouteError::NotFound)?;
    Ok((parse_method(method)?, route))
}

fn parse_method(method: &Method) -> Result<Verb, RouteError> {
    match *method {
        Method::GET => Ok(Verb::Get),
        Method::HEAD => Ok(Verb::Head),
        Method::OPTIONS => Ok(Verb::Options),
        _ => Err(RouteError::Method),
    }
}

fn parse_path<'a>(path: &'a str, query: &str) -> Option<Route<'a>> {
    match path {
        "/" => return Some(Route::Index),
        "/sunset" => return Some(Route::Sunset),
        "/.well-known/sunset.json" => return Some(Route::SunsetDocument),
        "/healthz" => return Some(Route::Healthz),
        "/readyz" => return Some(Route::Readyz),
        "/api/v1/channels" => return Some(Route::Channels),
        "/robots.txt" => return Some(Route::Robots),
        "/favicon.ico" => return Some(Route::Asset(path)),
        _ => {}
    }
    if path.starts_with("/assets/") {
        return Some(Route::Asset(path));
    }
    let mut names = path.strip_prefix('/')?.split('/');
    let first = names.next()?;
    let Some(second) = names.next() else { return channel(first).map(Route::Watch) };
    let third = names.next();
    let fourth = names.next();
    if names.next().is_some() {
        return None;
    }
    match (first, second, third, fourth) {
        ("hls" | "live", file, None, None) => {
            channel(file.strip_suffix(".m3u8")?).map(Route::MultivariantAlias)
        }
        ("embed", name, None, None) => channel(name).map(Route::Embed),
        ("embed", name, Some(""), None) => channel(name).map(Route::Slash),
        ("api", "v1", Some("channels"), Some(name)) => channel(name).map(Route::Channel),
        (name, "", None, None) => channel(name).map(Route::Slash),
        (name, MULTIVARIANT, None, None) => channel(name).map(Route::Multivariant),
        (name, generation, Some(file), None) => {
            broadcast_file(channel(name)?, BroadcastId::parse(generation)?, file, query)
        }
        _ => None,
    }
}

fn broadcast_file(
    channel: ChannelId,
    broadcast: BroadcastId,
    file: &str,
    query: &str,
) -> Option<Route<'static>> {
    match MediaName::parse(file)? {
        MediaName::Playlist(form) => {
            let directives = Directives::parse(query);
            Some(Route::Playlist { channel, broadcast, form, directives })
        }
        name @ (MediaName::Init(_) | MediaName::Segment(_) | MediaName::Part(_)) => {
            Some(Route::Media { channel, broadcast, name })
        }
    }
}

fn channel(name: &str) -> Option<ChannelId> {
    ChannelId::parse(name).ok()
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
