//! What is served, asked over TCP, and what becomes of those who ask badly.

use std::future::Future;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portlane_stats::render::mesos;
use portlane_stats::snapshot::Snapshot;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::answers::tests::{snapshot, telling};
use super::super::endpoints::PATHS;
use super::super::questions::{Inbox, Request};
use super::*;

/// A worker that answers, until it is told to stop.
fn work(inbox: &Inbox, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match inbox.turn() {
            Some(Request::Read(question)) => drop(question.answer.send(telling(snapshot(7_000_000_000)))),
            Some(Request::Reload(_) | Request::Capture(_)) => panic!("nobody asked for that"),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Runs a test against a server with a worker behind it.
fn serving<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (questions, inbox) = questions::channel(MAX_WAITING);
    let (pulse, stop) = (inbox.pulse(), Arc::new(AtomicBool::new(false)));
    let stopping = Arc::clone(&stop);
    let worker = std::thread::spawn(move || work(&inbox, &stopping));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = Source::new(Answers::start(questions, None, Beside::default()), pulse, ANYBODYS_AGE);
        tokio::select! {
            () = test(address) => {}
            never = connections::serve(listener, MAX_TCP, router(source)) => match never {},
        }
    });
    stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
}

/// What comes back for these bytes: everything, until the other side closes.
async fn send(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may close before it has read all.
    let _ = stream.write_all(request).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    response
}

/// Status, head and body.
fn parts(response: &[u8]) -> (u16, String, String) {
    let text = String::from_utf8(response.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?} is no answer"));
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String, String) {
    parts(&send(address, format!("{method} {path} HTTP/1.1\r\nhost: portlane\r\n{headers}\r\n").as_bytes()).await)
}

