use super::super::ledger::Ledger;
use super::bytes::Bytes;
use super::clip::{Clip, Stream};
use super::init::{Kind, place};
use super::lengths::Lengths;

const PACKET_BYTES: usize = 188;
/// Ticks a second, and the number after which they begin again (ISO/IEC 13818-1 2.4.3.7).
const TICKS: u32 = 90_000;
pub(super) const WRAP: i64 = 1 << 33;

pub(super) fn is_ts(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x47) && [None, Some(&0x47)].contains(&bytes.get(PACKET_BYTES))
}

/// Judges a TS segment, and tells what it holds.
pub(super) fn judge<'a>(ledger: &mut Ledger, url: &'a str, bytes: &'a [u8]) -> Clip {
    let mut reader = Reader { url, ..Reader::default() };
    for (index, packet) in bytes.chunks(PACKET_BYTES).enumerate() {
        reader.at = index * PACKET_BYTES;
        if reader.packet(packet).is_none() {
            reader.fault.get_or_insert((reader.at, "a packet that cannot be read".to_owned()));
        }
    }
    for track in &mut reader.tracks {
        track.finish();
    }
    reader.report(ledger);
    reader.clip()
}

/// One elementary stream.
#[derive(Default)]
struct Track<'a> {
    pid: u16,
    /// Its type in the programme map.
    stream_type: u8,
    counter: Option<u8>,
    first_counter: u8,
    /// Decode and presentation time of each frame, not wrapped.
    times: Vec<(i64, i64)>,
    /// Whether each frame is independent.
    independent: Vec<bool>,
    /// The payload of the frame being read.
    frame: Vec<&'a [u8]>,
    bytes: usize,
}

#[derive(Default)]
struct Reader<'a> {
    url: &'a str,
    at: usize,
    programmes: Vec<u16>,
    tracks: Vec<Track<'a>>,
    mapped: bool,
    /// Where the first fault of the container lies.
    fault: Option<(usize, String)>,
    late: Option<(usize, String)>,
}

impl<'a> Reader<'a> {
    fn packet(&mut self, packet: &'a [u8]) -> Option<()> {
        let mut rest = Bytes(packet);
        if rest.u8()? != 0x47 || packet.len() != PACKET_BYTES {
            return None;
        }
        let word = rest.u16()?;
        let (starts, pid) = (word & 0x4000 != 0, word & 0x1fff);
        let control = rest.u8()?;
        if control & 0x20 != 0 {
            let length = rest.u8()?;
            rest.take(usize::from(length))?;
        }
        // Other tables have low numbers, stuffing has the highest.
        if control & 0x10 == 0 || pid == 0x1fff || (1..0x20).contains(&pid) {
            return Some(());
        }
        if pid == 0 {
            return if starts { self.association(rest) } else { Some(()) };
        }
        if self.programmes.contains(&pid) {
            return if starts && !self.mapped { self.map(rest) } else { Some(()) };
        }
        if !self.mapped {
            self.fault.get_or_insert((self.at, "media before its tables".to_owned()));
        }
        self.media(pid, starts, control & 15, rest)
    }

    /// The programme association table (ISO/IEC 13818-1 2.4.4.3).
    fn association(&mut self, rest: Bytes<'a>) -> Option<()> {
        let mut section = section(rest, 0)?;
        section.take(5)?;
        let mut found = Vec::new();
        while section.0.len() > 4 {
            let (number, pid) = (section.u16()?, section.u16()? & 0x1fff);
            if number != 0 {
                found.push(pid);
            }
        }
        if found.len() != 1 {
            self.fault.get_or_insert((self.at, format!("{} programmes", found.len())));
        }
        self.programmes = found;
        Some(())
    }

    /// The programme map (ISO/IEC 13818-1 2.4.4.8).
    fn map(&mut self, rest: Bytes<'a>) -> Option<()> {
        let mut section = section(rest, 2)?;
        section.take(7)?;
        let info = usize::from(section.u16()? & 0xfff);
        section.take(info)?;
        while section.0.len() > 4 {
            let (stream_type, pid) = (section.u8()?, section.u16()? & 0x1fff);
            let info = usize::from(section.u16()? & 0xfff);
            section.take(info)?;
            self.tracks.push(Track { pid, stream_type, ..Track::default() });
        }
        self.mapped = true;
        Some(())
    }

    fn media(&mut self, pid: u16, starts: bool, counter: u8, rest: Bytes<'a>) -> Option<()> {
        let Some(track) = self.tracks.iter_mut().find(|track| track.pid == pid) else {
            return Some(());
        };
        match track.counter {
            None => track.first_counter = counter,
            Some(last) if (last + 1) & 15 != counter && last != counter => {
                let what = format!("counter {counter} of stream {pid} after {last}");
                self.fault.get_or_insert((self.at, what));
            }
            Some(_) => {}
        }
        track.counter = Some(counter);
        // Neither sound nor picture: comes when it likes, and perhaps in another form.
        if track.kind() == Kind::Other {
            return Some(());
        }
        if !starts {
            track.push(rest.0);
            return Some(());
        }
        track.finish();
        let before = track.times.last().copied();
        let Some(now) = track.begin(rest)? else { return Some(()) };
        let falls = before.is_some_and(|(decode, _)| now.0 <= decode);
        if falls || now.1 < now.0 {
            let what = format!("stream {pid}: decoded at {}, shown at {}", now.0, now.1);
            self.late.get_or_insert((self.at, what));
        }
        Some(())
    }

