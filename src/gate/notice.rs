use std::time::Duration;

use super::{Operation, Policy, Turn};
use crate::base::WallTime;

/// The header values that tell a client, on every answer, that what it uses will end. Each
/// operation has its own end: playback closes later than publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `Sunset` (RFC 8594): when this operation stops answering, as IMF-fixdate.
    pub sunset: String,
    /// `Deprecation` (RFC 9745): since when people are told, as `@` and Unix seconds.
    pub deprecation: Option<String>,
    /// `Link` to the page that explains both.
    pub link: String,
}

impl Policy {
    /// The notice for answers of `operation`; `None` before the announcement, and for what never
    /// closes. Without an announcement it begins with the closing itself.
    pub fn notice(&self, operation: Operation, now: WallTime) -> Option<Notice> {
        let schedule = self.schedule()?;
        let closing = self.closing_of(operation)?;
        let announced = schedule.at(Turn::Announced);
        let told = if announced.is_some() { Turn::Announced } else { Turn::PublishClose };
        if !self.has_passed(told, now) {
            return None;
        }
        let page = schedule.info_url().map_or("/sunset", |url| url);
        Some(Notice {
            sunset: closing.to_imf_fixdate()?,
            deprecation: announced.map(|at| format!("@{}", at.unix_secs())),
            link: format!(
                "<{page}>; rel=\"sunset\"; type=\"text/html\", \
                 <{page}>; rel=\"deprecation\"; type=\"text/html\""
            ),
        })
    }

    /// The longest that any answer may be kept: no verdict outlives its next edge. `None` is no
    /// bound; less than a second is zero.
    pub fn max_age(&self, now: WallTime) -> Option<Duration> {
        self.next_edge(now).map(|edge| Duration::from_secs(now.until(edge.at).as_secs()))
    }
}
