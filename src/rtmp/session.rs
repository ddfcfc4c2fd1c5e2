//! What a publisher says and what we answer: the commands of RTMP without sockets or clocks.

use std::collections::VecDeque;

use bytes::Bytes;

use super::address::{self, KeyFault};
use super::aggregate::Aggregate;
use super::amf::{self, Object, Value};
use super::pulse::Pulse;
use super::status::{Cause, Status};
use super::wire::{Message, MessageKind};
use super::writer::Writer;
use crate::base::{Limits, MonoTime, Secret};

/// How often a peer shall acknowledge, and how often we do unless it asks for something else.
const WINDOW_BYTES: u32 = 2_500_000;

/// What the operator chooses about the ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The apps one may publish to: `live` in `rtmp://host/live`.
    pub apps: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { apps: ["live", "app", "stream"].map(str::to_owned).to_vec() }
    }
}

/// What a peer did that somebody else must act on.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// A complete `publish` command. The session waits for [`Session::accept_publish`] or
    /// [`Session::refuse`]; no more messages may be handed to it before.
    PublishAsked(PublishAsked),
    /// `onMetaData`, which is a hint and never trusted.
    Metadata(Object),
    Video {
        timestamp: u32,
        body: Bytes,
    },
    Audio {
        timestamp: u32,
        body: Bytes,
    },
    /// The publisher ended its broadcast on purpose. It may publish again.
    PublishEnded,
}

/// A complete `publish` command.
#[derive(Debug, PartialEq)]
pub struct PublishAsked {
    pub key: Result<Secret, KeyFault>,
    /// What the encoder calls itself: printable ASCII, at most 64 characters, untrusted.
    pub encoder: Option<String>,
    /// The encoder asked for a recording on the server, which `publish` does not decide here.
    pub wants_recording: bool,
}

/// One connection's conversation after the handshake.
///
/// ```text
/// Greeting --connect--> Idle --publish--> Asked --accept_publish--> Publishing
///                        ^                  |                          |
///                        +---(refused: the connection closes)          |
///                        +-----FCUnpublish, closeStream, deleteStream--+
/// ```
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    settings: Settings,
    writer: Writer,
    events: VecDeque<Event>,
    stage: Stage,
    connected: Option<Connected>,
    /// Message streams that `createStream` made and nothing deleted.
    streams: Vec<u32>,
    newest_stream: u32,
    /// Where a status goes: the stream of the last `publish` or `play`.
    status_stream: u32,
    errors: u32,
    pulse: Pulse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting { until: MonoTime },
    Idle { until: MonoTime },
    Asked { stream: u32 },
    Publishing { stream: u32 },
}

#[derive(Debug)]
struct Connected {
    app: String,
    tc_url: String,
    encoder: Option<String>,
    can_reconnect: bool,
}

/// A command as it came.
struct Command {
    name: String,
    transaction: f64,
    arguments: Vec<Value>,
    stream: u32,
}

impl Session {
    /// Starts right after the handshake.
    pub fn new(limits: &Limits, settings: &Settings, now: MonoTime) -> Self {
        Self {
            limits: limits.clone(),
            settings: settings.clone(),
            writer: Writer::new(),
            events: VecDeque::new(),
            stage: Stage::Greeting { until: now + limits.connect_time_max },
            connected: None,
            streams: Vec::new(),
            newest_stream: 0,
            status_stream: 0,
            errors: 0,
            pulse: Pulse::new(limits, WINDOW_BYTES, now),
        }
    }

    /// Counts bytes as they arrive, before their messages are handed in.
    pub fn handle_received(&mut self, bytes: usize, now: MonoTime) {
        if let Some(total) = self.pulse.handle_received(bytes, now) {
            self.writer.acknowledgement(total);
        }
    }

