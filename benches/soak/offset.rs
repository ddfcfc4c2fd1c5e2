//! Whether sound and picture stay together: where both lie in the media that viewers get, beside
//! when both were due at the publisher.

use std::sync::Mutex;

use ghostlight::base::MonoTime;
use ghostlight::load::{Heard, Witness};

use super::clip::{Piece, schedule, stamps};

/// Messages of one publisher that can be told apart: over an hour.
const MESSAGES: usize = 300_000;
/// Ticks a second of the two tracks: our own choice for pictures, and the clip's sampling rate.
const VIDEO_TICKS: f64 = 90_000.0;
const AUDIO_TICKS: f64 = 48_000.0;
const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;
/// One picture of the clip.
const OFFSET_MILLIS_MAX: f64 = 34.0;

/// Looks at the first player's parts of every stream.
#[derive(Debug)]
pub(crate) struct Offset {
    due: Vec<(Piece, u64)>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    parts: u64,
    worst_millis: f64,
}

impl Offset {
    pub(crate) fn new() -> Self {
        Self { due: schedule().take(MESSAGES).collect(), seen: Mutex::default() }
    }

    pub(crate) fn parts(&self) -> u64 {
        self.seen.lock().expect("no panic").parts
    }

    pub(crate) fn worst_millis(&self) -> f64 {
        self.seen.lock().expect("no panic").worst_millis
    }

    pub(crate) fn complaint(&self) -> Option<String> {
        if self.parts() == 0 {
            return Some("no part with sound and picture was seen".to_owned());
        }
        let worst = self.worst_millis();
        (worst > OFFSET_MILLIS_MAX).then(|| format!("sound is {worst:.1} ms from its picture"))
    }

    /// How far sound and picture of one part are from where they were to each other, in seconds.
    fn of(&self, media: &[u8]) -> Option<f64> {
        let head = media.get(..find(media, b"mdat")?)?;
        let numbers = stamps(media);
        let due = |wanted: fn(Piece) -> bool| {
            let mut pieces = numbers.iter().filter_map(|n| self.due.get(usize::try_from(*n).ok()?));
            pieces.find(|(piece, _)| wanted(*piece)).map(|(_, micros)| seconds(*micros) / 1e6)
        };
        let video = start(head, VIDEO_TRACK)? / VIDEO_TICKS
            - due(|piece| matches!(piece, Piece::Key | Piece::Inter))?;
        let audio =
            start(head, AUDIO_TRACK)? / AUDIO_TICKS - due(|piece| matches!(piece, Piece::Audio))?;
        Some(video - audio)
    }
}

impl Witness for Offset {
    fn looks_at(&self, player: usize) -> bool {
        player == 0
    }

    fn handle_media(&self, _: usize, _: &Heard, media: &[u8], _: MonoTime) {
        let Some(offset) = self.of(media) else { return };
        let mut seen = self.seen.lock().expect("no panic");
        seen.parts += 1;
        seen.worst_millis = seen.worst_millis.max(offset.abs() * 1e3);
    }
}

/// The decode time at which a track begins in this part (ISO 14496-12, `tfhd` and `tfdt`).
fn start(head: &[u8], track: u32) -> Option<f64> {
    let mut rest = head;
    loop {
        rest = rest.get(find(rest, b"tfhd")? + 4..)?;
        let id = rest.get(4..8)?;
        if id != track.to_be_bytes() {
            continue;
        }
        let time = rest.get(find(rest, b"tfdt")? + 8..)?.get(..8)?;
        return Some(seconds(u64::from_be_bytes(time.try_into().ok()?)));
    }
}

fn find(bytes: &[u8], name: &[u8]) -> Option<usize> {
    bytes.windows(name.len()).position(|window| window == name)
}

/// Ticks and microseconds of a soak are far below 2^52.
fn seconds(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
