//! Whole roads through the library: one binary, no network beyond in-process pipes, no sleeping.

mod tidy;
