//! A few requests that no player makes, one after the other, to see what the server does with
//! them. They are polite: some thirty in all, never more than four at once, with pauses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::header;
use hyper::{Method, StatusCode};
use tokio::time::sleep;

use super::answers::{AT_ONCE, Kind, Setting, cross_origin, judge_refusal};
use super::client::{Answer, Ask};
use super::desk::{ANSWER_TIME_MAX, Desk};
use super::pace::SLACK;
use super::rendition::{Rendition, Version, held};
use super::scale::Scale;
use super::view::{Piece, PieceKind, Spot, View};

/// Pause between two probes.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests for one playlist at the same time.
const AT_THE_SAME_TIME: usize = 4;
/// How often that is done, and how often a hinted part is asked for.
const ROUNDS: usize = 3;
/// Far enough ahead for every reading of the limits.
const FAR_SEGMENTS: u64 = 10;
const FAR_PARTS: usize = 10;
/// Bytes of a hinted part come within this, or within half its length.
const HINTED_FLOW_MAX: Duration = Duration::from_millis(250);
/// Nothing has this name.
const NOBODY: &str = "ghostlight-check-asks-for-nothing.m4s";

/// Values that are no numbers (H99).
const BAD_VALUES: [&str; 5] = ["-1", "1.5", "abc", "", "111111111111111111111"];

#[derive(Debug)]
pub(super) struct Prober {
    rendition: Arc<Rendition>,
}

impl Prober {
    pub(super) fn new(rendition: Arc<Rendition>) -> Self {
        Self { rendition }
    }

