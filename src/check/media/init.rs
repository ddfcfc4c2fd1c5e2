use super::super::finding::Place;
use super::super::ledger::Ledger;
use super::bytes::{Atom, Bytes, atoms};
use super::codec::Description;

/// What an init segment says about its tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) tracks: Vec<Track>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) id: u32,
    pub(super) timescale: u32,
    pub(super) kind: Kind,
    /// The four letters of the sample entry.
    pub(super) format: Vec<u8>,
    /// The bytes of the sample entry: a change of any of them is a change of format.
    pub(super) entry: Vec<u8>,
    pub(super) description: Description,
    /// Width and height at which pictures are shown, where the header says.
    pub(super) shown: Option<(u64, u64)>,
    pub(super) defaults: Defaults,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    Video,
    Audio,
    #[default]
    Other,
}

/// What holds for samples that say nothing of their own (ISO/IEC 14496-12 8.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

/// Brands that hold all of `iso6` (ISO/IEC 14496-12 annex E, ISO/IEC 23000-19 7.2).
const BRANDS: &[&[u8]] = &[
    b"iso6", b"iso7", b"iso8", b"iso9", b"isoa", b"isob", b"isoc", b"cmfc", b"cmf2", b"cmfs",
    b"hlsf",
];

impl Init {
    /// Judges an init segment and takes from it what segments need.
    pub(super) fn judge(ledger: &mut Ledger, url: &str, bytes: &[u8]) -> Self {
        let all: Vec<_> = atoms(bytes, 0).collect();
        let find = |kind: &[u8; 4]| all.iter().find(|atom| atom.kind == kind);
        let whole = all.last().is_some_and(|last| last.end == bytes.len());
        fact(ledger, "H49", whole, url, None, || "boxes that cannot be read".to_owned());
        let brand = all
            .first()
            .filter(|first| first.kind == b"ftyp")
            .is_some_and(|ftyp| ftyp.body.chunks(4).any(|brand| BRANDS.contains(&brand)));
        fact(ledger, "H49", brand, url, all.first(), || {
            "it does not begin with ftyp of brand iso6 or later".to_owned()
        });
        let media =
            all.iter().find(|atom| [b"mdat", b"moof"].iter().any(|kind| atom.kind == *kind));
        fact(ledger, "H50", media.is_none(), url, media, || "it holds media".to_owned());
        let moov = find(b"moov");
        fact(ledger, "H49", moov.is_some(), url, None, || "no moov".to_owned());
        moov.map(|moov| Self::movie(ledger, url, moov)).unwrap_or_default()
    }

    fn movie(ledger: &mut Ledger, url: &str, moov: &Atom<'_>) -> Self {
        let mvex = moov.child(b"mvex");
        fact(ledger, "H49", mvex.is_some(), url, Some(moov), || "no mvex".to_owned());
        let length = moov.child(b"mvhd").and_then(|mvhd| duration(&mvhd));
        fact(ledger, "H49", length.is_none_or(is_unset), url, Some(moov), || {
            format!("the movie states a length of {}", length.unwrap_or(0))
        });
        let mut tracks = Vec::new();
        for trak in moov.children().filter(|atom| atom.kind == b"trak") {
            let Some(track) = Self::track(ledger, url, &trak, mvex.as_ref()) else {
                fact(ledger, "H49", false, url, Some(&trak), || "a track without media".to_owned());
                continue;
            };
            tracks.push(track);
        }
        fact(ledger, "H49", !tracks.is_empty(), url, Some(moov), || "no track".to_owned());
        Self { tracks }
    }

    fn track(
        ledger: &mut Ledger,
        url: &str,
        trak: &Atom<'_>,
        mvex: Option<&Atom<'_>>,
    ) -> Option<Track> {
        let (version, _, mut header) = trak.child(b"tkhd")?.full()?;
        header.take(if version == 1 { 16 } else { 8 })?;
        let id = header.u32()?;
        let shown = shown(header, version);
        let mdia = trak.child(b"mdia")?;
        let (version, _, mut header) = mdia.child(b"mdhd")?.full()?;
        header.take(if version == 1 { 16 } else { 8 })?;
        let timescale = header.u32()?;
        let (_, _, mut handler) = mdia.child(b"hdlr")?.full()?;
        handler.take(4)?;
        let kind = match handler.take(4)? {
            b"vide" => Kind::Video,
            b"soun" => Kind::Audio,
            _ => Kind::Other,
        };
        let minf = mdia.child(b"minf")?;
        let stbl = minf.child(b"stbl")?;
        Self::samples(ledger, url, &stbl);
        Self::edits(ledger, url, trak, kind);
        let outside = minf.find(&[b"dinf", b"dref"]).is_some_and(|dref| is_outside(&dref));
        fact(ledger, "H51", !outside, url, Some(trak), || {
            format!("track {id} keeps its data elsewhere")
        });
        let defaults = mvex.and_then(|mvex| defaults(mvex, id));
        fact(ledger, "H49", defaults.is_some(), url, Some(trak), || {
            format!("no trex for track {id}")
        });
        let stsd = stbl.child(b"stsd")?;
        let entry = atoms(stsd.body.get(8..)?, 0).next()?;
        Some(Track {
            id,
            timescale,
            kind,
            format: entry.kind.to_owned(),
            entry: entry.body.to_owned(),
            description: Description::parse(&entry, kind == Kind::Video),
            shown,
            defaults: defaults.unwrap_or_default(),
        })
    }

