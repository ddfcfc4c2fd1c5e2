use super::*;

const START: i64 = 1_795_248_000_000;

fn at(millis: u64) -> Now {
    let since = Duration::from_millis(millis);
    let wall = WallTime::from_unix_millis(START) + since;
    Now { mono: MonoTime::from_start(since), wall }
}

fn player(conduct: Conduct) -> Player {
    Player::new(conduct, "h".into(), "/c/index.m3u8".into())
}

/// A playlist of segments of 2 s from number 1 on; `parts` of half a second are there of the last.
fn live(segments: u64, parts: u64, tail: &str) -> Arc<Playlist> {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00Z\n"
        .to_owned();
    for segment in 1..=segments + 1 {
        let count = if segment > segments { parts } else { 4 };
        for part in 0..count {
            text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"p{segment}.{part}\"\n");
        }
        if segment <= segments {
            text += &format!("#EXTINF:2,\ns{segment}\n");
        }
    }
    Arc::new(Playlist::parse(&(text + tail)).expect("a playlist"))
}

fn multivariant(uri: &str) -> Arc<Playlist> {
    let text = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{uri}\n");
    Arc::new(Playlist::parse(&text).expect("a playlist"))
}

/// What it asks for; the time of a pause, or `leaves`.
fn wish(player: &mut Player, millis: u64) -> String {
    match player.wish(at(millis).mono) {
        Wish::Get { path, .. } => path.to_owned(),
        Wish::Pause(until) => format!("until {}", until.since_start().as_millis()),
        Wish::Leave => "leaves".to_owned(),
    }
}

fn media(player: &mut Player, millis: u64, expected: &str, tally: &Tally) {
    assert_eq!(wish(player, millis), expected);
    player.handle_media(at(millis), tally).expect("it was asked for");
}

#[test]
fn a_low_latency_player_waits_for_each_part() {
    let (mut player, tally) = (player(Conduct::LowLatency), Tally::default());
    assert_eq!(wish(&mut player, 0), "/c/index.m3u8");
    player.handle_playlist(multivariant("1/live.m3u8"), at(0), &tally);
    assert_eq!(wish(&mut player, 0), "/c/1/live.m3u8");
    player.handle_playlist(live(3, 1, ""), at(6_600), &tally);
    assert_eq!(wish(&mut player, 6_600), "/c/1/live.m3u8?_HLS_msn=4&_HLS_part=1");
    player.handle_playlist(live(3, 3, ""), at(7_500), &tally);
    media(&mut player, 7_510, "/c/1/p4.1", &tally);
    media(&mut player, 7_520, "/c/1/p4.2", &tally);
    assert_eq!(wish(&mut player, 7_520), "/c/1/live.m3u8?_HLS_msn=4&_HLS_part=3");
    // The segment is whole: its last part is the only one that is new.
    player.handle_playlist(live(4, 0, ""), at(8_000), &tally);
    media(&mut player, 8_005, "/c/1/p4.3", &tally);
    assert_eq!(wish(&mut player, 8_005), "/c/1/live.m3u8?_HLS_msn=5&_HLS_part=0");
    let counts = tally.counts();
    assert_eq!((counts.watching, counts.stalls, counts.stale, counts.failures), (1, 0, 0, 0));
    // Of the part that began at 6.5 s by its date.
    for age in [counts.listed.quantile(999), counts.fetched.quantile(999)] {
        let millis = age.expect("the playlist has dates").as_millis();
        assert!((1_000..1_045).contains(&millis), "{millis}");
    }
    let half = counts.fetched.quantile(500).expect("the playlist has dates").as_millis();
    assert!((505..525).contains(&half), "{half}");
}

#[test]
fn a_player_of_segments_paces_its_reloads() {
    let (mut player, tally) = (player(Conduct::Plain), Tally::default());
    wish(&mut player, 0);
    player.handle_playlist(live(5, 1, ""), at(10_000), &tally);
    for name in ["/c/s3", "/c/s4", "/c/s5"] {
        media(&mut player, 10_000, name, &tally);
    }
    // Reloads count from the moment of asking.
    assert_eq!(wish(&mut player, 1_500), "until 2000");
    assert_eq!(wish(&mut player, 2_000), "/c/index.m3u8");
    player.handle_playlist(live(5, 2, ""), at(2_100), &tally);
    assert_eq!(wish(&mut player, 2_100), "until 3000", "nothing new: half the time");
    assert_eq!(wish(&mut player, 3_000), "/c/index.m3u8");
    player.handle_playlist(live(6, 0, "#EXT-X-ENDLIST\n"), at(3_000), &tally);
    media(&mut player, 3_000, "/c/s6", &tally);
    assert_eq!(wish(&mut player, 3_000), "leaves");
    assert_eq!(tally.counts().failures, 0);
}

