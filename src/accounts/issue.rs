use aws_lc_rs::hmac;

use super::token::Token;
use crate::base::{ChannelId, KeyId, Rival, Secret, WallTime};
use crate::store::{KeyRecord, Store, StoreError};

/// Public ids have 40 bits; a second draw is rare, a third has never been needed.
const DRAWS_MAX: usize = 3;

/// A new stream key. The text is nowhere else: whoever has this shows it now or never.
#[derive(Debug)]
pub struct Issued {
    pub id: KeyId,
    pub text: Secret,
}

/// Makes a key for `channel`, and the channel where it is missing; `instead_of` is revoked in the
/// same moment. The gate is asked before, by whoever asked for the key.
pub async fn issue_key(
    store: &dyn Store,
    channel: &ChannelId,
    label: &str,
    rival: Rival,
    instead_of: Option<&KeyId>,
    now: WallTime,
) -> Result<Issued, StoreError> {
    let pepper = hmac::Key::new(hmac::HMAC_SHA256, &store.pepper().await?.0);
    let mut draws = 0;
    loop {
        draws += 1;
        let token = Token::random();
        let record = KeyRecord {
            id: token.id.clone(),
            channel: channel.clone(),
            mac: token.mac(&pepper),
            label: label.to_owned(),
            rival,
            created_at: now,
            last_used_at: None,
            revoked_at: None,
        };
        match store.add_key(&record, instead_of).await {
            Ok(()) => return Ok(Issued { id: token.id, text: token.text }),
            Err(StoreError::Exists(_)) if draws < DRAWS_MAX => {}
            Err(error) => return Err(error),
        }
    }
}
