//! Viewers that speak HTTP/1.1 slowly, wrongly, or without end.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::wire::{dial, drip};
use super::{Crowd, Street, address};
use crate::http::read_answer;
use crate::stage::PATIENCE;

/// W1: two thousand viewers that send their heads byte by byte are let go when the time for a head
/// is over, which is three seconds here.
#[test]
fn slow_heads_end_in_time() {
    const VIEWERS: usize = 2_000;
    const TIME: Duration = Duration::from_secs(3);
    let mut street = Street::open(&[("request_head_time_max", "3s")]);
    let http = street.stage.http;
    let longest = street.under(async {
        let mut viewers = JoinSet::new();
        for number in 0..VIEWERS {
            viewers.spawn(async move {
                let mut io = dial(http, address(number)).await.expect("room");
                io.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.expect("sent");
                drip(&mut io, b'a', TIME / 3).await
            });
        }
        viewers.join_all().await.into_iter().max().expect("there were some")
    });
    assert!(longest < TIME * 2, "one stayed for {longest:?}");
    street.assert_dropped("slow_head", VIEWERS);
    street.close(Crowd { viewers: 2_000, ..Crowd::default() });
}

/// W14: what two servers may read differently.
pub(super) fn ambiguous() -> Vec<String> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let heads = [
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: +3\r\n",
        "X: a\r\n b\r\n",
        "X: a\n",
        "X: a\rY: b\r\n",
        "Host: y\r\n",
    ];
    let mut questions: Vec<_> = heads.iter().map(|head| get(head)).collect();
    questions.push(get("Transfer-Encoding: chunked\r\n") + "ZZ\r\n\r\n");
    questions
}

/// What is asked and the status it earns.
fn questions(playlist: &str) -> Vec<(String, u16)> {
    let mut questions: Vec<_> = ambiguous().into_iter().map(|question| (question, 400)).collect();
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    // W13: heads and bodies that are too long.
    questions.push((get("/", &"X-Y: z\r\n".repeat(101)), 431));
    questions.push((get("/", &format!("X: {}\r\n", "a".repeat(25 * 1_024))), 431));
    questions.push((get(&format!("/{}", "a".repeat(9 * 1_024)), ""), 414));
    questions.push((get("/", "Content-Length: 999999999\r\n"), 413));
    questions.push((get("/", "Content-Encoding: gzip\r\n"), 415));
    // W18: queries that are too long, or ask the same twice.
    let long = "x=".to_owned() + &"1".repeat(1_024);
    let many = vec!["x=1"; 17].join("&");
    for query in [&long, &many, "_HLS_msn=1&_HLS_msn=1", "_HLS_msn=-1"] {
        questions.push((get(&format!("{playlist}?{query}"), ""), 400));
    }
    // W23: nothing is traced, deleted or tunnelled.
    for method in ["TRACE", "DELETE", "PUT", "SING"] {
        questions.push((get("/", "").replacen("GET", method, 1), 405));
    }
    questions
}

/// W13, W14, W18, W23: whatever is wrong with a request is told by its status, and what follows it
/// on a connection that cannot be understood any more is answered to nobody.
#[test]
fn wrong_requests_are_told_what_is_wrong() {
    const ROUNDS: usize = 10;
    let street = Street::open(&[]);
    let http = street.stage.http;
    street.under(async {
        let (playlist, _) = street.edge().await;
        for round in 0..ROUNDS {
            for (question, status) in questions(&playlist) {
                let mut io = dial(http, address(round)).await.expect("room");
                let smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                // The server may stop reading before we have said it all.
                let _ = io.write_all((question.clone() + smuggled).as_bytes()).await;
                let mut input = BytesMut::new();
                let answer = timeout(PATIENCE, read_answer(&mut io, &mut input)).await;
                let answer = answer.expect("in time").expect("an answer");
                assert_eq!(answer.status, status, "{question:.200}: {answer:?}");
                let mut rest = input.to_vec();
                // It closes now, or after the answer to what followed, with or without a reset.
                let _ = timeout(PATIENCE, io.read_to_end(&mut rest)).await.expect("in time");
                let rest = String::from_utf8_lossy(&rest);
                assert!(rest.is_empty() || !ambiguous().contains(&question), "{question}: {rest}");
            }
        }
    });
    street.close(Crowd { viewers: 1, ..Crowd::default() });
}

/// W8: a channel that does not exist can be asked for as often as one likes; it stays cheap, and
/// nothing is kept of it.
#[test]
fn asking_for_missing_channels_is_cheap() {
    const VIEWERS: usize = 50;
    const TIME: Duration = Duration::from_secs(2);
    let street = Street::open(&[]);
    let http = street.stage.http;
    let before = street.stage.resident_bytes();
    let cpu = street.stage.cpu();
    let asked: u32 = street.under(async {
        let mut viewers = JoinSet::new();
        for number in 0..VIEWERS {
            viewers.spawn(async move {
                let mut io = dial(http, address(number)).await.expect("room");
                let (mut input, mut asked, start) = (BytesMut::new(), 0, Instant::now());
                while start.elapsed() < TIME {
                    let path = format!("/missing{number}x{asked}/index.m3u8?_HLS_msn={asked}");
                    let question = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
                    io.write_all(question.as_bytes()).await.expect("it is read");
                    let answer = timeout(PATIENCE, read_answer(&mut io, &mut input)).await;
                    let answer = answer.expect("in time").expect("an answer");
                    assert_eq!(answer.status, 404, "{answer:?}");
                    asked += 1;
                }
                asked
            });
        }
        viewers.join_all().await.into_iter().sum()
    });
    let each = (street.stage.cpu() - cpu) / asked.max(1);
    let more = street.stage.resident_bytes().saturating_sub(before);
    eprintln!("{asked} missing channels, {each:?} of a processor each, {more} bytes kept");
    assert!(Duration::from_micros(500) > each, "{each:?}");
    street.close(Crowd { viewers: 50, ..Crowd::default() });
}
