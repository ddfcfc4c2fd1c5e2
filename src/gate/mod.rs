//! Is this allowed now? One schedule, one table, one decision function.
//! No clock (the time comes in), no I/O, no protocol words. Read [`Policy`] first.

mod permit;

pub use permit::{Admission, StartPermit};
