use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::sync::watch;
use tracing::{debug, trace};

use super::answer::{Answer, Response, Site, Visit};
use super::ask::{Ask, RequestId};
use super::body::PartBody;
use super::client::Proxies;
use super::fields::{self, Urgency};
use super::holds::Holds;
use super::metrics::Metrics;
use super::notices::Notices;
use super::route::{self, Route, RouteClass, Verb};
use super::status::{Keep, Problem};
use super::vet::{Hosts, vet};
use super::{api, live, pages, problem};
use crate::accounts::Keys;
use crate::base::{Clock, Limits, Now, PressureGauge, WebAddress};
use crate::gate::Policy;
use crate::live::{Directory, PlaylistForm, alias_prefix};

/// What an operator sets for this room.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The address that viewers use; without it pages do not say where they are.
    pub public_url: Option<WebAddress>,
    /// Host names to answer for; none means any.
    pub hosts: Vec<String>,
    /// Proxies whose connections belong to many viewers, and who say which.
    pub trusted_proxies: Vec<IpAddr>,
    /// Where to publish, for the page that tells how.
    pub rtmp_port: Option<u16>,
    /// How far behind the live edge a player should aim to be.
    pub latency_target: Duration,
}

/// Everything the room asks of others.
#[derive(Debug)]
pub struct Context {
    pub settings: Settings,
    pub limits: Arc<Limits>,
    pub clock: Arc<dyn Clock>,
    pub directory: Directory,
    pub keys: Keys,
    pub policy: watch::Receiver<Arc<Policy>>,
    pub readiness: Readiness,
    pub pressure: PressureGauge,
    pub metrics: Metrics,
}

/// Whether the server should get new viewers (D38). It is alive in all three states.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// A server that still starts.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU8::new(STARTING)))
    }

    /// The start is done. After [`Readiness::drain`] this changes nothing.
    pub fn open(&self) {
        // Either it was starting, or it has begun to drain and goes on with that.
        let _ = self.0.compare_exchange(STARTING, READY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The server is about to stop.
    pub fn drain(&self) {
        self.0.store(DRAINING, Ordering::Relaxed);
    }

    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READY
    }
}

/// The viewers' side of the server: pages, playlists, media, status.
#[derive(Debug)]
pub(super) struct Viewers {
    pub(super) context: Context,
    pub(super) notices: Notices,
    pub(super) holds: Holds,
    hosts: Hosts,
    proxies: Proxies,
}

/// A good answer, before it is dressed with what every answer carries.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) response: Response,
    pub(super) keep: Keep,
}

impl Good {
    pub(super) fn new(body: PartBody, content_type: HeaderValue, keep: Keep) -> Self {
        let mut response = Response::new(body);
        // Room for all fields at once: the map would grow three times on the way.
        *response.headers_mut() = HeaderMap::with_capacity(FIELDS_USUAL);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Self { response, keep }
    }

    pub(super) fn headers(&mut self) -> &mut HeaderMap {
        self.response.headers_mut()
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        *self.response.status_mut() = status;
        self
    }
}

const FIELDS_USUAL: usize = 16;

impl Viewers {
    pub(super) fn new(context: Context) -> Self {
        let now = context.clock.now().wall;
        Self {
            notices: Notices::new(context.policy.clone(), now),
            holds: Holds::new(&context.limits, context.metrics.clone()),
            hosts: Hosts::new(&context.settings.hosts),
            proxies: Proxies::new(&context.settings.trusted_proxies),
            context,
        }
    }

    fn dispatch(self: &Arc<Self>, route: Route<'_>, ask: Ask, visit: &Visit, now: Now) -> Answer {
        let result = match route {
            Route::Multivariant(channel) => {
                return live::multivariant(self, ask, visit, &channel, "", now);
            }
            Route::MultivariantAlias(channel) => {
                let prefix = alias_prefix(&channel);
                return live::multivariant(self, ask, visit, &channel, &prefix, now);
            }
            Route::Playlist { channel, broadcast, form: PlaylistForm::Plain, directives: _ } => {
                return live::plain(self, ask, visit, (&channel, broadcast), now);
            }
            Route::Playlist { channel, broadcast, form: PlaylistForm::LowLatency, directives } => {
                return live::playlist(self, ask, visit, (&channel, broadcast), directives, now);
            }
            Route::Media { channel, broadcast, name } => {
                return live::media(self, ask, visit, (&channel, broadcast), name, now);
            }
            Route::Index => Ok(pages::index(self, &ask, now)),
            Route::Watch(channel) => pages::watch(self, &ask, &channel, now),
            Route::Embed(channel) => pages::embed(self, &ask, &channel, now),
            Route::Slash(channel) => Ok(pages::without_slash(&channel)),
            Route::Sunset => Ok(pages::sunset(self, &ask, now)),
            Route::Asset(path) => pages::asset(&ask, path),
            Route::Robots => Ok(pages::robots()),
            Route::SunsetDocument => Ok(api::sunset(self, now)),
            Route::Channels => Ok(api::channels(self, now)),
            Route::Channel(channel) => api::channel(self, &channel, now),
            Route::Healthz => Ok(api::healthz()),
            Route::Readyz => api::readyz(&self.context.readiness),
        };
        self.answer_now(&ask, result, now)
    }

