//! Schedules for the tests of this room.

use super::{Schedule, ScheduleSettings};
use crate::base::WallTime;

/// Milliseconds after an arbitrary instant in 2026.
pub(super) fn at(millis: i64) -> WallTime {
    WallTime::from_unix_millis(1_790_000_000_000 + millis)
}

/// A schedule of `(key, milliseconds)` pairs and a policy.
pub(super) fn settings(turns: &[(&str, i64)], policy: &str) -> ScheduleSettings {
    let mut settings = ScheduleSettings { policy: Some(policy.to_owned()), ..Default::default() };
    for (key, millis) in turns {
        let text = Some(at(*millis).to_string());
        match *key {
            "announced_at" => settings.announced_at = text,
            "keys_close_at" => settings.keys_close_at = text,
            "claims_close_at" => settings.claims_close_at = text,
            "publish_close_at" => settings.publish_close_at = text,
            "finish_until" => settings.finish_until = text,
            "settle_at" => settings.settle_at = text,
            "archive_close_at" => settings.archive_close_at = text,
            "gone_at" => settings.gone_at = text,
            other => panic!("no turn is called {other}"),
        }
    }
    settings
}

pub(super) fn schedule(turns: &[(&str, i64)], policy: &str) -> Schedule {
    Schedule::build(&settings(turns, policy)).expect("in order").expect("declared")
}
