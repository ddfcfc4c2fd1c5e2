use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{DeclaredInstant, Edge, InstantError, Turn, Zone};
use crate::base::WallTime;

/// The shortest notice between the announcement and the closing that passes without a warning,
/// and the shortest that a later shortening may leave without an override.
pub const NOTICE_MIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long running broadcasts may go on after the closing unless `finish_until` says otherwise.
const FINISH_DEFAULT: Duration = Duration::from_secs(4 * 3600);

/// How much earlier than declared a node may turn at most.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// An RTMP refusal has 200 bytes for everything.
const INFO_URL_BYTES_MAX: usize = 80;

/// The section `sunset` of the configuration, as text. All absent: no end is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleSettings {
    pub announced_at: Option<String>,
    pub keys_close_at: Option<String>,
    pub claims_close_at: Option<String>,
    pub publish_close_at: Option<String>,
    pub finish_until: Option<String>,
    pub settle_at: Option<String>,
    pub archive_close_at: Option<String>,
    pub gone_at: Option<String>,
    /// `finish` (running broadcasts go on until `finish_until`) or `cut`.
    pub policy: Option<String>,
    /// The zone in which pages and lists also show the instants.
    pub time_zone: Option<String>,
    /// Where people read more: an http or https address of at most 80 ASCII characters.
    pub info_url: Option<String>,
    /// `true` lets a reload bring the closing nearer than thirty days.
    pub allow_shorten: Option<String>,
    /// How much earlier than declared this node turns, such as `500ms`: where clocks of several
    /// nodes differ by so much, none of them is late.
    pub skew: Option<String>,
}

impl ScheduleSettings {
    /// The end of Periscope, the service this one remembers; an example of a whole schedule.
    pub fn periscope() -> Self {
        let end_of = |day: &str| Some(format!("{day} end-of-day America/Los_Angeles"));
        Self {
            announced_at: Some("2020-12-15T00:00:00-08:00".to_owned()),
            claims_close_at: end_of("2021-02-01"),
            publish_close_at: end_of("2021-03-31"),
            settle_at: end_of("2021-04-30"),
            time_zone: Some("America/Los_Angeles".to_owned()),
            ..Self::default()
        }
    }

    fn text(&self, turn: Turn) -> Option<&str> {
        match turn {
            Turn::Announced => self.announced_at.as_deref(),
            Turn::KeysClose => self.keys_close_at.as_deref(),
            Turn::ClaimsClose => self.claims_close_at.as_deref(),
            Turn::PublishClose => self.publish_close_at.as_deref(),
            Turn::FinishUntil => self.finish_until.as_deref(),
            Turn::Settle => self.settle_at.as_deref(),
            Turn::ArchiveClose => self.archive_close_at.as_deref(),
            Turn::Gone => self.gone_at.as_deref(),
        }
    }
}

/// What happens to a running broadcast at the closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosingPolicy {
    /// It may run on until `finish_until`.
    Finish,
    /// It ends at the first keyframe at or after the closing.
    Cut,
}

impl ClosingPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Cut => "cut",
        }
    }
}

/// One declared end: instants in order, each naming what it closes. `publish_close_at`,
/// `keys_close_at` and `finish_until` always have a value; the others may be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Ascending by turn and by instant.
    turns: Vec<(Turn, DeclaredInstant)>,
    policy: ClosingPolicy,
    zone: Option<Zone>,
    info_url: Option<Arc<str>>,
    may_shorten: bool,
    /// The words of the setting; the instants are earlier by that already.
    skew: Option<Arc<str>>,
    /// `finish_until` was written but the policy cuts.
    finish_ignored: bool,
}

impl Schedule {
    /// `None` when no instant is set at all. An error names the key at fault.
    pub fn build(settings: &ScheduleSettings) -> Result<Option<Self>, ScheduleError> {
        let policy = parse_policy(settings)?;
        let zone = parse_zone(settings)?;
        let info_url = parse_info_url(settings)?;
        let may_shorten = parse_shorten(settings)?;
        let skew = parse_skew(settings)?;
        let mut turns = Vec::new();
        for turn in Turn::ALL {
            if let Some(text) = settings.text(turn) {
                let instant = DeclaredInstant::parse(text)
                    .map_err(|error| ScheduleError::at(turn, ScheduleFault::Instant(error)))?;
                turns.push((turn, instant));
            }
        }
        if turns.is_empty() {
            return Ok(None);
        }
        check_order(&turns)?;
        let finish_ignored =
            policy == ClosingPolicy::Cut && written(&turns, Turn::FinishUntil).is_some();
        add_defaults(&mut turns, policy)?;
        for (_, instant) in &mut turns {
            instant.turn_earlier(skew);
        }
        let skew = settings.skew.as_deref().map(Arc::from);
        Ok(Some(Self { turns, policy, zone, info_url, may_shorten, skew, finish_ignored }))
    }

