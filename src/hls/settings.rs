use std::time::Duration;

/// How broadcasts are cut and how much of them viewers can still fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The segment length aimed at. With longer GOPs segments follow the keyframes, up to
    /// [`super::SEGMENT_TARGET_MAX`].
    pub segment_target: Duration,
    /// No part is planned longer than this; it is shortened to whole frames.
    pub part_target: Duration,
    /// How much media a playlist holds, up to 4 h.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_target: Duration::from_secs(2),
            part_target: Duration::from_millis(250),
            window: Duration::from_secs(30),
        }
    }
}
