use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use tokio::time::timeout;

use super::answer::{Answer, Visit};
use super::api::{self, Standing};
use super::ask::Ask;
use super::body::PartBody;
use super::directives::{AskError, Directives, Skip};
use super::fields;
use super::holds::Holder;
use super::range::{self, RangeAsk};
use super::site::{Good, Viewers};
use super::status::{Keep, Problem};
use crate::base::{BroadcastId, ChannelId, Now, Pressure};
use crate::live::{
    Media, MediaBody, MediaKind, MediaName, PlaylistForm, Published, Rendition, RenditionState,
    Text, Wait, WaitRefusal, Want,
};

/// How long a request waits for a broadcast that starts to have something to play. Encoders that
/// send a keyframe every eight seconds are the slowest that are common.
const STARTING_WAIT_MAX: Duration = Duration::from_secs(12);
/// Longest hold, in segment targets (draft-pantos-hls-rfc8216bis 6.2.5.2).
const HOLD_TARGETS_MAX: u32 = 3;
/// How long answers that cannot change any more, or were waited for, are kept: in segment targets
/// (Appendix B.1).
const HELD_KEPT_TARGETS: u32 = 6;
/// The multivariant playlist follows a reconnect with another codec (H70).
const MULTIVARIANT_KEPT: Duration = Duration::from_secs(1);

/// What was found for a request, before it takes the form that the request asks for.
enum Found {
    Multivariant(Arc<Text>),
    Playlist(Arc<Published>, Directives),
    Plain(Arc<Published>),
    /// Media, and the segment target of its playlist.
    Media(MediaBody, Duration),
}

/// `/<channel>/index.m3u8` and its aliases; `prefix` leads from there to the channel. Players ask
/// for it when they begin: whoever does is a new viewer.
pub(super) fn multivariant(
    site: &Arc<Viewers>,
    ask: Ask,
    visit: &Visit,
    channel: &ChannelId,
    prefix: &str,
    now: Now,
) -> Answer {
    let Some(rendition) = api::playable(site, channel) else {
        return answer(site, &ask, Err(absent(site, channel, now)), now);
    };
    let form = match site.context.pressure.get() {
        Pressure::None => PlaylistForm::LowLatency,
        Pressure::PlainPlaylists => PlaylistForm::Plain,
        Pressure::NoNewViewers | Pressure::NoNewBroadcasts => {
            return answer(site, &ask, Err(Problem::Overloaded), now);
        }
    };
    if let Some(text) = rendition.multivariant(prefix, form) {
        return answer(site, &ask, Ok(Found::Multivariant(text)), now);
    }
    let prefix = prefix.to_owned();
    hold(site, ask, visit, rendition.broadcast_id(), now, async move {
        first_published(&rendition).await?;
        let text = rendition.multivariant(&prefix, form).ok_or_else(|| nothing(&rendition))?;
        Ok(Found::Multivariant(text))
    })
}

/// `/<channel>/<broadcast>/live.m3u8`
pub(super) fn playlist(
    site: &Arc<Viewers>,
    ask: Ask,
    visit: &Visit,
    (channel, broadcast): (&ChannelId, BroadcastId),
    directives: Result<Directives, AskError>,
    now: Now,
) -> Answer {
    let Some(rendition) = site.context.directory.find(channel, broadcast) else {
        return answer(site, &ask, Err(unknown(site, channel, now)), now);
    };
    let published = rendition.published();
    // H30: after the end every directive is ignored, the wrong ones too.
    if let Some(last) = published.as_ref().filter(|published| published.ended) {
        let found = Found::Playlist(Arc::clone(last), Directives::default());
        return answer(site, &ask, Ok(found), now);
    }
    let directives = match directives {
        Ok(directives) => directives,
        Err(err) => return answer(site, &ask, Err(err.into()), now),
    };
    let Some(published) = published else {
        return hold(site, ask, visit, broadcast, now, async move {
            Ok(Found::Playlist(first_published(&rendition).await?, directives))
        });
    };
    let Some((msn, part)) = directives.want else {
        return answer(site, &ask, Ok(Found::Playlist(published, directives)), now);
    };
    match rendition.wait_for(Want { msn, part }) {
        Wait::Ready(ready) => answer(site, &ask, Ok(Found::Playlist(ready, directives)), now),
        Wait::Refused(WaitRefusal::TooFarAhead) => {
            answer(site, &ask, Err(Problem::TooFarAhead), now)
        }
        Wait::Refused(WaitRefusal::Gone) => answer(site, &ask, Err(nothing(&rendition)), now),
        Wait::Later(coming) => {
            let waited = published.targets.segment * HOLD_TARGETS_MAX;
            // The version of now is not kept alive while its successor is awaited.
            drop(published);
            hold(site, ask, visit, broadcast, now, async move {
                let late = |_| Problem::HeldTooLong { waited };
                let published = timeout(waited, coming.arrive()).await.map_err(late)?;
                let published = published.ok_or_else(|| nothing(&rendition))?;
                Ok(Found::Playlist(published, directives))
            })
        }
    }
}

