use askama::Template;

use super::assets::{FAVICON_SVG, GHOSTLIGHT_CSS, NOTICES_TXT, PAGE_JS, WATCH_JS};
use super::lang::{Lang, PlayerTexts, Texts};
use crate::base::{ChannelId, WallTime, WebAddress};
use crate::gate::{Change, InstantStatus, OperationState, OperationStatus, StatusDocument, Turn};

/// How a channel stands, for pages and for the status that their script asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Nobody publishes.
    Offline,
    /// Somebody publishes and nothing can be played yet.
    Starting,
    Live,
    /// The publisher's connection broke; it may come back within the resume window.
    Away,
    /// The last broadcast is over and can still be played to its end.
    Ended,
    /// Nobody publishes, and nobody can any more.
    Closed,
}

impl ChannelState {
    /// The word in addresses' answers, attributes and styles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Away => "away",
            Self::Ended => "ended",
            Self::Closed => "closed",
        }
    }
}

/// What every page needs to know, whatever it is about.
#[derive(Clone, Debug)]
pub struct Visit {
    pub lang: Lang,
    /// Where viewers find this server, if that is known. Never what a request says.
    pub public_url: Option<WebAddress>,
    pub now: WallTime,
    /// The server plays a time: every page says so.
    pub rehearsal: bool,
    /// The closing date of new broadcasts, once it may be spoken of.
    pub closing: Option<WallTime>,
}

/// `/`
#[derive(Clone, Debug)]
pub struct IndexPage {
    /// In the order in which they are shown.
    pub channels: Vec<LiveChannel>,
    /// Where to publish; `None` once nobody can start any more.
    pub rtmp_port: Option<u16>,
}

/// A channel with a broadcast.
#[derive(Clone, Debug)]
pub struct LiveChannel {
    pub channel: ChannelId,
    pub state: ChannelState,
    pub started_at: WallTime,
}

/// `/<channel>` and `/embed/<channel>`
#[derive(Clone, Debug)]
pub struct WatchPage {
    pub channel: ChannelId,
    pub state: ChannelState,
    /// The document that `/api/v1/channels/<channel>` answers with, so that the player needs no
    /// question before its first frame.
    pub status: String,
}

/// `/`: who is live, and how to be.
pub fn index(visit: &Visit, page: &IndexPage) -> String {
    let shell = Shell::new(visit, PAGE_JS).at("/", "Ghostlight");
    render(&IndexTemplate { shell, page })
}

/// `/<channel>`: the player with everything around it.
pub fn watch(visit: &Visit, page: &WatchPage) -> String {
    render(&WatchTemplate {
        shell: Shell::of_channel(visit, page),
        player: Player::new(visit, page),
    })
}

/// `/embed/<channel>`: the player alone, for frames on other sites.
pub fn embed(visit: &Visit, page: &WatchPage) -> String {
    render(&EmbedTemplate {
        shell: Shell::of_channel(visit, page),
        player: Player::new(visit, page),
    })
}

/// `/sunset`: what closes when, what still works. It answers 200 in every phase.
pub fn sunset(visit: &Visit, status: &StatusDocument) -> String {
    let shell = Shell::new(visit, PAGE_JS).at("/sunset", visit.lang.texts().sunset);
    render(&SunsetTemplate { shell, status, ended: None })
}

/// 410: the page of a channel that will never be live again, with the content of [`sunset`].
pub fn gone(visit: &Visit, channel: &ChannelId, status: &StatusDocument) -> String {
    render(&SunsetTemplate { shell: Shell::new(visit, PAGE_JS), status, ended: Some(channel) })
}

/// 404. What was asked for is not repeated.
pub fn not_found(visit: &Visit) -> String {
    render(&NotFoundTemplate { shell: Shell::new(visit, PAGE_JS) })
}

/// What the layout shows around every page.
struct Shell<'a> {
    visit: &'a Visit,
    lang: &'static str,
    text: &'static Texts,
    script: &'static str,
    style: &'static str,
    favicon: &'static str,
    notices: &'static str,
    place: Option<Place<'a>>,
}

/// The one address of a page, whichever way somebody came to it, and its name in a preview.
struct Place<'a> {
    address: String,
    title: &'a str,
}

impl<'a> Shell<'a> {
    fn new(visit: &'a Visit, script: &'static str) -> Self {
        Self {
            visit,
            lang: visit.lang.tag(),
            text: visit.lang.texts(),
            script,
            style: GHOSTLIGHT_CSS,
            favicon: FAVICON_SVG,
            notices: NOTICES_TXT,
            place: None,
        }
    }

    /// Of a channel's pages the embedded one is a part of the other.
    fn of_channel(visit: &'a Visit, page: &'a WatchPage) -> Self {
        let channel = page.channel.as_str();
        Self::new(visit, WATCH_JS).at(&format!("/{channel}"), channel)
    }

