//! One broadcast over time: what its playlists list, how they change, and what never does.

use std::collections::{BTreeMap, BTreeSet};

use http_body_util::BodyExt;

use super::*;
use crate::live::Published;
use crate::testing::delta::apply_delta;
use crate::testing::lint::{check_plain, strip_low_latency};

impl World {
    /// The version of now, past HTTP.
    fn published(&self) -> Arc<Published> {
        let rendition = self.directory.current(&channel("demo")).expect("a broadcast");
        rendition.published().expect("a playlist")
    }
}

/// H9, H108: whatever a playlist lists is there at once. H62: and no segment is heavier than the
/// multivariant playlist says.
#[tokio::test(start_paused = true)]
async fn everything_listed_is_there() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(12.0).await;
    let address = world.playlist().await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let playlist = world.get(&address).await;
    let listed = addresses(playlist.text());
    assert!(20 < listed.len(), "{listed:?}");
    let mut bytes = BTreeMap::new();
    for name in listed {
        let reply = world.get(&format!("{folder}{name}")).await;
        assert_eq!((reply.status, reply.after), (200, Duration::ZERO), "{name}");
        assert!(!reply.body.is_empty(), "{name}");
        bytes.insert(name, reply.body.len());
    }

    let multivariant = world.get("/demo/index.m3u8").await;
    let rate = |name: &str| -> f64 {
        let (_, rest) = multivariant.text().split_once(name).unwrap();
        rest.split(',').next().unwrap().parse().unwrap()
    };
    let (mut peak, mut bits, mut seconds) = (0.0_f64, 0.0, 0.0);
    let mut lines = playlist.text().lines();
    while let Some(line) = lines.next() {
        if line == "#EXT-X-GAP" {
            // What is missing weighs nothing, and says nothing of the rate.
            lines.next();
        }
        let Some(length) = line.strip_prefix("#EXTINF:") else { continue };
        let length: f64 = length.trim_end_matches(',').parse().unwrap();
        let size = f64::from(u32::try_from(bytes[lines.next().unwrap()]).unwrap()) * 8.0;
        peak = peak.max(size / length);
        (bits, seconds) = (bits + size, seconds + length);
    }
    let (said_peak, said_average) = (rate(":BANDWIDTH="), rate("AVERAGE-BANDWIDTH="));
    assert!(peak <= said_peak && said_peak < peak * 1.25, "{said_peak} for {peak}");
    let average = bits / seconds;
    assert!(average <= said_average && said_average < average * 1.10, "{said_average} {average}");
}

/// H19: while versions change, a thousand viewers get one of them each, byte for byte.
#[tokio::test(start_paused = true)]
async fn every_answer_is_a_published_version() {
    let world = Arc::new(World::new().await);
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let address = world.playlist().await;
    let tasks = TaskTracker::new();
    let viewers: Vec<_> = (0..1_000_u64)
        .map(|n| {
            let (world, address) = (Arc::clone(&world), address.clone());
            tasks.spawn(async move {
                sleep(Duration::from_millis(n * 3)).await;
                let fields = if n % 2 == 0 { "Accept-Encoding: gzip\r\n" } else { "" };
                let reply = world.ask("GET", &address, fields).await;
                assert_eq!(reply.status, 200);
                if n % 2 == 0 { unpack(&reply.body) } else { reply.text().to_owned() }
            })
        })
        .collect();
    let mut versions = BTreeSet::new();
    for _ in 0..100 {
        versions.insert(world.published().playlist.plain().to_vec());
        encoder.send(0.04).await;
    }
    versions.insert(world.published().playlist.plain().to_vec());
    let mut seen = BTreeSet::new();
    for viewer in viewers {
        seen.insert(viewer.await.unwrap().into_bytes());
    }
    assert!(8 <= seen.len(), "versions changed meanwhile: {}", seen.len());
    assert!(seen.is_subset(&versions), "{} of {}", seen.len(), versions.len());
}

