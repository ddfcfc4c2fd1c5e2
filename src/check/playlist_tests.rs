use super::*;

#[test]
fn byte_ranges_go_on_where_the_last_one_ended() {
    let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"10@0\"\n\
                #EXTINF:2,\n#EXT-X-BYTERANGE:100@10\nall.mp4\n\
                #EXTINF:2,\n#EXT-X-BYTERANGE:50\nall.mp4\n\
                #EXT-X-PART:DURATION=1,URI=\"all.mp4\",BYTERANGE=\"20@160\"\n\
                #EXT-X-PART:DURATION=1,URI=\"all.mp4\",BYTERANGE=\"30\"\n\
                #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"all.mp4\",BYTERANGE-START=210\n";
    let playlist = Playlist::parse(text);
    let ranges: Vec<_> = playlist.segments.iter().map(|s| (s.msn, s.range.clone())).collect();
    assert_eq!(ranges, [(5, Some(10..110)), (6, Some(110..160))]);
    let parts: Vec<_> = playlist.open.parts.iter().map(|p| p.range.clone()).collect();
    assert_eq!((playlist.open.msn, parts), (7, vec![Some(160..180), Some(180..210)]));
    assert_eq!(playlist.open.map, Some(Resource { uri: "all.mp4", range: Some(0..10) }));
    assert_eq!(playlist.open.own_map, None);
    assert_eq!(playlist.hint("PART").and_then(|hint| hint.range), Some(210..u64::MAX));
    assert_eq!(playlist.hint("MAP"), None);
    assert_eq!(playlist.length(), 6_000_000);
}

#[test]
fn a_key_holds_until_the_next_and_none_ends_it() {
    let text = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\na.ts\r\n\r\n\
                #EXTINF:2,title, more\nb.ts\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\nc.ts\n";
    let playlist = Playlist::parse(text);
    let keys: Vec<_> = playlist.segments.iter().map(|s| (s.line, s.uri, s.key.is_some())).collect();
    assert_eq!(keys, [(4, "a.ts", true), (7, "b.ts", true), (10, "c.ts", false)]);
    assert!(playlist.segments.iter().all(|segment| segment.micros() == 2_000_000));
}
