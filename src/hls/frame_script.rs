//! Frames from a line of text, cuts to a line of text, and the laws that every list of cuts
//! obeys, whatever the frames were. For tests only.

use std::sync::Arc;

use bytes::Bytes;

use super::segment::{Cut, Part, Targets};
use super::{Segmenter, Settings};
use crate::base::{Limits, MediaSeq, MediaTime, WallTime};
use crate::media::fmp4::{VIDEO_TIMESCALE, reader::read_part};
use crate::media::{AudioCodec, AudioConfig, Format, Frame, TrackKind, VideoCodec, VideoConfig};

pub(super) const AUDIO_RATE: u32 = 48_000;
pub(super) const ZERO: WallTime = WallTime::from_unix_millis(1_800_000_000_000);

/// Which tracks, and what the video states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracks {
    pub(super) video: bool,
    pub(super) audio: bool,
    pub(super) rate: Option<(u32, u32)>,
}

pub(super) const BOTH: Tracks = Tracks { video: true, audio: true, rate: None };

impl Tracks {
    /// A format of these tracks; another `width` makes another format.
    pub(super) fn format(self, width: u16) -> Arc<Format> {
        let video = self.video.then(|| VideoConfig {
            codec: VideoCodec::Avc,
            record: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
            codec_string: "avc1.64001f".into(),
            width,
            height: 720,
            frame_rate: self.rate,
        });
        let audio = self.audio.then(|| AudioConfig {
            codec: AudioCodec::Aac,
            record: Bytes::from_static(&[0x11, 0x90]),
            codec_string: "mp4a.40.2".into(),
            sample_rate: AUDIO_RATE,
            channels: 2,
            samples_per_frame: Some(1024),
        });
        Arc::new(Format { video, audio })
    }
}

/// One line of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Frame(Arc<Frame>),
    Gap(MediaTime),
}

/// Makes frames one after the other.
pub(super) struct Maker {
    pub(super) format: Arc<Format>,
    pub(super) run: u32,
}

impl Maker {
    pub(super) fn new(tracks: Tracks) -> Self {
        Self { format: tracks.format(1280), run: 0 }
    }

    pub(super) fn video(
        &self,
        at: MediaTime,
        offset: MediaTime,
        payload: &[u8],
        key: bool,
    ) -> Step {
        Step::Frame(Arc::new(Frame {
            track: TrackKind::Video,
            dts: at,
            pts: at + offset,
            keyframe: key,
            run: self.run,
            format: Arc::clone(&self.format),
            payload: Bytes::copy_from_slice(payload),
        }))
    }

    pub(super) fn audio(&self, at: MediaTime) -> Step {
        Step::Frame(Arc::new(Frame {
            track: TrackKind::Audio,
            dts: at,
            pts: at,
            keyframe: true,
            run: self.run,
            format: Arc::clone(&self.format),
            payload: Bytes::from_static(b"aac"),
        }))
    }
}

/// Reads a script: `I@0` a keyframe at 0 ms, `p@33` another video frame, `p@33+66` one shown
/// 66 ms later, `a@21` audio, `run` a new run, `format` a new format, `gap@5000` the encoder
/// away until 5 s.
pub(super) fn parse(tracks: Tracks, script: &str) -> Vec<Step> {
    let mut maker = Maker::new(tracks);
    let mut width = 1280;
    let mut steps = Vec::new();
    for word in script.split_whitespace() {
        let (name, at) = word.split_once('@').unwrap_or((word, "0"));
        let (at, offset) = at.split_once('+').unwrap_or((at, "0"));
        let [at, offset] = [at, offset].map(|ms| MediaTime::from_millis(ms.parse().expect(word)));
        match name {
            "I" => steps.push(maker.video(at, offset, b"key", true)),
            "p" => steps.push(maker.video(at, offset, b"p", false)),
            "a" => steps.push(maker.audio(at)),
            "gap" => steps.push(Step::Gap(at)),
            "run" => maker.run += 1,
            "format" => {
                width += 16;
                maker.format = tracks.format(width);
            }
            other => panic!("no such word: {other}"),
        }
    }
    steps
}

