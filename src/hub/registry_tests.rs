use super::*;
use crate::base::{ConnId, KeyId, MediaTime, WallTime};
use crate::gate::{Latch, Policy};
use crate::hub::{Batch, Subscription, WriteError};
use crate::media::{Format, Frame, TrackKind};
use crate::testing::clips;
use bytes::Bytes;

fn at(millis: u64) -> Now {
    let wall = i64::try_from(millis).unwrap() + 1_790_000_000_000;
    Now {
        mono: MonoTime::from_start(Duration::from_millis(millis)),
        wall: WallTime::from_unix_millis(wall),
    }
}

fn channel() -> ChannelId {
    ChannelId::parse("studio").unwrap()
}

fn permit(admission: Admission) -> StartPermit {
    let open = Policy::new(None, Latch::default());
    open.admit(&channel(), admission, at(0).wall).expect("nothing is closed")
}

fn publisher(conn: u64, key: &str) -> Publisher {
    let peer = "127.0.0.1:1".parse().unwrap();
    Publisher {
        conn: ConnId(conn),
        key: KeyId::new(key),
        rival: Rival::TakesOver,
        peer,
        encoder: None,
    }
}

fn registry(limits: Limits) -> Registry {
    Registry::new(limits, Settings::default(), BroadcastId::new(7))
}

fn frame(millis: i64) -> Frame {
    let at = MediaTime::from_millis(millis);
    Frame {
        track: TrackKind::Audio,
        dts: at,
        pts: at,
        keyframe: true,
        run: 0,
        format: Arc::new(Format { video: None, audio: None }),
        payload: Bytes::from_static(b"sound"),
    }
}

fn drain(subscription: &mut Subscription) -> (Vec<(i64, u32)>, Vec<Batch>) {
    let (mut frames, mut news) = (Vec::new(), Vec::new());
    while let Some(batch) = subscription.try_batch(&mut frames) {
        if batch != Batch::Frames {
            news.push(batch);
        }
    }
    (frames.iter().map(|f| (f.dts.as_micros() / 1_000, f.run)).collect(), news)
}

#[test]
fn a_new_broadcast_has_a_greater_id_than_any_before_even_with_a_clock_set_back() {
    let registry = registry(Limits::default());
    let first = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let first_id = first.broadcast().id();
    first.finish(EndReason::Finished, at(1).mono);
    let before = Now { wall: WallTime::from_unix_millis(5), ..at(2) };
    let second = registry.start(permit(Admission::Start), publisher(2, "k"), before).unwrap();
    assert!(BroadcastId::new(7) < first_id && first_id < second.broadcast().id());
}

/// R47: the same key comes back within the window and goes on with the same broadcast.
#[test]
fn a_lost_publisher_resumes_its_broadcast() {
    let registry = registry(Limits::default());
    let asked = publisher(0, "k");
    let mut first = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let broadcast = first.broadcast().clone();
    let mut reader = broadcast.subscribe();
    first.write(frame(50), at(0).mono).unwrap();
    drop(first);
    assert_eq!(drain(&mut reader), (vec![(0, 0)], vec![Batch::Away { since: at(0).mono }]));
    assert_eq!(registry.standing(&channel(), &asked, at(59_999).mono), Standing::Away);
    assert_eq!(registry.standing(&channel(), &asked, at(60_000).mono), Standing::Idle);
    assert_eq!(registry.standing(&channel(), &publisher(0, "l"), at(1).mono), Standing::Idle);

    let mut back = registry.start(permit(Admission::Resume), publisher(2, "k"), at(5_000)).unwrap();
    assert_eq!(back.broadcast().id(), broadcast.id());
    back.write(frame(9), at(5_000).mono).unwrap();
    assert_eq!(drain(&mut reader), (vec![(5_000, 1)], vec![Batch::Back]));
}

#[test]
fn the_window_passes_and_the_broadcast_ends() {
    let registry = registry(Limits::default());
    let mut news = registry.watch();
    let lost = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let mut reader = lost.broadcast().subscribe();
    drop(lost);
    registry.expire(at(59_999).mono);
    assert!(registry.find(&channel()).is_some());
    registry.expire(at(60_000).mono);
    assert!(registry.find(&channel()).is_none());
    let (_, heard) = drain(&mut reader);
    assert_eq!(heard.last(), Some(&Batch::Ended(EndReason::Lost)));
    assert!(matches!(news.try_recv(), Ok(Event::Started(_))));
    assert!(matches!(news.try_recv(), Ok(Event::Ended(_, EndReason::Lost))));
    assert!(news.try_recv().is_err(), "each end is told once");
    let too_late = registry.start(permit(Admission::Resume), publisher(2, "k"), at(60_001));
    assert_eq!(too_late.unwrap_err(), StartError::NothingToResume);
}

/// R38: an end that the publisher meant skips the resume window.
#[test]
fn a_meant_end_is_the_end() {
    let registry = registry(Limits::default());
    let publication = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    publication.finish(EndReason::Finished, at(1).mono);
    let standing = registry.standing(&channel(), &publisher(0, "k"), at(2).mono);
    assert_eq!(standing, Standing::Idle);
}

