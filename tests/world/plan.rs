//! What happens in a world, as a value: drawn from a seed, printed as a test case, made smaller.

use ghostlight::testing::dice::Dice;
use serde::{Deserialize, Serialize};

/// All times are milliseconds since the world began, and even; see [`Dice::even`].
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// Of everything that is left to chance while it runs.
    pub(crate) seed: u64,
    pub(crate) millis: u64,
    pub(crate) part_millis: u64,
    pub(crate) window_secs: u64,
    pub(crate) ring_bytes_max: usize,
    pub(crate) memory_bytes_max: usize,
    pub(crate) closing: Option<Closing>,
    /// When the calendar is set, and by how many milliseconds.
    pub(crate) calendar: Vec<(u64, i64)>,
    pub(crate) channels: Vec<Channel>,
    pub(crate) viewers: Vec<Viewer>,
}

/// The end of the service.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Closing {
    pub(crate) at: u64,
    /// Broadcasts that run may go on for so long; none: they are cut.
    pub(crate) finish_millis: Option<u64>,
}

/// What one broadcaster does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Channel {
    pub(crate) begin: u64,
    pub(crate) camera: Camera,
    pub(crate) events: Vec<(u64, Act)>,
}

/// How an encoder is set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Camera {
    pub(crate) video: bool,
    pub(crate) audio: bool,
    /// Frames a second, in thousandths.
    pub(crate) rate_millis: u64,
    pub(crate) gop: u64,
    pub(crate) b_frames: u64,
    /// Video stamps are off by up to this.
    pub(crate) jitter_millis: u64,
    /// How much faster the sound card's clock goes.
    pub(crate) sound_ppm: i64,
    /// Sound is stamped by counting samples, so it drifts away from the picture.
    pub(crate) stamps_count_samples: bool,
    /// The stamp of the first frame.
    pub(crate) stamp: u32,
    pub(crate) chunk_bytes: u16,
    pub(crate) metadata: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) enum Act {
    /// The network keeps everything back, and then delivers it at once.
    Stall { millis: u64 },
    /// The encoder makes nothing; its clock goes on.
    Starve { millis: u64 },
    /// No sound, or no picture.
    Mute { picture: bool, millis: u64 },
    /// No keyframe.
    NoKeyframe { millis: u64 },
    /// The stamps of both tracks jump.
    Jump { millis: i64 },
    /// One frame has an odd stamp.
    OddStamp { millis: i64 },
    /// The encoder changes its configuration.
    Format,
    /// The connection breaks.
    Cut { away: u64 },
    /// The connection goes silent without an end, and the encoder dials anew.
    Vanish { away: u64 },
    /// A second connection comes while the first goes on sending.
    TakeOver { overlap: u64 },
    /// The encoder says that it is done.
    Finish { away: u64 },
    /// The encoder sends what is no RTMP.
    Nonsense { away: u64 },
    /// The network delivers far more bytes than media goes by: two minutes at once.
    Flood,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Viewer {
    pub(crate) channel: usize,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) kind: ViewerKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum ViewerKind {
    /// Blocking reloads and hinted parts; `delta` asks for delta updates.
    LowLatency { delta: bool },
    /// Reloads now and then, whole segments.
    Plain,
    /// Asks for nonsense, gives up while it waits, reads slowly or not at all.
    Rude,
}

impl Plan {
    pub(crate) fn draw(seed: u64, millis: u64) -> Self {
        let mut dice = Dice::new(seed);
        let roomy = dice.chance(60);
        let channels = *dice.pick(&[1_usize, 1, 2, 3]);
        // Every fifth world closes.
        let closing = (seed % 5 == 4).then(|| Closing {
            at: dice.even(millis * 6 / 10..=millis * 8 / 10),
            finish_millis: dice.chance(50).then(|| dice.even(60_000..=300_000)),
        });
        Self {
            seed,
            millis,
            part_millis: *dice.pick(&[200, 250, 250, 334, 500]),
            window_secs: *dice.pick(&[8, 30, 30, 60, 130]),
            ring_bytes_max: if roomy { 32 << 20 } else { 24 << 10 },
            memory_bytes_max: if roomy { 2 << 30 } else { 700 << 10 },
            closing,
            calendar: calendar(millis, &mut dice),
            channels: (0..channels).map(|_| Channel::draw(millis, &mut dice)).collect(),
            viewers: viewers(channels, millis, &mut dice),
        }
    }

    /// Text that [`Plan::parse`] reads.
    pub(crate) fn print(&self) -> String {
        serde_json::to_string(self).expect("a plan has no map with odd keys")
    }

    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).expect("a printed plan")
    }

    /// Plans with less in them, the ones with the least first.
    pub(crate) fn smaller(&self, failed_at: u64) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                plans.push(plan);
            }
        };
        for keep in [2_000, 20_000, 100_000, 400_000] {
            let by = failed_at.saturating_sub(keep) / 2 * 2;
            if 0 < by {
                add(&|plan| plan.begin_later(by));
            }
        }
        add(&|plan| plan.end_at(failed_at + 2_000));
        add(&|plan| plan.viewers.clear());
        add(&|plan| plan.calendar.clear());
        add(&|plan| plan.closing = None);
        for index in (0..self.channels.len()).filter(|_| 1 < self.channels.len()) {
            add(&|plan| plan.remove_channel(index));
        }
        for index in 0..self.viewers.len() {
            add(&|plan| remove(&mut plan.viewers, index));
        }
        for (index, channel) in self.channels.iter().enumerate() {
            let half = channel.events.len() / 2;
            add(&|plan| drop(plan.channels[index].events.drain(..half)));
            for event in 0..channel.events.len() {
                add(&|plan| remove(&mut plan.channels[index].events, event));
            }
        }
        plans
    }

    fn begin_later(&mut self, by: u64) {
        self.millis = self.millis.saturating_sub(by);
        self.calendar.retain(|(at, _)| by <= *at);
        self.calendar.iter_mut().for_each(|(at, _)| *at -= by);
        if let Some(closing) = &mut self.closing {
            closing.at = closing.at.saturating_sub(by);
        }
        for channel in &mut self.channels {
            channel.begin = channel.begin.saturating_sub(by);
            channel.events.retain(|(at, _)| by <= *at);
            channel.events.iter_mut().for_each(|(at, _)| *at -= by);
        }
        self.viewers.retain(|viewer| by < viewer.end);
        for viewer in &mut self.viewers {
            viewer.begin = viewer.begin.saturating_sub(by);
            viewer.end -= by;
        }
    }

    fn end_at(&mut self, millis: u64) {
        self.millis = self.millis.min(millis / 2 * 2);
        let end = self.millis;
        self.calendar.retain(|(at, _)| *at < end);
        self.viewers.retain(|viewer| viewer.begin < end);
        for channel in &mut self.channels {
            channel.events.retain(|(at, _)| *at < end);
        }
    }

    fn remove_channel(&mut self, index: usize) {
        self.channels.remove(index);
        self.viewers.retain(|viewer| viewer.channel != index);
        for viewer in self.viewers.iter_mut().filter(|viewer| index < viewer.channel) {
            viewer.channel -= 1;
        }
    }
}

