use std::fmt;

/// Whose fault an error is. Log level, metric label and status class follow from this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The other end sent something wrong, or left.
    Peer,
    /// A rule of ours said no: a limit, a closed gate, a revoked key.
    Policy,
    /// A service we asked did not answer well.
    Upstream,
    /// A defect or a failing machine on our side.
    Us,
}

impl Blame {
    /// The metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Us => "us",
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