    /// The instant of `turn`, if it has one.
    pub fn at(&self, turn: Turn) -> Option<WallTime> {
        self.declared(turn).map(DeclaredInstant::at)
    }

    pub fn declared(&self, turn: Turn) -> Option<&DeclaredInstant> {
        self.turns.iter().find(|(own, _)| *own == turn).map(|(_, instant)| instant)
    }

    /// The closing date: the gate itself.
    pub fn publish_close(&self) -> WallTime {
        self.at(Turn::PublishClose).expect("build refuses a schedule without its closing")
    }

    /// When the last running broadcast ends: `finish_until`, or the closing where it cuts.
    pub fn broadcasts_end(&self) -> WallTime {
        self.at(Turn::FinishUntil).expect("build adds finish_until where it is missing")
    }

    /// All turns with an instant, in order.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        self.turns.iter().map(|(turn, instant)| Edge { turn: *turn, at: instant.at() })
    }

    /// The instant of `turn` or, where the schedule skips it, of the next later one.
    pub fn at_or_after(&self, turn: Turn) -> Option<Edge> {
        self.edges().find(|edge| turn <= edge.turn)
    }

    pub fn policy(&self) -> ClosingPolicy {
        self.policy
    }

    pub fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    pub fn info_url(&self) -> Option<&Arc<str>> {
        self.info_url.as_ref()
    }

    /// How much earlier than declared this node turns, as it was written.
    pub(super) fn skew(&self) -> Option<&str> {
        self.skew.as_deref()
    }

    /// `2021-04-01T07:00:00.000Z = 2021-04-01 00:00:00 -07:00 (America/Los_Angeles)`.
    pub fn show(&self, at: WallTime) -> String {
        match &self.zone {
            Some(zone) => format!("{at} = {}", zone.show(at)),
            None => at.to_string(),
        }
    }

    /// What an operator should hear at the start; nothing here stops the server.
    pub fn warnings(&self) -> Vec<ScheduleWarning> {
        let mut warnings = Vec::new();
        let closing = self.publish_close();
        match self.at(Turn::Announced) {
            None => warnings.push(ScheduleWarning::NotAnnounced),
            Some(announced) if announced.until(closing) < NOTICE_MIN => {
                warnings.push(ScheduleWarning::ShortNotice { notice: announced.until(closing) });
            }
            Some(_) => {}
        }
        if self.finish_ignored {
            warnings.push(ScheduleWarning::FinishIgnored);
        }
        warnings
    }

    /// Whether this schedule may replace `previous` in a running server at `now`. Adding and
    /// extending always may; bringing the closing nearer needs thirty days of notice or the
    /// override, and is refused once the closing has passed.
    pub fn check_shortening(&self, previous: &Self, now: WallTime) -> Result<(), Shortened> {
        let (from, to) = (previous.publish_close(), self.publish_close());
        let shorter = to < from || self.broadcasts_end() < previous.broadcasts_end();
        let enough = NOTICE_MIN <= now.until(to);
        let overridden = self.may_shorten && now < from;
        if shorter && !enough && !overridden { Err(Shortened { from, to }) } else { Ok(()) }
    }
}

/// Why the section `sunset` is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sunset.{key}: {fault}")]
pub struct ScheduleError {
    /// The key at fault, without its section.
    pub key: &'static str,
    pub fault: ScheduleFault,
}

impl ScheduleError {
    fn at(turn: Turn, fault: ScheduleFault) -> Self {
        Self { key: turn.as_str(), fault }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleFault {
    #[error(transparent)]
    Instant(#[from] InstantError),
    #[error("is missing; it is the closing itself, and {because} is set")]
    Missing { because: Turn },
    #[error("{at} is before {earlier} ({earlier_at}); the order is {earlier} <= {later}")]
    WrongOrder { earlier: Turn, earlier_at: WallTime, later: Turn, at: WallTime },
    #[error("{0:?} is neither \"finish\" nor \"cut\"")]
    Policy(String),
    #[error(
        "{0:?} is no http or https address of at most {INFO_URL_BYTES_MAX} ASCII characters \
         without spaces"
    )]
    InfoUrl(String),
    #[error("{0:?} is neither \"true\" nor \"false\"")]
    Flag(String),
    #[error("{0:?} is no length from 0 to {max} s, such as \"500ms\"", max = SKEW_MAX.as_secs())]
    Skew(String),
}

/// The closing came nearer than the notice allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "sunset.publish_close_at: moving the closing from {from} to {to} leaves less than 30 days of \
     notice; set sunset.allow_shorten = \"true\" to do it all the same"
)]
pub struct Shortened {
    pub from: WallTime,
    pub to: WallTime,
}

/// Something unkind or without effect in a valid schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleWarning {
    NotAnnounced,
    ShortNotice { notice: Duration },
    FinishIgnored,
}

