//! Fetches what a playlist lists, one piece after the other, and what it has let go of while that
//! is still promised.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::desk::Desk;
use super::promises::Due;
use super::rendition::Rendition;
use super::view::Piece;

/// Second looks that are brought forward when the watch ends.
const LAST_LOOKS_MAX: usize = 6;
/// A piece that waited longer than this many targets is not fetched.
const STALE_TARGETS: u32 = 2;
const IDLE: Duration = Duration::from_millis(200);

/// A piece that was listed in a version that came at this time.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) piece: Piece,
    pub(super) at: Duration,
}

/// Runs until the rendition ends or the watch is over.
pub(super) async fn run(rendition: Arc<Rendition>, mut pieces: mpsc::Receiver<Found>) {
    let stop = rendition.desk.stop.clone();
    loop {
        let idle = next_look(&rendition);
        let piece = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            piece = pieces.recv() => piece,
            () = sleep(idle) => {
                look_again(&rendition, rendition.desk.now()).await;
                continue;
            }
        };
        let Some(Found { piece, at }) = piece else { break };
        let late = at + rendition.setting().target * STALE_TARGETS < rendition.desk.now();
        if late {
            continue; // It may have left the playlist since, and the network does not keep up.
        }
        if let Some(answer) = rendition.desk.piece(&piece, rendition.setting()).await {
            rendition.judge_media(&piece, answer.body);
        }
        look_again(&rendition, rendition.desk.now()).await;
    }
    for _ in 0..LAST_LOOKS_MAX {
        if !look_again(&rendition, Duration::MAX).await {
            break;
        }
    }
}

fn next_look(rendition: &Rendition) -> Duration {
    let promises = rendition.promises.lock().unwrap_or_else(PoisonError::into_inner);
    let at = promises.next_due().map(|at| at.saturating_sub(rendition.desk.now()));
    at.map_or(IDLE, |at| at.min(IDLE))
}

/// H22 and H23: what is no longer listed is kept for as long as it is promised.
async fn look_again(rendition: &Rendition, now: Duration) -> bool {
    let due = {
        let mut promises = rendition.promises.lock().unwrap_or_else(PoisonError::into_inner);
        promises.take_due(now)
    };
    let Some(Due { rule, piece, until, .. }) = due else { return false };
    let desk = &rendition.desk;
    if until <= desk.now() {
        return true;
    }
    let place = &piece.place;
    let found = desk.probe(Desk::media_ask(place)).await;
    desk.judge(&place.address, |scale| {
        let (there, said) = match &found {
            Ok(answer) => (answer.is_good(), answer.status.to_string()),
            Err(error) => (false, error.to_string()),
        };
        scale.weigh(rule, there, || format!("gone before its time: {said}"));
    });
    if let Ok(answer) = found {
        desk.remember(place, &answer);
    }
    true
}
