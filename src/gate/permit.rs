use crate::base::{ChannelId, WallTime};

/// How a publisher comes to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A new broadcast.
    Start,
    /// Back within the resume window, or a takeover of the running broadcast.
    Resume,
}

/// The yes one can hold: only the gate makes it, the hub consumes it, nobody copies it.
#[derive(Debug)]
pub struct StartPermit {
    channel: ChannelId,
    admission: Admission,
    until: Option<WallTime>,
}

impl StartPermit {
    /// For the gate alone.
    pub(super) fn new(channel: ChannelId, admission: Admission, until: Option<WallTime>) -> Self {
        Self { channel, admission, until }
    }

    pub fn channel(&self) -> &ChannelId {
        &self.channel
    }

    pub fn admission(&self) -> Admission {
        self.admission
    }

    /// The instant at which the broadcast must end, if the schedule names one.
    pub fn until(&self) -> Option<WallTime> {
        self.until
    }
}
