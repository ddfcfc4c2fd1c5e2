use std::ffi::OsStr;
use std::fmt::Display;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Reads an argument that may hold a secret: what is wrong with it is said without repeating it.
#[derive(Clone, Copy)]
pub(super) struct Quiet<T, E>(pub(super) fn(&str) -> Result<T, E>);

impl<T, E> TypedValueParser for Quiet<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Clone + Display + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let read = value.to_str().ok_or_else(|| "not UTF-8".to_owned());
        read.and_then(|text| (self.0)(text).map_err(|error| error.to_string())).map_err(|error| {
            let name = arg.map(|arg| format!("{arg}: ")).unwrap_or_default();
            let said = format!("{name}{error}\n\nFor more information, try '--help'.\n");
            Error::raw(ErrorKind::ValueValidation, said).with_cmd(cmd)
        })
    }
}
