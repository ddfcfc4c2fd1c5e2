//! Fuzz entry point from frames to playlists. What the segmenter and the window make of any
//! frames is judged by the lint, by the delta update's own rule and by a foreign demuxer.

use std::sync::Arc;
use std::time::Duration;

use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use super::clips;
use super::lint::assert_version;
use crate::base::{Limits, MediaSeq, MediaTime, MonoTime, WallTime};
use crate::hls::{Cut, Segmenter, Settings, Window, render, render_delta};
use crate::media::{Format, Frame};

/// 2026-11-21T08:00:00Z
const ZERO: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
/// Times that no encoder means.
const HOSTILE: [i64; 8] =
    [i64::MIN, -1 << 40, -1, 0, 1 << 31, (1 << 33) * 1_000_000 / 90_000, 1 << 40, i64::MAX];

/// One frame lists no more than this: a gap has a limit, and only gaps are long.
const CUTS_MAX: usize = 20_000;

/// A broadcast in steps of three bytes: what happens, how much later, and how much of it. The
/// first byte chooses the tracks and how many bytes a part may hold.
///
/// # Panics
/// When a playlist breaks a rule, a part cannot be read, or one frame lists parts without end.
/// `each` is given every version of the playlist.
pub fn segmenter(script: &[u8], mut each: impl FnMut(&str)) {
    let Some((&how, script)) = script.split_first() else { return };
    let mut broadcast = Broadcast::new(how);
    for step in script.chunks_exact(3) {
        let &[what, later, much] = step else { continue };
        broadcast.take(what, later.into(), much);
        broadcast.judge(&mut each);
    }
    broadcast.segmenter.finish(&mut broadcast.cuts);
    broadcast.judge(&mut each);
}

struct Broadcast {
    segmenter: Segmenter,
    window: Window,
    cuts: Vec<Cut>,
    demuxer: Fmp4SegmentDemuxer,
    format: Arc<Format>,
    run: u32,
    /// Where each track has come to, in milliseconds.
    video: i64,
    audio: i64,
    pushed: usize,
    read: usize,
    last: Option<String>,
}

impl Broadcast {
    fn new(how: u8) -> Self {
        let settings = Settings { window: Duration::from_secs(60), ..Settings::default() };
        let small = Limits { gop_bytes_max: 1_000, ..Limits::default() };
        let limits = if how & 4 == 0 { Limits::default() } else { small };
        Self {
            segmenter: Segmenter::new(&settings, &limits, MediaSeq(1_000), ZERO),
            window: Window::new(settings.window, limits.window_bytes_max),
            cuts: Vec::new(),
            demuxer: Fmp4SegmentDemuxer::new(),
            format: match how & 3 {
                0 => clips::video_format(),
                1 => clips::audio_format(),
                _ => clips::format(),
            },
            run: 0,
            video: 0,
            audio: 0,
            pushed: 0,
            read: 0,
            last: None,
        }
    }

    fn take(&mut self, what: u8, later: i64, much: u8) {
        let size = usize::from(much) + 5;
        match what % 32 {
            0..12 => {
                self.video += later % 48 + 1;
                let key = what.is_multiple_of(12);
                self.push(clips::video_frame(&self.format, self.video, key, size));
            }
            12..24 => {
                self.audio += later % 32;
                self.push_audio(MediaTime::from_millis(self.audio), size);
            }
            24 => self.video += later * 10,
            25 => self.audio = self.video,
            26 => self.run += 1,
            27 => self.change_format(),
            28 | 29 => {
                self.video = self.video.max(self.audio) + later * 20;
                self.audio = self.video;
                let until = MediaTime::from_millis(self.video);
                self.segmenter.fill_gap(until, &mut self.cuts);
                self.run += 1;
            }
            _ => {
                let at = HOSTILE.get(usize::from(much % 8)).copied().unwrap_or_default();
                let at = MediaTime::from_micros(at);
                let frame = clips::video_frame(&self.format, 0, what.is_multiple_of(2), size);
                self.push(Frame { dts: at, pts: at, ..frame });
                self.push_audio(at, size);
            }
        }
    }

    fn push_audio(&mut self, at: MediaTime, size: usize) {
        let frame = clips::audio_frame(&self.format, 0, size);
        self.push(Frame { dts: at, pts: at, ..frame });
    }

    fn push(&mut self, frame: Frame) {
        self.pushed += 1;
        let frame = Arc::new(Frame { run: self.run, ..frame });
        self.segmenter.push(&frame, &mut self.cuts);
    }

    fn change_format(&mut self) {
        let mut format = Format::clone(&self.format);
        if let Some(video) = &mut format.video {
            video.width = if video.width == 320 { 640 } else { 320 };
        }
        self.format = Arc::new(format);
    }

    /// Reads what was cut, applies it, and judges the playlist after each batch.
    fn judge(&mut self, each: &mut impl FnMut(&str)) {
        if self.cuts.is_empty() {
            return;
        }
        assert!(self.cuts.len() <= CUTS_MAX, "{} cuts at once", self.cuts.len());
        let now = MonoTime::from_start(Duration::from_millis(
            u64::try_from(self.video.max(self.audio)).unwrap_or(0),
        ));
        for cut in std::mem::take(&mut self.cuts) {
            self.read(&cut);
            self.window.apply(cut, now);
        }
        self.window.note_version();
        assert!(self.read <= self.pushed, "{} samples of {} frames", self.read, self.pushed);
        if self.window.edge().last_msn().is_some() {
            self.judge_playlist();
            each(self.last.as_deref().unwrap_or_default());
        }
    }

    fn read(&mut self, cut: &Cut) {
        match cut {
            Cut::Init(init) => {
                self.demuxer = Fmp4SegmentDemuxer::new();
                self.demuxer.handle_init_segment(&init.bytes).expect("an init segment");
            }
            Cut::Part(part) if !part.gap => {
                let samples = self.demuxer.handle_media_segment(&part.bytes).expect("a part");
                let inside = |sample: &shiguredo_mp4::demux::Sample<'_>| {
                    let end = usize::try_from(sample.data_offset).unwrap_or(usize::MAX);
                    end.saturating_add(sample.data_size) <= part.bytes.len()
                };
                assert!(!samples.is_empty() && samples.iter().all(inside));
                self.read += samples.len();
            }
            Cut::Part(_) | Cut::Targets(_) | Cut::Open(_) | Cut::Close { .. } => {}
        }
    }

    fn judge_playlist(&mut self) {
        let text = render(&self.window, None).expect("the targets are known");
        let delta = render_delta(&self.window, None);
        assert_version(self.last.as_deref(), &text, delta.as_deref());
        self.last = Some(text);
    }
}
