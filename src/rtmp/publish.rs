//! One accepted publication: media messages in, frames to the hub out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};

use super::amf::{Object, Value};
use super::context::Context;
use super::metrics::{PublisherBytes, Raised, Slowed};
use super::pace::{Advice, Pace, Place};
use super::session::Event;
use super::status::Cause;
use crate::accounts::{KeyGrant, Keys};
use crate::base::{ChannelId, KeyId, Limits, MonoTime, Now, WallTime};
use crate::gate::{Admission, Operation, Policy, StartPermit, Verdict};
use crate::hub::{EndReason, Publication, Publisher, StartError, WriteError};
use crate::media::{Frame, Intake, MetadataHint, TrackKind};

/// From the accepted `publish` to its end.
pub(super) struct Publishing {
    grant: KeyGrant,
    publisher: Publisher,
    intake: Intake,
    stage: Stage,
    /// The instant at which it must end, as the schedule said last.
    until: Option<WallTime>,
    pace: Pace,
    paused_until: Option<MonoTime>,
    revoked: broadcast::Receiver<KeyId>,
    policy: watch::Receiver<Arc<Policy>>,
    bytes: PublisherBytes,
    _counted: Raised,
}

enum Stage {
    /// Allowed, without a frame so far. The broadcast begins, and an older publisher is replaced,
    /// only with the first frame that a viewer can decode. A permit is no place to park: it is
    /// void when no such frame has come for [`Limits::permit_time_max`] `since` the `publish` command.
    Allowed {
        permit: StartPermit,
        since: MonoTime,
    },
    /// The hub is being asked; left only by an error.
    Starting,
    Live(Publication),
}

impl Publishing {
    /// `since` is when the `publish` command was complete.
    pub(super) fn new(
        grant: KeyGrant,
        permit: StartPermit,
        publisher: Publisher,
        revoked: broadcast::Receiver<KeyId>,
        since: MonoTime,
        context: &Context,
    ) -> Self {
        Self {
            bytes: context.metrics.of_publisher(&grant.channel, publisher.conn),
            grant,
            publisher,
            intake: Intake::new(&context.limits),
            until: permit.until(),
            stage: Stage::Allowed { permit, since },
            pace: Pace::new(&context.limits),
            paused_until: None,
            revoked,
            policy: context.gatekeeper.policy(),
            _counted: Raised::new(&context.metrics.publishers),
        }
    }

    pub(super) fn channel(&self) -> &ChannelId {
        &self.grant.channel
    }

    pub(super) fn key(&self) -> &KeyId {
        &self.grant.key
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.bytes.add(bytes);
    }

    /// Until when nothing more shall be read from this publisher, nor taken of what was read.
    pub(super) fn paused_until(&self) -> Option<MonoTime> {
        self.paused_until
    }

    /// Until when nothing is expected that viewers wait for.
    pub(super) fn lull(&self, now: MonoTime) -> Option<MonoTime> {
        match &self.stage {
            Stage::Live(publication) => publication.lull(now),
            Stage::Allowed { .. } | Stage::Starting => None,
        }
    }

    /// Takes a message and writes the frames it completes.
    pub(super) async fn handle_event(
        &mut self,
        event: Event,
        now: Now,
        context: &Context,
    ) -> Result<(), Cause> {
        match event {
            Event::Video { timestamp, body } => {
                self.judge_stamp(TrackKind::Video, timestamp, now.mono, context);
                self.intake.handle_video(timestamp, body, now.mono).map_err(Cause::Media)?;
            }
            Event::Audio { timestamp, body } => {
                self.judge_stamp(TrackKind::Audio, timestamp, now.mono, context);
                self.intake.handle_audio(timestamp, body, now.mono).map_err(Cause::Media)?;
            }
            Event::Metadata(object) => {
                let hint = hint(&object);
                if hint.encoder.is_some() {
                    self.publisher.encoder = hint.encoder.clone();
                }
                self.intake.handle_metadata(hint);
            }
            Event::PublishAsked(_) | Event::PublishEnded => return Ok(()),
        }
        self.write_frames(now, context).await
    }

    /// To be called five to ten times a second.
    pub(super) async fn handle_tick(&mut self, now: Now, context: &Context) -> Result<(), Cause> {
        if self.paused_until.is_some_and(|until| until <= now.mono) {
            self.paused_until = None;
        }
        if self.policy.has_changed().unwrap_or(false) {
            self.handle_policy(now);
        }
        self.intake.handle_tick(now.mono).map_err(Cause::Media)?;
        // A publisher that sends no keyframe any more does not outlive the closing for that.
        let grace = context.limits.closing_grace_max;
        if self.is_closed(now, grace, context) {
            return Err(Cause::ServiceClosed);
        }
        if let Stage::Allowed { since, .. } = self.stage {
            check_permit(since, now.mono, &context.limits)?;
        }
        self.write_frames(now, context).await
    }

