//! A crowd of players for a server to bear: what each asks for and when, over thousands of
//! connections, and what they saw. No media is looked into and nothing is drawn; that is left to
//! whoever sends the crowd. A player is a plain value that wishes and is told; the shell around
//! it speaks as little HTTP as will do, so that the crowd costs less than the server. Read
//! [`Player`] first, then [`Crowd`].

mod address;
mod answer;
mod crowd;
mod ground;
mod histogram;
mod http;
mod player;
mod playlist;
mod survey;
mod tally;
mod threads;

pub use address::{Address, AddressError};
pub use answer::{Answer, AnswerError};
pub use crowd::{Crowd, Plan, Witness};
pub use ground::{GroundError, check_descriptors, check_place};
pub use histogram::Spread;
pub use http::{Body, Http};
pub use player::{Conduct, Heard, Player, What, Wish};
pub use playlist::{Part, Piece, Playlist, resolve};
pub use survey::{Survey, SurveyError, survey};
pub use tally::{Counts, Tally};
pub use threads::Threads;

use std::time::Duration;

/// Players one process sends: what the ports of one machine carry towards one address.
pub const VIEWERS_MAX: usize = 25_000;
/// Publishers one process sends.
pub const PUBLISHERS_MAX: usize = 1_000;
/// Longest that a load lasts.
pub const LENGTH_MAX: Duration = Duration::from_secs(3_600);