#[test]
fn every_endpoint_answers_with_its_type() {
    serving(|address| async move {
        for path in PATHS {
            let (status, head, body) = ask(address, "GET", path, "").await;
            assert_eq!(status, 200, "{path}: {body}");
            let media = match path {
                "/health" | "/ready" => "text/plain; charset=utf-8",
                "/metrics" => "text/plain; version=0.0.4; charset=utf-8",
                _ => "application/json",
            };
            assert!(head.contains(&format!("content-type: {media}\r\n")), "{path}: {head}");
            if media == "application/json" {
                assert!(serde_json::from_str::<Value>(&body).is_ok(), "{path}: {body}");
            }
            let (status, head, body) = ask(address, "HEAD", path, "").await;
            assert_eq!((status, body.as_str()), (200, ""), "{path}: {head}");
        }
        let (_, _, stats) = ask(address, "GET", "/stats.json", "").await;
        let snapshot: Snapshot = serde_json::from_str(&stats).unwrap();
        assert_eq!(snapshot.time_ns, 7_000_000_000);
        for path in ["/monitor/statistics", "/monitor/statistics.json?jsonp=x"] {
            assert_eq!(ask(address, "GET", path, "").await.2, mesos::render(&snapshot));
        }
        assert!(ask(address, "GET", "/tc/qdisc", "").await.2.starts_with(r#"[{"kind":"htb","handle":"1:","#));
        assert!(ask(address, "GET", "/tc/class", "").await.2.starts_with(r#"[{"class":"htb","handle":"1:2","#));
        assert!(ask(address, "GET", "/containers", "").await.2.starts_with(r#"[{"id":"web","group":null,"#));
    });
}

#[test]
fn metrics_have_the_format_that_is_asked_for() {
    serving(|address| async move {
        let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
        let (status, head, body) = ask(address, "GET", "/metrics", accept).await;
        assert_eq!(status, 200);
        let media = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
        assert!(head.contains(media) && body.ends_with("# EOF\n"), "{head}");
        let (_, _, body) = ask(address, "GET", "/metrics", "").await;
        assert!(!body.contains("# EOF") && !body.contains("container_network"));
        let (_, _, body) = ask(address, "GET", "/metrics?cadvisor=true", "").await;
        assert!(body.contains("container_network_receive_bytes_total{container=\"web\","));
    });
}

#[test]
fn what_cannot_be_answered_is_a_problem() {
    serving(|address| async move {
        for (method, path, status, words) in [
            ("GET", "/", 404, "there is no /; there are /health, "),
            ("GET", "/stats", 404, "there is no /stats; "),
            ("GET", "/%00%22%5c", 404, "there is no /%00%22%5c; "),
            ("POST", "/control", 404, "there is no /control; "),
            ("POST", "/stats.json", 405, "POST changes nothing here: numbers are read with GET"),
            ("DELETE", "/metrics", 405, "DELETE changes nothing here"),
            ("BREW", "/health", 405, "BREW changes nothing here"),
            ("GET", "/metrics?collect[]=qdisc", 400, "\"collect[]=qdisc\" in the query is not known: cadvisor=true is"),
        ] {
            let (got, head, body) = ask(address, method, path, "").await;
            assert_eq!(got, status, "{method} {path}");
            assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
            assert_eq!(head.contains("allow: get,head"), status == 405, "{head}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &status.into()));
            assert!(problem["title"].is_string() && problem["detail"].as_str().unwrap().starts_with(words), "{body}");
        }
    });
}

#[test]
fn who_asks_badly_is_told_so() {
    serving(|address| async move {
        let long = "x".repeat(100_000);
        for (request, expected) in [
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("GET /health HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400),
            (format!("GET /{long} HTTP/1.1\r\nhost: portlane\r\n\r\n"), 431),
            (format!("GET /health HTTP/1.1\r\nhost: {long}\r\n\r\n"), 431),
            (format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000)), 431),
            ("GET /health HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n".to_owned(), 200),
            ("GET /health HTTP/1.0\r\n\r\n".to_owned(), 200),
        ] {
            let response = send(address, request.as_bytes()).await;
            // Who sends on after the answer may see the connection reset before it has read it.
            if !response.is_empty() || request.len() < 10_000 {
                let status = parts(&response).0;
                assert!(status == expected || status == 414, "{status}: {:.60}", request);
            }
        }
    });
}

/// Who has said all may close its side and is answered all the same.
#[test]
fn a_half_closed_connection_is_answered() {
    serving(|address| async move {
        let stream = TcpStream::connect(address).await.unwrap().into_std().unwrap();
        let mut stream = TcpStream::from_std(stream).unwrap();
        stream.write_all(b"GET /stats.json HTTP/1.1\r\nhost: portlane\r\n\r\n").await.unwrap();
        let closing = stream.into_std().unwrap();
        closing.shutdown(Shutdown::Write).unwrap();
        let mut stream = TcpStream::from_std(closing).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        assert_eq!(parts(&response).0, 200);
    });
}

/// Bytes that are nearly requests.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        Just("GET"),
        Just("HEAD"),
        Just("POST"),
        Just("PRI"),
        Just("CONNECT"),
        "[ -~]{0,8}".prop_map(|_| "G\0T")
    ];
    let path =
        prop_oneof![Just("/metrics".to_owned()), Just("*".to_owned()), "/[ -~]{0,40}", Just("http://[::1".to_owned())];
    let header = prop_oneof![
        Just("accept: application/openmetrics-text;q=,".to_owned()),
        Just("transfer-encoding: chunked".to_owned()),
        Just("content-length: -1".to_owned()),
        Just("expect: 100-continue".to_owned()),
        Just("upgrade: h2c\r\nconnection: upgrade".to_owned()),
        "[ -~]{0,30}",
    ];
    let version = prop_oneof![Just("HTTP/1.1"), Just("HTTP/1.0"), Just("HTTP/2.0"), Just("")];
    let text = (method, path, version, prop::collection::vec(header, 0..6));
    let text = text.prop_map(|(method, path, version, headers)| {
        format!("{method} {path} {version}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes()
    });
    prop_oneof![3 => text, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

#[test]
fn whatever_is_sent_others_are_answered() {
    let mut runner = TestRunner::deterministic();
    let hostile: Vec<_> = (0..300).map(|_| requests().new_tree(&mut runner).unwrap().current()).collect();
    serving(|address| async move {
        for request in hostile {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&request).await;
            // It says no more; what is missing will not come.
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        assert_eq!(ask(address, "GET", "/health", "").await.0, 200);
    });
}