/// Runs `steps` through a segmenter to the end of the broadcast. The gap that every broadcast
/// begins with is judged here and left out, so that the first media segment is number 100.
pub(super) fn cuts(settings: &Settings, limits: &Limits, steps: &[Step]) -> Vec<Cut> {
    let mut segmenter = Segmenter::new(settings, limits, MediaSeq(99), ZERO);
    let mut out = Vec::new();
    for step in steps {
        match step {
            Step::Frame(frame) => segmenter.push(frame, &mut out),
            Step::Gap(until) => segmenter.fill_gap(*until, &mut out),
        }
    }
    segmenter.finish(&mut out);
    without_lead(out)
}

fn without_lead(mut cuts: Vec<Cut>) -> Vec<Cut> {
    let places = |wanted: fn(&Cut) -> bool| cuts.iter().position(wanted);
    let Some(begin) = places(|cut| matches!(cut, Cut::Open(_))) else { return cuts };
    let end = places(|cut| matches!(cut, Cut::Close { .. })).expect("the lead is whole");
    let [Cut::Open(lead), parts @ .., Cut::Close { duration }, Cut::Open(first)] =
        &cuts[begin..end + 2]
    else {
        panic!("a broadcast begins with a gap: {}", text(&cuts));
    };
    assert!(parts.iter().all(|cut| matches!(cut, Cut::Part(part) if part.gap)));
    assert!(lead.gap && !first.gap && !first.discontinuity, "{}", text(&cuts));
    assert_eq!(lead.start + *duration, first.start, "it ends where the media begins");
    assert_eq!((lead.msn.next(), lead.init), (first.msn, first.init));
    laws(&cuts[..=end]).expect("the lead is lawful");
    cuts.drain(begin..=end);
    cuts
}

/// All parts, those of missing media included.
pub(super) fn parts(cuts: &[Cut]) -> Vec<Arc<Part>> {
    let part = |cut: &Cut| match cut {
        Cut::Part(part) => Some(Arc::clone(part)),
        Cut::Targets(_) | Cut::Init(_) | Cut::Open(_) | Cut::Close { .. } => None,
    };
    cuts.iter().filter_map(part).collect()
}

/// The lengths of all segments.
pub(super) fn closes(cuts: &[Cut]) -> Vec<MediaTime> {
    let close = |cut: &Cut| match cut {
        Cut::Close { duration } => Some(*duration),
        Cut::Targets(_) | Cut::Init(_) | Cut::Open(_) | Cut::Part(_) => None,
    };
    cuts.iter().filter_map(close).collect()
}

/// Cuts `script` with the usual settings and compares the text; the laws hold too.
#[track_caller]
pub(super) fn check(tracks: Tracks, script: &str, expected: &str) {
    let cuts = cuts(&Settings::default(), &Limits::default(), &parse(tracks, script));
    if let Err(broken) = laws(&cuts) {
        panic!("{broken}\n{}", text(&cuts));
    }
    assert_eq!(text(&cuts), expected);
}

/// One word for each cut, times in milliseconds. A part lists its samples by track; `!` marks an
/// independent one.
pub(super) fn text(cuts: &[Cut]) -> String {
    let mut line = Vec::new();
    for cut in cuts {
        line.push(match cut {
            Cut::Targets(targets) => {
                format!("targets {}s {}ms", targets.segment.as_secs(), targets.part.as_millis())
            }
            Cut::Init(init) => format!("init {}", init.version),
            Cut::Open(start) => {
                let gap = if start.gap { " gap" } else { "" };
                let discontinuity = if start.discontinuity { " discontinuity" } else { "" };
                format!("open {}{gap}{discontinuity}", start.msn)
            }
            Cut::Part(part) if part.gap => format!("{}gap", range(part)),
            Cut::Part(part) => {
                let mark = if part.independent { "!" } else { "" };
                format!("{}{}{mark}", range(part), samples(part))
            }
            Cut::Close { duration } => format!("close {}", millis(*duration)),
        });
    }
    line.join(" | ")
}

