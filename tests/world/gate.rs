//! What must hold about the end of the service: nothing begins after it, and what runs ends as the
//! schedule says, however the calendar was set.

use std::sync::Arc;

use ghostlight::base::BroadcastId;
use ghostlight::hub::{BroadcastState, Event};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::stage::Stage;

/// The heartbeat of the server looks once a second.
const BEAT: u64 = 1_000;

/// Watches what begins and what goes on.
pub(crate) struct Porter {
    stage: Arc<Stage>,
    news: Receiver<Event>,
    newest: BroadcastId,
}

impl Porter {
    pub(crate) fn new(stage: &Arc<Stage>) -> Self {
        Self { stage: stage.clone(), news: stage.registry.watch(), newest: BroadcastId::new(1) }
    }

    pub(crate) fn look(&mut self, now: u64) {
        self.stage.look_at_calendar(now);
        loop {
            match self.news.try_recv() {
                Ok(Event::Started(broadcast)) => self.judge_start(broadcast.id(), now),
                Ok(Event::Ended(_, reason)) => {
                    self.stage.note(&format!("broadcast ended: {}", reason.as_str()));
                }
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        self.judge_running(now);
    }

    fn judge_start(&mut self, id: BroadcastId, now: u64) {
        self.stage.note("broadcast started");
        if id <= self.newest {
            self.stage.fail(format!("X6: broadcast {id} comes after {}", self.newest));
        }
        self.newest = id;
        let permit = self.stage.limits.permit_time_max();
        let permit = u64::try_from(permit.as_millis()).unwrap_or(0) + BEAT;
        let turns = self.stage.turns();
        if turns.closed.is_some_and(|at| at + permit < now) {
            self.stage.fail("G7: a broadcast began after the closing");
        }
    }

    /// D: a cut waits for the keyframe, and no longer than its grace.
    fn judge_running(&self, now: u64) {
        let Some(ended) = self.stage.turns().ended else { return };
        let grace = u64::try_from(self.stage.limits.closing_grace_max.as_millis()).unwrap_or(0);
        if now <= ended + grace + BEAT {
            return;
        }
        let live = self.stage.registry.broadcasts().into_iter();
        let mut live = live.filter(|one| matches!(one.state(), BroadcastState::Live));
        if let Some(broadcast) = live.next() {
            self.stage.fail(format!("G6: {} is live after its end", broadcast.channel()));
        }
    }
}

/// When the calendar first said that new broadcasts are closed, and that all have to end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    pub(crate) closed: Option<u64>,
    pub(crate) ended: Option<u64>,
}

impl Stage {
    fn look_at_calendar(&self, now: u64) {
        let Some(schedule) = &self.schedule else { return };
        let wall = self.now().wall;
        let passed = |at| at <= wall;
        let (closed, ended) = (passed(schedule.publish_close()), passed(schedule.broadcasts_end()));
        self.change_turns(|turns| {
            if closed {
                turns.closed.get_or_insert(now);
            }
            if ended {
                turns.ended.get_or_insert(now);
            }
        });
    }

    /// Whether the server has had time to notice that the service is closed.
    pub(crate) fn is_closed(&self) -> bool {
        let now = self.millis();
        self.turns().closed.is_some_and(|at| at + BEAT < now)
    }

    /// Whether publishers are let go for the closing.
    pub(crate) fn may_end_publishers(&self) -> bool {
        self.turns().ended.is_some()
    }

    /// A publish was accepted. `goes_on`: its broadcast was there; `closed` was the service before.
    pub(crate) fn check_admission(&self, goes_on: bool, closed: bool) {
        let finishing = self.plan.closing.is_some_and(|closing| closing.finish_millis.is_some());
        let may_resume = goes_on && finishing && self.turns().ended.is_none();
        if closed && !may_resume {
            self.fail("G1: a publish was accepted after the closing");
        }
    }
}
