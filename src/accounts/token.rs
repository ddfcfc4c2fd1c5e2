use aws_lc_rs::{hmac, rand};

use crate::base::{KeyId, Secret};

/// RFC 4648 section 6 in lower case: no character that a URL, a shell or an encoder's field minds.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Bytes of the public half: 8 characters.
const ID_BYTES: usize = 5;
/// Bytes of the secret half: 160 bits, 32 characters.
const SECRET_BYTES: usize = 20;
/// A longer text is no key and is not even hashed.
const TEXT_BYTES_MAX: usize = 128;

/// A fresh stream key: `<public id>_<secret>`, for example `k3v7q2md_` and 32 more characters.
pub(super) struct Token {
    pub(super) id: KeyId,
    /// The whole text, for the one time it is shown.
    pub(super) text: Secret,
    secret: String,
}

impl Token {
    pub(super) fn random() -> Self {
        let id = encode(&random::<ID_BYTES>());
        let secret = encode(&random::<SECRET_BYTES>());
        Self { text: Secret::new(format!("{id}_{secret}")), id: KeyId::new(&id), secret }
    }

    pub(super) fn mac(&self, pepper: &hmac::Key) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(pepper, self.secret.as_bytes()).as_ref());
        mac
    }
}

/// The two halves of a text that somebody presented as a key.
pub(super) struct Presented<'a> {
    pub(super) id: &'a str,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    /// `None` for a text that cannot be a key. Blanks around it come from copying by hand.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (id, secret) = text.split_once('_')?;
        (text.len() <= TEXT_BYTES_MAX).then_some(Self { id, secret })
    }

    /// Hashes the secret and compares in constant time.
    pub(super) fn matches(&self, pepper: &hmac::Key, mac: &[u8; 32]) -> bool {
        hmac::verify(pepper, self.secret.as_bytes(), mac).is_ok()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the machine gives random bytes");
    bytes
}

/// Base 32 of whole groups of five bytes, so without padding.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 5 * 8);
    for group in bytes.chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = usize::try_from(bits >> (5 * place) & 31).expect("five bits");
            text.push(char::from(*ALPHABET.get(digit).expect("32 digits")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_32() {
        // RFC 4648 section 10: "fooba"
        assert_eq!(encode(b"fooba"), "mzxw6ytb");
        assert_eq!(encode(&[0xff; 5]), "77777777");
    }

    /// W36: a public id and at least 128 random bits.
    #[test]
    fn a_key_has_an_id_and_160_bits() {
        let token = Token::random();
        let text = token.text.reveal();
        assert_eq!(text.len(), 8 + 1 + 32);
        let presented = Presented::parse(text).unwrap();
        assert_eq!(presented.id, token.id.as_str());
        assert_ne!(text, Token::random().text.reveal());
    }

    #[test]
    fn only_the_right_secret_matches() {
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        let token = Token::random();
        let mac = token.mac(&pepper);
        let text = token.text.reveal();
        assert!(Presented::parse(&format!(" {text}\n")).unwrap().matches(&pepper, &mac));
        assert!(!Presented::parse(text).unwrap().matches(&other, &mac));
        assert!(!Presented::parse(&format!("{text}a")).unwrap().matches(&pepper, &mac));
        assert!(Presented::parse("nonsense").is_none());
        assert!(Presented::parse(&format!("a_{}", "x".repeat(127))).is_none());
    }
}
