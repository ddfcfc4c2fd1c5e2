use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep, timeout};

use super::super::stage_tests::{Stage, judge_all, text};
use super::super::{Advice, EndReason, Media, RenditionState, Wait};
use super::*;
use crate::base::{ChannelId, Pressure};
use crate::gate::Admission;
use crate::hls::{MediaName, PlaylistForm};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

// H17: the first media sequence is above zero, and rises with time.
#[test]
fn the_first_media_sequence_is_above_zero_and_rises_with_time() {
    assert_eq!(first_msn(WallTime::from_unix_millis(0)), MediaSeq(1));
    assert_eq!(first_msn(WallTime::from_unix_millis(MSN_EPOCH * 1_000)), MediaSeq(1));
    assert_eq!(first_msn(WallTime::from_unix_millis(1_795_248_000_000)), MediaSeq(217_411_200));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_becomes_a_rendition() {
    let stage = Stage::new();
    let begun = Instant::now();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    let rendition = {
        encoder.run(100).await;
        stage.rendition("studio")
    };
    assert_eq!(rendition.state(), RenditionState::Starting);
    assert!(rendition.published().is_none());
    let first = stage.tasks.spawn({
        let rendition = rendition.clone();
        async move { (rendition.first_published().await.expect("it goes live"), Instant::now()) }
    });
    encoder.run(5_000).await;
    let (first, seen) = first.await.unwrap();
    // The first part is 250 ms long; nobody waits for a whole segment.
    assert!(seen - begun < Duration::from_millis(300), "{:?}", seen - begun);
    assert!(!first.ended && text(&first).contains(",INDEPENDENT=YES\n"), "{}", text(&first));
    assert_eq!(rendition.state(), RenditionState::Live);
    assert_eq!(rendition.advice(), []);
    let multivariant =
        rendition.multivariant("", PlaylistForm::LowLatency).expect("media is known");
    let line = String::from_utf8(multivariant.plain().to_vec()).unwrap();
    for said in ["CODECS=\"avc1.64000d\"", "RESOLUTION=320x180", "FRAME-RATE=30.000"] {
        assert!(line.contains(said), "{line}");
    }
    assert!(line.ends_with(&format!("\n{}/live.m3u8\n", rendition.broadcast_id())), "{line}");
    let again = rendition.multivariant("", PlaylistForm::LowLatency).expect("media is known");
    assert!(Arc::ptr_eq(&multivariant, &again), "the same text is not written twice");
}

// H25, H26, H35, H37, H44, R47: the publisher is lost and comes back; the same playlist goes on.
#[tokio::test(start_paused = true)]
async fn a_lost_publisher_leaves_a_gap_and_resumes() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(5_000).await;
    let rendition = stage.rendition("studio");
    let judged = stage.tasks.spawn(judge_all(rendition.clone()));
    drop(encoder);
    sleep(secs(10)).await;
    assert_eq!(rendition.state(), RenditionState::Away);
    let away = rendition.published().expect("still served");
    assert!(text(&away).contains(",GAP=YES\n"), "{}", text(&away));
    assert!(stage.metrics.gap_parts.get() > 0);
    let mut encoder = stage.encoder("studio", Admission::Resume).await;
    encoder.run(5_000).await;
    assert_eq!(rendition.state(), RenditionState::Live);
    encoder.finish(EndReason::Finished);
    let versions = judged.await.expect("every version is clean");
    let last = text(versions.last().unwrap());
    assert_eq!(last.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{last}");
    assert!(last.matches("#EXT-X-GAP\n").count() >= 4, "{last}");
    assert_eq!(
        usize::try_from(stage.metrics.gap_segments.get()).unwrap(),
        last.matches("#EXT-X-GAP\n").count()
    );
    assert!(last.ends_with("#EXT-X-ENDLIST\n"));
    // A version for each part of missing media, none late.
    assert!(versions.len() > (10_000 + 5_000) / 270, "{}", versions.len());
}

// R44: whoever takes over makes one break in the playlist, and it is no gap.
#[tokio::test(start_paused = true)]
async fn a_takeover_is_one_discontinuity() {
    let stage = Stage::new();
    let mut first = stage.encoder("studio", Admission::Start).await;
    first.run(7_100).await;
    let rendition = stage.rendition("studio");
    let judged = stage.tasks.spawn(judge_all(rendition.clone()));
    let mut second = stage.encoder("studio", Admission::Resume).await;
    tokio::join!(first.run(9_000), second.run(9_000));
    assert!(!first.write(), "it was told to stop");
    assert_eq!(rendition.state(), RenditionState::Live);
    second.finish(EndReason::Finished);
    let versions = judged.await.expect("every version is clean");
    let last = text(versions.last().unwrap());
    assert_eq!(last.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{last}");
    // The one that every broadcast begins with.
    assert_eq!(last.matches("#EXT-X-GAP\n").count(), 1, "{last}");
}

// H45, H46: the calendar is set back by an hour, twice, and every date stays true to the first.
#[tokio::test(start_paused = true)]
async fn a_calendar_set_back_moves_no_date() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(5_000).await;
    let rendition = stage.rendition("studio");
    let judged = stage.tasks.spawn(judge_all(rendition.clone()));
    stage.clock.late.store(3_600_000, Ordering::SeqCst);
    encoder.run(5_000).await;
    drop(encoder);
    sleep(secs(4)).await;
    stage.clock.late.store(7_200_000, Ordering::SeqCst);
    let mut encoder = stage.encoder("studio", Admission::Resume).await;
    encoder.run(5_000).await;
    encoder.finish(EndReason::Finished);
    let versions = judged.await.expect("every version is clean");
    let last = text(versions.last().unwrap());
    let dates: Vec<_> = last.lines().filter_map(|l| l.split_once("DATE-TIME:")).collect();
    assert!(dates.len() >= 9, "{last}");
    // The first is that of the gap that every broadcast begins with.
    let on_time = |(_, date): &(&str, &str)| date.starts_with("2026-11-21T08:00:");
    assert!(dates.iter().skip(1).all(on_time), "{last}");
    assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "{last}");
}