fn remove<T>(list: &mut Vec<T>, index: usize) {
    list.remove(index);
}

/// An hour or a day forward or back, and the same the other way some minutes later, so that a
/// gate that does not believe its clock is not all there is to see.
fn calendar(millis: u64, dice: &mut Dice) -> Vec<(u64, i64)> {
    const HOUR: i64 = 3_600_000;
    if dice.chance(50) {
        return Vec::new();
    }
    let by = *dice.pick(&[-24 * HOUR, -HOUR, HOUR, 24 * HOUR, -1_500, 1_500]);
    let at = dice.even(millis / 10..=millis * 9 / 10);
    let back = at + dice.even(60_000..=300_000);
    vec![(at, by), (back, -by)]
}

fn viewers(channels: usize, millis: u64, dice: &mut Dice) -> Vec<Viewer> {
    let count = millis / 150_000 + 3;
    let draw = |_| {
        let begin = dice.even(2_000..=millis);
        Viewer {
            channel: usize::try_from(dice.roll()).unwrap_or(0) % channels,
            begin,
            end: begin + dice.even(20_000..=400_000),
            kind: *dice.pick(&[
                ViewerKind::LowLatency { delta: false },
                ViewerKind::LowLatency { delta: true },
                ViewerKind::Plain,
                ViewerKind::Rude,
            ]),
        }
    };
    (0..count).map(draw).collect()
}