    /// Why this must end at once: the hub stopped it, for another reason than was `heard`, or its
    /// key was revoked.
    pub(super) fn stopped(&mut self, heard: Option<EndReason>, keys: &Keys) -> Option<EndReason> {
        let by_hub = match &self.stage {
            Stage::Live(publication) => publication.stop_reason().filter(|&by| Some(by) != heard),
            Stage::Allowed { .. } | Stage::Starting => None,
        };
        by_hub.or_else(|| self.is_revoked(keys).then_some(EndReason::KeyRevoked))
    }

    fn is_revoked(&mut self, keys: &Keys) -> bool {
        loop {
            match self.revoked.try_recv() {
                Ok(key) if key == self.grant.key => return true,
                Err(TryRecvError::Lagged(_)) if !keys.is_active(&self.grant.key) => return true,
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return false,
            }
        }
    }

    /// Ends the publication for this cause. Frames that waited for the other track are its last,
    /// unless something ended it that lets nothing more through.
    pub(super) fn finish(mut self, cause: &Cause, now: MonoTime) {
        let Stage::Live(mut publication) = self.stage else { return };
        let reason = cause.end_reason();
        if matches!(reason, EndReason::Finished | EndReason::Lost | EndReason::Draining) {
            self.intake.handle_end();
            while let Some(frame) = self.intake.next_frame() {
                if publication.write(frame, now).is_err() {
                    break;
                }
            }
        }
        publication.finish(reason, now);
    }

    /// Takes over a schedule that was moved while this runs.
    fn handle_policy(&mut self, now: Now) {
        let policy = self.policy.borrow_and_update().clone();
        match policy.decide(Operation::Keep, now.wall) {
            Verdict::Allow { until } => self.until = until,
            Verdict::Refuse(refusal) if refusal.as_closed().is_some() => {
                self.until = Some(now.wall)
            }
            // A clock in doubt or a draining node refuses newcomers and ends nobody.
            Verdict::Refuse(_) => {}
        }
    }

    async fn write_frames(&mut self, now: Now, context: &Context) -> Result<(), Cause> {
        while let Some(frame) = self.intake.next_frame() {
            self.write_frame(frame, now, context).await?;
        }
        while let Some(notice) = self.intake.next_notice() {
            tracing::info!(channel = %self.grant.channel, "{notice}");
        }
        Ok(())
    }

    async fn write_frame(
        &mut self,
        frame: Frame,
        now: Now,
        context: &Context,
    ) -> Result<(), Cause> {
        let place = Place::Placed { dts: frame.dts, run: frame.run };
        self.judge_pace(frame.track, place, now.mono, context);
        let decodable = begins_decoding(&frame);
        if decodable && self.is_closed(now, Duration::ZERO, context) {
            return Err(Cause::ServiceClosed);
        }
        let mut at = now.mono;
        if !matches!(self.stage, Stage::Live(_)) {
            if !decodable {
                return Ok(());
            }
            at = self.start(now, context).await?;
        }
        context.metrics.count_frame(frame.track);
        let Stage::Live(publication) = &mut self.stage else { return Ok(()) };
        publication.write(frame, at).map_err(|WriteError::Stopped(reason)| Cause::from(reason))
    }