// H62: what has left the playlist still counts in the rates that are announced.
#[tokio::test(start_paused = true)]
async fn the_announced_rates_are_those_of_the_whole_broadcast() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    for (secs, size) in [(60, 1_000), (20, 5_000), (100, 1_000)] {
        encoder.size = size;
        encoder.run(secs * 1_000).await;
    }
    let text = stage.rendition("studio").multivariant("", PlaylistForm::LowLatency).unwrap();
    let text = String::from_utf8(text.plain().to_vec()).unwrap();
    let rate = |name: &str| -> u64 {
        let (_, value) = text.split_once(&format!("{name}=")).expect("it is there");
        value.split(',').next().unwrap().parse().unwrap()
    };
    // Thirty frames a second, and about 20 bytes of boxes with each.
    let bits = |size: u64| size * 30 * 8;
    let (peak, average) = (rate(":BANDWIDTH"), rate("AVERAGE-BANDWIDTH"));
    assert!((bits(5_000)..bits(5_000) * 5 / 4).contains(&peak), "{text}");
    let mean = (bits(1_000) * 160 + bits(5_000) * 20) / 180;
    assert!((mean * 9 / 10..mean * 11 / 10).contains(&average), "{mean}: {text}");
}

// H37, R47: nobody comes back, so the playlist ends.
#[tokio::test(start_paused = true)]
async fn the_resume_window_ends_the_playlist() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    drop(encoder);
    sleep(secs(59)).await;
    assert_eq!(rendition.state(), RenditionState::Away);
    sleep(secs(3)).await;
    let RenditionState::Ended { reason: EndReason::Lost, .. } = rendition.state() else {
        panic!("{:?}", rendition.state());
    };
    assert!(rendition.published().expect("the final playlist").ended);
}

// H29, H31, H100: the final playlist outlives the broadcast, then the media outlives the playlist.
#[tokio::test(start_paused = true)]
async fn an_ended_broadcast_is_served_for_a_while() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(9_000).await;
    let rendition = stage.rendition("studio");
    let newest = rendition.published().unwrap().last_msn;
    let Wait::Later(held) = rendition.wait_for(crate::hls::Want { msn: newest.next(), part: None })
    else {
        panic!("the next segment is not there yet");
    };
    encoder.finish(EndReason::Finished);
    let last = timeout(secs(1), held.arrive()).await.expect("at once").expect("the final playlist");
    assert!(last.ended);
    sleep(secs(595)).await;
    assert!(rendition.published().is_some());
    let part = MediaName::Part(stage.metrics.parts.get());
    assert!(matches!(rendition.media(&part), Media::Ready(_)));
    sleep(secs(7)).await;
    assert!(rendition.published().is_none());
    assert!(matches!(rendition.media(&part), Media::Ready(_)));
    assert!(stage.directory.find(rendition.channel(), rendition.broadcast_id()).is_some());
    sleep(secs(10)).await;
    assert!(stage.directory.current(rendition.channel()).is_none());
}

