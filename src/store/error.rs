use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::Blame;

/// Why records could not be read or written. Every message is one sentence for an operator and names
/// its cause, which is therefore no `source` that a caller would print again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the data folder {path} cannot be used: {cause}")]
    Folder { path: PathBuf, cause: io::Error },
    #[error(
        "the data folder {path} is in use by another server (process {process}); stop it, or \
         choose another folder with --data"
    )]
    Locked { path: PathBuf, process: String },
    #[error(
        "the database {path} was written by a newer version of this program (format {found}, \
         known up to {known}); nothing was changed"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is no database of this program; nothing was changed")]
    NotOurs { path: PathBuf },
    #[error("the database {path} cannot be opened: {cause}")]
    Open { path: PathBuf, cause: Box<dyn Error + Send + Sync> },
    #[error("{0} exists already")]
    Exists(String),
    #[error("the disk is full")]
    Full,
    #[error("the database did not answer: {0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl StoreError {
    pub(super) fn folder(path: &Path, cause: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), cause }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::Folder { .. }
            | Self::Locked { .. }
            | Self::Newer { .. }
            | Self::NotOurs { .. }
            | Self::Open { .. }
            | Self::Full
            | Self::Failed(_) => Blame::Us,
            Self::Exists(_) => Blame::Policy,
        }
    }
}
