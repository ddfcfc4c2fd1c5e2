//! What people see: pages rendered on the server, and the scripts and styles they load.
//! No socket and no state: pages are functions of plain values, in two languages.
//! Read [`WatchPage`] and [`watch`] first.

mod assets;
mod lang;
mod pages;

pub use assets::{Asset, ROBOTS_TXT, find};
pub use lang::Lang;
pub use pages::{
    ChannelState, IndexPage, LiveChannel, Visit, WatchPage, embed, gone, index, not_found, sunset,
    watch,
};