// H32: a channel's next broadcast has other addresses; the old ones still work.
#[tokio::test(start_paused = true)]
async fn a_channel_goes_live_again() {
    let stage = Stage::new();
    for _ in 0..2 {
        let mut encoder = stage.encoder("studio", Admission::Start).await;
        encoder.run(3_000).await;
        encoder.finish(EndReason::Finished);
        sleep(secs(1)).await;
    }
    let current = stage.rendition("studio");
    assert_eq!(stage.directory.list().len(), 1);
    let all = stage.directory.all();
    assert_eq!(all.len(), 2);
    assert!(all[0].broadcast_id() < current.broadcast_id());
    let found = stage.directory.find(current.channel(), all[0].broadcast_id());
    assert!(found.is_some_and(|found| found.published().is_some_and(|p| p.ended)));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_without_media_ends_without_a_playlist() {
    let stage = Stage::new();
    let encoder = stage.encoder("studio", Admission::Start).await;
    sleep(secs(1)).await;
    let rendition = stage.rendition("studio");
    let waiting = stage.tasks.spawn({
        let rendition = rendition.clone();
        async move { rendition.first_published().await.is_none() }
    });
    sleep(secs(1)).await;
    encoder.finish(EndReason::Finished);
    assert!(waiting.await.unwrap());
    assert!(
        rendition.published().is_none()
            && rendition.multivariant("", PlaylistForm::LowLatency).is_none()
    );
    assert!(matches!(rendition.state(), RenditionState::Ended { .. }));
}

/// What a packager wakes up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    Frames,
    Away,
    Gap,
    Ended,
}

// D37 and F37: a defect in whatever a packager wakes up for ends its own broadcast and nothing else.
#[tokio::test(start_paused = true)]
async fn a_panic_at_any_wake_ends_one_broadcast() {
    for woken in [Woken::Frames, Woken::Away, Woken::Gap, Woken::Ended] {
        let stage = Stage::new();
        let mut one = stage.encoder("one", Admission::Start).await;
        let mut two = stage.encoder("two", Admission::Start).await;
        tokio::join!(one.run(3_050), two.run(3_050));
        sleep(Duration::from_millis(1)).await;
        // The next to read the clock is the packager that this wakes.
        match woken {
            Woken::Frames => assert!(one.write()),
            Woken::Away => drop(one),
            Woken::Gap => {
                drop(one);
                sleep(Duration::from_millis(240)).await;
            }
            Woken::Ended => one.finish(EndReason::Finished),
        }
        stage.clock.broken.store(true, Ordering::SeqCst);
        sleep(Duration::from_millis(20)).await;
        assert!(!stage.clock.broken.load(Ordering::SeqCst), "{woken:?}: nobody woke");
        two.run(3_000).await;
        let state = stage.rendition("one").state();
        let RenditionState::Ended { reason: EndReason::Faulted(rule), .. } = state else {
            panic!("{woken:?}: {state:?}");
        };
        assert_eq!(rule, "packager_fault");
        assert!(stage.rendition("one").published().is_some_and(|p| p.ended), "{woken:?}");
        assert_eq!(stage.rendition("two").state(), RenditionState::Live);
        assert!(stage.registry.find(&ChannelId::parse("one").unwrap()).is_none());
        assert_eq!(stage.metrics.faults.get(), 1);
    }
}

// D35: stopping the node ends every playlist.
#[tokio::test(start_paused = true)]
async fn stopping_ends_every_playlist() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    stage.stop.cancel();
    stage.tasks.close();
    stage.tasks.wait().await;
    assert!(text(&rendition.published().unwrap()).ends_with("#EXT-X-ENDLIST\n"));
}

// R25: a window that cannot be kept ends its broadcast.
#[tokio::test(start_paused = true)]
async fn a_window_over_its_limit_ends_the_broadcast() {
    let limits = Limits { window_bytes_max: 100_000, ..Limits::default() };
    let stage = Stage::with(limits, Settings::default());
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(20_000).await;
    let RenditionState::Ended { reason: EndReason::Faulted(rule), .. } =
        stage.rendition("studio").state()
    else {
        panic!("{:?}", stage.rendition("studio").state());
    };
    assert_eq!(rule, "window_bytes_max");
}