    /// Runs until everything was asked, the end of the playlist included, or the watch is over.
    pub(super) async fn run(self) {
        let stop = self.rendition.desk.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.ask_all() => {}
        }
    }

    async fn ask_all(&self) {
        let mut latest = self.rendition.latest.subscribe();
        let known = latest.wait_for(Option::is_some).await.map(|version| (*version).clone());
        let Ok(Some(version)) = known else { return };
        if !version.view.ended {
            self.together().await;
        }
        if version.view.can_block && !version.view.ended {
            self.refusals(&version).await;
            self.answers().await;
            self.waits().await;
        }
        // What only those promise who offer low latency is not asked of others.
        let offers = version.view.can_block || version.view.can_skip_until.is_some();
        if offers {
            self.head().await;
            self.nobody().await;
        }
        self.ranges().await;
        self.init_again().await;
        for _ in 0..ROUNDS {
            self.hint().await;
            self.together().await;
        }
        let ended = |version: &Option<Arc<Version>>| version.as_ref().is_some_and(|v| v.view.ended);
        let last = latest.wait_for(ended).await.map(|version| (*version).clone());
        if let Ok(Some(last)) = last
            && offers
        {
            self.after_the_end(&last).await;
        }
    }

    fn judge(&self, judge: impl FnOnce(&mut Scale<'_>)) {
        self.rendition.desk.judge(&self.rendition.address, judge);
    }

    fn setting(&self) -> Setting {
        self.rendition.setting()
    }

    /// One request for the playlist; `None` where there was no answer, which the reloads judge.
    async fn ask(&self, query: &str) -> Option<Answer> {
        self.send(Desk::ask(&self.rendition.address, query)).await
    }

    async fn send(&self, ask: Ask) -> Option<Answer> {
        sleep(PAUSE).await;
        let wait = self.setting().target * 3;
        let ask = Ask { time_max: ask.time_max.max(ANSWER_TIME_MAX + wait), ..ask };
        self.rendition.desk.probe(ask).await.ok()
    }

    /// The playlist of now.
    async fn fresh(&self) -> Option<View> {
        sleep(PAUSE).await;
        let kind = Kind::Playlist { directives: false };
        let limits = (self.setting(), ANSWER_TIME_MAX);
        let asked = self.rendition.desk.playlist(&self.rendition.address, "", kind, limits);
        let answer = asked.await.ok().filter(Answer::is_good)?;
        let waited = answer.times.waited();
        self.judge(|scale| {
            scale.weigh("H105", waited <= AT_ONCE, || format!("held for {waited:?}"));
        });
        Some(self.read(&answer))
    }

    fn read(&self, answer: &Answer) -> View {
        let text = String::from_utf8_lossy(&answer.body);
        let view = View::of(&answer.address, &text);
        if view.skipped == 0 {
            self.rendition.shelve(&view, &text);
        }
        view
    }

    /// What is to be refused with 400, and at once.
    async fn refused(&self, rule: &'static str, query: &str) {
        let Some(answer) = self.ask(query).await else { return };
        if answer.is_good() && self.read(&answer).ended {
            return; // From now on every directive is ignored, the wrong ones too (6.2.5).
        }
        let waited = answer.times.waited();
        let right = answer.status == StatusCode::BAD_REQUEST;
        let kind = Kind::Playlist { directives: query.contains("_HLS_msn") };
        let setting = self.setting();
        self.judge(|scale| {
            scale.weigh(rule, right, || format!("?{query} was answered with {}", answer.status));
            if right {
                scale.weigh(rule, waited <= AT_ONCE, || format!("?{query} took {waited:?}"));
                judge_refusal(scale, &answer, kind, setting);
            }
        });
    }

    /// H90, H94, H95 and H99.
    async fn refusals(&self, version: &Version) {
        self.refused("H90", "_HLS_part=0").await;
        for value in BAD_VALUES {
            self.refused("H99", &format!("_HLS_msn={value}")).await;
        }
        let far = version.view.edge.msn.saturating_add(FAR_SEGMENTS);
        self.refused("H94", &format!("_HLS_msn={far}")).await;
        let Some(target) = version.view.part_target.filter(|target| !target.is_zero()) else {
            return;
        };
        // The advance part limit (6.2.5.2).
        let second = Duration::from_secs(1);
        let limit = if target < second { 3_000 / target.as_millis().max(1) } else { 3 };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let Some(View { edge, .. }) = self.fresh().await else { return };
        // Of the segment after the open one, which may turn at any moment: past the last part of
        // a whole segment is the first of the next (6.2.5.2), and no mistake.
        let (msn, part) = (edge.msn.saturating_add(1), limit.saturating_add(FAR_PARTS));
        self.refused("H95", &format!("_HLS_msn={msn}&_HLS_part={part}")).await;
    }

    /// H97, H98, H99 and H101: what is to be answered at once with the playlist of now.
    async fn answers(&self) {
        let Some(view) = self.fresh().await else { return };
        let gone = format!("_HLS_msn={}", view.first.saturating_sub(1));
        for (rule, query) in [("H97", gone.as_str()), ("H99", "_HLS_ghostlight=1")] {
            let Some(answer) = self.ask(query).await else { continue };
            let now = self.read(&answer);
            let waited = answer.times.waited();
            self.judge(|scale| {
                let good = answer.is_good() && view.edge <= now.edge;
                scale.weigh(rule, good, || format!("?{query} was answered with {}", answer.status));
                if good {
                    scale.weigh(rule, waited <= AT_ONCE, || format!("?{query} took {waited:?}"));
                    scale.weigh("H98", now.skipped == 0, || format!("?{query} skips segments"));
                }
            });
        }
        if view.can_skip_until.is_none() {
            self.no_delta("is not offered").await;
        }
    }

    /// H101: a delta update that is not to be had is the whole playlist.
    async fn no_delta(&self, why: &str) {
        let Some(answer) = self.ask("_HLS_skip=YES").await else { return };
        let skipped = self.read(&answer).skipped;
        self.judge(|scale| {
            scale.weigh("H101", answer.is_good() && skipped == 0, || {
                format!("a delta update {why}: {}, {skipped} segments skipped", answer.status)
            });
        });
    }

    /// H91, H93 and H104: what is waited for, however it is asked.
    async fn waits(&self) {
        let Some(view) = self.fresh().await else { return };
        let coming = view.edge.msn.saturating_add(1);
        self.waited("H91", &format!("_HLS_msn={coming}"), (coming, None)).await;
        let Some(view) = self.fresh().await else { return };
        if 0 < view.parts_of_last && 0 < view.edge.msn {
            let (msn, part) = (view.edge.msn - 1, view.parts_of_last);
            let query = format!("_HLS_msn={msn}&_HLS_part={part}");
            self.waited("H93", &query, (msn, Some(part))).await;
        }
        let Some(view) = self.fresh().await.filter(|view| view.low_latency) else { return };
        let (msn, part) = (view.edge.msn, view.edge.parts);
        let query = format!("_HLS_part={part}&_HLS_msn={msn}");
        self.waited("H104", &query, (msn, Some(part))).await;
        self.validator().await;
    }

    async fn waited(&self, rule: &'static str, query: &str, want: (u64, Option<usize>)) {
        let Some(answer) = self.ask(query).await else { return };
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            return; // Nothing came, which the reloads judge.
        }
        let now = self.read(&answer);
        let waited = answer.times.waited();
        self.judge(|scale| {
            let good = answer.is_good();
            scale.weigh(rule, good, || format!("?{query} was answered with {}", answer.status));
            if good {
                held(scale, want, &now, waited);
            }
        });
    }

    /// H104: a validator does not cut a wait short.
    async fn validator(&self) {
        let Some(answer) = self.ask("").await.filter(Answer::is_good) else { return };
        let View { edge, ended, .. } = self.read(&answer);
        let Some(etag) = answer.headers.get(header::ETAG).filter(|_| !ended) else { return };
        let query = format!("_HLS_msn={}&_HLS_part={}", edge.msn, edge.parts);
        let ask = Desk::ask(&self.rendition.address, &query);
        let Some(later) = self.send(ask.with(header::IF_NONE_MATCH, etag.clone())).await else {
            return;
        };
        self.judge(|scale| {
            scale.weigh("H104", later.status != StatusCode::NOT_MODIFIED, || {
                "If-None-Match ended the wait for a new part with 304".to_owned()
            });
        });
    }

    /// H104: HEAD answers like GET.
    async fn head(&self) {
        let Some(whole) = self.ask("").await else { return };
        let ask = Ask { method: Method::HEAD, ..Desk::ask(&self.rendition.address, "") };
        let Some(head) = self.send(ask).await else { return };
        self.judge(|scale| {
            scale.weigh("H104", head.status == whole.status, || {
                format!("HEAD is answered with {}, GET with {}", head.status, whole.status)
            });
            let kind = |answer: &Answer| answer.headers.get(header::CONTENT_TYPE).cloned();
            scale.weigh("H104", kind(&head) == kind(&whole), || {
                format!("HEAD says type {:?}, GET {:?}", kind(&head), kind(&whole))
            });
        });
    }

    /// H107: nothing has this name.
    async fn nobody(&self) {
        let Ok(address) = self.rendition.address.join(NOBODY) else { return };
        let Some(answer) = self.send(Desk::ask(&address, "")).await else { return };
        let setting = self.setting();
        let kind = Kind::Media { length: Duration::ZERO };
        self.rendition.desk.judge(&address, |scale| {
            let missing = [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&answer.status);
            scale.weigh("H107", missing, || format!("answered with {}", answer.status));
            let waited = answer.times.waited();
            scale.weigh("H107", waited <= AT_ONCE, || format!("answered after {waited:?}"));
            if missing {
                judge_refusal(scale, &answer, kind, setting);
            }
        });
    }

    /// The newest piece of a kind that is listed now.
    async fn newest(&self, kind: PieceKind) -> Option<Piece> {
        let view = self.fresh().await?;
        view.pieces.into_iter().rev().find(|piece| piece.kind == kind && !piece.gap)
    }

    /// H113: byte ranges of media.
    async fn ranges(&self) {
        let Some(piece) = self.newest(PieceKind::Segment).await else { return };
        let address = &piece.place.address;
        if piece.place.range.is_some() {
            return; // Fetching it as it is listed judges the same.
        }
        let Some(whole) = self.send(Desk::media_ask(&piece.place)).await else { return };
        if !whole.is_good() || whole.body.len() < 32 {
            return;
        }
        let part = Spot { range: Some((8, 24)), ..piece.place.clone() };
        let Some(answer) = self.send(Desk::media_ask(&part)).await else { return };
        let beyond = u64::try_from(whole.body.len()).unwrap_or(u64::MAX);
        let outside = Spot { range: Some((beyond, beyond + 1)), ..piece.place.clone() };
        let Some(refused) = self.send(Desk::media_ask(&outside)).await else { return };
        self.rendition.desk.judge(address, |scale| {
            cross_origin(scale, &answer);
            if answer.status == StatusCode::OK && answer.body == whole.body {
                // A server may leave ranges alone where no playlist needs them (RFC 9110 14.2).
                return scale.ledger.not_applicable("H113", "byte ranges are not offered");
            }
            let right = answer.status == StatusCode::PARTIAL_CONTENT
                && whole.body.get(8..24) == Some(&answer.body[..]);
            scale.weigh("H113", right, || {
                format!("16 bytes asked for, {} with {}", answer.status, answer.body.len())
            });
            let said = refused.status;
            scale.weigh("H113", said == StatusCode::RANGE_NOT_SATISFIABLE, || {
                format!("a range behind the end is answered with {said}")
            });
        });
    }

    /// H32: the init segment is still the same.
    async fn init_again(&self) {
        let Some(init) = self.newest(PieceKind::Init).await else { return };
        for _ in 0..2 {
            sleep(PAUSE).await;
            self.rendition.desk.piece(&init, self.setting()).await;
        }
    }

    /// H83 and H106: the hinted part is held, comes whole, and is the one listed next.
    pub(super) async fn hint(&self) {
        let lost = || self.rendition.desk.own_delay.now().1;
        let lost_before = lost();
        let Some(view) = self.fresh().await.filter(|view| !view.ended) else { return };
        let (Some(hint), Some(target)) = (view.hint.clone(), view.part_target) else { return };
        let Some(answer) = self.send(Desk::media_ask(&hint)).await else { return };
        let edge = view.edge;
        // The playlist has gone on for more than a segment meanwhile.
        let last = self.rendition.version();
        let went_on = last.is_some_and(|last| edge.msn + 1 < last.view.edge.msn);
        let next = format!("_HLS_msn={}&_HLS_part={}", edge.msn, edge.parts);
        let next = if view.can_block { next } else { String::new() };
        let Some(listed) = self.ask(&next).await.filter(Answer::is_good) else { return };
        let now = self.read(&listed);
        // By the time this program went on, the part may have come and gone.
        let together = lost().saturating_sub(lost_before) <= SLACK;
        // A wait that was too long says nothing of what comes (6.2.5.2), unless it had come.
        let given_up = answer.status == StatusCode::SERVICE_UNAVAILABLE
            && self.setting().target * 3 <= answer.times.held() + SLACK;
        // What turned out to be missing may answer 404 (6.2.1).
        let is_listed = now.pieces.iter().any(|piece| piece.place == hint && !piece.gap);
        let came = answer.is_good();
        self.rendition.desk.remember(&hint, &answer);
        self.rendition.desk.judge(&hint.address, |scale| {
            if came {
                let flowed = answer.times.flowed();
                let max = HINTED_FLOW_MAX.max(target / 2);
                scale.weigh("H106", flowed <= max, || format!("its bytes took {flowed:?}"));
                if together {
                    scale.weigh("H83", is_listed || now.ended, || {
                        "the hinted part came and is not listed".to_owned()
                    });
                }
            } else if together && (went_on || !given_up) {
                scale.weigh("H106", !is_listed && !given_up, || {
                    format!("the hinted part came, and is answered with {}", answer.status)
                });
            }
        });
    }

    /// H19 and H118: who asks at the same time gets the same, and changes nothing.
    async fn together(&self) {
        sleep(PAUSE).await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..AT_THE_SAME_TIME {
            let desk = Arc::clone(&self.rendition.desk);
            let ask = Desk::ask(&self.rendition.address, "");
            asking.spawn(async move { desk.probe(ask).await });
        }
        let mut places: BTreeMap<u64, Spot> = BTreeMap::new();
        while let Some(answer) = asking.join_next().await {
            let Some(answer) = answer.ok().and_then(Result::ok).filter(Answer::is_good) else {
                continue;
            };
            for piece in self.read(&answer).segments() {
                let known = places.entry(piece.msn).or_insert_with(|| piece.place.clone());
                let same = *known == piece.place;
                self.judge(|scale| {
                    scale.weigh("H118", same, || {
                        format!("segment {} has two addresses at the same time", piece.msn)
                    });
                });
            }
        }
    }

    /// H30: after the end directives are ignored.
    async fn after_the_end(&self, last: &Version) {
        let far = last.view.edge.msn.saturating_add(FAR_SEGMENTS);
        for query in [format!("_HLS_msn={far}&_HLS_part=1"), "_HLS_part=1".to_owned()] {
            let Some(answer) = self.ask(&query).await else { return };
            let waited = answer.times.waited();
            self.judge(|scale| {
                let same = answer.is_good() && answer.body == last.text.as_bytes();
                scale.weigh("H30", same, || {
                    format!("?{query} is answered with {} and not the last version", answer.status)
                });
                scale.weigh("H30", waited <= AT_ONCE, || format!("?{query} took {waited:?}"));
            });
        }
        if last.view.can_skip_until.is_some() {
            self.no_delta("is not to be had after the end").await;
        }
    }
}
