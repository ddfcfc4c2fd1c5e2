use std::collections::{BTreeMap, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};

use super::view::Spot;

/// Places of which the bytes are remembered.
const BODIES_MAX: usize = 8_192;

type Hash = Vec<u8>;

/// What was last seen at each place, by its hash; the place itself may be long, so it is kept as a
/// hash too.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    known: BTreeMap<Hash, Hash>,
    /// By age, the oldest first.
    order: VecDeque<Hash>,
}

impl Bodies {
    /// Whether these bytes are those seen there before; `None` where nothing was. The place that
    /// has been known for longest is forgotten when there are too many.
    pub(super) fn see(&mut self, place: &Spot, body: &[u8]) -> Option<bool> {
        let (place, body) = (hash_of(place), hash(body));
        if let Some(known) = self.known.get(&place) {
            return Some(*known == body);
        }
        if self.order.len() == BODIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(place.clone());
        self.known.insert(place, body);
        None
    }
}

fn hash(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn hash_of(place: &Spot) -> Hash {
    hash(format!("{} {:?}", place.address.as_str(), place.range).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::watch::Address;

    fn place(number: usize) -> Spot {
        let address = Address::parse(&format!("http://h/s{number}.m4s")).unwrap();
        Spot { address, range: None }
    }

    /// H32: however long the watch, one address with two bodies is found, unless it is among the
    /// longest known.
    #[test]
    fn the_oldest_is_forgotten_and_not_the_newest() {
        let mut bodies = Bodies::default();
        for number in 0..=BODIES_MAX {
            assert_eq!(bodies.see(&place(number), b"one"), None, "{number}");
        }
        assert_eq!(bodies.known.len(), BODIES_MAX);
        assert_eq!(bodies.see(&place(BODIES_MAX), b"two"), Some(false));
        assert_eq!(bodies.see(&place(1), b"one"), Some(true));
        assert_eq!(bodies.see(&place(0), b"two"), None, "the oldest");
        let part = Spot { range: Some((0, 4)), ..place(BODIES_MAX) };
        assert_eq!(bodies.see(&part, b"two"), None, "a range is a place of its own");
    }
}
