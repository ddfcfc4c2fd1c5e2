//! Publishers with a good key who send too much, too fast, or what nobody can use.

use std::time::{Duration, Instant};

use ghostlight::testing::clips;

use super::wire::{AGGREGATE, AUDIO, COMMAND, DATA, Peer, UNKNOWN, VIDEO, amf, command};
use super::{Crowd, MIB, Street, address};

/// Between two pictures, of which there are 25 a second.
const FRAME_MILLIS: u32 = 40;

/// A publisher that has sent its configurations.
async fn publisher(street: &Street, number: usize) -> Peer {
    let target = street.stage.key(&format!("attacker{number}"));
    let peer = Peer::publish(street.stage.rtmp, address(number), target.key.reveal()).await;
    let mut peer = peer.expect("an answer");
    assert!(peer.is_publishing(), "the key is good");
    peer.message(VIDEO, 0, &clips::avc_config()).await.expect("it is read");
    peer.message(AUDIO, 0, &clips::aac_config()).await.expect("it is read");
    peer
}

/// The messages of one moment: kind, time in milliseconds, and body.
type Moment = Vec<(u8, u32, Vec<u8>)>;

/// One attack: why it ends, what it sends, and how long to wait between two moments.
struct Script {
    cause: &'static str,
    moment: Box<dyn Fn(u32) -> Moment>,
    pause: Duration,
}

impl Script {
    fn at_once(cause: &'static str, moment: impl Fn(u32) -> Moment + 'static) -> Self {
        Self { cause, moment: Box::new(moment), pause: Duration::ZERO }
    }

    /// In real time.
    fn paced(cause: &'static str, moment: impl Fn(u32) -> Moment + 'static) -> Self {
        let pause = Duration::from_millis(FRAME_MILLIS.into());
        Self { cause, moment: Box::new(moment), pause }
    }

    /// Plays until the server has enough.
    async fn play(&self, peer: &mut Peer) {
        const MOMENTS_MAX: u32 = 100_000;
        for number in 0..MOMENTS_MAX {
            for (kind, at, body) in (self.moment)(number) {
                if peer.message(kind, at, &body).await.is_err() {
                    return peer.until_closed().await;
                }
            }
            tokio::time::sleep(self.pause).await;
        }
        panic!("{}: the server takes all of it", self.cause);
    }
}

fn picture(number: u32, key: bool, bytes: usize) -> (u8, u32, Vec<u8>) {
    (VIDEO, number * FRAME_MILLIS, clips::avc_frame(key, bytes).to_vec())
}

/// A configuration of another level with each number.
fn config(number: u32) -> Vec<u8> {
    let mut body = clips::avc_config().to_vec();
    let level = if number.is_multiple_of(2) { 0x1e } else { 0x1f };
    body.splice(8..9, [level]);
    body
}

fn scripts() -> Vec<Script> {
    let bytes = |mib: u64| usize::try_from(mib * MIB).expect("it fits into memory");
    let long = "x".repeat(20_000);
    let text = [command("onMetaData", 1.0, &[]), amf::text(&long)].concat();
    // Sound of one byte.
    let part = [8, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xaf, 1, 0, 0, 0, 13];
    vec![
        // R26: thousands of tiny frames, one that is too large, and a message larger than that.
        Script::at_once("too_many_messages", |n| {
            vec![(AUDIO, n / 50, clips::aac_frame(1).to_vec()); 100]
        }),
        Script::at_once("frame_too_large", move |n| vec![picture(n, true, bytes(8) + 1_000)]),
        Script::at_once("wire_message_too_long", move |n| vec![picture(n, true, bytes(10) + 1)]),
        // R28: values that a peer with a key cannot send either.
        Script::at_once("amf_too_long", |_| vec![(DATA, 0, vec![5; 65_537])]),
        Script::at_once("amf_too_deep", |_| vec![(COMMAND, 0, [3, 0, 1, b'a'].repeat(3_200))]),
        Script::at_once("amf_string_too_long", move |_| vec![(DATA, 0, text.clone())]),
        Script::at_once("aggregate_parts", move |_| vec![(AGGREGATE, 0, part.repeat(1_001))]),
        // R19: a new configuration with every picture.
        Script::paced("too_many_config_changes", |n| {
            vec![(VIDEO, n * FRAME_MILLIS, config(n)), picture(n, true, 1_000)]
        }),
        // R25: 100 Mbit/s, and no keyframe but the first.
        Script::paced("gop_too_large", |n| vec![picture(n, n == 0, 500_000)]),
    ]
}

