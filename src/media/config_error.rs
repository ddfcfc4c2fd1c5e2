use crate::base::Blame;

/// Why a codec configuration could not be read. Every variant names the record and the fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{record} ends early: {need} bytes needed, {got} there")]
    Truncated { record: &'static str, need: usize, got: usize },
    #[error("{record} has version {got}, expected {expected}")]
    Version { record: &'static str, got: u8, expected: u8 },
    #[error("{record} does not start with its magic bytes")]
    Magic { record: &'static str },
    #[error("{record} holds no {what}")]
    Missing { record: &'static str, what: &'static str },
    #[error("{record}: {field} is {value}, which no stream of ours can have")]
    Value { record: &'static str, field: &'static str, value: u32 },
    #[error("{record}: the bits end, or make no sense, in {field}")]
    Bits { record: &'static str, field: &'static str },
}

impl ConfigError {
    /// A configuration is always the sender's.
    pub fn blame(&self) -> Blame {
        Blame::Peer
    }
}

/// Names what was being read when the bits ended.
pub(super) trait OrBits<T> {
    fn or_bits(self, record: &'static str, field: &'static str) -> Result<T, ConfigError>;
}

impl<T> OrBits<T> for Option<T> {
    fn or_bits(self, record: &'static str, field: &'static str) -> Result<T, ConfigError> {
        self.ok_or(ConfigError::Bits { record, field })
    }
}
