//! The limits of [`Limits`](crate::base::Limits) as settings: section `limits`, the field's name.

use super::keys::{Key, Reload};
use super::value::{parse_bytes, parse_count, parse_duration, render_bytes, render_duration};

macro_rules! duration {
    ($name:ident) => {
        Key::new(
            concat!("limits.", stringify!($name)),
            "a duration from 100ms to 24h",
            Reload::Restart,
            |c, v| {
                let length = parse_duration(v)?;
                let millis = length.as_millis();
                c.limits.$name = (100..=86_400_000).contains(&millis).then_some(length)?;
                Some(())
            },
            |c| Some(render_duration(c.limits.$name)),
        )
    };
}

macro_rules! bytes {
    ($name:ident) => {
        Key::new(
            concat!("limits.", stringify!($name)),
            "a number of bytes from 256B to 1024GiB, such as \"16KiB\" or \"10MB\"",
            Reload::Restart,
            |c, v| {
                c.limits.$name = parse_bytes(v).filter(|n| (256..=1 << 40).contains(n))?;
                Some(())
            },
            |c| Some(render_bytes(c.limits.$name)),
        )
    };
}

macro_rules! count {
    ($name:ident) => {
        Key::new(
            concat!("limits.", stringify!($name)),
            "a whole number from 1 to 1000000",
            Reload::Restart,
            |c, v| {
                let number = parse_count(v).filter(|n| (1..=1_000_000).contains(n))?;
                c.limits.$name = number.try_into().ok()?;
                Some(())
            },
            |c| Some(c.limits.$name.to_string()),
        )
    };
}

pub(super) const LIMITS: &[Key] = &[
    count!(rtmp_connections_max),
    count!(rtmp_connections_per_address_max),
    count!(rtmp_accepts_per_second_max),
    duration!(handshake_time_max),
    duration!(connect_time_max),
    duration!(publish_time_max),
    duration!(first_media_time_max),
    duration!(ingest_silence_max),
    duration!(ingest_unanswered_max),
    duration!(ping_interval),
    duration!(linger_max),
    bytes!(message_before_publish_bytes_max),
    bytes!(message_bytes_max),
    bytes!(partial_before_publish_bytes_max),
    bytes!(partial_bytes_max),
    count!(chunk_streams_max),
    count!(tiny_chunks_per_second_max),
    count!(amf_depth_max),
    count!(amf_values_max),
    bytes!(amf_bytes_max),
    bytes!(amf_string_bytes_max),
    count!(message_streams_max),
    count!(command_errors_max),
    count!(aggregate_parts_max),
    count!(track_messages_per_second_max),
    bytes!(read_turn_bytes_max),
    bytes!(ingest_bytes_per_second_max),
    duration!(ingest_excess_time_max),
    bytes!(rtmp_send_bytes_max),
    count!(key_guesses_per_minute_max),
    duration!(key_guess_pause),
    count!(key_guess_addresses_max),
    duration!(wrong_key_delay),
    count!(ingest_speed_max),
    duration!(ingest_burst),
    count!(takeovers_per_ten_minutes_max),
    bytes!(frame_bytes_max),
    bytes!(gop_bytes_max),
    duration!(closing_grace_max),
    duration!(keyframe_wait_max),
    duration!(video_config_wait_max),
    duration!(audio_config_wait_max),
    duration!(track_wait_max),
    count!(config_changes_per_minute_max),
    bytes!(ring_bytes_max),
    bytes!(window_bytes_max),
    bytes!(memory_bytes_max),
    duration!(lag_max),
    count!(broadcasts_max),
    count!(http_connections_max),
    count!(http_connections_per_address_max),
    duration!(request_head_time_max),
    duration!(http_idle_max),
    duration!(send_stall_max),
    count!(blocked_requests_max),
    count!(blocked_requests_per_broadcast_max),
    count!(blocked_requests_per_address_max),
    count!(blocked_requests_per_connection_max),
    bytes!(request_line_bytes_max),
    count!(request_headers_max),
    bytes!(request_head_bytes_max),
    bytes!(query_bytes_max),
    count!(query_pairs_max),
    count!(h2_streams_max),
    duration!(tls_handshake_time_max),
    count!(tls_handshakes_max),
    duration!(drain_grace),
];
