//! What a report must not show: the values in the queries of addresses, which may be secrets,
//! wherever they have got to.

use std::collections::BTreeSet;
use std::fmt;

use url::Url;

use crate::check::{Finding, Outcome};

/// Query pairs that are no secret: the delivery directives (draft-pantos-hls-rfc8216bis 6.2.5).
const DIRECTIVES: &str = "_HLS_";
/// Values that are looked for. A stream has one or two in all its addresses.
const SECRETS_MAX: usize = 256;
/// A value that is shorter can be guessed, and stands in every number and word.
const SECRET_BYTES_MIN: usize = 4;
const ELIDED: &str = "…";

/// Values that a playlist may put anywhere with `EXT-X-DEFINE:QUERYPARAM`.
#[derive(Clone, Default)]
pub struct Veil(BTreeSet<String>);

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Veil of {} values", self.0.len())
    }
}

impl Veil {
    /// From now on the values of this query are hidden everywhere, as they are and as a part of an
    /// address.
    pub(super) fn hide(&mut self, query: &str) {
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let secret = SECRET_BYTES_MIN <= value.len() && !name.starts_with(DIRECTIVES);
            if secret && self.0.len() < SECRETS_MAX {
                self.0.extend(in_address(&value));
                self.0.insert(value.into_owned());
            }
        }
    }

    /// What came of a rule, without secrets.
    pub(super) fn over_outcome(&self, mut outcome: Outcome) -> Outcome {
        if let Outcome::Broken { findings, .. } = &mut outcome {
            for Finding { what, place, .. } in findings {
                (*what, place.url) = (self.over(what), self.over(&place.url));
                for quoted in [&mut place.before, &mut place.now].into_iter().flatten() {
                    *quoted = self.over_lines(quoted);
                }
            }
        }
        outcome
    }

    /// A sentence or an address.
    fn over(&self, text: &str) -> String {
        elide(&self.without_values(text))
    }

    /// Lines of a playlist, where a value may hold a blank. What a variable is defined as is left
    /// out too.
    fn over_lines(&self, text: &str) -> String {
        let text = self.without_values(text);
        let line = |line| elide_until(without_definition(line).as_str(), |c| c == '"');
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }

    fn without_values(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        // The longest first: one may be the beginning of another.
        let mut secrets: Vec<_> = self.0.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            shown = shown.replace(secret.as_str(), ELIDED);
            shown = without_beginning(shown, secret);
        }
        shown
    }
}

/// How a value is written in the path and in the query of an address.
fn in_address(value: &str) -> Vec<String> {
    let Ok(mut url) = Url::parse("http://h/") else { return Vec::new() };
    url.set_path(value);
    url.set_query(Some(value));
    let path = url.path().trim_start_matches('/').to_owned();
    let written = [Some(path), url.query().map(str::to_owned)];
    written.into_iter().flatten().filter(|text| SECRET_BYTES_MIN <= text.len()).collect()
}

/// A quotation that was cut in the middle of a secret ends before it.
fn without_beginning(text: String, secret: &str) -> String {
    let Some(cut) = text.strip_suffix(ELIDED) else { return text };
    let begun = secret.char_indices().rev().filter_map(|(end, _)| secret.get(..end));
    let begun = begun.filter(|begun| !begun.is_empty()).find_map(|begun| cut.strip_suffix(begun));
    begun.map_or_else(|| text.clone(), |kept| format!("{kept}{ELIDED}"))
}

/// A line that defines a variable, without the value.
fn without_definition(line: &str) -> String {
    const VALUE: &str = "VALUE=\"";
    let parts = line.strip_prefix("#EXT-X-DEFINE:").and_then(|_| line.split_once(VALUE));
    let Some((before, after)) = parts else { return line.to_owned() };
    let rest = after.split_once('"').map_or("", |(_, rest)| rest);
    format!("{before}{VALUE}{ELIDED}\"{rest}")
}

/// A text in which the values of all queries are left out, but those of delivery directives. What
/// is left out is what follows a question mark up to a blank, a quote or the end of the line.
pub(super) fn elide(text: &str) -> String {
    elide_until(text, |c| c.is_whitespace() || c == '"' || c == '\'')
}

fn elide_until(text: &str, ends: impl Fn(char) -> bool) -> String {
    let mut pieces = text.split('?');
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (query, rest) = piece.split_at(piece.find(&ends).unwrap_or(piece.len()));
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if !name.starts_with(DIRECTIVES) => format!("{name}={ELIDED}"),
            Some(_) | None => pair.to_owned(),
        });
        shown.push('?');
        shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
        shown.push_str(rest);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_query_are_not_shown() {
        let line = "#EXT-X-MAP:URI=\"i.mp4?sig=SECRET\",X=1\ns.ts?sig=SECRET\n?k=SECRET no?";
        let shown = elide(line);
        assert_eq!(shown, "#EXT-X-MAP:URI=\"i.mp4?sig=…\",X=1\ns.ts?sig=…\n?k=… no?");
    }

    /// Wherever a playlist has moved a value, as it is or as a part of an address.
    #[test]
    fn the_values_of_a_query_are_not_shown_elsewhere() {
        let mut veil = Veil::default();
        veil.hide("token=SEC%20RET&long=SEC+RET2&_HLS_msn=12345&short=abc");
        for (text, shown) in [
            ("http://h/SEC%20RET/s1.ts", "http://h/…/s1.ts"),
            ("the address SEC RET/s1.ts abc", "the address …/s1.ts abc"),
            ("http://h/SEC RET2/12345", "http://h/…/12345"),
            ("cut in the middle of SEC R…", "cut in the middle of …"),
        ] {
            assert_eq!(veil.over(text), shown);
            assert_eq!(veil.over_lines(text), shown);
        }
        assert_eq!(format!("{veil:?}").find("SEC"), None);
    }

    #[test]
    fn the_lines_of_a_playlist_show_no_value_with_blanks_either() {
        let lines = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"SECRET ONE\"\ns.ts?t=SECRET TWO&_HLS_msn=1\n\
                     #EXT-X-DEFINE:NAME=\"b\",VALUE=\"SEC…\n#EXTINF:2,\"VALUE=\"\n\
                     #EXT-X-MAP:URI=\"i.mp4?t=SECRET THREE\",BYTERANGE=\"1@0\"";
        let shown = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"…\"\ns.ts?t=…&_HLS_msn=1\n\
                     #EXT-X-DEFINE:NAME=\"b\",VALUE=\"…\"\n#EXTINF:2,\"VALUE=\"\n\
                     #EXT-X-MAP:URI=\"i.mp4?t=…\",BYTERANGE=\"1@0\"";
        assert_eq!(Veil::default().over_lines(lines), shown);
    }
}
