use super::{ClosingPolicy, Policy, ScheduleSettings, Turn};

/// Between the parts of a description; no valid value contains it.
const BETWEEN: &str = "; ";
/// After a key, and between the declared words and the instant they meant then.
const IS: &str = " = ";

const NO_END: &str = "no end is declared";

impl Policy {
    /// The schedule in one line for the append-only history, with the words that were declared,
    /// the instants they meant, and the version of the zone rules that made them so:
    /// `publish_close_at = 2021-03-31 end-of-day Europe/Paris = 2021-03-31T22:00:00.000Z; …`
    pub fn describe_schedule(&self, tz_version: Option<&str>) -> String {
        let Some(schedule) = self.schedule() else { return NO_END.to_owned() };
        let mut parts = Vec::new();
        for edge in schedule.edges() {
            // Under `cut` this one only repeats the closing.
            let derived = edge.turn == Turn::FinishUntil && schedule.policy() == ClosingPolicy::Cut;
            let declared = schedule.declared(edge.turn).filter(|_| !derived);
            parts.extend(
                declared.map(|d| [edge.turn.as_str(), d.text(), &edge.at.to_string()].join(IS)),
            );
        }
        let settings = [
            ("policy", Some(schedule.policy().as_str())),
            ("time_zone", schedule.zone().map(|zone| zone.name())),
            ("info_url", schedule.info_url().map(|url| &**url)),
            ("tz_database", tz_version),
        ];
        for (key, value) in settings {
            parts.extend(value.map(|value| [key, value].join(IS)));
        }
        parts.join(BETWEEN)
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
                info_url: Some("https://example.org/end?a=b;c".to_owned()),
                ..ScheduleSettings::periscope()
            };
            let schedule = Schedule::build(&settings).unwrap().unwrap();
            let text = Policy::rehearsal(Some(schedule.clone())).describe_schedule(Some("2025b"));
            assert!(
                text.contains(
                    "publish_close_at = 2021-03-31 end-of-day America/Los_Angeles \
                     = 2021-04-01T07:00:00.000Z; "
                ),
                "{text}"
            );
            let again = Schedule::build(&ScheduleSettings::parse_description(&text)).unwrap();
            assert_eq!(again, Some(schedule));
        }
    }

    #[test]
    fn no_end_reads_back_as_none() {
        let text = Policy::default().describe_schedule(None);
        let settings = ScheduleSettings::parse_description(&text);
        assert_eq!(Schedule::build(&settings).unwrap(), None);
    }
}
