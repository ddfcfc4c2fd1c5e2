/// Where in a keyframe an encoder may have written its settings: they come first.
const SEARCHED_BYTES_MAX: usize = 4_096;

/// What is known about the distance of keyframes. A guess, used to plan; never relied upon.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyframes {
    /// Frames from one keyframe to the next as the encoder wrote it into its first keyframe.
    stated: Option<u32>,
    /// Time of the newest keyframe, in ticks.
    newest: Option<i64>,
    /// Time of the newest frame, in ticks.
    newest_frame: Option<i64>,
    /// Frames since the newest keyframe, itself included.
    since: u32,
    /// Length of the newest whole GOP, in ticks and frames.
    whole: Option<(i64, u32)>,
    /// The two newest whole GOPs had the same number of frames.
    regular: bool,
}

impl Keyframes {
    /// `first` is the payload of the keyframe that starts the run.
    pub(super) fn new(first: &[u8]) -> Self {
        Self { stated: stated_interval(first), ..Self::default() }
    }

    /// Frames between keyframes, by the encoder's own word.
    pub(super) const fn stated(&self) -> Option<u32> {
        self.stated
    }

    /// A frame came, at this tick.
    pub(super) fn observe(&mut self, at: i64, keyframe: bool) {
        if keyframe {
            if let Some(newest) = self.newest.replace(at) {
                let whole = (at - newest, self.since);
                self.regular = self.whole.is_some_and(|(_, frames)| frames == whole.1);
                self.whole = Some(whole);
            }
            self.since = 0;
        }
        self.newest_frame = Some(at);
        self.since = self.since.saturating_add(1);
    }

    /// The newest whole GOP, in ticks.
    fn newest_gop(&self) -> Option<i64> {
        self.whole.map(|(ticks, _)| ticks)
    }

    /// How long the GOP that a keyframe at `at` would start is going to be, in ticks: as long as
    /// the encoder said, else as the longest of late. `frame` is the length of one frame.
    pub(super) fn expected_gop(&self, at: i64, frame: i64) -> Option<i64> {
        let stated = self.stated.map(|frames| frame.saturating_mul(i64::from(frames)));
        let ending = self.newest.map(|newest| at - newest);
        stated.or(ending.max(self.newest_gop()))
    }

    /// When the next keyframe should come, in ticks: as far from the newest as the encoder said, or
    /// as the newest was from the one before it.
    pub(super) fn next(&self, frame: i64) -> Option<i64> {
        let stated = self.stated.map(|frames| frame.saturating_mul(i64::from(frames)));
        Some(self.newest?.saturating_add(stated.or(self.newest_gop())?))
    }

    /// Whether the very next frame should be a keyframe: the encoder said so, or did so twice.
    pub(super) fn next_is_keyframe(&self) -> bool {
        self.frames_to_last() == Some(0)
    }

    /// When the last frame before the next keyframe should come, in ticks: the newest one, or later.
    pub(super) fn last_of_gop(&self, frame: i64) -> Option<i64> {
        let frames = i64::from(self.frames_to_last()?);
        Some(self.newest_frame?.saturating_add(frame.saturating_mul(frames)))
    }

    /// How many frames there will be between the newest one and the next keyframe.
    fn frames_to_last(&self) -> Option<u32> {
        let repeated = self.whole.filter(|_| self.regular).map(|(_, frames)| frames);
        repeated.or(self.stated)?.checked_sub(self.since)
    }
}

/// x264 and x265, and with them OBS and FFmpeg in their most used form, write the settings they
/// run with as text into their first keyframe; `keyint` is the greatest number of frames from
/// one keyframe to the next. It tells us the length of a GOP a GOP earlier than waiting does.
fn stated_interval(payload: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"keyint=";
    let head = payload.get(..SEARCHED_BYTES_MAX).unwrap_or(payload);
    let found = head.windows(NAME.len()).position(|window| window == NAME)?;
    let value = head.get(found + NAME.len()..)?;
    if value.starts_with(b"infinite") {
        return Some(u32::MAX);
    }
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = std::str::from_utf8(value.get(..digits)?).ok()?;
    digits.parse().ok().filter(|&frames| frames != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_states_its_interval() {
        let x264 = b"\0\0\x02\xad\x06x264 - core 164 - options: cabac=1 keyint=250 keyint_min=25 ";
        assert_eq!(stated_interval(x264), Some(250));
        assert_eq!(stated_interval(b"keyint=infinite "), Some(u32::MAX));
        for nothing in
            [&b""[..], b"keyint=", b"keyint=0 ", b"keyint_min=25", b"keyint=99999999999999 "]
        {
            assert_eq!(stated_interval(nothing), None);
        }
        let mut late = vec![0; SEARCHED_BYTES_MAX];
        late.extend_from_slice(b"keyint=250");
        assert_eq!(stated_interval(&late), None, "bounded work");
    }

    fn observe(keyframes: &mut Keyframes, gops: &[u32]) {
        let mut at = 0;
        for gop in gops {
            for frame in 0..*gop {
                keyframes.observe(at, frame == 0);
                at += 3_000;
            }
        }
    }

    #[test]
    fn two_equal_gops_foretell_the_third() {
        let mut keyframes = Keyframes::default();
        observe(&mut keyframes, &[60, 60, 59]);
        assert!(!keyframes.next_is_keyframe());
        keyframes.observe(179 * 3_000, false);
        assert!(keyframes.next_is_keyframe());
        assert_eq!(keyframes.expected_gop(180 * 3_000, 3_000), Some(180_000));
    }

    #[test]
    fn a_statement_foretells_the_first() {
        let mut keyframes = Keyframes::new(b"keyint=60 ");
        observe(&mut keyframes, &[59]);
        assert!(!keyframes.next_is_keyframe());
        keyframes.observe(59 * 3_000, false);
        assert!(keyframes.next_is_keyframe());
    }
}
