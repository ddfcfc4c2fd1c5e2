//! What tests of several rooms share: small clips, clocks, fuzz entry points. Looked at only by
//! tests; nothing in the server may use it.

pub mod clips;