impl fmt::Display for ScheduleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnnounced => f.write_str(
                "sunset.announced_at is not set: nobody is told of the end before it comes",
            ),
            Self::ShortNotice { notice } => write!(
                f,
                "only {} hours between the announcement and the closing; 30 days are usual",
                notice.as_secs() / 3600
            ),
            Self::FinishIgnored => f.write_str(
                "sunset.finish_until has no effect under policy cut: broadcasts end at the closing",
            ),
        }
    }
}

/// Adds the turns that always have a value to written ones in order. A default never lies behind
/// a later turn that was written, so it is never the reason why a schedule is refused.
fn add_defaults(
    turns: &mut Vec<(Turn, DeclaredInstant)>,
    policy: ClosingPolicy,
) -> Result<(), ScheduleError> {
    let Some(closing) = written(turns, Turn::PublishClose) else {
        let because = turns.first().map_or(Turn::PublishClose, |(turn, _)| *turn);
        return Err(ScheduleError::at(Turn::PublishClose, ScheduleFault::Missing { because }));
    };
    if written(turns, Turn::KeysClose).is_none() {
        let keys = written(turns, Turn::Announced).unwrap_or_else(|| closing.clone());
        add_no_later(turns, Turn::KeysClose, keys);
    }
    match policy {
        ClosingPolicy::Finish if written(turns, Turn::FinishUntil).is_none() => {
            let end = DeclaredInstant::derived(closing.at() + FINISH_DEFAULT);
            add_no_later(turns, Turn::FinishUntil, end);
        }
        ClosingPolicy::Finish => {}
        ClosingPolicy::Cut => {
            turns.retain(|(turn, _)| *turn != Turn::FinishUntil);
            add_no_later(turns, Turn::FinishUntil, closing);
        }
    }
    Ok(())
}

fn written(turns: &[(Turn, DeclaredInstant)], wanted: Turn) -> Option<DeclaredInstant> {
    turns.iter().find(|(turn, _)| *turn == wanted).map(|(_, instant)| instant.clone())
}

/// Puts `turn` in its place, at `instant` or at the next later turn, whichever comes first.
fn add_no_later(turns: &mut Vec<(Turn, DeclaredInstant)>, turn: Turn, instant: DeclaredInstant) {
    let place = turns.partition_point(|(other, _)| *other < turn);
    let next = turns.get(place).map(|(_, next)| next.clone());
    let instant = next.filter(|next| next.at() < instant.at()).unwrap_or(instant);
    turns.insert(place, (turn, instant));
}

fn check_order(turns: &[(Turn, DeclaredInstant)]) -> Result<(), ScheduleError> {
    let pairs = turns.iter().zip(turns.iter().skip(1));
    for ((earlier, before), (later, after)) in pairs {
        if after.at() < before.at() {
            let fault = ScheduleFault::WrongOrder {
                earlier: *earlier,
                earlier_at: before.at(),
                later: *later,
                at: after.at(),
            };
            return Err(ScheduleError::at(*later, fault));
        }
    }
    Ok(())
}

fn parse_policy(settings: &ScheduleSettings) -> Result<ClosingPolicy, ScheduleError> {
    match settings.policy.as_deref() {
        None | Some("finish") => Ok(ClosingPolicy::Finish),
        Some("cut") => Ok(ClosingPolicy::Cut),
        Some(other) => {
            Err(ScheduleError { key: "policy", fault: ScheduleFault::Policy(other.to_owned()) })
        }
    }
}

fn parse_zone(settings: &ScheduleSettings) -> Result<Option<Zone>, ScheduleError> {
    settings
        .time_zone
        .as_deref()
        .map(Zone::parse)
        .transpose()
        .map_err(|error| ScheduleError { key: "time_zone", fault: ScheduleFault::Instant(error) })
}

fn parse_info_url(settings: &ScheduleSettings) -> Result<Option<Arc<str>>, ScheduleError> {
    let Some(url) = settings.info_url.as_deref() else { return Ok(None) };
    let scheme = url.starts_with("https://") || url.starts_with("http://");
    // Quotes and angle brackets would end the Link header and the attribute it is put into.
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"'\\".contains(&b));
    if scheme && plain && url.len() <= INFO_URL_BYTES_MAX {
        Ok(Some(url.into()))
    } else {
        Err(ScheduleError { key: "info_url", fault: ScheduleFault::InfoUrl(url.to_owned()) })
    }
}

fn parse_skew(settings: &ScheduleSettings) -> Result<Duration, ScheduleError> {
    let Some(text) = settings.skew.as_deref() else { return Ok(Duration::ZERO) };
    let length = text.parse::<jiff::SignedDuration>().ok();
    let length = length.and_then(|length| Duration::try_from(length).ok());
    length
        .filter(|length| *length <= SKEW_MAX)
        .ok_or_else(|| ScheduleError { key: "skew", fault: ScheduleFault::Skew(text.to_owned()) })
}

fn parse_shorten(settings: &ScheduleSettings) -> Result<bool, ScheduleError> {
    match settings.allow_shorten.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ScheduleError {
            key: "allow_shorten",
            fault: ScheduleFault::Flag(other.to_owned()),
        }),
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
