use hyper::header::{self, HeaderValue};
use hyper::{Request, Version};

use super::answer::Visit;
use super::status::Problem;

/// Looks at a request before its address is: what it brings along, and whom it thinks it asks.
pub(super) fn vet(request: &Request<()>, visit: &Visit, hosts: &Hosts) -> Result<(), Problem> {
    vet_framing(request, visit)?;
    hosts.vet(request)
}

/// W14, W24: no address takes a body, so anything that could be read as one by us and not by a
/// proxy before us, or the other way round, ends the connection.
fn vet_framing(request: &Request<()>, visit: &Visit) -> Result<(), Problem> {
    let headers = request.headers();
    if visit.pulse.has_bare_line_feed() || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Problem::Framing);
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::BodyCoding);
    }
    if visit.has_body {
        return Err(Problem::BodyTooLarge);
    }
    Ok(())
}

/// The host names this server answers for (W15); none listed means any, so that a first look at
/// `http://<address>:8080` works. Nothing is ever built from the name a request gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    fn vet(&self, request: &Request<()>) -> Result<(), Problem> {
        let mut fields = request.headers().get_all(header::HOST).iter();
        let field = fields.next();
        if fields.next().is_some() {
            return Err(Problem::Framing);
        }
        let named = match (request.uri().host(), field.map(HeaderValue::to_str)) {
            // In HTTP/2 the host is part of the target, and so it is in HTTP/1.1's absolute form.
            (Some(host), _) => host,
            (None, Some(Ok(authority))) => without_port(authority),
            (None, Some(Err(_))) => return Err(Problem::HostMissing),
            // RFC 9112, 3.2.
            (None, None) if request.version() == Version::HTTP_11 => {
                return Err(Problem::HostMissing);
            }
            (None, None) => "",
        };
        if self.0.is_empty() || self.0.iter().any(|host| host.eq_ignore_ascii_case(named)) {
            return Ok(());
        }
        Err(Problem::HostUnknown)
    }
}

/// `example.org:8080` and `[::1]:8080` without the port.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vet_host(
        hosts: &[&str],
        version: Version,
        uri: &str,
        field: Option<&str>,
    ) -> Option<Problem> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut request = Request::builder().version(version).uri(uri);
        if let Some(field) = field {
            request = request.header(header::HOST, field);
        }
        Hosts::new(&hosts).vet(&request.body(()).unwrap()).err()
    }

    /// W15: only listed hosts are served where a list is kept.
    #[test]
    fn only_listed_hosts_are_served_where_a_list_is_kept() {
        let ours = ["video.example", "[::1]"];
        for field in ["video.example", "Video.Example:8080", "[::1]:8080"] {
            assert_eq!(vet_host(&ours, Version::HTTP_11, "/", Some(field)), None, "{field}");
        }
        let unknown = Some(Problem::HostUnknown);
        for field in ["", "evil.example", "video.example.evil.example", "video.example:x", "::1"] {
            assert_eq!(vet_host(&ours, Version::HTTP_11, "/", Some(field)), unknown, "{field}");
        }
        assert_eq!(vet_host(&ours, Version::HTTP_2, "https://video.example/", None), None);
        assert_eq!(vet_host(&ours, Version::HTTP_2, "https://evil.example/", None), unknown);
        assert_eq!(vet_host(&ours, Version::HTTP_10, "/", None), unknown);
    }

    #[test]
    fn any_host_is_served_where_no_list_is_kept() {
        assert_eq!(vet_host(&[], Version::HTTP_11, "/", Some("192.0.2.1:8080")), None);
        assert_eq!(vet_host(&[], Version::HTTP_10, "/", None), None);
        let missing = Some(Problem::HostMissing);
        assert_eq!(vet_host(&[], Version::HTTP_11, "/", None), missing);
    }
}
