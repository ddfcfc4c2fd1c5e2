//! The road of one question: may this peer publish?

use tokio::time;

use super::address::KeyFault;
use super::conn::Peer;
use super::context::Context;
use super::publish::Publishing;
use super::session::PublishAsked;
use super::status::Cause;
use crate::accounts::{KeyError, KeyGrant};
use crate::base::{Now, Secret};
use crate::gate::Admission;
use crate::hub::{Publisher, Standing, StartError};

/// Answers a `publish` command that was complete at `now`: first the key, so that nobody without
/// one learns anything, then the channel, then the gate. May be dropped half-way.
pub(super) async fn admit(
    asked: PublishAsked,
    peer: Peer,
    now: Now,
    context: &Context,
) -> Result<Publishing, Cause> {
    // Heard from before the key is looked up, so that no revocation falls in between.
    let revoked = context.keys.revoked();
    let grant = resolve(asked.key, peer, now, context).await?;
    let publisher = Publisher {
        conn: peer.id,
        key: grant.key.clone(),
        rival: grant.rival,
        peer: peer.address,
        encoder: asked.encoder,
    };
    let (admission, full) = match context.registry.standing(&grant.channel, &publisher, now.mono) {
        Standing::Idle => (Admission::Start, None),
        Standing::Full(error) => (Admission::Start, Some(error)),
        Standing::Running | Standing::Away => (Admission::Resume, None),
        Standing::Busy(busy) => return Err(Cause::NotStarted(StartError::Busy(busy))),
    };
    let permit = context.gatekeeper.admit(&grant.channel, admission, now).await;
    let permit = permit.map_err(Cause::Refused)?;
    // Said now, since encoders hear nothing once they publish; after the gate, since a later try
    // helps only while it is open.
    if let Some(error) = full {
        return Err(Cause::NotStarted(error));
    }
    if asked.wants_recording {
        tracing::info!("the encoder asked for a recording; it is taken as live");
    }
    Ok(Publishing::new(grant, permit, publisher, revoked, now.mono, context))
}

async fn resolve(
    key: Result<Secret, KeyFault>,
    peer: Peer,
    now: Now,
    context: &Context,
) -> Result<KeyGrant, Cause> {
    let address = peer.address.ip();
    if !context.guesses().may_try(address, now.mono) {
        return Err(Cause::TooManyGuesses);
    }
    let found = match key {
        Ok(key) => context.keys.resolve(&key, now).await,
        Err(KeyFault::Malformed) => Err(KeyError::Unknown),
        Err(KeyFault::Missing) => return Err(Cause::KeyMissing),
    };
    match found {
        Ok(grant) => Ok(grant),
        Err(KeyError::TryLater) => Err(Cause::TryLater),
        Err(KeyError::Unknown) => {
            context.metrics.count_wrong_key();
            context.guesses().note_wrong(address, now.mono);
            // However the key is wrong, the answer takes the same time.
            let spent = context.clock.now().mono.since(now.mono);
            time::sleep(context.limits.wrong_key_delay.saturating_sub(spent)).await;
            Err(Cause::KeyUnknown)
        }
    }
}
