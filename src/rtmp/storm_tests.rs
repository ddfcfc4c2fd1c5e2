//! Many encoders that are refused at once, beside one that is on air.

use std::time::Duration;

use tokio::time::{Instant, interval, sleep_until, timeout};

use super::Cause;
use super::world::{Encoder, START, World};
use crate::accounts::issue_key;
use crate::base::{ChannelId, Rival};
use crate::gate::Refusal;
use crate::hub::Batch;

const CLOSING: Duration = Duration::from_secs(6);
/// Between two frames of the encoder that is on air.
const FRAME: Duration = Duration::from_millis(40);
const STORM: usize = 1_000;

/// One encoder that is refused; how long after its `publish` it was told.
async fn knock(mut encoder: Encoder, key: String) -> Duration {
    let asked = Instant::now();
    encoder.publish(&key).await;
    encoder.wait_for("NetStream.Publish.Denied").await;
    let told = asked.elapsed();
    let (cause, _) = encoder.end().await;
    assert!(matches!(cause, Cause::Refused(Refusal::BroadcastsClosed(_))), "{cause:?}");
    told
}

/// G19: a thousand refusals in a second start nothing, are told at once, and no frame of the
/// broadcast beside them comes late. Time is virtual here and stands still while anybody works:
/// this proves that nobody waits for another, and says nothing about the load on a processor.
#[tokio::test(start_paused = true)]
async fn a_storm_of_refusals_delays_nobody() {
    let begun = Instant::now();
    let mut world = World::closing(Some(CLOSING), "finish").await;
    let other = ChannelId::parse("other").expect("a good name");
    let issued =
        issue_key(&*world.store, &other, "", Rival::default(), None, START).await.expect("issued");
    world.context.keys.look(world.context.clock.now()).await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let demo = ChannelId::parse("demo").expect("a good name");
    let live = world.context.registry.find(&demo).expect("on air");
    encoder.send_for(2_000, 75).await;
    sleep_until(begun + CLOSING).await;

    let storm = async {
        let mut every = interval(Duration::from_millis(1));
        let mut knocks = Vec::new();
        for _ in 0..STORM {
            every.tick().await;
            let (encoder, key) = (world.encoder().await, issued.text.reveal().to_owned());
            knocks.push(world.tasks.spawn(knock(encoder, key)));
        }
        let mut slowest = Duration::ZERO;
        for knock in knocks {
            slowest = slowest.max(knock.await.expect("refused"));
        }
        slowest
    };
    let watching = async {
        let (mut reader, mut frames, mut late) = (live.subscribe(), Vec::new(), Duration::ZERO);
        assert_eq!(reader.next_batch(&mut frames).await, Batch::Frames);
        let mut before = Instant::now();
        while let Ok(batch) = timeout(FRAME * 5, reader.next_batch(&mut frames)).await {
            assert_eq!(batch, Batch::Frames);
            late = late.max(before.elapsed().saturating_sub(FRAME));
            before = Instant::now();
        }
        late
    };
    let (slowest, late, ()) = tokio::join!(storm, watching, encoder.send_for(6_000, 40));
    assert!(slowest <= FRAME, "{slowest:?}");
    assert!(late <= FRAME / 10, "{late:?}");
    assert_eq!(world.context.registry.broadcasts().len(), 1);
}