impl Channel {
    fn draw(millis: u64, dice: &mut Dice) -> Self {
        let begin = dice.even(0..=4_000);
        let mut events = Vec::new();
        let calm = *dice.pick(&[30_000, 90_000, 300_000]);
        let mut at = begin + dice.even(4_000..=calm);
        while at < millis {
            let act = Act::draw(dice);
            events.push((at, act));
            at += dice.even(4_000..=2 * calm);
        }
        Self { begin, camera: Camera::draw(dice), events }
    }
}

impl Camera {
    fn draw(dice: &mut Dice) -> Self {
        let (video, audio) =
            *dice.pick(&[(true, true), (true, true), (true, true), (true, false), (false, true)]);
        let rate_millis =
            *dice.pick(&[15_000, 23_976, 24_000, 25_000, 29_970, 30_000, 50_000, 59_940]);
        let b_frames = *dice.pick(&[0, 0, 2, 3]);
        let seconds = *dice.pick(&[1, 2, 2, 2, 4, 8]);
        let gop = rate_millis * seconds / 1_000 + dice.below(8);
        // A picture group begins with its keyframe, so groups of B-frames divide what is left.
        let gop = gop / (b_frames + 1) * (b_frames + 1) + 1;
        let before = |turn: u64, dice: &mut Dice| turn - dice.within(1_000..=60_000);
        let start = match dice.below(5) {
            0 => before(1 << 24, dice),
            1 => before(1 << 31, dice),
            2 => before(1 << 32, dice),
            3 => dice.within(0..=1 << 31),
            _ => 0,
        };
        Self {
            video,
            audio,
            rate_millis,
            gop,
            b_frames,
            jitter_millis: *dice.pick(&[0, 0, 1, 4]),
            sound_ppm: *dice.pick(&[0, -500, -100, 100, 500]),
            stamps_count_samples: dice.chance(30),
            stamp: u32::try_from(start).unwrap_or(0),
            chunk_bytes: *dice.pick(&[64, 128, 4_096, 60_000]),
            metadata: dice.chance(70),
        }
    }
}

impl Act {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Stall { .. } => "stall",
            Self::Starve { .. } => "starve",
            Self::Mute { picture: false, .. } => "no sound",
            Self::Mute { picture: true, .. } => "no picture",
            Self::NoKeyframe { .. } => "no keyframe",
            Self::Jump { .. } => "jump",
            Self::OddStamp { .. } => "odd stamp",
            Self::Format => "format",
            Self::Cut { .. } => "cut",
            Self::Vanish { .. } => "vanish",
            Self::TakeOver { .. } => "take over",
            Self::Finish { .. } => "finish",
            Self::Nonsense { .. } => "nonsense",
            Self::Flood => "flood",
        }
    }

    fn draw(dice: &mut Dice) -> Self {
        match dice.below(26) {
            0..3 => Self::Stall { millis: dice.even(200..=14_000) },
            3..5 => Self::Starve { millis: dice.even(200..=9_000) },
            5 => Self::Mute { picture: false, millis: dice.even(200..=20_000) },
            6 => Self::Mute { picture: true, millis: dice.even(200..=20_000) },
            7 => Self::NoKeyframe { millis: dice.even(4_000..=30_000) },
            8 | 9 => {
                let millis = i64::try_from(dice.within(2_001..=90_000)).unwrap_or(0);
                Self::Jump { millis: if dice.chance(50) { millis } else { -millis } }
            }
            10 => {
                let millis = i64::try_from(dice.within(2_500..=90_000)).unwrap_or(0);
                Self::OddStamp { millis: if dice.chance(50) { millis } else { -millis } }
            }
            11 | 12 => Self::Format,
            13..16 => Self::Cut { away: dice.even(100..=50_000) },
            16 => Self::Cut { away: dice.even(62_000..=90_000) },
            17 => Self::Vanish { away: dice.even(1_000..=30_000) },
            18..21 => Self::TakeOver { overlap: dice.even(0..=5_000) },
            21..23 => Self::Finish { away: dice.even(100..=30_000) },
            23 => Self::Nonsense { away: dice.even(500..=10_000) },
            24 => Self::Flood,
            _ => Self::Starve { millis: dice.even(9_000..=40_000) },
        }
    }
}
