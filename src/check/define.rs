//! Variables of a playlist (draft-pantos-hls-rfc8216bis 4.3, 4.4.2.3): their values are put in
//! before anything else is read.

use std::collections::BTreeMap;

use super::playlist::Tag;
use super::text::attribute;

const DEFINE: &str = "EXT-X-DEFINE";

/// Names and values.
pub type Variables = BTreeMap<String, String>;

/// Why a playlist with variables cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefineError {
    #[error("line {line} refers to the variable {name:?}, which is not defined")]
    Undefined { line: usize, name: String },
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
    let (mut known, mut whole) = (Variables::new(), String::with_capacity(text.len()));
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(tag) = Tag::parse(number, line).filter(|tag| tag.name == DEFINE) {
            known.extend([define(tag, query, imported)?]);
            whole.push_str(line);
        } else {
            fill(&mut whole, (number, line), &known, bytes_max)?;
        }
        whole.push('\n');
    }
    Ok(Some((whole, known)))
}

fn define(
    tag: Tag<'_>,
    query: &str,
    imported: &Variables,
) -> Result<(String, String), DefineError> {
    let has = |name| attribute(tag.value, name);
    let (name, value) = if let Some(name) = has("IMPORT") {
        (name, imported.get(name).cloned())
    } else if let Some(name) = has("QUERYPARAM") {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        (name, pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned()))
    } else {
        (has("NAME").unwrap_or_default(), has("VALUE").map(str::to_owned))
    };
    let undefined = || DefineError::Undefined { line: tag.line, name: name.to_owned() };
    // A value from outside must not begin a line of its own.
    let value = value.filter(|value| !name.is_empty() && !value.contains(char::is_control));
    Ok((name.to_owned(), value.ok_or_else(undefined)?))
}

/// Adds a line: references stand in addresses and in quoted strings.
fn fill(
    whole: &mut String,
    (number, line): (usize, &str),
    known: &Variables,
    bytes_max: usize,
) -> Result<(), DefineError> {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{$") {
        let Some((name, behind)) = after.split_once('}').filter(|(name, _)| is_name(name)) else {
            // Not a reference: it stays as it is.
            whole.push_str(before);
            whole.push_str("{$");
            rest = after;
            continue;
        };
        let value = known.get(name);
        let undefined = || DefineError::Undefined { line: number, name: name.to_owned() };
        whole.push_str(before);
        whole.push_str(value.ok_or_else(undefined)?);
        if bytes_max < whole.len() {
            return Err(DefineError::Long(bytes_max));
        }
        rest = behind;
    }
    whole.push_str(rest);
    Ok(())
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