/// R44: the same key takes over at once, another key is told that the channel is busy.
#[tokio::test]
async fn the_same_key_takes_over_and_another_does_not() {
    let registry = registry(Limits::default());
    let mut first = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    first.write(frame(0), at(0).mono).unwrap();
    let other = registry.standing(&channel(), &publisher(0, "l"), at(1).mono);
    assert_eq!(other, Standing::Busy(Busy::OtherKey));
    let refused = registry.start(permit(Admission::Start), publisher(2, "l"), at(1));
    assert_eq!(refused.unwrap_err(), StartError::Busy(Busy::OtherKey));

    let mut second =
        registry.start(permit(Admission::Resume), publisher(3, "k"), at(1_000)).unwrap();
    assert_eq!(first.stopped().await, EndReason::TakenOver);
    assert!(first.took_over().is_none());
    assert_eq!(second.took_over().map(|before| before.conn), Some(ConnId(1)));
    let late = first.write(frame(40), at(1_001).mono);
    assert_eq!(late, Err(WriteError::Stopped(EndReason::TakenOver)));
    first.finish(EndReason::Lost, at(1_002).mono);
    second.write(frame(0), at(1_003).mono).expect("the old one ended nothing");
    assert_eq!(second.broadcast().state(), BroadcastState::Live);
}

/// R44: where the owner refuses a second publisher it waits until the first is gone or lost, even
/// if both asked while nobody was there.
#[test]
fn a_second_publisher_is_refused_where_the_owner_wants_it() {
    let registry = registry(Limits::default());
    let refusing = |conn| Publisher { rival: Rival::Refused, ..publisher(conn, "k") };
    let first = registry.start(permit(Admission::Start), refusing(1), at(0)).unwrap();
    let standing = registry.standing(&channel(), &refusing(2), at(1).mono);
    assert_eq!(standing, Standing::Busy(Busy::SameKey));
    let second = registry.start(permit(Admission::Start), refusing(2), at(1));
    assert_eq!(second.unwrap_err(), StartError::Busy(Busy::SameKey));

    first.finish(EndReason::Lost, at(2).mono);
    assert_eq!(registry.standing(&channel(), &refusing(3), at(3).mono), Standing::Away);
    let third = registry.start(permit(Admission::Resume), refusing(3), at(3)).unwrap();
    third.finish(EndReason::Finished, at(4).mono);
    assert_eq!(registry.standing(&channel(), &refusing(4), at(5).mono), Standing::Idle);
}

/// R44: five takeovers in ten minutes, then the name is busy until the first is that old.
#[test]
fn takeovers_are_limited() {
    let limits = Limits { takeovers_per_ten_minutes_max: 2, ..Limits::default() };
    let registry = registry(limits);
    let asked = publisher(0, "k");
    let _held: Vec<_> = (1..=3)
        .map(|n| registry.start(permit(Admission::Start), publisher(n, "k"), at(n)).unwrap())
        .collect();
    let busy = Standing::Busy(Busy::TooManyTakeovers);
    assert_eq!(registry.standing(&channel(), &asked, at(4).mono), busy);
    assert!(registry.start(permit(Admission::Start), publisher(4, "k"), at(4)).is_err());
    assert_eq!(registry.standing(&channel(), &asked, at(600_002).mono), Standing::Running);
}

/// R45: of two newcomers the one accepted later wins, whichever brings its frame first.
#[test]
fn the_later_connection_wins_a_race() {
    let registry = registry(Limits::default());
    let _later = registry.start(permit(Admission::Start), publisher(9, "k"), at(0)).unwrap();
    let earlier = registry.start(permit(Admission::Start), publisher(8, "k"), at(1));
    assert_eq!(earlier.unwrap_err(), StartError::Overtaken);
}

#[test]
fn broadcasts_are_limited() {
    let registry = registry(Limits { broadcasts_max: 1, ..Limits::default() });
    let _held = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let open = Policy::new(None, Latch::default());
    let other = ChannelId::parse("other").unwrap();
    let permit = open.admit(&other, Admission::Start, at(0).wall).unwrap();
    let refused = registry.start(permit, publisher(2, "l"), at(1));
    let full = StartError::TooManyBroadcasts { max: 1 };
    assert_eq!(refused.unwrap_err(), full);
    let standing = registry.standing(&other, &publisher(0, "l"), at(1).mono);
    assert_eq!(standing, Standing::Full(full), "said before the encoder begins");
}

