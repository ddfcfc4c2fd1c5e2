use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use serde::Serialize;

use super::answer::Response;
use super::ask::RequestId;
use super::body::PartBody;
use super::fields;
use super::route::RouteError;
use super::status::Problem;
use crate::gate;

/// What methods every address answers.
pub(super) const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// A problem document (RFC 9457) with our own members.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: String,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<bool>,
}

/// The document of a refusal by the gate, which has members of its own.
#[derive(Serialize)]
struct RefusalDocument {
    #[serde(flatten)]
    problem: gate::Problem,
    status: u16,
    request_id: String,
}

/// The answer that tells a problem: no stack, no version, no path of ours (W51).
pub(super) fn render(problem: &Problem, id: RequestId) -> Response {
    let body = PartBody::one(Bytes::from(document(problem, id)));
    let mut response = Response::new(body);
    *response.status_mut() = problem.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, fields::PROBLEM_JSON);
    write_fields(problem, headers);
    response
}

/// The fields that go with a problem, whatever its body is.
pub(super) fn write_fields(problem: &Problem, headers: &mut hyper::HeaderMap) {
    if let Some(seconds) = problem.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Problem::Route(RouteError::Method) = problem {
        headers.insert(header::ALLOW, ALLOW);
    }
    if let Problem::RangeOutside { len } = problem {
        let range = HeaderValue::from_str(&format!("bytes */{len}"));
        headers.insert(header::CONTENT_RANGE, range.expect("digits make a field value"));
    }
}

fn document(problem: &Problem, id: RequestId) -> Vec<u8> {
    let status = problem.status().as_u16();
    let request_id = id.to_string();
    let json = if let Problem::Refused(refusal) = problem {
        serde_json::to_vec(&RefusalDocument { problem: refusal.problem(), status, request_id })
    } else {
        serde_json::to_vec(&Document {
            kind: format!("urn:ghostlight:problem:{}", problem.as_str()),
            title: problem.title(),
            status,
            detail: problem.to_string(),
            request_id,
            retry: problem.retry_after().map(|_| true),
        })
    };
    json.expect("a struct of texts and numbers is always JSON")
}
