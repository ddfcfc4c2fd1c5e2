//! Who may do what: stream keys and what they open, and the gate with its memory around it.
//! No protocol, no socket, and no question to the database on the road of a request.
//! Read [`Keys`] and [`Gatekeeper`] first.

mod gatekeeper;
mod issue;
mod keys;
mod memory;
mod offline;
mod token;

pub use gatekeeper::Gatekeeper;
pub use issue::{Issued, issue_key};
pub use keys::{KeyError, KeyGrant, Keys};
pub use offline::{ReopenError, ask, declared_schedule, history, recorded_policy, reopen};

#[cfg(test)]
pub(crate) mod testing;