    /// Says where the page is, if the server knows its own address.
    fn at(mut self, path: &str, title: &'a str) -> Self {
        let public_url = self.visit.public_url.as_ref();
        self.place = public_url.map(|url| Place { address: format!("{url}{path}"), title });
        self
    }
}

/// The player and what its script must know.
struct Player<'a> {
    page: &'a WatchPage,
    /// What the player says before its script does.
    says: &'static str,
    badge: &'static str,
    text: &'static PlayerTexts,
    /// `text` as JSON.
    texts: String,
}

impl<'a> Player<'a> {
    fn new(visit: &Visit, page: &'a WatchPage) -> Self {
        let text = &visit.lang.texts().player;
        let texts = serde_json::to_string(text).expect("a struct of strings is always JSON");
        let (says, badge) = (visit.lang.state(page.state), visit.lang.badge(page.state));
        Self { page, says, badge, text, texts }
    }
}

#[derive(Template)]
#[template(path = "index.html", config = "src/web/askama.toml")]
struct IndexTemplate<'a> {
    shell: Shell<'a>,
    page: &'a IndexPage,
}

#[derive(Template)]
#[template(path = "watch.html", config = "src/web/askama.toml")]
struct WatchTemplate<'a> {
    shell: Shell<'a>,
    player: Player<'a>,
}

#[derive(Template)]
#[template(path = "embed.html", config = "src/web/askama.toml")]
struct EmbedTemplate<'a> {
    shell: Shell<'a>,
    player: Player<'a>,
}

#[derive(Template)]
#[template(path = "sunset.html", config = "src/web/askama.toml")]
struct SunsetTemplate<'a> {
    shell: Shell<'a>,
    status: &'a StatusDocument,
    /// The channel whose address was asked for.
    ended: Option<&'a ChannelId>,
}

impl SunsetTemplate<'_> {
    fn phase(&self) -> &'static str {
        self.shell.visit.lang.phase(self.status.phase)
    }

    /// What happens at an instant; the bare name for one that has no words here.
    fn turn<'a>(&self, instant: &'a InstantStatus) -> &'a str {
        Turn::parse(instant.name).map_or(instant.name, |turn| self.shell.visit.lang.turn(turn))
    }

    fn operation(&self, row: &OperationStatus) -> &'static str {
        self.shell.visit.lang.operation(row.operation)
    }

    fn state(&self, row: &OperationStatus) -> &'static str {
        match row.state {
            OperationState::Allowed => self.shell.text.works,
            OperationState::RunningOnly => self.shell.text.works_running,
            OperationState::Refused => self.shell.text.works_not,
        }
    }

    /// The class that colours a row.
    fn mark(&self, row: &OperationStatus) -> &'static str {
        match row.state {
            OperationState::Allowed => "open",
            OperationState::RunningOnly => "partly",
            OperationState::Refused => "closed",
        }
    }

    /// Where the operator tells more, if that is a web address.
    fn info(&self) -> Option<&str> {
        let is_web = |info: &&str| info.starts_with("https://") || info.starts_with("http://");
        self.status.info.as_deref().filter(is_web)
    }

    fn history(&self) -> impl Iterator<Item = &Change> {
        self.status.history.iter().rev()
    }

    /// One line of the history: what the gate wrote down, in the language of the page. A reason
    /// stays in the operator's own words.
    fn change(&self, change: &Change) -> String {
        let text = self.shell.text;
        let label = match &*change.kind {
            "declared" => text.history_declared,
            "closed" => text.history_closed,
            "reopened" => return format!("{} {}", text.history_reopened, change.text),
            _ => return change.text.clone(),
        };
        let lang = self.shell.visit.lang;
        let turns = change.turns();
        let turns = turns.map(|(turn, at)| format!("{} ({})", lang.turn(turn), utc_exact(at)));
        let turns: Vec<_> = turns.collect();
        if turns.is_empty() {
            return text.no_end.to_owned();
        }
        format!("{label} {}", turns.join("; "))
    }
}

#[derive(Template)]
#[template(path = "not_found.html", config = "src/web/askama.toml")]
struct NotFoundTemplate<'a> {
    shell: Shell<'a>,
}

fn render(template: &impl Template) -> String {
    template.render().expect("writing to a string does not fail")
}

/// `2021-04-01 06:59:59 UTC`: an instant that every language reads the same way.
fn utc(instant: impl ToString) -> String {
    let text = instant.to_string();
    let Some((date, time)) = text.split_once('T') else { return text };
    let seconds = time.split(['.', 'Z']).next().unwrap_or(time);
    format!("{date} {seconds} UTC")
}

/// The same for an instant of the schedule, with its milliseconds where it has any: what closes
/// does so exactly then.
fn utc_exact(instant: impl ToString) -> String {
    let text = instant.to_string();
    let Some((date, time)) = text.split_once('T') else { return text };
    let time = time.trim_end_matches('Z');
    format!("{date} {} UTC", time.strip_suffix(".000").unwrap_or(time))
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
