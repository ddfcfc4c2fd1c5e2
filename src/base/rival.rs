use std::fmt;
use std::str::FromStr;

/// What the owner of a stream key wants for a second publisher with it, while the first is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rival {
    /// It replaces the first at once.
    #[default]
    TakesOver,
    /// It is turned away until the first is gone or lost.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is either takes-over or refused")]
pub struct RivalError;

impl Rival {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TakesOver => "takes-over",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Rival {
    type Err = RivalError;

    fn from_str(text: &str) -> Result<Self, RivalError> {
        let found = [Self::TakesOver, Self::Refused].into_iter().find(|one| one.as_str() == text);
        found.ok_or(RivalError)
    }
}
