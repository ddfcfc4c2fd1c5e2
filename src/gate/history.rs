use super::{Change, ClosingPolicy, DeclaredInstant, Policy, ScheduleSettings, Turn};
use crate::base::WallTime;

/// Between the parts of a description; no valid value contains it.
const BETWEEN: &str = "; ";
/// After a key, and between the declared words and the instant they meant then.
const IS: &str = " = ";

const NO_END: &str = "no end is declared";

impl Policy {
    /// The schedule in one line for the append-only history, with the words that were declared,
    /// the instants they meant where that is not the same, and the version of the zone rules that
    /// made them so:
    /// `publish_close_at = 2021-03-31 end-of-day Europe/Paris = 2021-03-31T22:00:00.000Z; …`
    pub fn describe_schedule(&self) -> String {
        let Some(schedule) = self.schedule() else { return NO_END.to_owned() };
        let mut parts = Vec::new();
        for edge in schedule.edges() {
            // Under `cut` this one only repeats the closing.
            let derived = edge.turn == Turn::FinishUntil && schedule.policy() == ClosingPolicy::Cut;
            let declared = schedule.declared(edge.turn).filter(|_| !derived);
            parts.extend(declared.map(|declared| {
                let at = edge.at.to_string();
                let words = [edge.turn.as_str(), declared.text(), &at];
                let same = declared.is_written_as(edge.at);
                words.get(..if same { 2 } else { 3 }).unwrap_or_default().join(IS)
            }));
        }
        let settings = [
            ("policy", Some(schedule.policy().as_str())),
            ("time_zone", schedule.zone().map(|zone| zone.name())),
            ("info_url", schedule.info_url().map(|url| &**url)),
            ("skew", schedule.skew()),
            ("tz_database", self.tz_database()),
        ];
        for (key, value) in settings {
            parts.extend(value.map(|value| [key, value].join(IS)));
        }
        parts.join(BETWEEN)
    }
}

impl Change {
    /// The turns that the text names, each with its instant then.
    pub fn turns(&self) -> impl Iterator<Item = (Turn, WallTime)> {
        self.text.split(BETWEEN).filter_map(|part| {
            let (key, words) = part.split_once(IS)?;
            let instant = words.rsplit(IS).next()?;
            Some((Turn::parse(key)?, DeclaredInstant::parse(instant).ok()?.at()))
        })
    }
}

impl ScheduleSettings {
    /// Reads the declared words back; parts it does not know are skipped.
    pub fn parse_description(text: &str) -> Self {
        let mut settings = Self::default();
        for part in text.split(BETWEEN) {
            let mut words = part.split(IS);
            let (Some(key), Some(value)) = (words.next(), words.next()) else { continue };
            let slot = match (Turn::parse(key), key) {
                (Some(turn), _) => settings.slot(turn),
                (None, "policy") => &mut settings.policy,
                (None, "time_zone") => &mut settings.time_zone,
                (None, "info_url") => &mut settings.info_url,
                (None, "skew") => &mut settings.skew,
                (None, _) => continue,
            };
            *slot = Some(value.to_owned());
        }
        settings
    }

    fn slot(&mut self, turn: Turn) -> &mut Option<String> {
        match turn {
            Turn::Announced => &mut self.announced_at,
            Turn::KeysClose => &mut self.keys_close_at,
            Turn::ClaimsClose => &mut self.claims_close_at,
            Turn::PublishClose => &mut self.publish_close_at,
            Turn::FinishUntil => &mut self.finish_until,
            Turn::Settle => &mut self.settle_at,
            Turn::ArchiveClose => &mut self.archive_close_at,
            Turn::Gone => &mut self.gone_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Schedule;

    #[test]
    fn a_description_reads_back_as_the_same_schedule() {
        for policy in ["finish", "cut"] {
            let settings = ScheduleSettings {
                policy: Some(policy.to_owned()),
                skew: Some("1s 500ms".to_owned()),
                info_url: Some("https://example.org/end?a=b;c".to_owned()),
                ..ScheduleSettings::periscope()
            };
            let schedule = Schedule::build(&settings).unwrap().unwrap();
            let policy = Policy::rehearsal(Some(schedule.clone()));
            let text = policy.with_tz_database(Some("2025b".into())).describe_schedule();
            assert!(
                text.contains(
                    "publish_close_at = 2021-03-31 end-of-day America/Los_Angeles \
                     = 2021-04-01T06:59:58.500Z; "
                ),
                "{text}"
            );
            let again = Schedule::build(&ScheduleSettings::parse_description(&text)).unwrap();
            assert_eq!(again, Some(schedule));
        }
    }

    #[test]
    fn no_end_reads_back_as_none() {
        let text = Policy::default().describe_schedule();
        let settings = ScheduleSettings::parse_description(&text);
        assert_eq!(Schedule::build(&settings).unwrap(), None);
    }

    /// An instant that was declared in UTC is not said twice; both forms read back.
    #[test]
    fn a_description_names_each_turn_with_its_instant() {
        let settings = ScheduleSettings {
            announced_at: Some("2030-01-01T00:00:00Z".to_owned()),
            publish_close_at: Some("2031-03-31 end-of-day Europe/Paris".to_owned()),
            finish_until: Some("2031-04-01T12:00:00+02:00".to_owned()),
            ..ScheduleSettings::default()
        };
        let schedule = Schedule::build(&settings).unwrap();
        let text = Policy::rehearsal(schedule).describe_schedule();
        assert_eq!(
            text,
            "announced_at = 2030-01-01T00:00:00Z; keys_close_at = 2030-01-01T00:00:00Z; \
             publish_close_at = 2031-03-31 end-of-day Europe/Paris = 2031-03-31T22:00:00.000Z; \
             finish_until = 2031-04-01T12:00:00+02:00 = 2031-04-01T10:00:00.000Z; policy = finish"
        );
        let change = Change { at: String::new(), kind: String::new(), text };
        let turns: Vec<_> = change.turns().map(|(turn, at)| format!("{turn} {at}")).collect();
        assert_eq!(
            turns,
            [
                "announced_at 2030-01-01T00:00:00.000Z",
                "keys_close_at 2030-01-01T00:00:00.000Z",
                "publish_close_at 2031-03-31T22:00:00.000Z",
                "finish_until 2031-04-01T10:00:00.000Z",
            ]
        );
        let reopened = Change { text: "by mistake; sorry = really".to_owned(), ..change.clone() };
        assert_eq!(reopened.turns().count(), 0);
    }
}
