//! What a server says in answer to commands (Adobe RTMP 1.0, section 7.2).

use super::amf::Value;
use super::writer::Writer;

/// Our answers are short; with this size none is cut into chunks.
const CHUNK_BYTES: u16 = 4_096;
/// What Enhanced RTMP calls `capsEx`: bit 0 reconnect, bit 1 multitrack, bit 2 ModEx.
const CAPABILITIES: f64 = 7.0;
/// In an Enhanced RTMP codec map: what we get in this codec we pass on.
const CAN_FORWARD: f64 = 4.0;
const VIDEO_CODES: [&str; 4] = ["avc1", "hvc1", "av01", "vp09"];
const AUDIO_CODES: [&str; 6] = ["mp4a", ".mp3", "Opus", "fLaC", "ac-3", "ec-3"];

impl Writer {
    /// Answers `connect`: our windows, and what may be sent by FourCC (Enhanced RTMP v2).
    pub(super) fn welcome(&mut self, transaction: f64, window_bytes: u32) {
        self.set_chunk_size(CHUNK_BYTES);
        self.window_acknowledgement(window_bytes);
        self.peer_bandwidth(window_bytes);
        self.stream_begin(0);
        let both = VIDEO_CODES.iter().chain(&AUDIO_CODES).map(|code| Value::from(*code));
        let server = Value::object([
            ("fmsVer", Value::from("FMS/3,5,7,7009")),
            ("capabilities", Value::from(31.0)),
            ("mode", Value::from(1.0)),
            ("fourCcList", Value::Array(both.collect())),
            ("videoFourCcInfoMap", forwarded(&VIDEO_CODES)),
            ("audioFourCcInfoMap", forwarded(&AUDIO_CODES)),
            ("capsEx", Value::from(CAPABILITIES)),
        ]);
        // AMF0 is all we speak, whatever the peer would rather.
        let status = Value::object([
            ("level", Value::from("status")),
            ("code", Value::from("NetConnection.Connect.Success")),
            ("description", Value::from("Connection succeeded.")),
            ("objectEncoding", Value::from(0.0)),
        ]);
        self.command(0, &[Value::from("_result"), Value::from(transaction), server, status]);
    }

    pub(super) fn result(&mut self, transaction: f64, value: Value) {
        let transaction = Value::from(transaction);
        self.command(0, &[Value::from("_result"), transaction, Value::Null, value]);
    }

    pub(super) fn error(&mut self, transaction: f64, code: &str, description: &str) {
        let transaction = Value::from(transaction);
        let status = status("error", code, description);
        self.command(0, &[Value::from("_error"), transaction, Value::Null, status]);
    }

    /// `level` is `status` or `error`.
    pub(super) fn on_status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let status = status(level, code, description);
        let (name, transaction) = (Value::from("onStatus"), Value::from(0.0));
        self.command(stream, &[name, transaction, Value::Null, status]);
    }
}

fn status(level: &str, code: &str, description: &str) -> Value {
    let pairs = [("level", level), ("code", code), ("description", description)];
    Value::object(pairs.map(|(name, text)| (name, Value::from(text))))
}

fn forwarded(codes: &[&'static str]) -> Value {
    Value::object(codes.iter().map(|code| (*code, Value::from(CAN_FORWARD))))
}
