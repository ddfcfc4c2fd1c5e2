//! Cuts for the tests of the window and its playlists, written as lines of words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Closing, Cut, InitSegment, Part, SegmentStart, Targets, Window, render, render_delta};
use crate::base::{MediaSeq, MediaTime, MonoTime, WallTime};
use crate::media::Format;

pub(super) const FIRST_MSN: u64 = 100;
/// 2026-11-21T08:00:00Z
const ZERO: WallTime = WallTime::from_unix_millis(1_795_248_000_000);

/// A window and the cuts that a segmenter of 2 s segments and 250 ms parts would make.
///
/// | word | does |
/// | --- | --- |
/// | `p`, `I` | a part of 250 ms; the first of a segment opens it; `I` is independent |
/// | `p120` | a part of 120 ms |
/// | `g` | a part of missing media of 250 ms |
/// | `/` | closes the segment |
/// | `!` | the next segment follows a break |
/// | `+` | a new format: init segment and break |
/// | `S` | a whole segment of eight parts |
/// | `G` | a whole segment of missing media |
pub(super) struct Script {
    pub(super) window: Window,
    pub(super) now: MonoTime,
    pub(super) closing: Option<Closing>,
    part_bytes: usize,
    msn: u64,
    part: u64,
    init: u32,
    time: MediaTime,
    begun: Option<MediaTime>,
    discontinuity: bool,
}

impl Script {
    pub(super) fn new(span_secs: u64) -> Self {
        Self::with_bytes(span_secs, 1_000, usize::MAX)
    }

    pub(super) fn with_bytes(span_secs: u64, part_bytes: usize, bytes_max: usize) -> Self {
        let mut script = Self {
            window: Window::new(Duration::from_secs(span_secs), bytes_max),
            now: MonoTime::ZERO,
            closing: None,
            part_bytes,
            msn: FIRST_MSN,
            part: 1,
            init: 0,
            time: MediaTime::ZERO,
            begun: None,
            discontinuity: false,
        };
        let part = Duration::from_millis(250);
        script.apply(Cut::Targets(Targets { segment: Duration::from_secs(2), part }));
        script.change_format();
        script.discontinuity = false;
        script
    }

    pub(super) fn run(mut self, words: &str) -> Self {
        words.split_whitespace().for_each(|word| self.word(word));
        self
    }

    pub(super) fn word(&mut self, word: &str) {
        let (kind, rest) = word.split_at(1);
        let millis = rest.parse().unwrap_or(250);
        match kind {
            "p" => self.push_part(millis, false, false),
            "I" => self.push_part(millis, true, false),
            "g" => self.push_part(millis, false, true),
            "/" => self.close(),
            "!" => self.discontinuity = true,
            "+" => self.change_format(),
            "S" => "I p p p p p p p /".split(' ').for_each(|word| self.word(word)),
            "G" => "g g g g g g g g /".split(' ').for_each(|word| self.word(word)),
            word => panic!("{word} is no word of the script"),
        }
    }

    pub(super) fn full(&self) -> String {
        render(&self.window, self.closing).expect("the targets are known")
    }

    pub(super) fn delta(&self) -> Option<String> {
        render_delta(&self.window, self.closing)
    }

    /// The playlist without its first six lines, which are always the same.
    pub(super) fn body(&self) -> String {
        self.full().lines().skip(7).map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn is_open(&self) -> bool {
        self.begun.is_some()
    }

    pub(super) fn open_millis(&self) -> i64 {
        self.begun.map_or(0, |begun| (self.time - begun).as_micros() / 1_000)
    }

    fn push_part(&mut self, millis: u64, independent: bool, gap: bool) {
        if self.begun.is_none() {
            self.open(gap);
        }
        let duration = MediaTime::from(Duration::from_millis(millis));
        let bytes = if gap { Bytes::new() } else { Bytes::from(vec![7; self.part_bytes]) };
        let part = Part { number: self.part, start: self.time, duration, independent, gap, bytes };
        self.part += 1;
        self.time = self.time + duration;
        self.now = self.now + Duration::from_millis(millis);
        self.apply(Cut::Part(Arc::new(part)));
    }

    fn open(&mut self, gap: bool) {
        self.begun = Some(self.time);
        let discontinuity = std::mem::take(&mut self.discontinuity);
        self.apply(Cut::Open(SegmentStart {
            msn: MediaSeq(self.msn),
            start: self.time,
            program_date_time: ZERO + self.time.to_duration(),
            init: self.init,
            discontinuity,
            gap,
        }));
        self.msn += 1;
    }

    fn close(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.apply(Cut::Close { duration: self.time - begun });
        }
    }

    fn change_format(&mut self) {
        self.init += 1;
        self.discontinuity = true;
        let format = Arc::new(Format { video: None, audio: None });
        let bytes = Bytes::from_static(&[1; 100]);
        self.apply(Cut::Init(Arc::new(InitSegment { version: self.init, format, bytes })));
    }

    fn apply(&mut self, cut: Cut) {
        self.window.apply(cut, self.now);
        self.window.note_version();
    }
}
