//! Encoders that are killed, stopped, cut off and come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use ghostlight::rtmp::client::Target;
use ghostlight::testing::fault::Fault;
use ghostlight::testing::proxy::Proxy;

use super::until;
use crate::encoder::{Crowd, Encoder};
use crate::machine::{Namespace, waive};
use crate::neighbours::{NEIGHBOURS, Neighbours};
use crate::shown::{Shown, state, wait_for, wait_while};
use crate::stage::{Setup, Stage, get};

/// F6, H37 and R47: an encoder that is killed leaves a gap at once; back within the window it goes
/// on in the same playlist behind one break, and after the window the playlist ends.
#[test]
fn a_killed_encoder_leaves_a_gap_then_resumes_or_ends() {
    let stage = Setup::default().env("GHOSTLIGHT_RTMP_RESUME_WINDOW", "4s").start();
    let target = stage.key("lost");
    let encoder = Encoder::start(&target);
    let (before, _) = wait_for("it is live", stage.http, "lost", |s| 1 < s.last_part());
    encoder.kill();
    let killed = Instant::now();
    let gone = |tag: &str, count| {
        let read = || Shown::read(stage.http, &before.path).expect("the same playlist");
        until(tag, Duration::from_secs(4), || count <= read().text.matches(tag).count());
    };
    gone("GAP=YES", 1);
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(1), "a gap after {took:?}");

    let encoder = Encoder::start(&target);
    gone("#EXT-X-DISCONTINUITY\n", 1);
    let resumed = |shown: &Shown| before.path == shown.path && 8 < shown.last_part();
    let (after, _) = wait_for("it goes on", stage.http, "lost", resumed);
    assert_eq!(
        after.count("#EXT-X-DISCONTINUITY"),
        1 + after.count("#EXT-X-DISCONTINUITY-SEQUENCE")
    );

    encoder.kill();
    let killed = Instant::now();
    until("it ends", Duration::from_secs(8), || {
        Shown::read(stage.http, &before.path).is_some_and(|shown| shown.has_ended())
    });
    let took = killed.elapsed();
    assert!(Duration::from_secs(3) < took, "the window is four seconds, and it ended in {took:?}");
    stage.assert_healthy();
}

/// F7, F8, F16 and R46: an encoder that is stopped and one whose cable is pulled are away in ten
/// seconds, without a word from either; viewers who vanish behind the same cable are forgotten
/// within a minute, three times the time a reader may stall (three seconds here). A stream beside
/// them does not notice.
#[test]
fn whoever_vanishes_is_noticed_and_nobody_else() {
    let cable = Namespace::new(1);
    let here = cable.as_ref().map_or(Ipv4Addr::LOCALHOST, |cable| cable.here);
    let stage = Setup::default().host(here.into()).limit("send_stall_max", "3s").start();
    let neighbours = Neighbours::start_some(&stage, 1);
    let stopped = Encoder::start(&stage.key("stopped"));
    wait_for("it is live", stage.http, "stopped", |s| 0 < s.last_part());
    let Ok(cable) = &cable else {
        waive("F8 and F16", &cable.expect_err("not made"));
        stopped.signal("STOP");
        assert_away_in_ten_seconds(&stage, "stopped");
        neighbours.assert_untouched();
        return;
    };
    let _far = Encoder::start_with(&cable.launcher(), &stage.key("far"));
    let (far, _) = wait_for("it is live", stage.http, "far", |s| 0 < s.last_part());
    let connections = stage.metric("http_connections");
    let _viewers = vanishing_viewers(cable, stage.http, &far);
    until("all viewers wait", Duration::from_secs(5), || 20 <= stage.metric("http_held_requests"));

    stopped.signal("STOP");
    cable.cut();
    let cut = Instant::now();
    let far_away = thread::scope(|scope| {
        let far = scope.spawn(|| assert_away_in_ten_seconds(&stage, "far"));
        let stopped = assert_away_in_ten_seconds(&stage, "stopped");
        (stopped, far.join().expect("away as well"))
    });
    // One for this question and one for the neighbour, which may be between two.
    until("the viewers are forgotten", Duration::from_secs(60), || {
        stage.metric("http_connections") <= connections + 1
            && stage.metric("http_held_requests") <= 2
    });
    eprintln!("F7, F8: away after {far_away:?}; F16: forgotten after {:?}", cut.elapsed());
    neighbours.assert_untouched();
    stage.assert_healthy();
}

