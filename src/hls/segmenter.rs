use std::sync::Arc;
use std::time::Duration;

use super::cutter::{Cutter, reference};
use super::keyframes::Keyframes;
use super::listing::Listing;
use super::pace::Pace;
use super::segment::{Cut, Targets};
use super::{SEGMENT_TARGET_MAX, Settings};
use crate::base::{Limits, MediaSeq, MediaTime, WallTime};
use crate::media::{Format, Frame, Stored, TrackKind, VideoConfig};

/// However few frames came: after this much media the first parts are cut with what is known.
const LEARNING_MAX: Duration = Duration::from_millis(500);
/// A keyframe interval counts as this much longer, so that a GOP of 2.49 s with a late
/// millisecond still rounds to the target chosen for it.
const GOP_JITTER: Duration = Duration::from_millis(5);

/// Farther from zero no media time makes sense: a century.
const TIME_MAX: MediaTime = MediaTime::from_millis(100 * 366 * 86_400_000);

/// Turns the frames of one broadcast into parts and segments.
///
/// # The targets, and what they promise
///
/// Both are frozen at the first part, which is listed as soon as its frames are here: nothing
/// waits for a second keyframe. PART-TARGET is a whole number of frames where they come
/// regularly. TARGETDURATION is the configured length, or, where the encoder states a longer
/// keyframe interval in its first keyframe (x264 and x265 do, so OBS' and FFmpeg's usual 250
/// frames are known at once), that interval, up to [`SEGMENT_TARGET_MAX`]: a player that joins
/// finds every segment starting with a keyframe, where shorter segments would make it wait for
/// one.
///
/// A GOP may still turn out longer than the target. Then segments are cut at the target without
/// a keyframe, which is why no playlist of ours claims EXT-X-INDEPENDENT-SEGMENTS: the claim
/// could not be withdrawn (H66). Every part that holds a keyframe is marked.
///
/// ```text
///             keyframe                pace known
///   Waiting ─────────────▶ Learning ─────────────▶ Cutting
///      ▲                       │  break: cut what is held │ break: another run or format,
///      └───────────────────────┴──────────────────────────┘  a gap, or a hole in time
/// ```
#[derive(Debug)]
pub struct Segmenter {
    settings: Settings,
    limits: Limits,
    listing: Listing,
    run: Option<(u32, Arc<Format>)>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// For a frame that can be decoded alone. The newest audio frame may reach into it.
    Waiting {
        audio: Option<Arc<Frame>>,
    },
    /// How often frames come; the first few are held until we know.
    Learning {
        held: Vec<Arc<Frame>>,
        pace: Pace,
    },
    Cutting(Box<Cutter>),
}

impl Segmenter {
    /// `first_msn` is the number of the first segment, `zero` the wall time at media time zero.
    pub fn new(settings: &Settings, limits: &Limits, first_msn: MediaSeq, zero: WallTime) -> Self {
        Self {
            settings: settings.clone(),
            limits: limits.clone(),
            listing: Listing::new(zero, first_msn),
            run: None,
            state: State::Waiting { audio: None },
        }
    }

    /// Takes the next frame and adds what it completes to `out`. A frame of a track that its
    /// format does not have, or of another century, is ignored.
    pub fn push(&mut self, frame: &Arc<Frame>, out: &mut Vec<Cut>) {
        if let State::Cutting(cutter) = &mut self.state {
            cutter.forget_stored();
        }
        if !is_sensible(frame) {
            return;
        }
        if self.is_break(frame) {
            // The next run begins with a frame of the reference.
            let begins = reference(&frame.format) == Some(frame.track);
            self.interrupt(begins.then_some(frame.dts), out);
            self.run = Some((frame.run, Arc::clone(&frame.format)));
        }
        match &mut self.state {
            State::Waiting { .. } => self.wait(frame, out),
            State::Learning { held, pace } => {
                let reference = reference(&frame.format);
                if Some(frame.track) == reference {
                    pace.observe(frame.dts);
                }
                let first = held.first().map_or(frame.dts, |first| first.dts);
                held.push(Arc::clone(frame));
                let late = MediaTime::from(LEARNING_MAX) <= frame.dts - first;
                if late || pace.is_known(self.settings.part_target) {
                    self.cut_held(out);
                }
            }
            State::Cutting(cutter) => {
                cutter.push(frame, &mut self.listing, out);
            }
        }
    }

