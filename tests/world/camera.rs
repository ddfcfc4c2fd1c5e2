//! What an encoder makes: RTMP messages with the stamps of its clock.

use ghostlight::testing::clips;
use ghostlight::testing::dice::Dice;

use super::chunks::{AUDIO, Message, VIDEO};
use super::plan;

const AAC_SAMPLES: u64 = 1_024;
const AAC_RATE: u64 = 48_000;

/// A running encoder. Its pictures and its sound fall due by its own clock, which began at `zero`.
#[derive(Debug)]
pub(crate) struct Camera {
    plan: plan::Camera,
    /// The number of its connection, which ends every frame.
    mark: u16,
    zero: u64,
    /// Added to the stamps by jumps, in milliseconds.
    shift: i64,
    odd: i64,
    pictures: u64,
    sounds: u64,
    since_keyframe: u64,
    begun: [bool; 2],
    other_format: bool,
    /// Nothing, no picture, no sound, no keyframe before these times.
    pub(crate) starved_until: u64,
    pub(crate) muted_until: [u64; 2],
    pub(crate) frozen_until: u64,
}

impl Camera {
    pub(crate) fn begin(plan: plan::Camera, mark: u16, zero: u64) -> Self {
        Self {
            plan,
            mark,
            zero,
            shift: 0,
            odd: 0,
            pictures: 0,
            sounds: 0,
            since_keyframe: 0,
            begun: [false; 2],
            other_format: false,
            starved_until: 0,
            muted_until: [0; 2],
            frozen_until: 0,
        }
    }

    pub(crate) fn jump(&mut self, millis: i64) {
        self.shift += millis;
    }

    pub(crate) fn make_one_odd(&mut self, millis: i64) {
        self.odd = millis;
    }

    /// From now on its clock is ahead, and what lies between is due at once.
    pub(crate) fn hurry(&mut self, millis: u64) {
        self.zero = self.zero.saturating_sub(millis);
    }

    pub(crate) fn chunk_bytes(&self) -> u16 {
        self.plan.chunk_bytes
    }

    pub(crate) fn sends_metadata(&self) -> bool {
        self.plan.metadata
    }

    /// Goes on with another configuration, and a keyframe.
    pub(crate) fn change_format(&mut self) {
        self.other_format = !self.other_format;
        self.begun = [false; 2];
        self.since_keyframe = 0;
    }

    /// Everything that has fallen due by `now`, in the order of time.
    pub(crate) fn take_due(&mut self, now: u64, dice: &mut Dice) -> Vec<Message> {
        let mut due = Vec::new();
        let end = now.saturating_sub(self.zero) * 1_000;
        loop {
            let picture = self.plan.video.then(|| self.picture_micros());
            let sound = self.plan.audio.then(|| self.sound_micros());
            let first = picture.unwrap_or(u64::MAX).min(sound.unwrap_or(u64::MAX));
            if end < first {
                return due;
            }
            let at = self.zero + first / 1_000;
            if picture == Some(first) {
                self.take_picture(first, at, &mut due, dice);
            } else {
                self.take_sound(first, at, &mut due, dice);
            }
        }
    }

    fn picture_micros(&self) -> u64 {
        self.pictures * 1_000_000_000 / self.plan.rate_millis
    }

    fn sound_micros(&self) -> u64 {
        let nominal = i128::from(self.sounds * AAC_SAMPLES * 1_000_000 / AAC_RATE);
        let real = nominal * 1_000_000 / i128::from(1_000_000 + self.plan.sound_ppm);
        u64::try_from(real).unwrap_or(0)
    }

    fn take_picture(&mut self, micros: u64, at: u64, due: &mut Vec<Message>, dice: &mut Dice) {
        self.pictures += 1;
        if at < self.starved_until.max(self.muted_until[1]) {
            return;
        }
        let key = self.since_keyframe == 0 && (self.frozen_until <= at || !self.begun[1]);
        let frame = 1_000_000_000 / self.plan.rate_millis;
        let ahead = match self.since_keyframe {
            _ if self.plan.b_frames == 0 => 0,
            0 => 1,
            n if (n - 1).is_multiple_of(self.plan.b_frames + 1) => self.plan.b_frames + 1,
            _ => 0,
        };
        self.since_keyframe += 1;
        if self.plan.gop <= self.since_keyframe {
            self.since_keyframe = 0;
        }
        let jitter = dice.within(0..=self.plan.jitter_millis);
        let stamp = self.stamp(micros / 1_000 + jitter);
        if !self.begun[1] {
            self.begun[1] = true;
            due.push(Message { kind: VIDEO, stamp, body: avc_config(self.other_format) });
        }
        let size = if key { dice.within(200..=700) } else { dice.within(30..=200) };
        let shown = u32::try_from((ahead * frame + 500) / 1_000).unwrap_or(0);
        let [_, c2, c1, c0] = shown.to_be_bytes();
        let head = [if key { 0x17 } else { 0x27 }, 1, c2, c1, c0];
        let payload = clips::avc_payload(key, usize::try_from(size).unwrap_or(100));
        let body = self.marked([&head[..], &payload].concat());
        due.push(Message { kind: VIDEO, stamp, body });
    }

    fn take_sound(&mut self, micros: u64, at: u64, due: &mut Vec<Message>, dice: &mut Dice) {
        let counted = self.sounds * AAC_SAMPLES * 1_000 / AAC_RATE;
        self.sounds += 1;
        if at < self.starved_until.max(self.muted_until[0]) {
            return;
        }
        let millis = if self.plan.stamps_count_samples { counted } else { micros / 1_000 };
        let stamp = self.stamp(millis);
        if !self.begun[0] {
            self.begun[0] = true;
            due.push(Message { kind: AUDIO, stamp, body: clips::aac_config().to_vec() });
        }
        let size = usize::try_from(dice.within(8..=40)).unwrap_or(8);
        let body = self.marked(clips::aac_frame(size).to_vec());
        due.push(Message { kind: AUDIO, stamp, body });
    }

    fn marked(&self, mut body: Vec<u8>) -> Vec<u8> {
        body.truncate(body.len() - MARK_BYTES);
        body.extend(write_mark(self.mark));
        body
    }

    fn stamp(&mut self, millis: u64) -> u32 {
        let odd = std::mem::take(&mut self.odd);
        let moved = i64::try_from(millis).unwrap_or(0) + self.shift + odd;
        let low = moved.rem_euclid(1 << 32);
        self.plan.stamp.wrapping_add(u32::try_from(low).unwrap_or(0))
    }
}

const MARK_BYTES: usize = 2;

/// Seven bits to the byte: no start code comes of it.
fn write_mark(mark: u16) -> [u8; MARK_BYTES] {
    let [high, low] = (mark << 1).to_be_bytes();
    [0x80 | high, 0x80 | low >> 1]
}

/// Which connection a frame came by.
pub(crate) fn read_mark(frame: &[u8]) -> Option<u16> {
    let &[.., high, low] = frame else { return None };
    (high & low & 0x80 != 0).then(|| u16::from(high & 0x7f) << 7 | u16::from(low & 0x7f))
}

/// The clip's configuration, or the same of another level.
fn avc_config(other: bool) -> Vec<u8> {
    const LEVELS: [usize; 2] = [5 + 3, 5 + 11];
    let mut body = clips::avc_config().to_vec();
    if other {
        for at in LEVELS {
            body[at] = 0x1e;
        }
    }
    body
}