    /// Asks the hub for the broadcast. A resume whose broadcast ended since `publish` is a new
    /// broadcast, and the gate is asked again for that. Answers when the first frame counts as
    /// written: a new broadcast begins with its arrival, however long it was held since, so that
    /// its date is right and media time keeps pace with the calendar.
    async fn start(&mut self, now: Now, context: &Context) -> Result<MonoTime, Cause> {
        let stage = std::mem::replace(&mut self.stage, Stage::Starting);
        let Stage::Allowed { permit, since } = stage else { return Ok(now.mono) };
        let held = self.intake.began().map_or(Duration::ZERO, |began| now.mono.since(began));
        let mono = MonoTime::from_start(now.mono.since_start().saturating_sub(held));
        let arrived = Now { mono, wall: now.wall - held };
        check_permit(since, now.mono, &context.limits)?;
        let mut resumed = permit.admission() == Admission::Resume;
        let publisher = self.publisher.clone();
        let at = if resumed { now } else { arrived };
        let started = match context.registry.start(permit, publisher.clone(), at) {
            Err(StartError::NothingToResume) => {
                resumed = false;
                let admission = Admission::Start;
                let again = context.gatekeeper.admit(&self.grant.channel, admission, now).await;
                let permit = again.map_err(Cause::Refused)?;
                self.until = permit.until();
                context.registry.start(permit, publisher, arrived)
            }
            other => other,
        };
        let publication = started.map_err(Cause::NotStarted)?;
        if let Some(before) = publication.took_over() {
            context.metrics.count_takeover();
            tracing::info!(
                channel = %self.grant.channel,
                broadcast = %publication.broadcast().id(),
                key = %self.grant.key,
                from = %before.peer,
                from_conn = %before.conn,
                peer = %self.publisher.peer,
                "the broadcast was taken over by a new connection"
            );
        } else if resumed {
            tracing::info!(
                channel = %self.grant.channel,
                broadcast = %publication.broadcast().id(),
                key = %self.grant.key,
                peer = %self.publisher.peer,
                "the broadcast goes on from a new connection"
            );
        }
        let is_new = publication.broadcast().started() == arrived;
        self.stage = Stage::Live(publication);
        Ok(if is_new { arrived.mono } else { now.mono })
    }

    /// Whether the schedule ended this publication at least `grace` ago. The timer only makes us
    /// look: the decision is the gate's.
    fn is_closed(&mut self, now: Now, grace: Duration, context: &Context) -> bool {
        if self.until.is_none_or(|until| now.wall < until + grace) {
            return false;
        }
        match context.gatekeeper.current().decide(Operation::Keep, now.wall) {
            Verdict::Refuse(refusal) => refusal.as_closed().is_some(),
            Verdict::Allow { until } => {
                self.until = until;
                false
            }
        }
    }

    /// Until the intake begins, nothing has a place in time, and the stamp must do.
    fn judge_stamp(&mut self, track: TrackKind, stamp: u32, now: MonoTime, context: &Context) {
        if self.intake.format().is_none() {
            self.judge_pace(track, Place::Stamped(stamp), now, context);
        }
    }

    fn judge_pace(&mut self, track: TrackKind, place: Place, now: MonoTime, context: &Context) {
        match self.pace.judge(track, place, now) {
            Advice::Go => {}
            Advice::Wait(length) => {
                context.metrics.count_slowed(Slowed::Speed);
                // A short wait of one track does not cut short a longer one of the other.
                self.paused_until = self.paused_until.max(Some(now + length));
            }
            Advice::Late => tracing::warn!(
                channel = %self.grant.channel,
                "the publisher's link is too slow: media is 20 s behind real time"
            ),
        }
    }
}

/// Otherwise a publisher let in before the closing could begin a new broadcast at any time after
/// it (G2).
fn check_permit(since: MonoTime, now: MonoTime, limits: &Limits) -> Result<(), Cause> {
    if since + limits.permit_time_max() <= now { Err(Cause::FirstMediaTimeout) } else { Ok(()) }
}

/// A frame that viewers can begin with: a video keyframe, or any frame where there is no video.
fn begins_decoding(frame: &Frame) -> bool {
    match frame.track {
        TrackKind::Video => frame.keyframe,
        TrackKind::Audio => frame.format.video.is_none(),
    }
}

/// What `onMetaData` claims: a track is there if its codec is named, and missing if the other
/// one's is named and nothing at all is said about this one.
pub(super) fn hint(object: &Object) -> MetadataHint {
    let named = |codec: &str| match object.get(codec) {
        // What is no number at all says nothing.
        Some(Value::Number(number)) => number.is_finite().then_some(*number > 0.0),
        Some(Value::String(text)) => Some(!text.is_empty()),
        Some(
            Value::Boolean(_)
            | Value::Object(_)
            | Value::Array(_)
            | Value::Date(_)
            | Value::Null
            | Value::Undefined,
        )
        | None => None,
    };
    let silent = |words: &[&str]| {
        !object.iter().any(|(key, _)| words.iter().any(|word| key.starts_with(word)))
    };
    let (video, audio) = (named("videocodecid"), named("audiocodecid"));
    let no_video = audio == Some(true) && silent(&["video", "width", "height", "framerate"]);
    let no_audio = video == Some(true) && silent(&["audio", "stereo"]);
    MetadataHint {
        has_video: video.or(no_video.then_some(false)),
        has_audio: audio.or(no_audio.then_some(false)),
        encoder: object.str("encoder").map(super::session::printable),
    }
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").field("channel", &self.grant.channel).finish_non_exhaustive()
    }
}