    /// H50: its tables are empty.
    fn samples(ledger: &mut Ledger, url: &str, stbl: &Atom<'_>) {
        for (kind, skip) in [(b"stts", 0), (b"stsz", 4), (b"stsc", 0), (b"stco", 0)] {
            let Some(table) = stbl.child(kind) else { continue };
            let count = table.full().and_then(|(_, _, mut body)| {
                body.take(skip)?;
                body.u32()
            });
            fact(ledger, "H50", count == Some(0), url, Some(&table), || {
                format!("{} samples in {}", count.unwrap_or(0), String::from_utf8_lossy(kind))
            });
        }
    }

    /// H59: no edit moves the sound.
    fn edits(ledger: &mut Ledger, url: &str, trak: &Atom<'_>, kind: Kind) {
        if kind != Kind::Audio {
            return;
        }
        let list = trak.find(&[b"edts", b"elst"]);
        let moves = list.and_then(|elst| {
            let (version, _, mut body) = elst.full()?;
            let size = if version == 1 { 8 } else { 4 };
            let count = body.u32()?;
            body.take(size)?;
            let time = body.number(size)?;
            Some(count > 1 || time != 0)
        });
        fact(ledger, "H59", moves != Some(true), url, list.as_ref(), || {
            "an edit list shifts the sound".to_owned()
        });
    }

    pub(super) fn track_of(&self, id: u32) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Another number, kind or description of tracks.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let said = |init: &Self| -> Vec<_> {
            let tracks = init.tracks.iter();
            tracks.map(|t| (t.id, t.kind, t.format.clone(), t.entry.clone())).collect()
        };
        said(self) != said(other)
    }
}

fn fact(
    ledger: &mut Ledger,
    rule: &'static str,
    holds: bool,
    url: &str,
    atom: Option<&Atom<'_>>,
    what: impl FnOnce() -> String,
) {
    ledger.expect(rule, holds, || {
        let place = atom.map_or(Place::url(url), |atom| place(url, atom.start, atom.end));
        (what(), place)
    });
}

pub(super) fn place(url: &str, start: usize, end: usize) -> Place {
    let number = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
    Place::bytes(url, number(start)..number(end))
}

/// Width and height at the end of a track header, behind its number (ISO/IEC 14496-12 8.3.2): whole
/// pixels of a fixed point.
fn shown(mut header: Bytes<'_>, version: u8) -> Option<(u64, u64)> {
    header.take(if version == 1 { 12 } else { 8 } + 52)?;
    let mut pixels = || header.u32().map(|fixed| u64::from(fixed >> 16));
    let shown = (pixels()?, pixels()?);
    (shown != (0, 0)).then_some(shown)
}

fn duration(mvhd: &Atom<'_>) -> Option<u64> {
    let (version, _, mut body) = mvhd.full()?;
    let size = if version == 1 { 8 } else { 4 };
    body.take(2 * size + 4)?;
    body.number(size)
}

/// Zero, or all ones for a length that is not known.
fn is_unset(length: u64) -> bool {
    [0, u64::from(u32::MAX), u64::MAX].contains(&length)
}

/// Some entry lacks the flag that says "in this file" (ISO/IEC 14496-12 8.7.2).
fn is_outside(dref: &Atom<'_>) -> bool {
    let entries = atoms(dref.body.get(8..).unwrap_or_default(), 0);
    entries.filter_map(|entry| entry.full()).any(|(_, flags, _)| flags & 1 == 0)
}

fn defaults(mvex: &Atom<'_>, id: u32) -> Option<Defaults> {
    mvex.children().filter(|atom| atom.kind == b"trex").find_map(|trex| {
        let (_, _, mut body) = trex.full()?;
        if body.u32()? != id {
            return None;
        }
        body.u32()?;
        Some(Defaults { duration: body.u32()?, size: body.u32()?, flags: body.u32()? })
    })
}
