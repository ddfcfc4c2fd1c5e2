//! Fetches what a playlist lists, one piece after the other, and what it has let go of while that
//! is still promised.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::{Answer, FetchError};
use super::desk::Desk;
use super::promises::Due;
use super::rendition::Rendition;
use super::view::{Piece, PieceKind};

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
    let mut bench = Bench { rendition: Arc::clone(&rendition), init: None };
    loop {
        let idle = next_look(&rendition);
        let found = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            found = pieces.recv() => found,
            () = sleep(idle) => {
                look_again(&rendition, rendition.desk.now()).await;
                continue;
            }
        };
        let Some(found) = found else { break };
        bench.take(found).await;
        look_again(&rendition, rendition.desk.now()).await;
    }
    for _ in 0..LAST_LOOKS_MAX {
        if !look_again(&rendition, Duration::MAX).await {
            break;
        }
    }
}

/// Where pieces are fetched and brought before the judges.
#[derive(Debug)]
struct Bench {
    rendition: Arc<Rendition>,
    /// The init segment in force, while it has not come: without it no media can be judged.
    init: Option<Piece>,
}

impl Bench {
    async fn take(&mut self, Found { piece, at }: Found) {
        if piece.kind == PieceKind::Init {
            self.init = Some(piece);
            return self.fetch_init().await;
        }
        self.fetch_init().await;
        let Rendition { desk, .. } = &*self.rendition;
        let late = at + self.rendition.setting().target * STALE_TARGETS < desk.now();
        if late {
            return; // It may have left the playlist since, and the network does not keep up.
        }
        let answer = desk.piece(&piece, self.rendition.setting()).await;
        if let Some(answer) = answer.filter(|_| self.init.is_none()) {
            self.rendition.judge_media(&piece, answer.body);
        }
    }

    /// Asks again with every piece until it has come: it is there for as long as what needs it.
    async fn fetch_init(&mut self) {
        let Some(init) = self.init.take() else { return };
        let Rendition { desk, .. } = &*self.rendition;
        match desk.piece(&init, self.rendition.setting()).await {
            Some(answer) => self.rendition.judge_media(&init, answer.body),
            None => self.init = Some(init),
        }
    }
}

fn next_look(rendition: &Rendition) -> Duration {
    let promises = rendition.promises.lock().unwrap_or_else(PoisonError::into_inner);
    let at = promises.next_due().map(|at| at.saturating_sub(rendition.desk.now()));
    at.map_or(IDLE, |at| at.min(IDLE))
}

/// H22 and H23: what is no longer listed is kept for as long as it is promised.
pub(super) async fn look_again(rendition: &Rendition, now: Duration) -> bool {
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
    let there = found.as_ref().is_ok_and(Answer::is_good);
    if found.as_ref().is_err_and(FetchError::is_own) || !there && until <= desk.now() {
        return true; // The answer took until nothing is promised any more, or is none.
    }
    desk.judge(&place.address, |scale| {
        let said = match &found {
            Ok(answer) => answer.status.to_string(),
            Err(error) => error.to_string(),
        };
        scale.weigh(rule, there, || format!("gone before its time: {said}"));
    });
    if let Ok(answer) = found {
        desk.remember(place, &answer);
    }
    true
}