    /// Takes one message. An error ends the connection.
    pub fn handle_message(&mut self, message: Message, now: MonoTime) -> Result<(), Cause> {
        match message.kind {
            MessageKind::Video | MessageKind::Audio => {
                self.handle_media(message, now);
                Ok(())
            }
            MessageKind::Aggregate => self.handle_aggregate(&message, now),
            MessageKind::Command => self.handle_command(message.stream, &message.payload, now),
            MessageKind::CommandAmf3 => {
                self.handle_command(message.stream, without_zero(&message.payload), now)
            }
            MessageKind::Data => self.handle_data(&message.payload),
            MessageKind::DataAmf3 => self.handle_data(without_zero(&message.payload)),
            MessageKind::UserControl => {
                self.handle_user_control(&message.payload, now);
                Ok(())
            }
            MessageKind::WindowAcknowledgement => {
                if let Some(bytes) = first_u32(&message.payload) {
                    self.pulse.set_window(bytes);
                }
                Ok(())
            }
            MessageKind::PeerBandwidth => {
                // Section 5.4.5: answered with a window of that size.
                if let Some(bytes) = first_u32(&message.payload)
                    && self.pulse.announce_window(bytes)
                {
                    self.writer.window_acknowledgement(bytes);
                }
                Ok(())
            }
            MessageKind::Acknowledgement
            | MessageKind::SetChunkSize
            | MessageKind::Abort
            | MessageKind::Other(_) => Ok(()),
        }
    }

    /// To be called when [`Session::next_deadline`] has come; sends pings, ends what is late.
    pub fn handle_time(&mut self, now: MonoTime) -> Result<(), Cause> {
        match self.stage {
            Stage::Greeting { until } if until <= now => Err(Cause::ConnectTimeout),
            Stage::Idle { until } if until <= now => Err(Cause::PublishTimeout),
            Stage::Greeting { .. } | Stage::Idle { .. } | Stage::Asked { .. } => Ok(()),
            Stage::Publishing { .. } => {
                if self.pulse.check(now)? {
                    let millis = now.since_start().as_millis() & u128::from(u32::MAX);
                    self.writer.ping_request(u32::try_from(millis).unwrap_or(0));
                }
                Ok(())
            }
        }
    }

    /// This process stood still until now: what the peer was given time for may have come.
    pub fn handle_oversleep(&mut self, now: MonoTime) {
        self.pulse.begin_again(now);
        match &mut self.stage {
            Stage::Greeting { until } => *until = now + self.limits.connect_time_max,
            Stage::Idle { until } => *until = now + self.limits.publish_time_max,
            Stage::Asked { .. } | Stage::Publishing { .. } => {}
        }
    }