fn range(part: &Part) -> String {
    format!("{}..{} ", millis(part.start), millis(part.start + part.duration))
}

fn samples(part: &Part) -> String {
    let read = read_part(&part.bytes).expect("our own parts read back");
    let word = |run: &crate::media::fmp4::TrackRun<'_>| {
        let name = match run.track {
            TrackKind::Video => 'v',
            TrackKind::Audio => 'a',
        };
        format!("{name}{}", run.samples.len())
    };
    read.runs.iter().map(word).collect::<Vec<_>>().join("")
}

fn millis(time: MediaTime) -> String {
    let micros = time.as_micros();
    let (whole, rest) = (micros / 1_000, micros % 1_000);
    let rest = format!(".{rest:03}");
    format!("{whole}{}", rest.trim_end_matches('0').trim_end_matches('.'))
}

/// What must hold for every list of cuts. Answers the first law broken.
pub(super) fn laws(cuts: &[Cut]) -> Result<(), String> {
    let mut laws = Laws::default();
    for (index, cut) in cuts.iter().enumerate() {
        laws.judge(cut).map_err(|broken| format!("cut {index}: {broken}"))?;
    }
    if laws.open.is_some() { Err("a segment stays open".into()) } else { Ok(()) }
}

#[derive(Default)]
struct Laws {
    targets: Option<Targets>,
    init: u32,
    open: Option<Segment>,
    next_msn: Option<MediaSeq>,
    next_part: Option<u64>,
    /// End of what is listed of this run.
    position: Option<MediaTime>,
    dated_until: Option<i64>,
    /// The latest date at which a segment ended.
    latest: i64,
    /// Promised decode time by track.
    promised: [Option<u64>; 2],
    /// A part shorter than it may be, unless it is the last of its segment or before a gap.
    short: Option<String>,
}

struct Segment {
    gap: bool,
    start: MediaTime,
    length: MediaTime,
}

impl Laws {
    fn judge(&mut self, cut: &Cut) -> Result<(), String> {
        match cut {
            Cut::Targets(targets) => {
                ensure(self.targets.replace(*targets).is_none(), "targets once (H11)")?;
                ensure(1 <= targets.segment.as_secs(), "target of a second or more (H10)")?;
                ensure(targets.segment.subsec_nanos() == 0, "whole seconds (H10)")?;
                ensure(!targets.part.is_zero(), "a part target")
            }
            Cut::Init(init) => {
                ensure(self.targets.is_some(), "targets first")?;
                let between = self.open.as_ref().is_none_or(|open| open.gap);
                ensure(between, "init between segments with media")?;
                ensure(init.version == self.init + 1, "init versions rise by one")?;
                self.init = init.version;
                Ok(())
            }
            Cut::Open(start) => self.judge_open(start),
            Cut::Part(part) => self.judge_part(part),
            Cut::Close { duration } => self.judge_close(*duration),
        }
    }

    fn judge_open(&mut self, start: &super::SegmentStart) -> Result<(), String> {
        ensure(self.targets.is_some(), "targets first")?;
        ensure(self.open.is_none(), "one open segment")?;
        let known = start.init == self.init || start.gap && start.init < self.init;
        ensure(known && start.init != 0, "the newest init (H39)")?;
        let msn = self.next_msn.unwrap_or(start.msn);
        ensure(start.msn == msn, "media sequence rises by one")?;
        self.next_msn = Some(msn.next());
        let contiguous = self.position.is_none_or(|position| position == start.start);
        ensure(contiguous || start.discontinuity, "unmarked break (H36)")?;
        let date = start.program_date_time.unix_millis();
        let least = match (self.dated_until, start.discontinuity) {
            (Some(_), true) => self.latest - 998,
            (Some(until), false) => until,
            (None, _) => date,
        };
        ensure(least - 1 <= date, "dates go back by less than a second, at a break (H45)")?;
        if start.discontinuity {
            self.promised = [None, None];
        }
        self.position = Some(start.start);
        self.open = Some(Segment { gap: start.gap, start: start.start, length: MediaTime::ZERO });
        self.dated_until = Some(date);
        Ok(())
    }

