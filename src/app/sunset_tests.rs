use super::*;
use crate::gate::{Schedule, ScheduleSettings};

fn periscope(at: &str) -> StatusDocument {
    let schedule = Schedule::build(&ScheduleSettings::periscope()).unwrap();
    Policy::rehearsal(schedule).status(DeclaredInstant::parse(at).unwrap().at())
}

#[test]
fn the_exit_code_tells_the_phase() {
    let table = [
        ("2020-12-14T23:59:59-08:00", 0),
        ("2020-12-15T00:00:00-08:00", 10),
        ("2021-02-02T08:00:00Z", 10),
        ("2021-03-31T23:59:59.999-07:00", 10),
        ("2021-04-01T07:00:00Z", 20),
        ("2021-04-01T11:00:00Z", 30),
        ("2021-06-01T00:00:00Z", 30),
    ];
    for (at, expected) in table {
        assert_eq!(code(periscope(at).phase), expected, "{at}");
    }
    assert_eq!(code(Phase::Gone), 40);
    assert_eq!(code(Phase::ExportOnly), 30);
}

#[test]
fn the_text_names_every_operation_and_both_clocks() {
    let text = text(&periscope("2021-03-01T00:00:00Z"));
    assert!(
        text.starts_with("phase      claims_closed\nnext edge  publish_close_at at 2021-04-01T07")
    );
    for operation in crate::gate::Operation::ALL {
        assert!(text.contains(operation.as_str()), "{operation}");
    }
    let row = "start_broadcast   allowed  2021-04-01T07:00:00.000Z = 2021-04-01 00:00:00 -07:00 \
               (America/Los_Angeles)\n";
    assert!(text.contains(row), "{text}");
}

#[test]
fn no_schedule_is_said() {
    let policy = Policy::default();
    let status = policy.status(WallTime::from_unix_millis(0));
    assert!(text(&status).starts_with("phase      open (no end is declared)\nnext edge  none\n"));
    assert!(json(&status).unwrap().contains("\"declared\": false"));
}

/// `--at` plays: nothing is made in the data folder, nothing remembered.
#[tokio::test]
async fn asking_makes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let inputs = Inputs {
        data: place.path().join("none"),
        schedule: Schedule::build(&ScheduleSettings::periscope()).unwrap(),
        clock: std::sync::Arc::new(crate::base::SystemClock::new()),
        built: None,
    };
    assert_eq!(recorded(&inputs).await.unwrap().schedule(), inputs.schedule.as_ref());
    assert!(!inputs.data.exists());
    reopen(&inputs, "why", WallTime::from_unix_millis(0)).await.expect_err("no data");
}
