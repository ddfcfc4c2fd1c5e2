//! The locks at which the threads of a server meet. Unit tests have the same locks with turns,
//! so that a test can try the orders in which threads come by.

pub use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
