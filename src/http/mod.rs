//! Viewers and operators over HTTP: an accept loop with limits, one parse of the address, and
//! answers made of bytes that all viewers share. No media is cut here, no date compared, no page
//! written. Read [`Server`] first, then [`Route`].

mod admin;
mod answer;
mod api;
mod ask;
mod body;
mod client;
mod conn;
mod directives;
mod fields;
mod holds;
mod lane;
mod live;
mod metrics;
mod notices;
mod pages;
mod problem;
mod range;
mod reply;
mod route;
mod server;
mod site;
mod slots;
mod status;
mod tls;
mod vet;
mod watchdog;
mod wire;

pub use hyper::Method;

pub use admin::Encoder;
pub use body::PartBody;
pub use directives::{AskError, Directives, Skip};
pub use metrics::Metrics;
pub use route::{Route, RouteClass, RouteError, Verb, parse as parse_route};
pub use server::{AdminServer, ListenError, Server};
pub use site::{Context, Readiness, Settings};
pub use status::Problem;
pub use tls::{ALPN, Tls};

#[cfg(test)]
mod road_tests;
