//! Media written for the tests: small, regular, and without the writer of the server.

/// A box of ISO BMFF.
pub(super) fn atom(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(body.len() + 8).expect("small");
    [&size.to_be_bytes()[..], kind, &body].concat()
}

fn full(kind: &[u8; 4], version: u8, flags: u32, parts: &[&[u8]]) -> Vec<u8> {
    let word = u32::from(version) << 24 | flags;
    atom(kind, &[&word.to_be_bytes(), &parts.concat()])
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Bits to bytes, padded.
fn packed(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    let byte = |eight: &[u8]| eight.iter().enumerate().fold(0, |b, (i, bit)| b | bit << (7 - i));
    bits.chunks(8).map(byte).collect()
}

/// H.264 baseline, level 3.0, 640 by 368 less eight lines at the bottom.
fn parameter_set() -> Vec<u8> {
    // Id 0, frame numbers 0, order type 2, one reference, no gaps; 40 by 23 blocks, frames only,
    // direct inference, cropping 0 0 0 4, no more.
    let rest = "1 1 011 010 0 00000101000 000010111 1 1 1 1 1 1 00101 0 1";
    [&[0x67, 0x42, 0xc0, 0x1e][..], &packed(rest)].concat()
}

fn video_entry() -> Vec<u8> {
    let set = parameter_set();
    let length = u16::try_from(set.len()).expect("small").to_be_bytes();
    let config = atom(b"avcC", &[&[1, 0x42, 0xc0, 0x1e, 0xff, 0xe1], &length, &set, &[0]]);
    let mut fields = vec![0_u8; 78];
    fields[24..28].copy_from_slice(&[2, 128, 1, 104]);
    atom(b"avc1", &[&fields, &config])
}

fn audio_entry() -> Vec<u8> {
    // AAC-LC, 48 kHz, stereo.
    let specific = [5, 2, 0x11, 0x90];
    let decoder = [&[4, 17, 0x40, 0x15][..], &[0; 11], &specific].concat();
    let stream = [&[3, 22, 0, 0, 0][..], &decoder].concat();
    let config = full(b"esds", 0, 0, &[&stream]);
    atom(b"mp4a", &[&[0; 28], &config])
}

fn track(id: u32, handler: &[u8; 4], scale: u32, entry: &[u8], edits: &[u8]) -> Vec<u8> {
    let tables = [
        full(b"stsd", 0, 0, &[&words(&[1]), entry]),
        full(b"stts", 0, 0, &[&words(&[0])]),
        full(b"stsc", 0, 0, &[&words(&[0])]),
        full(b"stsz", 0, 0, &[&words(&[0, 0])]),
        full(b"stco", 0, 0, &[&words(&[0])]),
    ];
    let here = full(b"dref", 0, 0, &[&words(&[1]), &full(b"url ", 0, 1, &[])]);
    let media = atom(b"minf", &[&atom(b"dinf", &[&here]), &atom(b"stbl", &[&tables.concat()])]);
    let header = full(b"mdhd", 0, 0, &[&words(&[0, 0, scale, 0, 0])]);
    let handler = full(b"hdlr", 0, 0, &[&[0; 4], handler, &[0; 13]]);
    let known = full(b"tkhd", 0, 3, &[&words(&[0, 0, id, 0, 0]), &[0; 60]]);
    atom(b"trak", &[&known, edits, &atom(b"mdia", &[&header, &handler, &media])])
}

pub(super) const VIDEO_SCALE: u32 = 90_000;
pub(super) const AUDIO_SCALE: u32 = 48_000;

/// An init segment with pictures as track 1 and sound as track 2.
pub(super) fn init(edits: &[u8]) -> Vec<u8> {
    let default = |id| full(b"trex", 0, 0, &[&words(&[id, 1, 0, 0, 0])]);
    [
        atom(b"ftyp", &[b"iso6", &[0; 4], b"iso6mp41"]),
        atom(
            b"moov",
            &[
                &full(b"mvhd", 0, 0, &[&words(&[0, 0, 1_000, 0]), &[0; 80]]),
                &track(1, b"vide", VIDEO_SCALE, &video_entry(), &[]),
                &track(2, b"soun", AUDIO_SCALE, &audio_entry(), edits),
                &atom(b"mvex", &[&default(1), &default(2)]),
            ],
        ),
    ]
    .concat()
}

/// An edit list that begins at this time of the sound.
pub(super) fn edits(time: u32) -> Vec<u8> {
    atom(b"edts", &[&full(b"elst", 0, 0, &[&words(&[1, 0, time, 0x1_0000])])])
}

/// The samples of a track: lengths, time from decoding to showing of the first, bytes of each.
struct Samples<'a> {
    track: u32,
    time: u64,
    lengths: &'a [u32],
    late: u32,
    size: u32,
    key: bool,
}

fn run(samples: &Samples<'_>, offset: u32) -> Vec<u8> {
    let header = full(b"tfhd", 0, 0x2_0000, &[&words(&[samples.track])]);
    let time = full(b"tfdt", 1, 0, &[&samples.time.to_be_bytes()]);
    let count = u32::try_from(samples.lengths.len()).expect("small");
    let mut fields = words(&[count, offset]);
    for (index, length) in samples.lengths.iter().enumerate() {
        let first = index == 0;
        let flags = if first && samples.key { 0x200_0000 } else { 0x101_0000 };
        let late = if first { samples.late } else { 0 };
        fields.extend(words(&[*length, samples.size, flags, late]));
    }
    atom(b"traf", &[&header, &time, &full(b"trun", 0, 0xf01, &[&fields])])
}