    fn judge_part(&mut self, part: &Part) -> Result<(), String> {
        let targets = self.targets.ok_or("targets first")?;
        let target = MediaTime::from(targets.part);
        let open = self.open.as_mut().ok_or("a part outside a segment")?;
        let number = self.next_part.unwrap_or(part.number);
        ensure(part.number == number, "part numbers rise by one")?;
        self.next_part = Some(number + 1);
        ensure(Some(part.start) == self.position, "parts are contiguous")?;
        ensure(MediaTime::ZERO < part.duration, "parts have a length")?;
        ensure(part.duration <= target, format!("H73: part of {:?}", part.duration))?;
        ensure(part.gap || !open.gap, "gap segments hold gap parts")?;
        ensure(part.gap == part.bytes.is_empty(), "a gap has no bytes")?;
        if part.gap {
            self.short = None;
        }
        ensure(self.short.is_none(), self.short.take().unwrap_or_default())?;
        let long = target.as_micros() * 85 <= part.duration.as_micros() * 100;
        if !long && !part.independent && !part.gap {
            self.short = Some(format!("H74: part of {:?}", part.duration));
        }
        open.length = open.length + part.duration;
        self.position = Some(part.start + part.duration);
        if !part.gap {
            return self.judge_samples(part);
        }
        // What is missing takes its time on both tracks.
        let end = part.start + part.duration;
        for (promised, timescale) in self.promised.iter_mut().zip([VIDEO_TIMESCALE, AUDIO_RATE]) {
            let end = u64::try_from(end.to_ticks(timescale)).unwrap_or(0);
            *promised = promised.map(|promised| promised.max(end));
        }
        Ok(())
    }

    fn judge_samples(&mut self, part: &Part) -> Result<(), String> {
        let read = read_part(&part.bytes)?;
        ensure(u64::from(read.sequence) == part.number, "sequence is the part's number")?;
        let mut independent = false;
        for run in &read.runs {
            let index = match run.track {
                TrackKind::Video => 0,
                TrackKind::Audio => 1,
            };
            ensure(!run.samples.is_empty(), "no empty traf")?;
            if let Some(promised) = self.promised[index] {
                ensure(
                    run.base == promised,
                    format!("H52: {:?} {} after {promised}", run.track, run.base),
                )?;
            }
            let mut at = run.base;
            for sample in &run.samples {
                ensure(0 < sample.duration && sample.duration < u32::MAX, "H55: duration")?;
                ensure(0 <= sample.composition, "H55: shown before it is decoded")?;
                at += u64::from(sample.duration);
            }
            self.promised[index] = Some(at);
            let alone = !read.runs.iter().any(|run| run.track == TrackKind::Video);
            independent |= (run.track == TrackKind::Video || alone)
                && run.samples.iter().any(|sample| sample.sync);
        }
        // Where video stopped, parts of audio alone are not where a player may start.
        ensure(independent || !part.independent, "H75: independent without a keyframe")
    }

    fn judge_close(&mut self, duration: MediaTime) -> Result<(), String> {
        let open = self.open.take().ok_or("close without open")?;
        self.short = None;
        ensure(
            duration == open.length || open.gap && open.length == MediaTime::ZERO,
            "H53: a segment is the sum of its parts",
        )?;
        let targets = self.targets.ok_or("targets first")?;
        let rounded = (duration.as_micros() + 500_000) / 1_000_000;
        ensure(
            u64::try_from(rounded).is_ok_and(|rounded| rounded <= targets.segment.as_secs()),
            format!("H12: segment of {duration:?}"),
        )?;
        self.position = Some(open.start + duration);
        self.dated_until = self.dated_until.map(|date| date + duration.as_micros() / 1_000);
        self.latest = self.latest.max(self.dated_until.unwrap_or(i64::MIN));
        Ok(())
    }
}

fn ensure(holds: bool, law: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(law.into()) }
}

/// Video promised in ticks, as time.
pub(super) fn video_time(ticks: u64) -> MediaTime {
    MediaTime::from_ticks(i64::try_from(ticks).expect("a time"), VIDEO_TIMESCALE)
}
