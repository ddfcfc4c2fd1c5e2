use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File { path: PathBuf, line: usize },
    Environment { name: String },
    Flag { name: &'static str },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { name } => write!(f, "environment {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// What is wrong with the configuration, in one line: where, which key, which value, what would
/// be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{origin}: {key} = {value} is not allowed; it takes {allowed}")]
    Value { origin: Origin, key: String, value: String, allowed: String },
    #[error("{origin}: {key} is no setting{}", nearest_hint(.nearest))]
    UnknownKey { origin: Origin, key: String, nearest: Option<&'static str> },
    #[error("{origin}: {what}")]
    Syntax { origin: Origin, what: String },
    #[error("{path}: {what}", path = .path.display())]
    Unreadable { path: PathBuf, what: String },
    #[error("{origin}: {message}")]
    Conflict { origin: Origin, message: String },
}

fn nearest_hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean {key}?"))
}