/// One unit of H.264 behind its length.
fn picture(key: bool) -> Vec<u8> {
    [&[0, 0, 0, 9, if key { 0x65 } else { 0x41 }][..], &[0x80; 8]].concat()
}

/// A part of half a second: pictures and sound from these times on, each `late` as asked.
pub(super) fn part(half: u64, key: bool) -> Vec<u8> {
    fragment(half * 45_000, half * 24_000, key)
}

pub(super) fn fragment(video: u64, audio: u64, key: bool) -> Vec<u8> {
    after_hole(0, video, audio, key)
}

/// A part after a hole of so many ticks: its first picture is decoded where the last one ended and
/// shown where its segment begins.
pub(super) fn after_hole(hole: u32, video: u64, audio: u64, key: bool) -> Vec<u8> {
    let mut pictures = [3_000; 15];
    pictures[0] += hole;
    let video = Samples { track: 1, time: video, lengths: &pictures, late: hole, size: 13, key };
    let lengths = [1_000; 24];
    let audio = Samples { track: 2, time: audio, lengths: &lengths, late: 0, size: 6, key: true };
    let build = |at: u32| {
        let runs = [run(&video, at), run(&audio, at + 13 * 15)].concat();
        atom(b"moof", &[&full(b"mfhd", 0, 0, &[&words(&[1])]), &runs])
    };
    let size = u32::try_from(build(0).len()).expect("small") + 8;
    let mut media: Vec<u8> = (0..15).flat_map(|index| picture(key && index == 0)).collect();
    media.extend([0x21; 6 * 24]);
    [build(size), atom(b"mdat", &[&media])].concat()
}

/// Overwrites the bytes so far behind the first occurrence of a box's name.
pub(super) fn patch(bytes: &mut [u8], kind: &[u8; 4], offset: usize, with: &[u8]) {
    let at = bytes.windows(4).position(|four| four == kind).expect("the box");
    bytes[at + 4 + offset..][..with.len()].copy_from_slice(with);
}

pub(super) fn rename(bytes: &mut [u8], kind: &[u8; 4], name: &[u8; 4]) {
    let at = bytes.windows(4).position(|four| four == kind).expect("the box");
    bytes[at..at + 4].copy_from_slice(name);
}

/// A second of MPEG-TS: thirty pictures and as many sounds.
pub(super) struct Transport {
    pub(super) time: u64,
    pub(super) counters: [u8; 2],
    pub(super) programmes: u8,
    pub(super) tables: bool,
    pub(super) key: bool,
    pub(super) picture_type: u8,
}

impl Transport {
    /// The second of this number from a first time on.
    pub(super) fn second(first: u64, number: u64) -> Self {
        let counter = u8::try_from(number * 30 % 16).expect("below 16");
        Self {
            time: (first + number * 90_000) % (1 << 33),
            counters: [counter; 2],
            programmes: 1,
            tables: true,
            key: true,
            picture_type: 0x1b,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.tables {
            let programmes: Vec<u8> = (1..=self.programmes).flat_map(|n| [0, n, 0xf0, 0]).collect();
            out.extend(packet(0, true, 0, &table(0, &[0, 1, 0xc1, 0, 0], &programmes)));
            let streams = [self.picture_type, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 0];
            let head = [0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0];
            out.extend(packet(0x1000, true, 0, &table(2, &head, &streams)));
        }
        for frame in 0..30_u8 {
            let time = (self.time + 3_000 * u64::from(frame)) % (1 << 33);
            let unit = if self.key && frame == 0 { 0x65 } else { 0x41 };
            let picture = [0, 0, 1, unit, 0x80, 0x80, 0x80];
            let counter = |start: u8| (start + frame) & 15;
            out.extend(packet(0x100, true, counter(self.counters[0]), &pes(0xe0, time, &picture)));
            out.extend(packet(
                0x101,
                true,
                counter(self.counters[1]),
                &pes(0xc0, time, &[0xff, 0xf1]),
            ));
        }
        out
    }
}

fn table(id: u8, head: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(head.len() + body.len() + 4).expect("small");
    [&[0, id, 0xb0, length], head, body, &[0; 4]].concat()
}

fn pes(id: u8, time: u64, payload: &[u8]) -> Vec<u8> {
    let raw = 0x21_0001_0001
        | (time >> 30 & 7) << 33
        | (time >> 15 & 0x7fff) << 17
        | (time & 0x7fff) << 1;
    [&[0, 0, 1, id, 0, 0, 0x80, 0x80, 5], &raw.to_be_bytes()[3..], payload].concat()
}

fn packet(pid: u16, start: bool, counter: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (pid | if start { 0x4000 } else { 0 }).to_be_bytes();
    let stuffing = 183 - payload.len();
    let length = u8::try_from(stuffing).expect("small");
    let mut out = vec![0x47, high, low, 0x30 | counter, length];
    if stuffing > 0 {
        out.push(0);
        out.extend(vec![0xff; stuffing - 1]);
    }
    out.extend(payload);
    assert_eq!(out.len(), 188);
    out
}