// House rule: all rings and windows together; ended ones go first, then the longest shrink.
#[tokio::test(start_paused = true)]
async fn memory_is_shared_out() {
    let limits = Limits { memory_bytes_max: 1_500_000, ..Limits::default() };
    let stage = Stage::with(limits, Settings::default());
    let mut old = stage.encoder("old", Admission::Start).await;
    old.run(10_000).await;
    old.finish(EndReason::Finished);
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(20_000).await;
    assert!(stage.directory.current(&ChannelId::parse("old").unwrap()).is_some());
    let mut second = stage.encoder("second", Admission::Start).await;
    tokio::join!(encoder.run(30_000), second.run(30_000));
    assert!(stage.directory.current(&ChannelId::parse("old").unwrap()).is_none());
    let held: usize = stage.directory.all().iter().map(|r| r.window_bytes()).sum();
    assert!(held < 1_500_000, "{held}");
    for channel in ["studio", "second"] {
        let length = stage.rendition(channel).duration();
        assert!(secs(12) <= length && length < secs(24), "{channel}: {length:?}");
    }
}

// W9: what cannot shrink fills the memory step by step, and an end gives it back.
#[tokio::test(start_paused = true)]
async fn the_pressure_rises_with_what_cannot_shrink() {
    let limits = Limits { memory_bytes_max: 950_000, ..Limits::default() };
    let stage = Stage::with(limits, Settings::default());
    let mut first = stage.encoder("first", Admission::Start).await;
    first.run(60_000).await;
    // Long as its window is, it could be shorter.
    assert_eq!(stage.registry.pressure().get(), Pressure::None);
    let mut second = stage.encoder("second", Admission::Start).await;
    tokio::join!(first.run(20_000), second.run(20_000));
    assert_eq!(stage.registry.pressure().get(), Pressure::NoNewBroadcasts);
    assert_eq!(stage.metrics.memory_pressure.get(), 3);
    let held: usize = stage.directory.all().iter().map(|r| r.floor_bytes()).sum();
    assert!(held > 700_000, "the live edges are not cut: {held}");
    second.finish(EndReason::Finished);
    first.run(3_000).await;
    assert_eq!(stage.registry.pressure().get(), Pressure::None);
}

#[tokio::test(start_paused = true)]
async fn the_closing_date_is_shown_from_the_next_version_on() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    assert!(!text(&rendition.published().unwrap()).contains("DATERANGE"));
    stage.closing.send_replace(Some(Closing { at: WallTime::from_unix_millis(1_795_300_000_000) }));
    encoder.run(1_000).await;
    assert!(text(&rendition.published().unwrap()).contains("#EXT-X-DATERANGE:ID=\"closing-"));
}

#[tokio::test(start_paused = true)]
async fn a_long_keyframe_interval_plays_and_is_told() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.gop = 250;
    encoder.run(100).await;
    let rendition = stage.rendition("studio");
    let judged = stage.tasks.spawn(judge_all(rendition.clone()));
    encoder.run(30_000).await;
    assert!(rendition.published().is_some());
    let [Advice::KeyframeInterval { measured, wanted }] = rendition.advice()[..] else {
        panic!("{:?}", rendition.advice());
    };
    assert_eq!((measured.as_millis() / 100, wanted), (83, secs(2)));
    encoder.finish(EndReason::Finished);
    judged.await.expect("every version is clean");
}

// A packager that was held up goes on at the newest keyframe; the hole is in the playlist.
#[tokio::test(start_paused = true)]
async fn a_packager_that_fell_behind_lists_a_gap() {
    // Room for three seconds of the ten that come at once, at a kilobyte for each frame.
    let limits = Limits { ring_bytes_max: 90_000, ..Limits::default() };
    let stage = Stage::with(limits, Settings::default());
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let judged = stage.tasks.spawn(judge_all(rendition.clone()));
    tokio::task::yield_now().await;
    for _ in 0..300 {
        encoder.write();
    }
    encoder.run(4_000).await;
    encoder.finish(EndReason::Finished);
    let versions = judged.await.expect("every version is clean");
    let last = text(versions.last().unwrap());
    assert!(stage.metrics.missed_frames.get() > 0);
    assert_eq!(last.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{last}");
    assert!(last.contains("#EXT-X-GAP\n"), "{last}");
}