/// H32: over a whole broadcast with a reconnect no address of media ever has two bodies.
#[tokio::test(start_paused = true)]
async fn an_address_never_has_two_bodies() {
    let (world, mut encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap().to_owned();
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut compared = 0;
    for round in 0..30 {
        if round == 12 {
            let back = encoder.frame;
            encoder.publication.finish(EndReason::Lost, world.clock.now().mono);
            sleep(Duration::from_secs(3)).await;
            encoder = world.publish();
            encoder.frame = back / GOP_FRAMES * GOP_FRAMES;
        }
        encoder.send(0.6).await;
        for name in addresses(world.get(&address).await.text()) {
            let reply = world.get(&format!("{folder}{name}")).await;
            if reply.status == 404 {
                continue; // Missing media is listed as a gap.
            }
            assert_eq!(reply.status, 200, "{name}");
            match bodies.get(&name) {
                Some(before) => {
                    compared += 1;
                    assert!(*before == reply.body, "{name} has changed in round {round}");
                }
                None => drop(bodies.insert(name, reply.body)),
            }
        }
    }
    assert_eq!(world.playlist().await, address, "the same broadcast throughout");
    assert!(world.get(&address).await.text().contains("#EXT-X-DISCONTINUITY\n"));
    assert!(60 < bodies.len() && 200 < compared, "{} {compared}", bodies.len());
}

/// H98, H101: whoever asks for a delta update gets one where one is offered; whoever does not gets
/// the whole, and after the end everybody does.
#[tokio::test(start_paused = true)]
async fn a_delta_is_for_who_asks() {
    let window = Duration::from_secs(150);
    let hls = hls::Settings { window, ..hls::Settings::default() };
    let (world, mut encoder, address) = World::playing(Setup { hls, ..Setup::default() }).await;
    let whole = world.get(&address).await;
    assert!(whole.text().contains("CAN-SKIP-UNTIL=12.0"), "{}", whole.text());
    let early = world.get(&format!("{address}?_HLS_skip=YES")).await;
    assert_eq!(early.body, whole.body, "nothing to skip yet");

    encoder.send(25.0).await;
    let whole = world.get(&address).await;
    assert!(!whole.text().contains("#EXT-X-SKIP"), "{}", whole.text());
    for word in ["YES", "v2"] {
        let delta = world.get(&format!("{address}?_HLS_skip={word}")).await;
        assert!(delta.body.len() < whole.body.len());
        assert_eq!(delta.text().matches("#EXT-X-SKIP:").count(), 1, "{}", delta.text());
        assert_eq!(apply_delta(whole.text(), delta.text()).unwrap(), whole.text(), "{word}");
        assert_ne!(delta.field("etag"), whole.field("etag"));
    }
    let held = format!("{address}?_HLS_msn={}", last_msn(whole.text()) + 2);
    let mut io = world.connect();
    let (held, ()) = tokio::join!(ask(&mut io, "GET", &held, ""), encoder.send(4.0));
    assert!(held.text().contains("EXTM3U") && !held.text().contains("#EXT-X-SKIP"));

    encoder.finish();
    sleep(Duration::from_secs(1)).await;
    let last = world.get(&address).await;
    assert!(last.text().ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(world.get(&format!("{address}?_HLS_skip=YES")).await.body, last.body);
}

/// H118: asking changes nothing: a broadcast that nobody watched and one that was asked about all
/// the time say the same.
#[tokio::test(start_paused = true)]
async fn asking_changes_nothing() {
    let (alone, asked) = (World::new().await, World::new().await);
    let (mut one, mut other) = (alone.publish(), asked.publish());
    tokio::join!(one.send(5.0), other.send(5.0));
    let address = asked.playlist().await;
    for n in 0..500 {
        let query = ["", "?_HLS_skip=YES", "?_HLS_msn=1", "?_HLS_part=1", "?x=y"][n % 5];
        let fields = ["", "If-None-Match: *\r\n", "Range: bytes=0-1\r\n"][n % 3];
        asked.ask(["GET", "HEAD"][n % 2], &format!("{address}{query}"), fields).await;
    }
    let (left, right) = (alone.published(), asked.published());
    assert_eq!((left.version, left.playlist.plain()), (right.version, right.playlist.plain()));
    assert_eq!(asked.metrics.held(), 0);
    tokio::join!(one.send(3.0), other.send(3.0));
    assert_eq!(alone.published().playlist.plain(), asked.published().playlist.plain());
}

/// H88: without its low-latency tags every version is a sound plain playlist, and the plain form
/// that the server offers is that very text.
#[tokio::test(start_paused = true)]
async fn a_plain_player_sees_plain_hls() {
    let (world, mut encoder, address) = World::playing(Setup::default()).await;
    let plain_address = address.replace("live.m3u8", "plain.m3u8");
    for _ in 0..100 {
        encoder.send(0.4).await;
        let stripped = strip_low_latency(world.get(&address).await.text());
        let findings = check_plain(&stripped);
        assert!(findings.is_empty(), "{findings:#?}\n{stripped}");
        assert_eq!(world.get(&plain_address).await.text(), stripped);
    }
    encoder.finish();
    sleep(Duration::from_secs(1)).await;
    let last = strip_low_latency(world.get(&address).await.text());
    assert_eq!((check_plain(&last), last.ends_with("#EXT-X-ENDLIST\n")), (Vec::new(), true));
}

/// W5: ten thousand who wait are answered with one rendering: the same bytes at the same place.
#[tokio::test(start_paused = true)]
async fn all_who_wait_share_one_rendering() {
    let limits = Limits { blocked_requests_per_connection_max: 10_000, ..Limits::default() };
    let (world, mut encoder, address) = World::playing(Setup { limits, ..Setup::default() }).await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let target = format!("{address}?_HLS_msn={next}");
    let tasks = TaskTracker::new();
    let waiting: Vec<_> = (0..10_000)
        .map(|n| {
            let coding = if n % 2 == 0 { "gzip" } else { "identity" };
            let Answer::Held(answer) = world.hand_in(&target, &[("accept-encoding", coding)], None)
            else {
                panic!("nothing to wait for")
            };
            tasks.spawn(answer)
        })
        .collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.metrics.held(), 10_000);
    encoder.send(4.0).await;
    let mut places = BTreeMap::new();
    for answer in waiting {
        let mut response = answer.await.unwrap();
        assert_eq!(response.status(), 200);
        let bytes = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        *places.entry(bytes.as_ptr()).or_insert(0) += 1;
    }
    assert_eq!(places.into_values().collect::<Vec<_>>(), [5_000, 5_000], "packed and not");
    assert_eq!(world.metrics.held(), 0);
}
