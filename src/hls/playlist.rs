use std::cell::RefCell;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// One version of a playlist as it goes to everybody: the text, its gzip form and its entity tag.
/// The gzip form is made once, when the first viewer asks for it.
#[derive(Debug)]
pub struct Text {
    plain: Bytes,
    gzip: OnceLock<Bytes>,
    etag: String,
}

impl Text {
    /// `etag`: without quotes; never the same for other bytes at the same address.
    pub fn new(plain: String, etag: String) -> Self {
        Self { plain: plain.into(), gzip: OnceLock::new(), etag }
    }

    /// The text as UTF-8.
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// The text as one gzip member (RFC 1952).
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| gzip(&self.plain).into())
    }

    /// Names this version, without quotes. The gzip form is another representation: whoever
    /// sends it marks the tag.
    pub fn etag(&self) -> &str {
        &self.etag
    }
}

thread_local! {
    /// The state of a compressor is larger than most playlists, so each thread keeps one.
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Member header: deflate, no flags, no time, fastest algorithm, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() / 3 + 256);
    out.extend_from_slice(&GZIP_HEADER);
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        loop {
            let done = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
            let rest = plain.get(done..).unwrap_or_default();
            let status = deflate
                .compress_vec(rest, &mut out, FlushCompress::Finish)
                .expect("deflate refuses no input");
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve(plain.len() / 4 + 256),
            }
        }
    });
    let mut crc = Crc::new();
    crc.update(plain);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn unpack(gzip: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(gzip).read_to_string(&mut text).expect("a gzip member");
        text
    }

    // H109: the packed form unpacks to the text.
    #[test]
    fn the_gzip_form_unpacks_to_the_text() {
        let lines = |n: u32| (0..n).map(|i| format!("s{}.m4s\n", i.wrapping_mul(2_654_435_761)));
        for text in
            [String::new(), "#EXTM3U\n".to_owned(), lines(20).collect(), lines(40_000).collect()]
        {
            let packed = Text::new(text.clone(), "1".to_owned());
            assert_eq!(unpack(packed.gzip()), text);
        }
    }

    // W5: the packed form is made once, whoever asks.
    #[test]
    fn the_gzip_form_is_made_once() {
        let text = Text::new("#EXTM3U\n".repeat(100), "1".to_owned());
        assert_eq!(text.gzip().as_ptr(), text.gzip().as_ptr());
        assert!(text.gzip().len() < text.plain().len());
    }
}