/// W9: when memory has run out nothing new begins; who is there resumes and is taken over.
#[test]
fn without_memory_nothing_new_begins() {
    let registry = registry(Limits::default());
    let asked = publisher(0, "k");
    let first = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    registry.pressure().replace(Scarce::Memory, Pressure::NoNewBroadcasts);
    let second = registry.start(permit(Admission::Resume), publisher(2, "k"), at(1));
    second.unwrap().finish(EndReason::Lost, at(2).mono);
    drop(first);
    assert_eq!(registry.standing(&channel(), &asked, at(3).mono), Standing::Away);
    let third = registry.start(permit(Admission::Resume), publisher(3, "k"), at(4)).unwrap();
    third.finish(EndReason::Finished, at(5).mono);
    let full = StartError::OutOfMemory;
    assert_eq!(registry.standing(&channel(), &asked, at(6).mono), Standing::Full(full));
    let fourth = registry.start(permit(Admission::Start), publisher(4, "k"), at(7));
    assert_eq!(fourth.unwrap_err(), full);
    registry.pressure().replace(Scarce::Memory, Pressure::NoNewViewers);
    registry.start(permit(Admission::Start), publisher(5, "k"), at(8)).unwrap();
}

/// The ended broadcast of a channel takes no place away from its next one.
#[test]
fn a_channel_starts_again_in_its_own_place() {
    let registry = registry(Limits { broadcasts_max: 1, ..Limits::default() });
    let first = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    first.finish(EndReason::Finished, at(1).mono);
    registry.start(permit(Admission::Start), publisher(2, "k"), at(2)).unwrap();
}

#[tokio::test]
async fn an_ended_channel_stops_its_publisher() {
    let registry = registry(Limits::default());
    let mut live = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    registry.find(&channel()).unwrap().end(EndReason::KeyRevoked);
    assert_eq!(live.stopped().await, EndReason::KeyRevoked);
    assert_eq!(live.broadcast().state(), BroadcastState::Ended(EndReason::KeyRevoked));
}

/// Sound beside a picture wakes nobody by itself, and is there with the next picture.
#[test]
fn sound_comes_with_the_next_picture() {
    let registry = registry(Limits::default());
    let mut live = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let mut reader = live.broadcast().subscribe();
    for millis in [0, 20] {
        live.write(frame(millis), at(0).mono).unwrap();
    }
    assert_eq!(drain(&mut reader).0, vec![(0, 0), (20, 0)]);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_a_frame_and_by_the_end() {
    let registry = registry(Limits::default());
    let mut live = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let mut reader = live.broadcast().subscribe();
    let mut frames = Vec::new();
    let (batch, ()) = tokio::join!(reader.next_batch(&mut frames), async {
        live.write(frame(0), at(0).mono).unwrap();
    });
    assert_eq!((batch, frames.len()), (Batch::Frames, 1));
    let (batch, ()) = tokio::join!(reader.next_batch(&mut frames), async {
        live.finish(EndReason::Finished, at(1).mono);
    });
    assert_eq!(batch, Batch::Ended(EndReason::Finished));
}

/// Draining asks publishers to stop, and lets them say goodbye.
#[tokio::test]
async fn stopping_all_asks_the_publishers() {
    let registry = registry(Limits::default());
    let mut live = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    registry.stop_all(EndReason::Draining);
    assert_eq!(live.stopped().await, EndReason::Draining);
    live.write(frame(0), at(0).mono).expect("the last frames still count");
    live.finish(EndReason::Draining, at(1).mono);
    assert!(registry.broadcasts().is_empty());
}

/// `ring_bytes_max`, through the door.
#[test]
fn a_ring_keeps_to_its_bytes() {
    let registry = registry(Limits { ring_bytes_max: 50_000, ..Limits::default() });
    let mut live = registry.start(permit(Admission::Start), publisher(1, "k"), at(0)).unwrap();
    let mut reader = live.broadcast().subscribe();
    for n in 0..200 {
        let frame = clips::video_frame(&clips::video_format(), n * 40, n == 0, 1_000);
        live.write(frame, at(0).mono).unwrap();
        assert!(live.broadcast().ring_bytes() <= 50_000);
    }
    assert!(live.broadcast().ring_bytes() > 48_000);
    assert_eq!(drain(&mut reader).0.len(), 0, "its place is gone, and no keyframe is there");
}

/// R45: whatever two newcomers do at once, one of them is the publisher in the end: the one
/// accepted later, whose frames count, while the other was refused or is told to stop.
#[test]
fn of_newcomers_on_two_threads_the_later_one_wins() {
    let limits = Limits { takeovers_per_ten_minutes_max: 1_000_000, ..Limits::default() };
    let registry = registry(limits);
    for round in 0..2_000 {
        let begin = std::sync::Barrier::new(2);
        let race = |conn| {
            begin.wait();
            registry.start(permit(Admission::Start), publisher(conn, "k"), at(round))
        };
        let conn = round * 2 + 1;
        let (early, late) = std::thread::scope(|threads| {
            let early = threads.spawn(|| race(conn));
            let late = threads.spawn(|| race(conn + 1));
            (early.join().unwrap(), late.join().unwrap())
        });
        let mut late = late.expect("nobody came after it");
        late.write(frame(0), at(round).mono).expect("it is the publisher");
        match early {
            Ok(mut early) => {
                let refused = early.write(frame(0), at(round).mono);
                assert_eq!(refused, Err(WriteError::Stopped(EndReason::TakenOver)));
            }
            Err(error) => assert_eq!(error, StartError::Overtaken),
        }
        late.finish(EndReason::Finished, at(round).mono);
    }
}