/// `/<channel>/<broadcast>/plain.m3u8`: never held for a part, whatever is asked.
pub(super) fn plain(
    site: &Arc<Viewers>,
    ask: Ask,
    visit: &Visit,
    (channel, broadcast): (&ChannelId, BroadcastId),
    now: Now,
) -> Answer {
    let Some(rendition) = site.context.directory.find(channel, broadcast) else {
        return answer(site, &ask, Err(unknown(site, channel, now)), now);
    };
    if let Some(published) = rendition.published() {
        return answer(site, &ask, Ok(Found::Plain(published)), now);
    }
    hold(site, ask, visit, broadcast, now, async move {
        Ok(Found::Plain(first_published(&rendition).await?))
    })
}

/// `/<channel>/<broadcast>/<name>`
pub(super) fn media(
    site: &Arc<Viewers>,
    ask: Ask,
    visit: &Visit,
    (channel, broadcast): (&ChannelId, BroadcastId),
    name: MediaName,
    now: Now,
) -> Answer {
    let Some(rendition) = site.context.directory.find(channel, broadcast) else {
        return answer(site, &ask, Err(unknown(site, channel, now)), now);
    };
    let target = segment_target(&rendition);
    let coming = match rendition.media(&name) {
        Media::Hinted(coming) => coming,
        known @ (Media::Ready(_) | Media::Gap | Media::Gone | Media::Unknown) => {
            return answer(site, &ask, settle(known, &rendition, target), now);
        }
    };
    let waited = target * HOLD_TARGETS_MAX;
    hold(site, ask, visit, broadcast, now, async move {
        let late = |_| Problem::HeldTooLong { waited };
        settle(timeout(waited, coming.arrive()).await.map_err(late)?, &rendition, target)
    })
}

/// What is to be said of media that need not be waited for.
fn settle(media: Media, rendition: &Rendition, target: Duration) -> Result<Found, Problem> {
    match media {
        Media::Ready(body) => Ok(Found::Media(body, target)),
        Media::Gap => Err(Problem::MediaMissing),
        // A hint that is not kept: the broadcast went on with another part (H83).
        Media::Gone | Media::Unknown | Media::Hinted(_) => Err(match rendition.state() {
            RenditionState::Ended { .. } => nothing(rendition),
            RenditionState::Starting | RenditionState::Live | RenditionState::Away => {
                Problem::MediaUnknown
            }
        }),
    }
}

/// Holds a request until `found` is ready, if there is room for one more (W4). What is held is
/// one allocation: the request's few facts, its place, and the timer inside `found`. Dropping it
/// frees the place.
fn hold(
    site: &Arc<Viewers>,
    ask: Ask,
    visit: &Visit,
    broadcast: BroadcastId,
    now: Now,
    found: impl Future<Output = Result<Found, Problem>> + Send + 'static,
) -> Answer {
    let holder = Holder { address: ask.client, pulse: Arc::clone(&visit.pulse) };
    let Some(place) = site.holds.take(broadcast, holder) else {
        return answer(site, &ask, Err(Problem::TooManyHeld), now);
    };
    let site = Arc::clone(site);
    Answer::Held(Box::pin(async move {
        let found = found.await;
        drop(place);
        let good = found.and_then(|found| good(&ask, found));
        site.finish(&ask, good, site.context.clock.now())
    }))
}

fn answer(site: &Viewers, ask: &Ask, found: Result<Found, Problem>, now: Now) -> Answer {
    site.answer_now(ask, found.and_then(|found| good(ask, found)), now)
}

/// The first playlist of a broadcast that starts.
async fn first_published(rendition: &Rendition) -> Result<Arc<Published>, Problem> {
    let first = timeout(STARTING_WAIT_MAX, rendition.first_published()).await;
    first.ok().flatten().ok_or_else(|| nothing(rendition))
}

/// Why a broadcast has no playlist.
fn nothing(rendition: &Rendition) -> Problem {
    match rendition.state() {
        RenditionState::Ended { at, .. } => Problem::BroadcastEnded { at: at.wall },
        RenditionState::Starting | RenditionState::Live | RenditionState::Away => {
            Problem::ChannelStarting { channel: rendition.channel().clone() }
        }
    }
}

