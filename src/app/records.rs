//! Writes down when broadcasts started and ended. A failing disk costs the record, never the
//! broadcast.

use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::Clock;
use crate::hub::{Broadcast, EndReason, Event};
use crate::store::{BroadcastRecord, Store, StoreError};

pub(super) async fn run(
    mut news: Receiver<Event>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            biased;
            // What is already known is still written down.
            event = news.recv() => event,
            () = stop.cancelled() => return,
        };
        let written = match event {
            Ok(Event::Started(broadcast)) => write_start(&*store, &broadcast).await,
            Ok(Event::Ended(broadcast, reason)) => {
                write_end(&*store, &*clock, &broadcast, reason).await
            }
            Err(RecvError::Lagged(missed)) => {
                warn!(missed, "records of broadcasts were lost: the disk is too slow");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = written {
            warn!(%error, "a broadcast could not be recorded; it goes on");
        }
    }
}

async fn write_start(store: &dyn Store, broadcast: &Broadcast) -> Result<(), StoreError> {
    let publisher = broadcast.publisher();
    info!(
        channel = %broadcast.channel(), broadcast = %broadcast.id(), key = %publisher.key,
        conn = %publisher.conn, encoder = publisher.encoder.as_deref(), "broadcast started"
    );
    let record = BroadcastRecord {
        id: broadcast.id(),
        channel: broadcast.channel().clone(),
        key: publisher.key,
        started_at: broadcast.started().wall,
    };
    store.record_start(&record).await
}

async fn write_end(
    store: &dyn Store,
    clock: &dyn Clock,
    broadcast: &Broadcast,
    reason: EndReason,
) -> Result<(), StoreError> {
    let now = clock.now();
    let lasted = now.mono.since(broadcast.started().mono);
    info!(
        channel = %broadcast.channel(), broadcast = %broadcast.id(),
        seconds = lasted.as_secs(), reason = reason.as_str(), "broadcast ended"
    );
    store.record_end(broadcast.id(), now.wall, reason.as_str()).await
}