/// R19, R25, R26, R28: a good key is no licence. Each of these ends its own broadcast, under its
/// own name.
#[test]
fn publishers_that_send_too_much_are_dropped_by_name() {
    let mut street = Street::open(&[]);
    for (number, script) in scripts().into_iter().enumerate() {
        street.under(async {
            let mut peer = publisher(&street, number).await;
            script.play(&mut peer).await;
        });
        street.assert_dropped(script.cause, 1);
    }
    // The open group of pictures, and as much of it as parts, both within their limits.
    let media_bytes = 2 * 32 * MIB;
    street.close(Crowd { publishers: 1, media_bytes, ..Crowd::default() });
}

/// R48: twenty seconds of media at once are read four times as fast as they play, after the first
/// six, and what is not read is not kept.
#[test]
fn media_faster_than_it_plays_is_slowed_down() {
    const SECONDS: u32 = 20;
    let street = Street::open(&[]);
    let took = street.under(async {
        let mut peer = publisher(&street, 0).await;
        let start = Instant::now();
        for number in 0..SECONDS * 1_000 / FRAME_MILLIS {
            let (kind, at, body) = picture(number, number.is_multiple_of(25), 20_000);
            peer.message(kind, at, &body).await.expect("it is taken in the end");
        }
        peer.leave().await;
        start.elapsed()
    });
    // Of fourteen seconds a quarter; what waits in the sockets was sent and not read.
    assert!(Duration::from_secs(2) < took && took < Duration::from_secs(8), "{took:?}");
    assert!(0 < street.stage.metric("rtmp_slowed_total"));
    street.close(Crowd { publishers: 1, media_bytes: 16 * MIB, ..Crowd::default() });
}

/// R44: of a dozen encoders with one key, one after the other, five replace the one before, and
/// the others are told that the name is taken.
#[test]
fn a_storm_of_takeovers_ends_with_the_fifth() {
    const STORM: usize = 12;
    const TAKEOVERS: usize = 5;
    let mut street = Street::open(&[]);
    let (rtmp, key) = (street.stage.rtmp, street.stage.key("contested"));
    street.under(async {
        let mut on_air = Vec::new();
        for number in 0..STORM {
            let peer = Peer::publish(rtmp, address(number), key.key.reveal()).await;
            let mut peer = peer.expect("an answer");
            if !peer.is_publishing() {
                assert!(peer.has_heard("NetStream.Publish.BadName"), "{peer:?}");
                peer.leave().await;
                continue;
            }
            for (kind, body) in [(VIDEO, clips::avc_config()), (AUDIO, clips::aac_config())] {
                peer.message(kind, 0, &body).await.expect("it is read");
            }
            for frame in 0..10 {
                let (kind, at, body) = picture(frame, frame == 0, 1_000);
                peer.message(kind, at, &body).await.expect("it is read");
                peer.message(AUDIO, at, &clips::aac_frame(100)).await.expect("it is read");
                tokio::time::sleep(Duration::from_millis(FRAME_MILLIS.into())).await;
            }
            on_air.push(peer);
        }
        assert_eq!(on_air.len(), 6, "the first, and five that replaced another");
        let last = on_air.pop().expect("six");
        for mut replaced in on_air {
            replaced.until_closed().await;
            assert!(replaced.has_heard("NetStream.Publish.BadName"));
        }
        drop(last);
    });
    street.assert_dropped("replaced", TAKEOVERS);
    street.assert_dropped("too_many_takeovers", 6);
    street.close(Crowd { publishers: 6, media_bytes: MIB, ..Crowd::default() });
}

/// R49, R50: a publisher that sends as fast as the machine can is read no faster than it may be,
/// delays no part of its neighbours, and is the one that is dropped.
#[test]
fn a_flood_of_bytes_delays_nobody() {
    const TIME: Duration = Duration::from_secs(4);
    let mut street = Street::open(&[("ingest_excess_time_max", "3s")]);
    let filler = vec![0; 1_000_000];
    let mut floods = 0;
    let mut flood = || {
        floods += 1;
        street.under(async {
            let mut peer = publisher(&street, floods).await;
            let start = Instant::now();
            while start.elapsed() < TIME && peer.message(UNKNOWN, 0, &filler).await.is_ok() {}
            peer.until_closed().await;
        });
    };
    street.assert_unmoved("a flood of bytes", &mut flood);
    street.assert_dropped("too_many_bytes", floods);
    street.close(Crowd { publishers: 1, ..Crowd::default() });
}
