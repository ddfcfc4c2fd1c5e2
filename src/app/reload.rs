//! What a running server takes from a changed configuration.

use tracing::{error, info, warn};

use super::telemetry::Log;
use super::tls::Certificate;
use crate::accounts::Gatekeeper;
use crate::base::Now;
use crate::config::{Config, Reload, Sources, changed_keys, load};
use crate::gate::Schedule;

/// The configuration in force and where it came from.
#[derive(Debug)]
pub(super) struct Reloading {
    sources: Sources,
    log: Log,
    config: Config,
}

impl Reloading {
    pub(super) fn new(sources: Sources, log: Log, config: Config) -> Self {
        Self { sources, log, config }
    }

    /// Reads everything again. All or nothing: whatever is wrong leaves the old values in force.
    pub(super) async fn reload(
        &mut self,
        gatekeeper: &Gatekeeper,
        certificate: Option<&Certificate>,
        now: Now,
    ) {
        if let Some(certificate) = certificate {
            refresh(certificate);
        }
        match self.apply(gatekeeper, now).await {
            Ok(()) => info!("configuration reloaded"),
            Err(error) => error!(%error, "the old configuration stays in force"),
        }
    }

    async fn apply(&mut self, gatekeeper: &Gatekeeper, now: Now) -> anyhow::Result<()> {
        let next = load(&self.sources)?;
        let schedule = Schedule::build(&next.sunset)?;
        gatekeeper.reload(schedule, now).await?;
        self.log.change_filter(&next.log_filter)?;
        for key in changed_keys(&self.config, &next) {
            match key.reload {
                Reload::Live => info!(key = key.path, "in force now"),
                Reload::Restart => warn!(key = key.path, "takes effect at the next start"),
            }
        }
        self.config = next;
        Ok(())
    }
}

/// Puts a changed certificate in force; a broken one leaves the old.
pub(super) fn refresh(certificate: &Certificate) {
    match certificate.refresh() {
        Ok(true) => info!("a new certificate is in force"),
        Ok(false) => {}
        Err(error) => error!(%error, "the old certificate stays in force"),
    }
}
