use std::time::Duration;

/// Every ceiling of the server, by name and unit. One value is made at start-up from the
/// configuration and handed down; nothing else in the project holds a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    // RTMP: before and after a peer has shown a key
    /// Connections at once over all listeners of the ingest.
    pub rtmp_connections_max: usize,
    /// Connections at once from one address (one /64 for IPv6).
    pub rtmp_connections_per_address_max: usize,
    /// New connections a second; what comes above is closed with RST before the handshake.
    pub rtmp_accepts_per_second_max: u32,
    /// From accept to the end of the handshake.
    pub handshake_time_max: Duration,
    /// From the end of the handshake to a `connect` command.
    pub connect_time_max: Duration,
    /// From `connect` to a `publish` command.
    pub publish_time_max: Duration,
    /// From an accepted `publish` to the first media message.
    pub first_media_time_max: Duration,
    /// No bytes at all for this long: the publisher is stale.
    pub ingest_silence_max: Duration,
    /// No media and no answer to a ping for this long: the publisher is stale.
    pub ingest_unanswered_max: Duration,
    /// How often we ping a publisher.
    pub ping_interval: Duration,
    /// After a refusal or an end: how long we read and discard before the socket closes.
    pub linger_max: Duration,
    /// One message before `publish` was accepted.
    pub message_before_publish_bytes_max: usize,
    /// One message after `publish` was accepted.
    pub message_bytes_max: usize,
    /// Bytes held in unfinished messages of one connection before `publish` was accepted.
    pub partial_before_publish_bytes_max: usize,
    /// Bytes held in unfinished messages of one connection after it.
    pub partial_bytes_max: usize,
    /// Chunk stream ids one connection may use.
    pub chunk_streams_max: usize,
    /// Chunks in a second that are shorter than the default of 128 bytes and end no message.
    pub tiny_chunks_per_second_max: u32,
    /// Nesting of AMF0 objects.
    pub amf_depth_max: usize,
    /// AMF0 values in one message.
    pub amf_values_max: usize,
    /// Bytes of one AMF0 message.
    pub amf_bytes_max: usize,
    /// Bytes of one AMF0 string.
    pub amf_string_bytes_max: usize,
    /// Message streams one connection may create.
    pub message_streams_max: u32,
    /// Commands answered with `_error` before the connection is dropped.
    pub command_errors_max: u32,
    /// Parts unpacked from one Aggregate message.
    pub aggregate_parts_max: usize,
    /// Media messages of one track a second.
    pub track_messages_per_second_max: u32,
    /// Bytes read for one connection before the others get their turn.
    pub read_turn_bytes_max: usize,
    /// Bytes a second from one RTMP peer; above it, after a burst, it is read no faster than this.
    pub ingest_bytes_per_second_max: usize,
    /// A peer that had to be slowed down to it for this long is let go.
    pub ingest_excess_time_max: Duration,
    /// Bytes waiting to be sent to one RTMP peer.
    pub rtmp_send_bytes_max: usize,
    /// Wrong keys from one address in a minute before it is refused for a while.
    pub key_guesses_per_minute_max: u32,
    /// How long an address that guessed too often is refused.
    pub key_guess_pause: Duration,
    /// Addresses whose wrong keys are remembered at once.
    pub key_guess_addresses_max: usize,
    /// What a wrong key costs, however fast it was found wrong.
    pub wrong_key_delay: Duration,
    /// Input faster than this many times real time is slowed down, after a burst.
    pub ingest_speed_max: u32,
    /// Media that may come at once before the input is slowed down; short enough that no track
    /// reaches its messages a second.
    pub ingest_burst: Duration,
    /// Takeovers of one key in ten minutes.
    pub takeovers_per_ten_minutes_max: u32,

    // Media
    /// One frame.
    pub frame_bytes_max: usize,
    /// The open GOP of one broadcast. Its bytes are what bounds its memory; its length is bounded
    /// by `keyframe_wait_max`, since long GOPs of few bytes are played all the same.
    pub gop_bytes_max: usize,
    /// After the closing instant, how long a cut waits for the keyframe.
    pub closing_grace_max: Duration,
    /// No keyframe for this long ends the broadcast.
    pub keyframe_wait_max: Duration,
    /// Video without its configuration, before it ends the broadcast.
    pub video_config_wait_max: Duration,
    /// Audio held back for its configuration, before the broadcast goes on without it.
    pub audio_config_wait_max: Duration,
    /// One track alone, before the broadcast starts without the other.
    pub track_wait_max: Duration,
    /// Changes of the codec configuration in a minute.
    pub config_changes_per_minute_max: u32,

    // Hub and window
    /// One broadcast's ring.
    pub ring_bytes_max: usize,
    /// One broadcast's window: what viewers can still fetch.
    pub window_bytes_max: usize,
    /// All windows and rings together. The longest windows shrink to keep to it; see
    /// [`super::Pressure`] for what happens when that is not enough.
    pub memory_bytes_max: usize,
    /// How late the process may come to what is due, averaged over 16 looks (a second while nothing
    /// is late), before no broadcast begins any more; see [`super::Lag`] for what is given up
    /// before that.
    pub lag_max: Duration,
    /// Broadcasts at once.
    pub broadcasts_max: usize,

    // HTTP
    /// Connections at once over all HTTP listeners.
    pub http_connections_max: usize,
    /// Connections at once from one address (one /64 for IPv6).
    pub http_connections_per_address_max: usize,
    /// From accept, or the end of the last answer, to a whole request head.
    pub request_head_time_max: Duration,
    /// A connection without a request.
    pub http_idle_max: Duration,
    /// A reader that takes less than 16 KiB in this time is let go.
    pub send_stall_max: Duration,
    /// Requests held for a part or segment, over all.
    pub blocked_requests_max: usize,
    /// Requests held on one broadcast.
    pub blocked_requests_per_broadcast_max: usize,
    /// Requests held for one address (one /64 for IPv6), which a trusted proxy may name.
    pub blocked_requests_per_address_max: usize,
    /// Requests held on one connection.
    pub blocked_requests_per_connection_max: usize,
    /// Request line, in bytes.
    pub request_line_bytes_max: usize,
    /// Request headers, count.
    pub request_headers_max: usize,
    /// Request headers, bytes.
    pub request_head_bytes_max: usize,
    /// Query, in bytes.
    pub query_bytes_max: usize,
    /// Query pairs.
    pub query_pairs_max: usize,
    /// Streams at once on one HTTP/2 connection.
    pub h2_streams_max: u32,

    // TLS
    /// The TLS handshake.
    pub tls_handshake_time_max: Duration,
    /// TLS handshakes at once.
    pub tls_handshakes_max: usize,

    // Stopping
    /// From SIGTERM to the end of the process.
    pub drain_grace: Duration,
}

