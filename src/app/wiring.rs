//! Which task gets what: the one place where all rooms meet.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::watch;
use tokio::time;
use tokio_rustls::TlsAcceptor;
use tracing::error;

use super::app::App;
use super::heartbeat::Heartbeat;
use super::lines;
use super::listeners::Listeners;
use super::records;
use super::reload::refresh;
use crate::gate::{Policy, Turn};
use crate::live::{self, Closing, LagWatch, Supervisor};
use crate::{http, rtmp};

/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(10);
/// PART-HOLD-BACK is three parts; a player needs about as much again to decode and show.
const LATENCY_PARTS: u32 = 6;

impl App {
    pub(super) fn run_all(&self, listeners: Listeners) -> io::Result<()> {
        let mut metrics = MetricRegistry::with_prefix("ghostlight");
        metrics.register("log_lines_lost", "Log lines that could not be written", lines::lost());
        self.run_memory();
        self.run_readers(&mut metrics);
        self.run_ingest(listeners.rtmp, listeners.rtmps, &mut metrics)?;
        let http_metrics = http::Metrics::new(&mut metrics);
        self.run_viewers(listeners.http, listeners.https, http_metrics.clone());
        self.run_admin(listeners.admin, metrics, http_metrics);
        if let Some(certificate) = self.certificate.clone() {
            let stop = self.memory.stop.clone();
            self.memory.spawn(async move {
                let look = || time::sleep(CERTIFICATE_LOOK);
                while stop.run_until_cancelled(look()).await.is_some() {
                    refresh(&certificate);
                }
            });
        }
        Ok(())
    }

    fn run_memory(&self) {
        let stage = &self.memory;
        let heartbeat = Heartbeat {
            keys: self.keys.clone(),
            gatekeeper: self.gatekeeper.clone(),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            permit_time_max: self.config.limits.permit_time_max(),
        };
        stage.spawn(heartbeat.run(stage.stop.clone()));
        let news = self.registry.watch();
        let (store, clock) = (self.store.clone(), self.clock.clone());
        stage.spawn(records::run(news, store, clock, stage.stop.clone()));
    }

    fn run_readers(&self, metrics: &mut MetricRegistry) {
        let stage = &self.readers;
        let mut policies = self.gatekeeper.policy();
        let (closing, heard) = watch::channel(closing_of(&policies.borrow_and_update()));
        let stop = stage.stop.clone();
        stage.spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(policies.changed()).await {
                closing.send_replace(closing_of(&policies.borrow_and_update()));
            }
        });
        let live_metrics = live::Metrics::register(metrics);
        let (registry, clock) = (self.registry.clone(), self.clock.clone());
        let lag = LagWatch::new(registry, clock, live_metrics.clone(), &self.config.limits);
        stage.spawn(lag.run(stage.stop.clone()));
        let supervisor = Supervisor::new(live::Context {
            registry: self.registry.clone(),
            directory: self.directory.clone(),
            clock: self.clock.clone(),
            settings: live::Settings { hls: self.config.hls.clone(), ..live::Settings::default() },
            limits: self.config.limits.clone(),
            closing: heard,
            metrics: live_metrics,
            tasks: stage.tasks.clone(),
        });
        stage.spawn(supervisor.run(stage.stop.clone()));
    }

    fn run_ingest(
        &self,
        rtmp: TcpListener,
        rtmps: Option<TcpListener>,
        metrics: &mut MetricRegistry,
    ) -> io::Result<()> {
        let stage = &self.ingest;
        let context = rtmp::Context::new(
            self.registry.clone(),
            self.keys.clone(),
            self.gatekeeper.clone(),
            self.config.limits.clone(),
            rtmp::Settings { apps: self.config.rtmp_apps.clone() },
            self.clock.clone(),
        );
        context.metrics.register(metrics);
        let server = rtmp::Server::new(context, stage.tasks.clone());
        let tls = self.certificate.as_ref().map(|c| TlsAcceptor::from(c.server_config(&[])));
        for (listener, tls) in [(Some(rtmp), None), (rtmps, tls)] {
            let Some(listener) = listener else { continue };
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (server, stop) = (server.clone(), stage.stop.clone());
            stage.spawn(async move { server.serve(listener, tls, stop).await });
        }
        Ok(())
    }

    fn run_viewers(&self, http: TcpListener, https: Option<TcpListener>, metrics: http::Metrics) {
        let stage = &self.viewers;
        let limits = Arc::new(self.config.limits.clone());
        let tls = self.certificate.as_ref();
        let tls = tls.map(|c| http::Tls::new(c.server_config(&http::ALPN), &limits));
        let context = http::Context {
            settings: http::Settings {
                public_url: self.config.public_url.clone(),
                hosts: self.config.http_hosts.clone(),
                trusted_proxies: self.config.http_trusted_proxies.clone(),
                rtmp_port: Some(self.rtmp().port()),
                latency_target: self.config.hls.part_target * LATENCY_PARTS,
            },
            limits,
            clock: self.clock.clone(),
            directory: self.directory.clone(),
            keys: self.keys.clone(),
            policy: self.gatekeeper.policy(),
            readiness: self.readiness.clone(),
            pressure: self.registry.pressure().clone(),
            metrics,
        };
        let server = http::Server::new(context, stage.tasks.clone());
        for (listener, tls) in [(Some(http), None), (https, tls)] {
            let Some(listener) = listener else { continue };
            let (server, stop) = (server.clone(), stage.stop.clone());
            stage.spawn(async move {
                if let Err(error) = server.serve(listener, tls, stop).await {
                    error!(%error, "an HTTP listener ended");
                }
            });
        }
    }

    fn run_admin(&self, listener: TcpListener, all: MetricRegistry, metrics: http::Metrics) {
        let stage = &self.viewers;
        let encoder = Box::new(move || {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = encode(&mut text, &all);
            text
        });
        let limits = Arc::new(self.config.limits.clone());
        let readiness = self.readiness.clone();
        let server =
            http::AdminServer::new(encoder, readiness, metrics, limits, stage.tasks.clone());
        let stop = stage.stop.clone();
        stage.spawn(async move {
            if let Err(error) = server.serve(listener, stop).await {
                error!(%error, "the admin listener ended");
            }
        });
    }
}

/// The closing date for the playlists, once it is announced.
fn closing_of(policy: &Policy) -> Option<Closing> {
    let schedule = policy.schedule()?;
    schedule.at(Turn::Announced)?;
    Some(Closing { at: schedule.publish_close() })
}
