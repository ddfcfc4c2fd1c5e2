use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::body::PartBody;
use super::fields;
use super::site::{Good, Readiness, Viewers};
use super::status::{Keep, Problem};
use crate::base::{ChannelId, Now, WallTime};
use crate::gate::{Operation, Phase, Policy, Refusal, Verdict};
use crate::live::{Advice, Rendition, RenditionState};
use crate::web::ChannelState;

/// How long the status of a channel may be kept.
const STATUS_KEPT: Keep = Keep::For(Duration::from_secs(1));

/// How a channel stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// There is a broadcast, running or just over.
    Broadcast(Arc<Rendition>),
    Offline,
    /// Offline, and nobody can start any more.
    Closed(Refusal),
}

impl Standing {
    pub(super) fn of(site: &Viewers, channel: &ChannelId, now: Now) -> Result<Self, Problem> {
        if let Some(rendition) = playable(site, channel) {
            return Ok(Self::Broadcast(rendition));
        }
        if !site.context.keys.has_channel(channel) {
            return Err(Problem::ChannelUnknown);
        }
        let policy = &site.notices.at(now.wall).policy;
        Ok(start_refusal(policy, now.wall).map_or(Self::Offline, Self::Closed))
    }

    pub(super) fn state(&self) -> ChannelState {
        match self {
            Self::Broadcast(rendition) => match rendition.state() {
                RenditionState::Starting => ChannelState::Starting,
                RenditionState::Live => ChannelState::Live,
                RenditionState::Away => ChannelState::Away,
                RenditionState::Ended { .. } => ChannelState::Ended,
            },
            Self::Offline => ChannelState::Offline,
            Self::Closed(_) => ChannelState::Closed,
        }
    }

    pub(super) fn rendition(&self) -> Option<&Arc<Rendition>> {
        match self {
            Self::Broadcast(rendition) => Some(rendition),
            Self::Offline | Self::Closed(_) => None,
        }
    }
}

/// The newest broadcast of a channel, unless it ended so long ago that its playlist is no longer
/// served.
pub(super) fn playable(site: &Viewers, channel: &ChannelId) -> Option<Arc<Rendition>> {
    let rendition = site.context.directory.current(channel)?;
    match rendition.state() {
        RenditionState::Ended { .. } if rendition.published().is_none() => None,
        RenditionState::Ended { .. }
        | RenditionState::Starting
        | RenditionState::Live
        | RenditionState::Away => Some(rendition),
    }
}

/// The gate's no to new broadcasts for good; that this node drains, or that a clock is wrong,
/// says nothing about the channel.
pub(super) fn start_refusal(policy: &Policy, now: WallTime) -> Option<Refusal> {
    match policy.decide(Operation::Start, now) {
        Verdict::Allow { .. } => None,
        Verdict::Refuse(refusal) => refusal.as_closed().is_some().then_some(refusal),
    }
}

/// Every channel with a broadcast that runs, by name.
pub(super) fn standings(site: &Viewers) -> Vec<(ChannelId, Standing)> {
    let renditions = site.context.directory.list().into_iter();
    let standings =
        renditions.map(|rendition| (rendition.channel().clone(), Standing::Broadcast(rendition)));
    standings.filter(|(_, standing)| standing.state() != ChannelState::Ended).collect()
}

/// The status of a channel: what `/api/v1/channels/<channel>` answers and the page carries along.
#[derive(Serialize)]
struct ChannelDocument<'a> {
    channel: &'a str,
    state: &'static str,
    broadcast: Option<String>,
    /// Where the multivariant playlist is, on this server.
    playlist: Option<String>,
    started_at: Option<String>,
    latency_target_seconds: f64,
    advice: Vec<AdviceDocument>,
    server_time: String,
    sunset: Option<SunsetSummary>,
}

/// One thing the broadcaster could set better.
#[derive(Serialize)]
struct AdviceDocument {
    kind: &'static str,
    seconds: f64,
    wanted_seconds: f64,
    text: String,
}

fn advise(rendition: &Arc<Rendition>) -> Vec<AdviceDocument> {
    let document = |advice: Advice| match advice {
        Advice::KeyframeInterval { measured, wanted } => AdviceDocument {
            kind: advice.as_str(),
            seconds: measured.as_secs_f64(),
            wanted_seconds: wanted.as_secs_f64(),
            text: advice.to_string(),
        },
    };
    rendition.advice().into_iter().map(document).collect()
}

/// The end in two words, once it may be spoken of.
#[derive(Serialize)]
struct SunsetSummary {
    phase: Phase,
    publish_close_at: Option<String>,
}

#[derive(Serialize)]
struct ChannelsDocument<'a> {
    channels: Vec<ChannelDocument<'a>>,
    server_time: String,
}

fn describe<'a>(
    site: &Viewers,
    channel: &'a ChannelId,
    standing: &Standing,
    now: Now,
) -> ChannelDocument<'a> {
    let rendition = standing.rendition();
    let policy = &site.notices.at(now.wall).policy;
    let told = policy.notice(Operation::Start, now.wall).is_some();
    ChannelDocument {
        channel: channel.as_str(),
        state: standing.state().as_str(),
        broadcast: rendition.map(|rendition| rendition.broadcast_id().to_string()),
        playlist: rendition.map(|_| format!("/{channel}/index.m3u8")),
        started_at: rendition.map(|rendition| rendition.started_at().wall.to_string()),
        latency_target_seconds: site.context.settings.latency_target.as_secs_f64(),
        advice: rendition.map(advise).unwrap_or_default(),
        server_time: now.wall.to_string(),
        sunset: told.then(|| SunsetSummary {
            phase: policy.phase(now.wall),
            publish_close_at: policy.closing_of(Operation::Start).map(|at| at.to_string()),
        }),
    }
}

/// The document as the page carries it.
pub(super) fn channel_document(
    site: &Viewers,
    channel: &ChannelId,
    standing: &Standing,
    now: Now,
) -> String {
    render(&describe(site, channel, standing, now))
}

/// `/api/v1/channels/<channel>`
pub(super) fn channel(site: &Viewers, channel: &ChannelId, now: Now) -> Result<Good, Problem> {
    let standing = Standing::of(site, channel, now)?;
    Ok(json(channel_document(site, channel, &standing, now)))
}

/// `/api/v1/channels`
pub(super) fn channels(site: &Viewers, now: Now) -> Good {
    let standings = standings(site);
    let channels =
        standings.iter().map(|(channel, standing)| describe(site, channel, standing, now));
    let document =
        ChannelsDocument { channels: channels.collect(), server_time: now.wall.to_string() };
    json(render(&document))
}

/// `/.well-known/sunset.json`
pub(super) fn sunset(site: &Viewers, now: Now) -> Good {
    json(render(&site.notices.at(now.wall).policy.status(now.wall)))
}

/// `/healthz`: the process answers.
pub(super) fn healthz() -> Good {
    Good::new(PartBody::one(Bytes::from_static(b"ok\n")), fields::TEXT, Keep::Never)
}

/// `/readyz`: it wants viewers, which it does not while it starts or drains (D38).
pub(super) fn readyz(readiness: &Readiness) -> Result<Good, Problem> {
    if readiness.is_ready() { Ok(healthz()) } else { Err(Problem::NotReady) }
}

fn json(text: String) -> Good {
    Good::new(PartBody::one(Bytes::from(text)), fields::JSON, STATUS_KEPT)
}

fn render(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("a struct of texts and numbers is always JSON")
}