    /// The payloads that lie in the parts which the last [`Self::push`] completed.
    pub fn stored(&self) -> &[Stored] {
        match &self.state {
            State::Cutting(cutter) => cutter.stored(),
            State::Waiting { .. } | State::Learning { .. } => &[],
        }
    }

    /// No frame of the reference track that is decoded before this is expected to complete
    /// anything. None: any frame may.
    pub fn due(&self) -> Option<MediaTime> {
        match &self.state {
            State::Cutting(cutter) => Some(cutter.due()),
            State::Waiting { .. } | State::Learning { .. } => None,
        }
    }

    /// The encoder is away: closes what is open and lists missing media, in whole parts, up to
    /// at most `until`, and about a target duration of it at once. So where much is missing already,
    /// it comes with several versions, and the part that was hinted before stays listed long enough
    /// for whoever waited for it (4.4.5.3; H83). The next frame starts behind a discontinuity.
    /// Before the first part it does nothing.
    pub fn fill_gap(&mut self, until: MediaTime, out: &mut Vec<Cut>) {
        self.interrupt(None, out);
        self.listing.extend_gap(until.min(TIME_MAX), out);
    }

    /// The broadcast ended: closes what is open.
    pub fn finish(&mut self, out: &mut Vec<Cut>) {
        self.interrupt(None, out);
        self.listing.close(out);
    }

    /// Another timeline, another format, or a hole too long for one segment: in everything, or
    /// before a keyframe of the reference track, whose sample would have to span it. Any other frame
    /// spans it all the same: a run begins with a keyframe, and to wait for one would lose the sound.
    fn is_break(&self, frame: &Frame) -> bool {
        let Some((run, format)) = &self.run else { return true };
        let same = Arc::ptr_eq(format, &frame.format) || *format == frame.format;
        let position = match &self.state {
            State::Cutting(cutter) if frame.keyframe && reference(format) == Some(frame.track) => {
                cutter.reached(frame.track)
            }
            State::Cutting(cutter) => Some(cutter.position()),
            State::Learning { held, .. } => held.last().map(|newest| newest.dts),
            State::Waiting { .. } => None,
        };
        let hole = position.map_or(MediaTime::ZERO, |position| frame.dts - position);
        *run != frame.run || !same || MediaTime::from(SEGMENT_TARGET_MAX) < hole
    }

    /// Ends the run, before the next one at `next` where that is known. Dates that are late make
    /// use of it: the last picture is shown so much shorter, and nothing adds up over many breaks.
    fn interrupt(&mut self, next: Option<MediaTime>, out: &mut Vec<Cut>) {
        self.cut_held(out);
        let ended = std::mem::replace(&mut self.state, State::Waiting { audio: None });
        if let State::Cutting(mut cutter) = ended {
            let until = next.map(|next| next - self.listing.dated_later());
            cutter.finish(until, &mut self.listing, out);
        }
        self.listing.interrupt(out);
    }

    /// Drops frames until one that starts a run; meanwhile the time is listed as missing.
    fn wait(&mut self, frame: &Arc<Frame>, out: &mut Vec<Cut>) {
        let Some(reference) = reference(&frame.format) else { return };
        let State::Waiting { audio } = &mut self.state else { return };
        if frame.track != reference || !frame.keyframe {
            if frame.track != reference {
                *audio = Some(Arc::clone(frame));
            }
            self.listing.fill_gap(frame.dts, out);
            return;
        }
        let before = audio.take().filter(|audio| reaches(audio, frame.dts));
        let mut pace = pace(&frame.format, self.settings.part_target);
        pace.observe(frame.dts);
        let held = before.into_iter().chain([Arc::clone(frame)]).collect();
        let known = pace.is_known(self.settings.part_target);
        self.state = State::Learning { held, pace };
        if known {
            self.cut_held(out);
        } else if self.listing.targets().is_some() {
            self.listing.announce(&frame.format, out);
        }
    }