    pub(super) fn answer_now(&self, ask: &Ask, result: Result<Good, Problem>, now: Now) -> Answer {
        Answer::Now(Box::new(self.finish(ask, result, now)))
    }

    /// Makes the answer out of what was found: problems get their document or page, and every
    /// answer the fields that all carry.
    pub(super) fn finish(&self, ask: &Ask, result: Result<Good, Problem>, now: Now) -> Response {
        let notice = self.notices.at(now.wall);
        let (mut response, keep) = match result {
            Ok(good) => (good.response, good.keep),
            Err(problem) => {
                let (id, client, name) = (ask.id, ask.client, problem.as_str());
                debug!(%id, ?client, problem = name, "not answered as asked");
                (self.tell(ask, &problem, now), problem.keep())
            }
        };
        let about_watching = is_about_watching(ask.class);
        let keep_max = if about_watching { notice.keep_max(now.wall) } else { None };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, fields::cache_control(keep, keep_max));
        fields::no_sniffing(headers);
        if ask.class.is_open_to_all_origins() {
            fields::open_to_all(headers);
        }
        if about_watching {
            notice.write_ending(headers);
        }
        notice.write_rehearsal(headers, now.wall);
        if ask.http2 {
            write_urgency(ask.class, headers);
        }
        if ask.verb == Verb::Head {
            drop_body(&mut response);
        }
        self.context.metrics.count_answer(ask.class, response.status());
        trace!(id = %ask.id, class = ask.class.as_str(), status = %response.status(), "answered");
        response
    }

    /// A problem as a document, or as a page where somebody reads it.
    fn tell(&self, ask: &Ask, problem: &Problem, now: Now) -> Response {
        let mut response = if ask.html {
            pages::problem(self, ask, problem, now)
        } else {
            problem::render(problem, ask.id)
        };
        let headers = response.headers_mut();
        if ask.class.is_read_by_people() {
            headers.insert(header::VARY, fields::VARY_PAGE);
        }
        if problem.ends_connection() && !ask.http2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Site for Viewers {
    fn answer(self: &Arc<Self>, request: &Request<()>, visit: &Visit) -> Answer {
        let now = self.context.clock.now();
        let uri = request.uri();
        let parsed = vet(request, visit, &self.hosts).and_then(|()| {
            let limits = &self.context.limits;
            Ok(route::parse(request.method(), uri.path(), uri.query(), limits)?)
        });
        let ask = |verb, class| Ask::new(verb, class, request, visit, &self.proxies);
        match parsed {
            Ok((Verb::Options, route)) => {
                self.answer_now(&ask(Verb::Options, route.class()), Ok(preflight()), now)
            }
            Ok((verb, route)) => {
                let ask = ask(verb, route.class());
                self.dispatch(route, ask, visit, now)
            }
            Err(problem) => {
                let head = request.method() == hyper::Method::HEAD;
                let verb = if head { Verb::Head } else { Verb::Get };
                let ask = ask(verb, class_of_refused(uri.path()));
                self.answer_now(&ask, Err(problem), now)
            }
        }
    }
}

/// A refused request still is for some kind of thing: players on other sites can read an error
/// only where it carries the fields that media does (H117).
fn class_of_refused(path: &str) -> RouteClass {
    let ending = path.rsplit('.').next();
    match ending {
        Some("m3u8") => RouteClass::Playlist,
        Some("m4s" | "mp4") => RouteClass::Media,
        Some(_) | None if path.starts_with("/api/") => RouteClass::Api,
        Some(_) | None => RouteClass::Unknown,
    }
}

/// Whether what is answered ends when watching does.
fn is_about_watching(class: RouteClass) -> bool {
    match class {
        RouteClass::Page
        | RouteClass::Multivariant
        | RouteClass::Playlist
        | RouteClass::Media
        | RouteClass::Api => true,
        RouteClass::Asset | RouteClass::Probe | RouteClass::Unknown => false,
    }
}

fn write_urgency(class: RouteClass, headers: &mut HeaderMap) {
    match class {
        RouteClass::Multivariant | RouteClass::Playlist => {
            fields::urgency(headers, Urgency::Playlist);
        }
        RouteClass::Media => fields::urgency(headers, Urgency::Media),
        RouteClass::Page
        | RouteClass::Asset
        | RouteClass::Api
        | RouteClass::Probe
        | RouteClass::Unknown => {}
    }
}

fn preflight() -> Good {
    let keep = Keep::For(Duration::from_secs(86_400));
    let mut response = Response::new(PartBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, problem::ALLOW);
    fields::preflight(response.headers_mut());
    Good { response, keep }
}

/// The answer to HEAD: every field of GET's, and the length of what stays here.
pub(super) fn drop_body(response: &mut Response) {
    let length = response.body().remaining();
    let has_length =
        !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = PartBody::empty();
}

/// For log lines of other files of the room.
pub(super) fn request_id(visit: &Visit) -> RequestId {
    RequestId { conn: visit.conn, number: visit.number }
}
