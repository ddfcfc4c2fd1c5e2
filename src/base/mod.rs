//! Words every room shares: identifiers, the three kinds of time, limits, locks, pressure, blame,
//! secrets, web addresses. No socket, no task, no policy; the only call to the system clock in the
//! project is in `base::time`. Read [`MediaTime`] and [`Clock`] first.

mod blame;
mod counts;
mod household;
mod ids;
mod lag;
mod limits;
#[cfg(not(test))]
mod lock;
#[cfg(test)]
#[path = "lock_tests.rs"]
mod lock;
mod pressure;
mod rival;
mod secret;
mod time;
mod web_address;

pub use blame::Blame;
pub use counts::Counts;
pub use household::household;
pub use ids::{BroadcastId, ChannelId, ConnId, IdError, KeyId, MediaSeq, PartIndex};
pub use lag::Lag;
pub use limits::Limits;
pub use lock::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use pressure::{Pressure, PressureGauge, Scarce};
pub use rival::{Rival, RivalError};
pub use secret::Secret;
pub use time::{Clock, MediaTime, MonoTime, Now, ShiftedClock, SystemClock, WallTime};
pub use web_address::WebAddress;
