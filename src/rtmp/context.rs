use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::guesses::Guesses;
use super::metrics::Metrics;
use super::session::Settings;
use crate::accounts::{Gatekeeper, Keys};
use crate::base::{Clock, Limits};
use crate::hub::Registry;

/// Everything a connection needs of the rest of the server.
#[derive(Clone, Debug)]
pub struct Context {
    pub registry: Registry,
    pub keys: Keys,
    pub gatekeeper: Gatekeeper,
    pub limits: Arc<Limits>,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    guesses: Arc<Mutex<Guesses>>,
}

impl Context {
    pub fn new(
        registry: Registry,
        keys: Keys,
        gatekeeper: Gatekeeper,
        limits: Limits,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let guesses = Arc::new(Mutex::new(Guesses::new(&limits)));
        let (limits, metrics) = (Arc::new(limits), Metrics::default());
        Self { registry, keys, gatekeeper, limits, settings, clock, metrics, guesses }
    }

    /// Nothing under the lock can panic half-way.
    pub(super) fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
