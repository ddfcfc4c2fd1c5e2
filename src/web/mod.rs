//! What people see: pages rendered on the server, and the scripts and styles they load.
//! No socket and no state: pages are functions of plain values, in two languages.
//! Read [`Asset`] first.

mod assets;

pub use assets::{Asset, find};
