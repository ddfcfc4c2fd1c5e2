use super::super::ledger::Ledger;
use super::fragments::{self, Run};
use super::init::{Init, Kind, Track, place};
use super::lengths::Lengths;
use super::ts;

/// What a segment or part holds, whatever its container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clip {
    /// What changes when the format does, as far as the segment itself says.
    pub(super) format: Vec<u8>,
    /// First and last counter of each TS stream.
    pub(super) counters: Vec<(u16, u8, u8)>,
    /// Ticks after which times begin again.
    pub(super) wrap: Option<i64>,
    pub(super) streams: Vec<Stream>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) kind: Kind,
    /// Ticks a second.
    pub(super) scale: u32,
    /// Decode time of the first frame, and the end of the last.
    pub(super) start: i64,
    pub(super) end: i64,
    /// When the first frame is shown, and when the last one has been.
    pub(super) first_shown: i64,
    pub(super) shown_until: i64,
    pub(super) frames: usize,
    /// Ticks of a frame, on average.
    pub(super) frame: i64,
    pub(super) lengths: Lengths,
    pub(super) starts_independent: bool,
    pub(super) independent: bool,
    pub(super) bytes: usize,
}

impl Clip {
    /// Judges a segment or part by itself; none for a container that is not known.
    pub(super) fn judge(
        ledger: &mut Ledger,
        url: &str,
        bytes: &[u8],
        init: Option<&Init>,
    ) -> Option<Self> {
        if ts::is_ts(bytes) {
            return Some(ts::judge(ledger, url, bytes));
        }
        let init = init?;
        let runs = fragments::judge(ledger, url, bytes, init);
        Some(Self::of(ledger, url, &runs, init))
    }

    /// H52: each fragment goes on where the one before it ended.
    fn of(ledger: &mut Ledger, url: &str, runs: &[Run<'_>], init: &Init) -> Self {
        let mut clip = Self::default();
        for track in &init.tracks {
            let own: Vec<_> = runs.iter().filter(|run| run.track == track.id).collect();
            for (before, run) in own.iter().zip(own.iter().skip(1)) {
                ledger.expect("H52", before.end_time() == run.time, || {
                    let what = format!(
                        "track {} ends at {} and goes on at {}",
                        run.track,
                        before.end_time(),
                        run.time
                    );
                    (what, place(url, run.start, run.end))
                });
            }
            clip.streams.extend(Stream::of(track, &own));
        }
        clip
    }

    /// The stream that segments are measured by: the pictures, else what there is.
    pub(super) fn leading(&self) -> Option<&Stream> {
        self.of_kind(Kind::Video).or(self.streams.first())
    }

    pub(super) fn of_kind(&self, kind: Kind) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.kind == kind)
    }
}

impl Stream {
    fn of(track: &Track, runs: &[&Run<'_>]) -> Option<Self> {
        let samples = || runs.iter().flat_map(|run| &run.samples);
        let first = runs.first()?;
        let units = track.description.units;
        let independent: Vec<_> = samples().map(|sample| sample.is_independent(units)).collect();
        let number = |time: u64| i64::try_from(time).ok();
        let (start, end) = (number(first.time)?, number(runs.last()?.end_time())?);
        let (mut first_shown, mut shown_until) = (i64::MAX, i64::MIN);
        for run in runs {
            let mut at = number(run.time)?;
            for sample in &run.samples {
                let shown = at.checked_add(sample.offset)?;
                at = at.checked_add(i64::from(sample.duration))?;
                first_shown = first_shown.min(shown);
                shown_until = shown_until.max(at.checked_add(sample.offset)?);
            }
        }
        let frames = independent.len();
        if frames == 0 {
            return None;
        }
        let lengths = || samples().map(|sample| i64::from(sample.duration));
        let (whole, scale): (i64, _) = (lengths().sum(), track.timescale.max(1));
        Some(Self {
            id: track.id,
            kind: track.kind,
            scale,
            start,
            end,
            first_shown,
            shown_until,
            frames,
            frame: whole / i64::try_from(frames).ok()?.max(1),
            lengths: Lengths::of(lengths(), scale),
            starts_independent: independent.first().copied().unwrap_or(false),
            independent: independent.contains(&true),
            bytes: samples().map(|sample| sample.data.len()).sum(),
        })
    }

    pub(super) fn micros(&self, ticks: i64) -> i64 {
        in_micros(ticks, self.scale)
    }

    /// From the first frame shown to the end of the last, in microseconds. Decoding may begin
    /// earlier: with a picture that stands still, or with pictures out of order.
    pub(super) fn length(&self) -> i64 {
        self.micros(self.shown_until.saturating_sub(self.first_shown))
    }
}

/// Ticks of so many a second; there is at least one.
pub(super) fn in_micros(ticks: i64, scale: u32) -> i64 {
    let micros = i128::from(ticks) * 1_000_000 / i128::from(scale);
    i64::try_from(micros).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}
