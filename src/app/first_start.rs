//! The first start makes one channel with one key, so that a newcomer can go live at once.

use crate::accounts::{Gatekeeper, issue_key};
use crate::base::{ChannelId, Now, Rival, Secret};
use crate::gate::Operation;
use crate::store::{Store, StoreError};

/// The channel of the first start.
const CHANNEL: &str = "main";

/// Makes channel and key where there is none yet and the gate still allows keys.
pub(super) async fn prepare(
    store: &dyn Store,
    gatekeeper: &Gatekeeper,
    now: Now,
) -> Result<Option<(ChannelId, Secret)>, StoreError> {
    let fresh = store.channels().await?.is_empty();
    if !fresh || gatekeeper.check(Operation::CreateKey, now).await.is_err() {
        return Ok(None);
    }
    let channel = ChannelId::parse(CHANNEL).expect("the name follows the rules");
    let issued =
        issue_key(store, &channel, "first start", Rival::default(), None, now.wall).await?;
    Ok(Some((channel, issued.text)))
}