#[test]
fn who_wants_playlists_alone_fetches_nothing() {
    let (mut player, tally) = (player(Conduct::Playlists), Tally::default());
    wish(&mut player, 0);
    player.handle_playlist(live(3, 1, ""), at(6_600), &tally);
    player.handle_playlist(live(3, 2, ""), at(7_000), &tally);
    assert_eq!(wish(&mut player, 7_000), "/c/index.m3u8?_HLS_msn=4&_HLS_part=2");
    assert_eq!(tally.counts().listed.count(), 1);
}

#[test]
fn a_picture_that_stands_still_is_counted_once() {
    let (mut player, tally) = (player(Conduct::LowLatency), Tally::default());
    wish(&mut player, 0);
    player.handle_playlist(live(3, 0, ""), at(6_000), &tally);
    player.handle_playlist(live(3, 1, ""), at(6_500), &tally);
    media(&mut player, 6_500, "/c/p4.0", &tally);
    // Three parts behind the edge, and one that is there: 2 s until it runs dry.
    player.handle_playlist(live(3, 2, ""), at(8_490), &tally);
    media(&mut player, 8_490, "/c/p4.1", &tally);
    assert_eq!(tally.counts().stalls, 0);
    player.handle_playlist(live(3, 3, ""), at(9_010), &tally);
    media(&mut player, 9_010, "/c/p4.2", &tally);
    player.handle_playlist(live(4, 0, ""), at(9_020), &tally);
    media(&mut player, 9_020, "/c/p4.3", &tally);
    assert_eq!(tally.counts().stalls, 1);
}

#[test]
fn an_answer_without_what_was_awaited_is_stale() {
    let (mut player, tally) = (player(Conduct::LowLatency), Tally::default());
    wish(&mut player, 0);
    player.handle_playlist(live(3, 1, ""), at(6_600), &tally);
    player.handle_playlist(live(3, 1, ""), at(6_700), &tally);
    assert_eq!(tally.counts().stale, 1);
    player.handle_playlist(live(3, 1, "#EXT-X-ENDLIST\n"), at(6_800), &tally);
    assert_eq!(tally.counts().stale, 1, "the end is an answer");
}

#[test]
fn a_failure_begins_anew_after_a_pause() {
    let (mut player, tally) = (player(Conduct::LowLatency), Tally::default());
    wish(&mut player, 0);
    player.handle_playlist(live(3, 1, ""), at(6_600), &tally);
    player.handle_playlist(live(3, 2, ""), at(7_000), &tally);
    player.handle_failure(at(7_100).mono, &tally);
    assert_eq!(wish(&mut player, 7_100), "until 7300");
    assert_eq!(wish(&mut player, 7_300), "/c/index.m3u8");
    for elsewhere in ["http://stranger/live.m3u8", "//stranger/live.m3u8"] {
        player.handle_playlist(multivariant(elsewhere), at(7_300), &tally);
        assert_eq!(wish(&mut player, 7_300), "until 7500", "{elsewhere}");
    }
    assert_eq!(tally.counts().failures, 3);
    assert_eq!(tally.counts().watching, 1);
}

/// Numbers at the end of their types, and lengths of ages, are played like any others.
#[test]
fn no_number_of_a_playlist_is_too_great() {
    for (msn, length) in [
        (u64::MAX, "1e300"),
        (u64::MAX, "1e19"),
        (u64::MAX - 1, "99999999999"),
        (u64::MAX / 2 + 1, "1e12"),
    ] {
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{length}\n#EXT-X-MEDIA-SEQUENCE:{msn}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PART-INF:PART-TARGET={length}\n\
             #EXT-X-PROGRAM-DATE-TIME:9999-12-30T22:00:00Z\n"
        );
        for index in 0..5 {
            text += &format!("#EXT-X-PART:DURATION={length},URI=\"p{index}\"\n");
            text += &format!("#EXTINF:{length},\ns{index}\n");
        }
        let playlist = Arc::new(Playlist::parse(&text).expect("a playlist"));
        assert_eq!(playlist.next_msn(), playlist.first_msn + 5, "{msn} is believed");
        for conduct in [Conduct::Plain, Conduct::LowLatency, Conduct::Playlists] {
            let (mut player, tally) = (player(conduct), Tally::default());
            for round in 0..3 {
                player.handle_playlist(Arc::clone(&playlist), at(round), &tally);
                while !player.queue.is_empty() {
                    player.handle_media(at(round), &tally).expect("it is queued");
                }
                wish(&mut player, round);
            }
        }
    }
}
