use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request};

use super::answer::{Answer, Response, Site, Visit};
use super::api;
use super::body::PartBody;
use super::fields;
use super::problem;
use super::route::RouteError;
use super::site::{Good, Readiness, request_id};
use super::status::{Keep, Problem};
use super::vet::{Hosts, vet};

/// Writes all metrics in the text format of Prometheus.
pub type Encoder = Box<dyn Fn() -> String + Send + Sync>;

/// The operator's side of the server, on a listener of its own (W40): figures and probes.
pub(super) struct Admin {
    encoder: Encoder,
    readiness: Readiness,
    hosts: Hosts,
}

impl Admin {
    pub(super) fn new(encoder: Encoder, readiness: Readiness) -> Self {
        Self { encoder, readiness, hosts: Hosts::default() }
    }

    fn find(&self, request: &Request<()>, visit: &Visit) -> Result<Good, Problem> {
        vet(request, visit, &self.hosts)?;
        let good = match request.uri().path() {
            "/metrics" => {
                let text = PartBody::one(Bytes::from((self.encoder)()));
                Good::new(text, fields::OPEN_METRICS, Keep::Never)
            }
            "/healthz" => api::healthz(),
            "/readyz" => api::readyz(&self.readiness)?,
            _ => return Err(Problem::Route(RouteError::NotFound)),
        };
        match *request.method() {
            Method::GET | Method::HEAD => Ok(good),
            _ => Err(Problem::Route(RouteError::Method)),
        }
    }
}

impl Site for Admin {
    fn answer(self: &Arc<Self>, request: &Request<()>, visit: &Visit) -> Answer {
        let (mut response, keep) = match self.find(request, visit) {
            Ok(good) => (good.response, good.keep),
            Err(problem) => (problem::render(&problem, request_id(visit)), problem.keep()),
        };
        dress(response.headers_mut(), keep);
        if request.method() == Method::HEAD {
            super::site::drop_body(&mut response);
        }
        Answer::Now(Box::<Response>::new(response))
    }
}

fn dress(headers: &mut HeaderMap, keep: Keep) {
    headers.insert(header::CACHE_CONTROL, fields::cache_control(keep, None));
    fields::no_sniffing(headers);
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