/// A connection itself: its task, its read buffer, its state.
const OWN_BYTES: usize = 64 * 1024;

impl Limits {
    /// From an accepted `publish` to the first frame that can be decoded: the first media message
    /// may take its time, and after it a keyframe. A permit is void after that.
    pub fn permit_time_max(&self) -> Duration {
        self.first_media_time_max + self.keyframe_wait_max
    }

    /// The most that one publisher can make the server hold: what viewers can fetch, the frames on
    /// their way there, and what is on the wire. A floor that is longer than `window_bytes_max`
    /// allows, six segments of a very high rate, takes the window's place.
    pub fn publisher_bytes_max(&self) -> usize {
        // Each track may wait for the other, for its configuration and for its turn in time.
        let before_ring = 3 * self.gop_bytes_max + 4 * self.frame_bytes_max;
        let wire = self.partial_bytes_max + self.rtmp_send_bytes_max + OWN_BYTES;
        self.window_bytes_max + self.ring_bytes_max + before_ring + wire
    }

    /// The most that one HTTP/1.1 connection holds while its request is on its way.
    pub fn request_bytes_max(&self) -> usize {
        // The buffer doubles as it grows.
        2 * (self.request_line_bytes_max + self.request_head_bytes_max) + OWN_BYTES
    }
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            rtmp_connections_max: 10_000,
            rtmp_connections_per_address_max: 20,
            rtmp_accepts_per_second_max: 200,
            handshake_time_max: Duration::from_secs(10),
            connect_time_max: Duration::from_secs(10),
            publish_time_max: Duration::from_secs(15),
            first_media_time_max: Duration::from_secs(20),
            ingest_silence_max: Duration::from_secs(10),
            ingest_unanswered_max: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            linger_max: Duration::from_secs(2),
            message_before_publish_bytes_max: 16 * KIB,
            message_bytes_max: 10 * MIB,
            partial_before_publish_bytes_max: 16 * KIB,
            partial_bytes_max: 16 * MIB,
            chunk_streams_max: 64,
            tiny_chunks_per_second_max: 20_000,
            amf_depth_max: 16,
            amf_values_max: 1_000,
            amf_bytes_max: 64 * KIB,
            amf_string_bytes_max: 16 * KIB,
            message_streams_max: 8,
            command_errors_max: 20,
            aggregate_parts_max: 1_000,
            track_messages_per_second_max: 1_000,
            read_turn_bytes_max: 256 * KIB,
            ingest_bytes_per_second_max: 16 * MIB,
            ingest_excess_time_max: Duration::from_secs(60),
            rtmp_send_bytes_max: 64 * KIB,
            key_guesses_per_minute_max: 10,
            key_guess_pause: Duration::from_secs(600),
            key_guess_addresses_max: 10_000,
            wrong_key_delay: Duration::from_millis(300),
            ingest_speed_max: 4,
            ingest_burst: Duration::from_secs(6),
            takeovers_per_ten_minutes_max: 5,
            frame_bytes_max: 8 * MIB,
            gop_bytes_max: 32 * MIB,
            closing_grace_max: Duration::from_secs(20),
            keyframe_wait_max: Duration::from_secs(60),
            video_config_wait_max: Duration::from_secs(30),
            audio_config_wait_max: Duration::from_secs(2),
            track_wait_max: Duration::from_secs(3),
            config_changes_per_minute_max: 10,
            ring_bytes_max: 32 * MIB,
            window_bytes_max: 256 * MIB,
            memory_bytes_max: 2048 * MIB,
            lag_max: Duration::from_millis(400),
            broadcasts_max: 1_000,
            http_connections_max: 50_000,
            http_connections_per_address_max: 20_000,
            request_head_time_max: Duration::from_secs(10),
            http_idle_max: Duration::from_secs(75),
            send_stall_max: Duration::from_secs(10),
            blocked_requests_max: 50_000,
            blocked_requests_per_broadcast_max: 50_000,
            blocked_requests_per_address_max: 20_000,
            blocked_requests_per_connection_max: 100,
            request_line_bytes_max: 8 * KIB,
            request_headers_max: 100,
            request_head_bytes_max: 16 * KIB,
            query_bytes_max: KIB,
            query_pairs_max: 16,
            h2_streams_max: 100,
            tls_handshake_time_max: Duration::from_secs(10),
            tls_handshakes_max: 200,
            drain_grace: Duration::from_secs(10),
        }
    }
}
