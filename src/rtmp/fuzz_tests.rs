//! The fuzz entry points as plain tests: a few cases on each run, and inputs worth keeping.

use proptest::prelude::*;

use crate::testing::fuzz_rtmp;

#[test]
fn an_unchanged_script_is_played() {
    fuzz_rtmp::session(&[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    // Z2: any script of bytes ends in messages or one error, however it is cut.
    #[test]
    fn wire(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
        fuzz_rtmp::wire(&bytes);
    }

    // Z3: bytes that are mostly markers are read within the ceilings.
    #[test]
    fn amf(bytes in proptest::collection::vec(prop_oneof![0..18_u8, any::<u8>()], 0..1_000)) {
        fuzz_rtmp::amf(&bytes);
    }

    // Z4: a good publish with changed bytes is answered in proportion.
    #[test]
    fn session(changes in proptest::collection::vec(any::<u8>(), 0..60)) {
        fuzz_rtmp::session(&changes);
    }
}
