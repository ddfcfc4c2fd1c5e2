use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::answer::Response;
use super::api::{self, Standing};
use super::ask::Ask;
use super::body::PartBody;
use super::fields::{self, Framing};
use super::problem as document;
use super::site::{Good, Viewers};
use super::status::{Keep, Problem};
use crate::base::{ChannelId, Now};
use crate::gate::{Operation, Refusal};
use crate::web;

/// Pages show who is live: a crowd may share one for a moment.
const PAGE_KEPT: Keep = Keep::For(Duration::from_secs(1));
/// Files whose name stays while their content may change.
const ASSET_KEPT: Keep = Keep::For(Duration::from_secs(3_600));

/// `/`
pub(super) fn index(site: &Viewers, ask: &Ask, now: Now) -> Good {
    let policy = &site.notices.at(now.wall).policy;
    let start_closed = api::start_refusal(policy, now.wall).is_some();
    let channels = api::standings(site).into_iter().filter_map(|(channel, standing)| {
        Some(web::LiveChannel {
            channel,
            state: standing.state(),
            started_at: standing.rendition()?.started_at().wall,
        })
    });
    let page = web::IndexPage {
        channels: channels.collect(),
        rtmp_port: site.context.settings.rtmp_port.filter(|_| !start_closed),
    };
    page_of(web::index(&visit(site, ask, now), &page), ask, Framing::Nobody)
}

/// `/<channel>`
pub(super) fn watch(
    site: &Viewers,
    ask: &Ask,
    channel: &ChannelId,
    now: Now,
) -> Result<Good, Problem> {
    channel_page(site, ask, channel, (web::watch, Framing::Nobody), now)
}

/// `/embed/<channel>`
pub(super) fn embed(
    site: &Viewers,
    ask: &Ask,
    channel: &ChannelId,
    now: Now,
) -> Result<Good, Problem> {
    channel_page(site, ask, channel, (web::embed, Framing::Anybody), now)
}

fn channel_page(
    site: &Viewers,
    ask: &Ask,
    channel: &ChannelId,
    (render, framing): (fn(&web::Visit, &web::WatchPage) -> String, Framing),
    now: Now,
) -> Result<Good, Problem> {
    let standing = Standing::of(site, channel, now)?;
    if let Standing::Closed(refusal) = standing {
        return gone(site, ask, channel, refusal, framing, now);
    }
    let page = web::WatchPage {
        channel: channel.clone(),
        state: standing.state(),
        status: api::channel_document(site, channel, &standing, now),
    };
    Ok(page_of(render(&visit(site, ask, now), &page), ask, framing))
}

/// `/sunset`: 200 in every phase.
pub(super) fn sunset(site: &Viewers, ask: &Ask, now: Now) -> Good {
    let status = site.notices.at(now.wall).policy.status(now.wall);
    page_of(web::sunset(&visit(site, ask, now), &status), ask, Framing::Nobody)
}

/// `/<channel>/`: the same page one level up. The address is relative, since nothing is built
/// from the host that a request names, and a proxy may put a prefix before ours.
pub(super) fn without_slash(channel: &ChannelId) -> Good {
    let mut good = Good::new(PartBody::empty(), fields::HTML, ASSET_KEPT)
        .with_status(StatusCode::PERMANENT_REDIRECT);
    let target = HeaderValue::from_str(&format!("../{channel}"));
    good.headers().insert(header::LOCATION, target.expect("a channel name is plain ASCII"));
    good
}

/// `/robots.txt`
pub(super) fn robots() -> Good {
    let text = Bytes::from_static(web::ROBOTS_TXT.as_bytes());
    Good::new(PartBody::one(text), fields::TEXT, ASSET_KEPT)
}

/// `/assets/...`, `/favicon.ico`
pub(super) fn asset(ask: &Ask, path: &str) -> Result<Good, Problem> {
    let asset = web::find(path).ok_or(Problem::Route(super::route::RouteError::NotFound))?;
    let keep = if asset.immutable { Keep::Always } else { ASSET_KEPT };
    let content_type = HeaderValue::from_static(asset.content_type);
    let unchanged = ask.holds(asset.etag.as_bytes());
    let body = match (unchanged, ask.gzip) {
        (true, _) => PartBody::empty(),
        (false, true) => PartBody::one(Bytes::from_static(asset.gzip)),
        (false, false) => PartBody::one(Bytes::from_static(asset.plain)),
    };
    let mut good = Good::new(body, content_type, keep);
    if unchanged {
        good = good.with_status(StatusCode::NOT_MODIFIED);
    } else if ask.gzip {
        good.headers().insert(header::CONTENT_ENCODING, fields::GZIP);
    }
    good.headers().insert(header::ETAG, HeaderValue::from_static(asset.etag));
    good.headers().insert(header::VARY, fields::VARY_ENCODING);
    Ok(good)
}

/// What a person sees of a problem: that nothing is here. Anything rarer stays a document.
pub(super) fn problem(site: &Viewers, ask: &Ask, problem: &Problem, now: Now) -> Response {
    if problem.status() != StatusCode::NOT_FOUND {
        return document::render(problem, ask.id);
    }
    let html = web::not_found(&visit(site, ask, now));
    let mut good = page_of(html, ask, Framing::Nobody).with_status(problem.status());
    document::write_fields(problem, good.headers());
    good.response
}

/// 410: nobody can be live here any more. Who reads it gets the page of the end.
fn gone(
    site: &Viewers,
    ask: &Ask,
    channel: &ChannelId,
    refusal: Refusal,
    framing: Framing,
    now: Now,
) -> Result<Good, Problem> {
    let problem = Problem::Refused(refusal);
    if !ask.html {
        return Err(problem);
    }
    let status = site.notices.at(now.wall).policy.status(now.wall);
    let html = web::gone(&visit(site, ask, now), channel, &status);
    let good = page_of(html, ask, framing).with_status(problem.status());
    Ok(Good { keep: problem.keep(), ..good })
}

fn visit(site: &Viewers, ask: &Ask, now: Now) -> web::Visit {
    let notice = site.notices.at(now.wall);
    let told = notice.policy.notice(Operation::Start, now.wall).is_some();
    web::Visit {
        lang: ask.lang,
        public_url: site.context.settings.public_url.clone(),
        now: now.wall,
        rehearsal: notice.policy.is_rehearsal(),
        closing: notice.policy.closing_of(Operation::Start).filter(|_| told),
    }
}

fn page_of(html: String, ask: &Ask, framing: Framing) -> Good {
    let mut good = Good::new(PartBody::one(Bytes::from(html)), fields::HTML, PAGE_KEPT);
    let headers = good.headers();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(ask.lang.tag()));
    headers.insert(header::VARY, fields::VARY_PAGE);
    fields::guard_page(headers, framing, ask.tls);
    good
}