    fn report(&mut self, ledger: &mut Ledger) {
        if !self.mapped {
            self.fault.get_or_insert((0, "no programme map".to_owned()));
        }
        for (rule, fault) in [("H56", self.fault.take()), ("H55", self.late.take())] {
            let at = fault.as_ref().map_or(0, |(at, _)| *at);
            ledger.expect(rule, fault.is_none(), || {
                (
                    fault.map(|(_, what)| what).unwrap_or_default(),
                    place(self.url, at, at + PACKET_BYTES),
                )
            });
        }
    }

    fn clip(self) -> Clip {
        let said = |track: &Track<'_>| {
            let [high, low] = track.pid.to_be_bytes();
            [high, low, track.stream_type]
        };
        Clip {
            format: self.tracks.iter().flat_map(said).collect(),
            counters: self
                .tracks
                .iter()
                .filter_map(|track| Some((track.pid, track.first_counter, track.counter?)))
                .collect(),
            wrap: Some(WRAP),
            streams: self.tracks.iter().filter_map(Track::stream).collect(),
        }
    }
}

impl<'a> Track<'a> {
    fn push(&mut self, payload: &'a [u8]) {
        self.bytes += payload.len();
        self.frame.push(payload);
    }

    /// The header of a packet of the elementary stream (ISO/IEC 13818-1 2.4.3.6).
    /// It may have no time of its own.
    fn begin(&mut self, rest: Bytes<'a>) -> Option<Option<(i64, i64)>> {
        let mut rest = rest;
        if rest.take(3)? != [0, 0, 1] {
            return None;
        }
        rest.take(4)?;
        let flags = rest.u8()?;
        let length = usize::from(rest.u8()?);
        let mut header = Bytes(rest.take(length)?);
        if flags & 0x80 == 0 {
            self.push(rest.0);
            return Some(None);
        }
        let shown = stamp(&mut header)?;
        let decode = if flags & 0x40 == 0 { shown } else { stamp(&mut header)? };
        let near = |time: i64, to: i64| to + (time - to + WRAP / 2).rem_euclid(WRAP) - WRAP / 2;
        let decode = self.times.last().map_or(decode, |(last, _)| near(decode, *last));
        let now = (decode, near(shown, decode));
        self.times.push(now);
        self.push(rest.0);
        Some(Some(now))
    }

    /// Looks at the frame that has been read.
    fn finish(&mut self) {
        if self.independent.len() < self.times.len() {
            let whole = self.frame.concat();
            self.independent.push(match self.stream_type {
                0x1b => has_unit(&whole, |first| first & 31 == 5),
                0x24 => has_unit(&whole, |first| (16..=21).contains(&(first >> 1 & 63))),
                _ => true,
            });
        }
        self.frame.clear();
    }

    fn kind(&self) -> Kind {
        match self.stream_type {
            0x01 | 0x02 | 0x1b | 0x24 => Kind::Video,
            0x03 | 0x04 | 0x0f | 0x11 | 0x81 | 0x87 => Kind::Audio,
            _ => Kind::Other,
        }
    }

    fn stream(&self) -> Option<Stream> {
        let (start, _) = *self.times.first()?;
        let (last, _) = *self.times.last()?;
        let count = i64::try_from(self.times.len()).ok()?;
        let frame = if count > 1 { (last - start) / (count - 1) } else { 0 };
        let steps = self.times.windows(2).filter_map(|two| match two {
            [(before, _), (now, _)] => now.checked_sub(*before),
            _ => None,
        });
        Some(Stream {
            id: u32::from(self.pid),
            kind: self.kind(),
            scale: TICKS,
            start,
            end: last + frame,
            first_shown: self.times.iter().map(|(_, shown)| *shown).min()?,
            shown_until: self.times.iter().map(|(_, shown)| *shown).max()? + frame,
            frames: self.times.len(),
            frame,
            lengths: Lengths::of(steps, TICKS),
            starts_independent: self.independent.first().copied().unwrap_or(false),
            independent: self.independent.contains(&true),
            bytes: self.bytes,
        })
    }
}

/// The inside of a table's section, its checksum included, as far as this packet holds it.
fn section(rest: Bytes<'_>, id: u8) -> Option<Bytes<'_>> {
    let mut rest = rest;
    let pointer = rest.u8()?;
    rest.take(usize::from(pointer))?;
    if rest.u8()? != id {
        return None;
    }
    let length = usize::from(rest.u16()? & 0xfff);
    rest.take(length.min(rest.0.len())).map(Bytes)
}

/// 33 bits in five bytes.
fn stamp(header: &mut Bytes<'_>) -> Option<i64> {
    let raw = header.number(5)?;
    let time = (raw >> 33 & 7) << 30 | (raw >> 17 & 0x7fff) << 15 | raw >> 1 & 0x7fff;
    i64::try_from(time).ok()
}

/// Some unit behind a start code (ITU-T H.264 annex B) is of this kind.
fn has_unit(bytes: &[u8], kind: impl Fn(u8) -> bool) -> bool {
    bytes.windows(4).any(|four| matches!(four, [0, 0, 1, first] if kind(*first)))
}
