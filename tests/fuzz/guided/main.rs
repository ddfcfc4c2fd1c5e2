//! The targets of `tests/fuzz`, led by what of the code an input reaches. See `run`.
#![no_main]

#[allow(dead_code, unused_imports, reason = "the tests of the targets are not needed here")]
#[path = "../mod.rs"]
mod fuzz;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// The target that `GHOSTLIGHT_FUZZ_TARGET` names.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("GHOSTLIGHT_FUZZ_TARGET").expect("GHOSTLIGHT_FUZZ_TARGET");
    let found = fuzz::TARGETS.iter().find(|(target, ..)| *target == name);
    found.unwrap_or_else(|| panic!("no target is called {name}")).1
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
