//! The TOML file as a list of keys with texts and line numbers.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};

/// One line of the file.
pub(super) struct Entry {
    pub(super) path: String,
    /// The value as text, or, where its type can be no setting, how it was written.
    pub(super) value: Result<String, String>,
    pub(super) line: usize,
}

/// Largest configuration file read, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;

pub(super) fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let unreadable = |what: String| ConfigError::Unreadable { path: path.to_owned(), what };
    let bytes = std::fs::read(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable("is not UTF-8 text".into()))?;
    parse(&text).map_err(|(line, what)| ConfigError::Syntax {
        origin: Origin::File { path: path.to_owned(), line },
        what,
    })
}

fn parse(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        (line, error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (section, value) in table.get_ref() {
        let line = line_of(text, section.span().start);
        let DeValue::Table(keys) = value.get_ref() else {
            entries.push(Entry {
                path: section.get_ref().to_string(),
                value: plain(value.get_ref()),
                line,
            });
            continue;
        };
        for (key, value) in keys {
            entries.push(Entry {
                path: format!("{}.{}", section.get_ref(), key.get_ref()),
                value: plain(value.get_ref()),
                line: line_of(text, key.span().start),
            });
        }
    }
    Ok(entries)
}

/// Numbers and booleans may stand without quotes; a list of texts is a list with commas.
fn plain(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Datetime(instant) => Ok(instant.to_string()),
        DeValue::Array(list) => {
            let texts: Result<Vec<String>, String> =
                list.iter().map(|item| plain(item.get_ref())).collect();
            Ok(texts?.join(","))
        }
        DeValue::Table(_) => Err("a table".to_owned()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&b| b == b'\n').count()
}
