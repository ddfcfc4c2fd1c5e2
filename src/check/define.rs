//! Variables of a playlist (draft-pantos-hls-rfc8216bis 4.3, 4.4.2.3): their values are put in
//! before anything else is read.

use std::collections::BTreeMap;

use super::playlist::Tag;
use super::text::attribute;

const DEFINE: &str = "EXT-X-DEFINE";
/// Most variables of one playlist.
const VARIABLES_MAX: usize = 1_000;
/// Longest name and value together, in bytes.
const VARIABLE_BYTES_MAX: usize = 8_192;
/// Bytes of a name that a message quotes.
const NAME_SHOWN_BYTES_MAX: usize = 64;

/// Names and values.
pub type Variables = BTreeMap<String, String>;

/// Why a playlist with variables cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefineError {
    #[error("line {line} refers to the variable {name:?}, which is not defined")]
    Undefined { line: usize, name: String },
    #[error("line {line} defines the variable {name:?} once more")]
    Twice { line: usize, name: String },
    #[error("line {0} defines a variable of more than {VARIABLE_BYTES_MAX} bytes")]
    LongVariable(usize),
    #[error("more than {VARIABLES_MAX} variables")]
    Many,
    #[error("with its variables the playlist is longer than {0} bytes")]
    Long(usize),
}

/// The text with the values of its variables in their places, and the variables; `None` where it
/// defines none. It may import those of its multivariant playlist, and take values from the query
/// of its address. No value is put in beyond `bytes_max`.
pub fn substitute(
    text: &str,
    query: &str,
    imported: &Variables,
    bytes_max: usize,
) -> Result<Option<(String, Variables)>, DefineError> {
    if !Tag::all(text).any(|tag| tag.name == DEFINE) {
        return Ok(None);
    }
    let query = pairs(query);
    let (mut known, mut whole) = (Variables::new(), String::with_capacity(text.len()));
    for (index, line) in text.lines().enumerate() {
        let (number, from) = (index + 1, whole.len());
        if has_references(line) {
            fill(&mut whole, (number, line), &known, bytes_max)?;
        } else {
            whole.push_str(line);
        }
        let filled = whole.get(from..).unwrap_or_default();
        if let Some(tag) = Tag::parse(number, filled).filter(|tag| tag.name == DEFINE) {
            define(&mut known, tag, &query, imported)?;
        }
        whole.push('\n');
    }
    Ok(Some((whole, known)))
}

/// The values of a query by their names; the first of a name counts.
fn pairs(query: &str) -> Variables {
    let mut pairs = Variables::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        pairs.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    pairs
}

