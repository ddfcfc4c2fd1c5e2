use super::*;

// R28, Q1, Q9: a message above a ceiling of AMF0 ends the session.
#[test]
fn amf_above_a_ceiling_ends_the_session() {
    for payload in [[3, 0, 1, b'a'].repeat(3_200), [5].repeat(2_000), vec![5; 70_000]] {
        for kind in [20, 18, 17, 15] {
            let end = Peer::connected().send(kind, 0, &payload);
            assert!(matches!(end, Err(Cause::Amf(_))), "{kind}");
        }
    }
}

// R14, Q15: an aggregate is unpacked into its media, up to a ceiling.
#[test]
fn an_aggregate_is_media_within_a_ceiling() {
    let part = [9, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 0x17, 0, 0, 0, 12];
    let mut peer = Peer::publishing();
    peer.send(22, 1, &part.repeat(3)).unwrap();
    for _ in 0..3 {
        assert!(matches!(peer.session.next_event(), Some(Event::Video { timestamp: 0, .. })));
    }
    peer.wait(1);
    assert_eq!(
        peer.send(22, 1, &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11].repeat(1_001)),
        Err(Cause::AggregateParts { max: 1_000 })
    );
}

// R12, Q11: the running total, over the end of its 32 bits.
#[test]
fn acknowledgements_carry_the_total() {
    let mut peer = Peer::connected();
    peer.send(5, 0, &1_000_u32.to_be_bytes()).unwrap();
    peer.session.handle_received(499, peer.now);
    assert!(peer.read().is_empty());
    peer.session.handle_received(1, peer.now);
    peer.session.handle_received(5_000, peer.now);
    assert_eq!(peer.read(), ["Acknowledgement 500", "Acknowledgement 5500"]);
    peer.session.handle_received(u32::MAX.try_into().unwrap(), peer.now);
    assert_eq!(peer.read(), ["Acknowledgement 5499"]);
    // A window of zero changes nothing; peer bandwidth is answered once.
    peer.send(5, 0, &[0; 4]).unwrap();
    peer.session.handle_received(499, peer.now);
    assert!(peer.read().is_empty());
    peer.session.handle_received(1, peer.now);
    assert_eq!(peer.read(), ["Acknowledgement 5999"]);
    peer.send(6, 0, &[0, 0, 16, 0, 2]).unwrap();
    peer.send(6, 0, &[0, 0, 16, 0, 2]).unwrap();
    assert_eq!(peer.read(), ["WindowAcknowledgement 4096"]);
}

// R13: pings are sent and answered.
#[test]
fn pings_both_ways() {
    let mut peer = Peer::publishing();
    peer.send(4, 0, &[0, 6, 0, 0, 0, 77]).unwrap();
    assert_eq!(peer.read(), ["event 7 77"]);
    peer.send(9, 1, &[0x27]).unwrap();
    for _ in 0..4 {
        peer.wait(5);
        peer.session.handle_received(10, peer.now);
        peer.session.handle_time(peer.now).unwrap();
    }
    assert_eq!(peer.read(), ["event 6 20000"]);
    peer.send(4, 0, &[0, 7, 0, 0, 0, 0]).unwrap();
    for _ in 0..5 {
        peer.wait(5);
        peer.session.handle_received(10, peer.now);
        peer.session.handle_time(peer.now).unwrap();
    }
    peer.wait(5);
    peer.session.handle_received(10, peer.now);
    assert_eq!(peer.session.handle_time(peer.now), Err(Cause::Unanswered));
}

// R3, R13: the deadline of each stage, to the instant.
#[test]
fn every_stage_has_its_deadline() {
    let just_before =
        |at: MonoTime| MonoTime::from_start(at.since_start() - Duration::from_millis(1));
    let media = |peer: &mut Peer| peer.send(9, 1, &[0x27]).unwrap();
    for (mut peer, seconds, cause) in [
        (Peer::new(), 10, Cause::ConnectTimeout),
        (Peer::connected(), 15, Cause::PublishTimeout),
        (Peer::publishing(), 20, Cause::FirstMediaTimeout),
    ] {
        let at = MonoTime::ZERO + Duration::from_secs(seconds);
        assert_eq!(peer.session.next_deadline(), Some(at));
        assert_eq!(peer.session.handle_time(just_before(at)), Ok(()));
        assert_eq!(peer.session.handle_time(at), Err(cause));
    }
    let mut peer = Peer::publishing();
    media(&mut peer);
    peer.session.handle_received(10, peer.now);
    let at = MonoTime::ZERO + Duration::from_secs(10);
    assert_eq!(peer.session.next_deadline(), Some(at));
    assert_eq!(peer.session.handle_time(just_before(at)), Ok(()));
    assert_eq!(peer.session.handle_time(at), Err(Cause::Silent));
}

#[test]
fn only_a_peer_that_can_is_asked_to_reconnect() {
    let mut peer = Peer::publishing();
    assert!(!peer.session.ask_reconnect("Moving."));
    for (bits, can) in [(1.0, true), (7.0, true), (2.0, false), (f64::NAN, false), (-1.0, true)] {
        let mut peer = Peer::new();
        let object = Value::object([("app", Value::from("live")), ("capsEx", Value::from(bits))]);
        peer.call(0, &[Value::from("connect"), Value::from(1.0), object]);
        peer.read();
        assert_eq!(peer.session.ask_reconnect("Moving."), can, "{bits}");
    }
    assert!(peer.read().is_empty());
}