/// Why there is nothing to play on a channel.
fn absent(site: &Viewers, channel: &ChannelId, now: Now) -> Problem {
    match Standing::of(site, channel, now) {
        Err(problem) => problem,
        Ok(Standing::Closed(refusal)) => Problem::Refused(refusal),
        Ok(Standing::Offline | Standing::Broadcast(_)) => {
            Problem::ChannelOffline { channel: channel.clone() }
        }
    }
}

/// Why there is no such broadcast.
fn unknown(site: &Viewers, channel: &ChannelId, now: Now) -> Problem {
    let why = absent(site, channel, now);
    if matches!(why, Problem::ChannelOffline { .. }) { Problem::BroadcastUnknown } else { why }
}

fn segment_target(rendition: &Rendition) -> Duration {
    rendition.published().map_or(Duration::from_secs(1), |published| published.targets.segment)
}

fn good(ask: &Ask, found: Found) -> Result<Good, Problem> {
    match found {
        Found::Multivariant(text) => Ok(text_good(ask, &text, Keep::For(MULTIVARIANT_KEPT))),
        Found::Playlist(published, directives) => Ok(playlist_good(ask, &published, directives)),
        Found::Plain(published) => {
            let keep = Keep::For(kept(&published, false));
            Ok(text_good(ask, published.plain(), keep))
        }
        Found::Media(body, target) => media_good(ask, body, target),
    }
}

fn playlist_good(ask: &Ask, published: &Published, directives: Directives) -> Good {
    let delta = directives.skip.and_then(|skip| match skip {
        // No date range is ever skipped: both words get the same delta (H101).
        Skip::Segments | Skip::DateRanges => published.delta.as_ref(),
    });
    let keep = Keep::For(kept(published, directives.want.is_some()));
    text_good(ask, delta.unwrap_or(&published.playlist), keep)
}

/// How long a playlist may be kept: for long when its address, with what it `waited` for, names
/// this version and no other.
fn kept(published: &Published, waited: bool) -> Duration {
    let target = published.targets.segment;
    if published.ended || waited { target * HELD_KEPT_TARGETS } else { target / 2 }
}

/// A text that was rendered and packed once for everybody (H109).
fn text_good(ask: &Ask, text: &Text, keep: Keep) -> Good {
    // The packed form is another representation, so it has a tag of its own.
    let coding = if ask.gzip { "-gzip" } else { "" };
    let etag = format!("\"{}{coding}\"", text.etag());
    let unchanged = ask.holds(etag.as_bytes());
    let body = match (unchanged, ask.gzip) {
        (true, _) => PartBody::empty(),
        (false, true) => PartBody::one(text.gzip().clone()),
        (false, false) => PartBody::one(text.plain().clone()),
    };
    let mut good = Good::new(body, fields::PLAYLIST, keep);
    if unchanged {
        good = good.with_status(StatusCode::NOT_MODIFIED);
    } else if ask.gzip {
        good.headers().insert(header::CONTENT_ENCODING, fields::GZIP);
    }
    let etag = HeaderValue::try_from(etag).expect("an entity tag is plain ASCII");
    good.headers().insert(header::ETAG, etag);
    good.headers().insert(header::VARY, fields::VARY_ENCODING);
    good
}

/// Media, whole or the asked range of it (H113).
fn media_good(ask: &Ask, media: MediaBody, target: Duration) -> Result<Good, Problem> {
    let body = PartBody::list(media.chunks);
    let len = body.remaining();
    let content_type = match (media.audio_only, media.kind) {
        (true, MediaKind::Init | MediaKind::Segment | MediaKind::Part) => fields::AUDIO,
        (false, MediaKind::Init) => fields::INIT,
        (false, MediaKind::Segment | MediaKind::Part) => fields::FRAGMENT,
    };
    let keep = match media.kind {
        MediaKind::Init | MediaKind::Segment => Keep::Always,
        // Its bytes never change either, but nobody asks for a part once its segment is whole.
        MediaKind::Part => Keep::For(target * HELD_KEPT_TARGETS),
    };
    let mut good = match range::parse(ask.range.as_ref().map(HeaderValue::as_bytes), len) {
        RangeAsk::Whole => Good::new(body, content_type, keep),
        RangeAsk::Part(range) => {
            let field = format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1));
            let field = HeaderValue::from_str(&field).expect("digits make a field value");
            let mut good = Good::new(body.slice(range), content_type, keep)
                .with_status(StatusCode::PARTIAL_CONTENT);
            good.headers().insert(header::CONTENT_RANGE, field);
            good
        }
        RangeAsk::Unsatisfiable => return Err(Problem::RangeOutside { len }),
    };
    good.headers().insert(header::ACCEPT_RANGES, fields::BYTES);
    Ok(good)
}