    /// Ends learning: promises the targets if that is still to be done, and cuts the held frames.
    fn cut_held(&mut self, out: &mut Vec<Cut>) {
        let State::Learning { held, pace } = &mut self.state else { return };
        let (held, pace) = (std::mem::take(held), pace.clone());
        let first = held.iter().find(|frame| Some(frame.track) == reference(&frame.format));
        let Some(first) = first else { return };
        let keyframes = match first.track {
            TrackKind::Video => Keyframes::new(&first.payload),
            TrackKind::Audio => Keyframes::default(),
        };
        let targets = match self.listing.targets() {
            Some(targets) => targets,
            None => {
                let targets = choose(&self.settings, &pace, &keyframes);
                self.listing.promise(targets, out);
                targets
            }
        };
        let mut cutter = Cutter::new(
            &first.format,
            (pace, keyframes),
            targets,
            self.settings.segment_target,
            &self.limits,
            first.dts,
        );
        self.listing.begin(&first.format, cutter.start(), out);
        for frame in &held {
            cutter.push(frame, &mut self.listing, out);
        }
        self.state = State::Cutting(Box::new(cutter));
    }
}

fn is_sensible(frame: &Frame) -> bool {
    let known = match frame.track {
        TrackKind::Video => frame.format.video.is_some(),
        TrackKind::Audio => frame.format.audio.is_some(),
    };
    known && frame.dts <= TIME_MAX && MediaTime::ZERO - frame.dts <= TIME_MAX
}

/// The targets for a broadcast that begins like this.
fn choose(settings: &Settings, pace: &Pace, keyframes: &Keyframes) -> Targets {
    let gop = keyframes.stated().map_or(Duration::ZERO, |frames| {
        let micros = pace.interval().ticks(1_000_000).saturating_mul(i64::from(frames));
        MediaTime::from_micros(micros).to_duration() + GOP_JITTER
    });
    let rounded = Duration::from_secs((gop + Duration::from_millis(500)).as_secs());
    let wanted = settings.segment_target;
    let configured =
        Duration::from_secs(wanted.as_millis().div_ceil(1_000).try_into().unwrap_or(1));
    let segment = configured.max(rounded.min(SEGMENT_TARGET_MAX)).max(Duration::from_secs(1));
    Targets { segment, part: pace.part_target(settings.part_target).min(segment) }
}

/// What the format says about how often frames of its reference come.
fn pace(format: &Format, part_target: Duration) -> Pace {
    let audio = format.audio.as_ref().filter(|_| format.video.is_none());
    let samples = audio.and_then(|audio| Some((audio.samples_per_frame?, audio.sample_rate)));
    match samples {
        Some((samples, rate)) if samples != 0 && rate != 0 => Pace::fixed(samples, rate),
        Some(_) | None => {
            let stated = format.video.as_ref().and_then(|video: &VideoConfig| video.frame_rate);
            Pace::learned(stated, part_target)
        }
    }
}

/// Whether an audio frame that came before the keyframe at `start` sounds at that moment (H59), or
/// soon after it. One of another time would be parted from it by as many parts as lie between.
fn reaches(audio: &Frame, start: MediaTime) -> bool {
    let config = audio.format.audio.as_ref();
    let length = config
        .and_then(|config| Some((config.samples_per_frame?, config.sample_rate)))
        .map_or(MediaTime::from_millis(20), |(samples, rate)| {
            MediaTime::from_ticks(i64::from(samples), rate)
        });
    start < audio.dts + length && audio.dts - start <= MediaTime::from(SEGMENT_TARGET_MAX)
}

#[cfg(test)]
#[path = "segmenter_stream_tests.rs"]
mod stream_tests;
#[cfg(test)]
#[path = "segmenter_tests.rs"]
mod tests;