fn define(
    known: &mut Variables,
    tag: Tag<'_>,
    query: &Variables,
    imported: &Variables,
) -> Result<(), DefineError> {
    let has = |name| attribute(tag.value, name);
    let (name, value) = if let Some(name) = has("IMPORT") {
        (name, imported.get(name).map(String::as_str))
    } else if let Some(name) = has("QUERYPARAM") {
        (name, query.get(name).map(String::as_str))
    } else {
        (has("NAME").unwrap_or_default(), has("VALUE"))
    };
    // A value from outside must not begin a line of its own.
    let value = value.filter(|value| !name.is_empty() && !value.contains(char::is_control));
    let Some(value) = value else { return Err(undefined(tag.line, name)) };
    if VARIABLE_BYTES_MAX < name.len() + value.len() {
        return Err(DefineError::LongVariable(tag.line));
    }
    if known.contains_key(name) {
        return Err(DefineError::Twice { line: tag.line, name: shown(name) });
    }
    if known.len() == VARIABLES_MAX {
        return Err(DefineError::Many);
    }
    known.insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// References stand in addresses and in attributes. The title of a segment is anybody's text, and so
/// is a comment; other tags without attributes have numbers and dates, which no reference can be.
fn has_references(line: &str) -> bool {
    !line.starts_with('#') || Tag::parse(1, line).is_some_and(|tag| tag.name != "EXTINF")
}

/// Adds a line, with values for its references.
fn fill(
    whole: &mut String,
    (number, line): (usize, &str),
    known: &Variables,
    bytes_max: usize,
) -> Result<(), DefineError> {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{$") {
        whole.push_str(before);
        let (name, behind) = after.split_at(name_length(after));
        let Some(behind) = behind.strip_prefix('}').filter(|_| !name.is_empty()) else {
            // Not a reference: it stays as it is.
            whole.push_str("{$");
            rest = after;
            continue;
        };
        let Some(value) = known.get(name) else { return Err(undefined(number, name)) };
        whole.push_str(value);
        if bytes_max < whole.len() {
            return Err(DefineError::Long(bytes_max));
        }
        rest = behind;
    }
    whole.push_str(rest);
    Ok(())
}

/// Bytes of the name that a text begins with.
fn name_length(text: &str) -> usize {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.find(|c: char| !of_name(c)).unwrap_or(text.len())
}

fn undefined(line: usize, name: &str) -> DefineError {
    DefineError::Undefined { line, name: shown(name) }
}

fn shown(name: &str) -> String {
    let end = name.floor_char_boundary(NAME_SHOWN_BYTES_MAX);
    name.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Clock, SystemClock};

    fn read(text: &str, query: &str) -> Result<String, DefineError> {
        let imported = Variables::from([("cdn".to_owned(), "http://cdn".to_owned())]);
        substitute(text, query, &imported, 1_000).map(|found| found.expect("variables").0)
    }

    #[test]
    fn values_stand_where_they_are_referred_to() {
        let head = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"7\"\n#EXT-X-DEFINE:IMPORT=\"cdn\"\n\
                    #EXT-X-DEFINE:QUERYPARAM=\"token\"\n";
        let body = "#EXT-X-MAP:URI=\"{$cdn}/i{$v}.mp4\"\n#EXTINF:2,\n{$cdn}/s{$v}{$v}.m4s?t={$token}\n\
                    #EXTINF:2,{$ no} {$\nplain.m4s\n";
        let found = read(&format!("{head}{body}"), "a=b&token=x%20y").expect("all are defined");
        let expected = "#EXT-X-MAP:URI=\"http://cdn/i7.mp4\"\n#EXTINF:2,\nhttp://cdn/s77.m4s?t=x y\n\
                        #EXTINF:2,{$ no} {$\nplain.m4s\n";
        assert_eq!(found, format!("{head}{expected}"), "and every line keeps its number");
        assert_eq!(substitute(body, "", &Variables::new(), 1_000), Ok(None), "defines none");
    }

    /// A title and a comment are anybody's text; a definition may refer to one before it.
    #[test]
    fn references_stand_in_addresses_and_attributes_only() {
        let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"7\"\n#{$no}\n\
                    #EXT-X-DEFINE:NAME=\"b\",VALUE=\"{$a}8\"\n#EXTINF:2,{$a} {$no}\n{$b}.ts\n";
        let expected = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"7\"\n#{$no}\n\
                        #EXT-X-DEFINE:NAME=\"b\",VALUE=\"78\"\n#EXTINF:2,{$a} {$no}\n78.ts\n";
        assert_eq!(read(text, "").as_deref(), Ok(expected));
    }

    #[test]
    fn what_is_not_defined_is_named_with_its_line() {
        for (define, line) in [
            ("NAME=\"v\",VALUE=\"7\"", 3),
            ("IMPORT=\"w\"", 2),
            ("QUERYPARAM=\"w\"", 2),
            ("QUERYPARAM=\"two\"", 2),
        ] {
            let text = format!("#EXTM3U\n#EXT-X-DEFINE:{define}\n{{$w}}.m4s\n");
            let found = read(&text, "two=a%0Ab");
            assert!(
                matches!(&found, Err(DefineError::Undefined { line: at, .. }) if *at == line),
                "{define}: {found:?}"
            );
        }
    }

    #[test]
    fn a_value_repeated_over_and_over_is_bounded() {
        let long = format!("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{}\"\n", "v".repeat(400));
        assert!(read(&format!("#EXTM3U\n{long}{{$v}}\n"), "").is_ok());
        let found = read(&format!("#EXTM3U\n{long}{}\n", "{$v}".repeat(100)), "");
        assert_eq!(found, Err(DefineError::Long(1_000)));
    }

    #[test]
    fn variables_are_bounded_and_defined_once() {
        let define =
            |name: &str, value: &str| format!("#EXT-X-DEFINE:NAME=\"{name}\",VALUE=\"{value}\"\n");
        let all = |count: usize| -> String {
            (0..count).map(|n| define(&format!("v{n}"), "1")).collect()
        };
        assert!(read(&all(VARIABLES_MAX), "").is_ok());
        assert_eq!(read(&all(VARIABLES_MAX + 1), ""), Err(DefineError::Many));
        let value = |length: usize| read(&define("v", &"x".repeat(length)), "");
        assert!(value(VARIABLE_BYTES_MAX - 1).is_ok());
        assert_eq!(value(VARIABLE_BYTES_MAX), Err(DefineError::LongVariable(1)));
        let imports = "#EXT-X-DEFINE:IMPORT=\"cdn\"\n".repeat(2);
        let twice = DefineError::Twice { line: 2, name: "cdn".to_owned() };
        assert_eq!(read(&imports, ""), Err(twice));
        let long = DefineError::Undefined { line: 2, name: "n".repeat(NAME_SHOWN_BYTES_MAX) };
        let name = "n".repeat(9_999);
        assert_eq!(read(&format!("{}{{${name}}}\n", define("v", "1")), ""), Err(long));
    }

    /// What only looks like references, megabytes of it, takes a moment and no minutes.
    #[test]
    fn what_never_closes_is_read_in_a_moment() {
        let open = "{$".repeat(1 << 20);
        let text = format!("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"7\"\n{open}\n{open}v\n");
        let clock = SystemClock::new();
        let found = substitute(&text, "", &Variables::new(), text.len());
        assert_eq!(found.map(|found| found.expect("variables").0), Ok(text));
        let taken = clock.now().mono.since_start();
        assert!(taken < std::time::Duration::from_secs(20), "{taken:?}");
    }
}