fn assert_away_in_ten_seconds(stage: &Stage, channel: &str) -> Duration {
    let took = wait_while(stage.http, channel, "live");
    // Frames that were under way arrive after the fault, and a busy machine may look late.
    assert!(took <= Duration::from_millis(11_500), "{channel} is away after {took:?}");
    took
}

/// Twenty viewers over there who wait for media, in one process that the namespace's end stops.
fn vanishing_viewers(cable: &Namespace, http: SocketAddr, shown: &Shown) -> Killed {
    let script = "for _ in $(seq 20); do exec {fd}<>\"/dev/tcp/$1/$2\"; \
                  printf 'GET %s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' \"$3\" >&$fd; done; \
                  exec sleep 120";
    let ahead = format!("{}?_HLS_msn={}", shown.path, shown.last_segment() + 2);
    let mut words = cable.launcher();
    words.extend(["bash", "-c", script, "bash"].map(str::to_owned));
    words.extend([http.ip().to_string(), http.port().to_string(), ahead]);
    let (program, rest) = words.split_first().expect("a program");
    Killed(Command::new(program).args(rest).spawn().expect("it starts"))
}

/// A process that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// F9 and R44: an encoder whose line died and that comes back from another address has its
/// broadcast within two seconds, long before the dead line is noticed, behind one break.
#[test]
fn an_encoder_from_a_new_address_takes_over() {
    let cables = Namespace::new(2).and_then(|old| Ok((old, Namespace::new(3)?)));
    let (old, new) = match cables {
        Ok(cables) => cables,
        Err(why) => return waive("F9", &why),
    };
    let stage = Setup::default().host(Ipv4Addr::UNSPECIFIED.into()).start();
    let target = stage.key("moved");
    let reach = |cable: &Namespace| Target { host: cable.here.to_string(), ..target.clone() };
    let _old = Encoder::start_with(&old.launcher(), &reach(&old));
    let (before, _) = wait_for("it is live", stage.http, "moved", |s| 3 < s.last_part());
    old.cut();
    sleep(Duration::from_millis(500));
    let _new = Encoder::start_with(&new.launcher(), &reach(&new));
    let moved = Instant::now();
    let read = || Shown::read(stage.http, &before.path).expect("the same broadcast");
    until("it goes on", Duration::from_secs(5), || read().text.contains("#EXT-X-DISCONTINUITY\n"));
    let took = moved.elapsed();
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert_eq!(stage.metric("rtmp_takeovers_total"), 1);
    let last = read().last_part();
    until("media comes", Duration::from_secs(5), || last + 4 <= read().last_part());
    let breaks = read().text.matches("#EXT-X-DISCONTINUITY\n").count();
    assert_eq!(breaks, 1, "{}", read().text);
    assert_eq!(state(stage.http, "moved"), "live");
    eprintln!("F9: taken over after {took:?}");
}

/// F10: 200 encoders lose their line at once and come back as fast as they can. All are back
/// within 30 seconds, each in the broadcast that it had, and five streams beside them lose no part.
#[test]
fn two_hundred_encoders_come_back_at_once() {
    const CROWD: usize = 200;
    let stage = Setup::default().limit("rtmp_connections_per_address_max", "1000").start();
    let neighbours = Neighbours::start(&stage);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let proxy = Proxy::start(stage.rtmp, 1, |_| [Fault::default(); 2]);
    let proxy = runtime.block_on(proxy).expect("a port");
    let crowd = Crowd::start(stage.keys("storm", CROWD), Some(proxy.address()));
    crowd.wait_for(CROWD);
    let broadcasts = || {
        let (status, body) = get(stage.http, "/api/v1/channels").expect("an answer");
        assert_eq!(status, 200, "{body}");
        body.matches("\"live\"").count()
    };
    let all = CROWD + NEIGHBOURS;
    until("all are on air", Duration::from_secs(10), || broadcasts() == all);
    let (before, _) = wait_for("it is live", stage.http, "storm7", |s| 0 < s.last_part());
    crowd.go_via(None);
    let cut = Instant::now();
    runtime.block_on(async { drop(proxy) });
    until("they are cut off", Duration::from_secs(5), || crowd.live() < CROWD / 2);
    crowd.wait_for(CROWD);
    until("all are on air again", Duration::from_secs(30), || broadcasts() == all);
    let took = cut.elapsed();
    assert!(took <= Duration::from_secs(30), "{took:?}");
    let after = Shown::find(stage.http, "storm7").expect("it is live");
    assert_eq!(before.path, after.path, "it was resumed");
    neighbours.assert_untouched();
    eprintln!("F10: {CROWD} were back after {took:?}");
    stage.assert_healthy();
}