    /// When [`Session::handle_time`] wants to be called, at the latest.
    pub fn next_deadline(&self) -> Option<MonoTime> {
        match self.stage {
            Stage::Greeting { until } | Stage::Idle { until } => Some(until),
            Stage::Asked { .. } => None,
            Stage::Publishing { .. } => Some(self.pulse.next_deadline()),
        }
    }

    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send since the last call; empty when there is nothing.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.writer.take()
    }

    /// Tells the publisher to begin.
    pub fn accept_publish(&mut self, now: MonoTime) {
        let Stage::Asked { stream } = self.stage else { return };
        self.stage = Stage::Publishing { stream };
        self.pulse.begin_publishing(now);
        self.writer.stream_begin(stream);
        let code = "NetStream.Publish.Start";
        self.writer.on_status(stream, "status", code, "Publishing.");
    }

    /// Says why the connection ends, where the reason has words for the peer.
    pub fn refuse(&mut self, cause: &Cause) {
        if let Some(Status { code, description }) = cause.on_status() {
            self.writer.on_status(self.status_stream, "error", code, &description);
        }
    }

    /// Asks a publisher that understands it to reconnect (Enhanced RTMP v2, "Reconnect Request").
    /// False: it does not.
    pub fn ask_reconnect(&mut self, description: &str) -> bool {
        let understands = self.connected.as_ref().is_some_and(|peer| peer.can_reconnect);
        if understands {
            let code = "NetConnection.Connect.ReconnectRequest";
            self.writer.on_status(0, "status", code, description);
        }
        understands
    }

    fn handle_media(&mut self, message: Message, now: MonoTime) {
        // Media outside a publication, such as what was on its way at its end, means nothing.
        let Stage::Publishing { .. } = self.stage else { return };
        self.pulse.handle_media(now);
        let (timestamp, body) = (message.timestamp, message.payload);
        self.events.push_back(if message.kind == MessageKind::Video {
            Event::Video { timestamp, body }
        } else {
            Event::Audio { timestamp, body }
        });
    }

    fn handle_aggregate(&mut self, message: &Message, now: MonoTime) -> Result<(), Cause> {
        for (count, part) in Aggregate::new(message).enumerate() {
            let max = self.limits.aggregate_parts_max;
            if count >= max {
                return Err(Cause::AggregateParts { max });
            }
            if matches!(part.kind, MessageKind::Video | MessageKind::Audio) {
                self.handle_media(part, now);
            } else if part.kind == MessageKind::Data {
                self.handle_data(&part.payload)?;
            }
        }
        Ok(())
    }

    /// A data message that cannot be read is skipped; one above a ceiling ends the connection.
    fn handle_data(&mut self, payload: &[u8]) -> Result<(), Cause> {
        let parsed = amf::parse(payload, &self.limits);
        if let Some(error) = parsed.error.filter(|error| error.is_ceiling()) {
            return Err(Cause::Amf(error));
        }
        let Stage::Publishing { .. } = self.stage else { return Ok(()) };
        let mut values = parsed.values.into_iter().peekable();
        values.next_if(|value| value.as_str() == Some("@setDataFrame"));
        let name = values.next();
        if name.as_ref().and_then(Value::as_str) == Some("onMetaData")
            && let Some(Value::Object(object)) = values.next()
        {
            self.events.push_back(Event::Metadata(object));
        }
        Ok(())
    }

    /// Unknown events are nothing to us (section 7.1.7).
    fn handle_user_control(&mut self, payload: &[u8], now: MonoTime) {
        const PING_REQUEST: [u8; 2] = 6_u16.to_be_bytes();
        const PING_RESPONSE: [u8; 2] = 7_u16.to_be_bytes();
        let Some((event, rest)) = payload.split_first_chunk::<2>() else { return };
        match *event {
            PING_REQUEST => {
                if let Some(timestamp) = first_u32(rest) {
                    self.writer.ping_response(timestamp);
                }
            }
            PING_RESPONSE => self.pulse.handle_pong(now),
            _ => {}
        }
    }

    fn handle_command(&mut self, stream: u32, payload: &[u8], now: MonoTime) -> Result<(), Cause> {
        let parsed = amf::parse(payload, &self.limits);
        if let Some(error) = parsed.error.filter(|error| error.is_ceiling()) {
            return Err(Cause::Amf(error));
        }
        let broken = parsed.error.is_some();
        let mut values = parsed.values.into_iter();
        let Some(Value::String(name)) = values.next() else { return Ok(()) };
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        let command = Command { name, transaction, arguments: values.collect(), stream };
        if broken {
            return self.answer_error(&command, "The arguments cannot be read.");
        }
        match command.name.as_str() {
            "connect" => self.handle_connect(&command, now),
            "createStream" => self.handle_create_stream(&command),
            "publish" => self.handle_publish(&command),
            "closeStream" | "deleteStream" | "FCUnpublish" => {
                self.end_publish(&command, now);
                Ok(())
            }
            "releaseStream" | "FCPublish" | "_checkbw" => {
                self.answer(&command, Value::Undefined);
                Ok(())
            }
            "getStreamLength" => {
                self.answer(&command, Value::from(0.0));
                Ok(())
            }
            "play" | "play2" => {
                self.status_stream = stream;
                Err(Cause::PlayNotServed)
            }
            "_result" | "_error" | "onStatus" | "onBWDone" => Ok(()),
            _ => self.answer_error(&command, "This command is not known here."),
        }
    }

    fn handle_connect(&mut self, command: &Command, now: MonoTime) -> Result<(), Cause> {
        let Stage::Greeting { .. } = self.stage else {
            return self.answer_error(command, "connect was already answered.");
        };
        let empty = Object::default();
        let properties = command.arguments.first().and_then(Value::as_object).unwrap_or(&empty);
        let app = properties.str("app").unwrap_or("");
        let known = address::app_name(app);
        if !self.settings.apps.iter().any(|name| name == known) {
            // Encoders differ in which of the two they look at; refuse() adds the other. The
            // name itself may be a misplaced key and is not repeated.
            let status = Cause::AppUnknown.on_status();
            let description = status.map(|status| status.description).unwrap_or_default();
            let code = "NetConnection.Connect.InvalidApp";
            self.writer.error(command.transaction, code, &description);
            return Err(Cause::AppUnknown);
        }
        self.connected = Some(Connected {
            app: app.to_owned(),
            tc_url: properties.str("tcUrl").unwrap_or("").to_owned(),
            encoder: properties.str("flashVer").map(printable),
            can_reconnect: understands_reconnect(properties),
        });
        self.stage = Stage::Idle { until: now + self.limits.publish_time_max };
        self.writer.welcome(command.transaction, WINDOW_BYTES);
        Ok(())
    }

    fn handle_create_stream(&mut self, command: &Command) -> Result<(), Cause> {
        let open = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        if self.connected.is_none() || open >= self.limits.message_streams_max {
            return self.answer_error(command, "No stream can be created now.");
        }
        self.newest_stream = self.newest_stream.wrapping_add(1).max(1);
        self.streams.push(self.newest_stream);
        self.answer(command, Value::from(f64::from(self.newest_stream)));
        Ok(())
    }

    fn handle_publish(&mut self, command: &Command) -> Result<(), Cause> {
        let (Stage::Idle { .. }, Some(peer)) = (self.stage, &self.connected) else {
            return self.answer_error(command, "Nothing can be published now.");
        };
        if !self.streams.contains(&command.stream) {
            return self.answer_error(command, "createStream comes before publish.");
        }
        // The command object comes first, then name and kind.
        let text = |index| command.arguments.get(index).and_then(Value::as_str).unwrap_or("");
        let key = address::stream_key(&peer.app, &peer.tc_url, text(1));
        let wants_recording = ["record", "append"].contains(&text(2).to_ascii_lowercase().as_str());
        let encoder = peer.encoder.clone();
        self.status_stream = command.stream;
        self.stage = Stage::Asked { stream: command.stream };
        self.events.push_back(Event::PublishAsked(PublishAsked { key, encoder, wants_recording }));
        Ok(())
    }

    /// FCUnpublish names a key, closeStream nothing or a stream, deleteStream a stream: whatever
    /// an encoder sends of them, its broadcast is over.
    fn end_publish(&mut self, command: &Command, now: MonoTime) {
        let named = command.arguments.iter().skip(1).find_map(Value::as_number);
        if command.name == "deleteStream" {
            self.streams.retain(|&open| Some(f64::from(open)) != named);
        }
        self.answer_if_asked(command, Value::Undefined);
        let Stage::Publishing { stream } = self.stage else { return };
        if named.is_some_and(|named| named != f64::from(stream)) && command.stream != stream {
            return;
        }
        self.stage = Stage::Idle { until: now + self.limits.publish_time_max };
        self.writer.on_status(stream, "status", "NetStream.Unpublish.Success", "The end.");
        self.events.push_back(Event::PublishEnded);
    }

    fn answer(&mut self, command: &Command, value: Value) {
        self.writer.result(command.transaction, value);
    }

    /// Transaction 0 asks for no answer (section 7.2.1.2).
    fn answer_if_asked(&mut self, command: &Command, value: Value) {
        if command.transaction != 0.0 {
            self.answer(command, value);
        }
    }

    fn answer_error(&mut self, command: &Command, description: &str) -> Result<(), Cause> {
        let code = "NetConnection.Call.Failed";
        self.writer.error(command.transaction, code, description);
        self.errors += 1;
        let max = self.limits.command_errors_max;
        if self.errors > max { Err(Cause::TooManyErrors { max }) } else { Ok(()) }
    }
}

/// Commands and data marked AMF3 are AMF0 behind a zero byte, and sometimes without it.
fn without_zero(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

fn first_u32(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().copied().map(u32::from_be_bytes)
}

/// What may stand in a log line or on a page.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~')).take(64).collect()
}

/// Bit 0 of `capsEx`: an odd number.
fn understands_reconnect(properties: &Object) -> bool {
    properties.number("capsEx").is_some_and(|bits| bits.rem_euclid(2.0) == 1.0)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
