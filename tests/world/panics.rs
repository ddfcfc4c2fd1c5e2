//! A panic in a task of the server is a broken rule of its world, even where the task's owner goes
//! on without it.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Forgets what an earlier world on this thread left, and listens from now on.
pub(crate) fn forget() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            SEEN.with_borrow_mut(|seen| {
                seen.get_or_insert_with(|| info.to_string());
            });
            usual(info);
        }));
    });
    SEEN.take();
}

pub(crate) fn take() -> Option<String> {
    SEEN.take()
}
