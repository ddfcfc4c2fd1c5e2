//! Ghostlight: live video in over RTMP, out as low-latency HLS, and one declared end.

pub mod accounts;
pub mod app;
pub mod base;
pub mod check;
pub mod config;
pub mod gate;
pub mod hls;
pub mod http;
pub mod hub;
pub mod live;
pub mod load;
pub mod media;
pub mod rtmp;
pub mod store;
#[doc(hidden)]
pub mod testing;
pub mod web;
