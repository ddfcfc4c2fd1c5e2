use std::time::Duration;

/// How broadcasts are cut and how much of them viewers can still fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The segment length aimed at. With longer GOPs segments follow the keyframes, up to
    /// [`super::SEGMENT_TARGET_MAX`].
    pub segment_target: Duration,
    /// No part is planned longer than this; it is shortened to whole frames.
    pub part_target: Duration,
    /// How much media a playlist holds, up to 4 h, as near to it as whole segments come: never
    /// less than six of them and three targets.
    pub window: Duration,
}

/// A part shorter than this leaves less than 67 ms for each of three round trips, which not every
/// wireless viewer has.
const PART_TARGET_CAREFUL: Duration = Duration::from_millis(200);

impl Settings {
    /// What is allowed and may still not be wise.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.part_target < PART_TARGET_CAREFUL {
            // Authoring specification 14.2: no shorter than one round trip, better three.
            let (part, trip) = (self.part_target.as_millis(), self.part_target.as_millis() / 3);
            warnings.push(format!(
                "hls.part = {part}ms asks for parts faster than some networks carry them: viewers \
                 with round trips above {trip} ms may stall; 200ms or more is safer"
            ));
        }
        warnings
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// H87: a part target below what a network can do is spoken of, and the default is not.
    #[test]
    fn short_parts_are_warned_of() {
        let of = |millis| {
            let part_target = Duration::from_millis(millis);
            Settings { part_target, ..Settings::default() }.warnings()
        };
        assert!(Settings::default().warnings().is_empty());
        assert!(of(200).is_empty());
        assert_eq!(of(199).len(), 1);
        let [warning] = &*of(120) else { panic!("one warning") };
        assert!(warning.starts_with("hls.part = 120ms") && warning.contains("40 ms"), "{warning}");
    }
}
