use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue, LINK};
use tokio::sync::watch;

use crate::base::WallTime;
use crate::gate::{Operation, Policy};

const SUNSET: HeaderName = HeaderName::from_static("sunset");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SIMULATED_AT: HeaderName = HeaderName::from_static("ghostlight-simulated-at");

/// What the schedule adds to every answer. The fields are made once for each policy and each
/// stretch of time between two of its edges, not for each request.
#[derive(Debug)]
pub(super) struct Notices {
    policy: watch::Receiver<Arc<Policy>>,
    current: RwLock<Arc<Notice>>,
}

/// The notice of one policy between two edges.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) policy: Arc<Policy>,
    from: WallTime,
    until: Option<WallTime>,
    /// `Sunset`, `Deprecation` and `Link` for whoever watches.
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Notices {
    pub(super) fn new(policy: watch::Receiver<Arc<Policy>>, now: WallTime) -> Self {
        let notice = Notice::new(Arc::clone(&policy.borrow()), now);
        Self { policy, current: RwLock::new(Arc::new(notice)) }
    }

    /// The notice in force.
    pub(super) fn at(&self, now: WallTime) -> Arc<Notice> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let policy = self.policy.borrow();
        if Arc::ptr_eq(&policy, &current.policy) && current.holds_at(now) {
            return current;
        }
        let fresh = Arc::new(Notice::new(Arc::clone(&policy), now));
        drop(policy);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        fresh
    }
}

impl Notice {
    fn new(policy: Arc<Policy>, now: WallTime) -> Self {
        let mut fields = Vec::new();
        if let Some(notice) = policy.notice(Operation::WatchLive, now) {
            let mut push = |name, text: &str| {
                // A configured address that is no field value is left out, not sent broken.
                fields.extend(HeaderValue::from_str(text).ok().map(|value| (name, value)));
            };
            push(SUNSET, &notice.sunset);
            if let Some(since) = &notice.deprecation {
                push(DEPRECATION, since);
            }
            push(LINK, &notice.link);
        }
        let until = policy.next_edge(now).map(|edge| edge.at);
        Self { policy, from: now, until, fields }
    }

    fn holds_at(&self, now: WallTime) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// The longest that an answer about watching may be kept (G16).
    pub(super) fn keep_max(&self, now: WallTime) -> Option<Duration> {
        self.until.map(|until| now.until(until))
    }

    /// Tells when what is answered here will end.
    pub(super) fn write_ending(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields {
            headers.append(name.clone(), value.clone());
        }
    }

    /// Marks an answer of a rehearsal with the time that is played.
    pub(super) fn write_rehearsal(&self, headers: &mut HeaderMap, now: WallTime) {
        if self.policy.is_rehearsal()
            && let Ok(value) = HeaderValue::from_str(&now.to_string())
        {
            headers.insert(SIMULATED_AT, value);
        }
    }
}
