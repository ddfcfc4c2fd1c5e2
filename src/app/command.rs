use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Clock, WallTime};
use crate::gate::Schedule;

/// What every command that works on the data folder needs from the configuration.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The data folder, of a running server or not.
    pub data: PathBuf,
    /// The schedule of the configuration, if it declares one.
    pub schedule: Option<Schedule>,
    pub clock: Arc<dyn Clock>,
    /// [`crate::gate::build_time`]: a clock that reads less is not believed.
    pub built: Option<WallTime>,
}
