//! Where the configuration comes from: flags over environment over file over built-in values.
//! The only room that reads the environment. It decides nothing about the values' use.
//! Read [`Config`] first, then [`Key`]: the table of keys is everything that can be
//! set.

mod error;
mod file;
mod keys;
mod limit_keys;
mod load;
mod value;

pub use error::{ConfigError, Origin};
pub use keys::{Config, Key, LogFormat, Reload};
pub use load::{Sources, changed_keys, keys, load, render};
