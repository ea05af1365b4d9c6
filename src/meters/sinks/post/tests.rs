//! Receivers that misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Receiver;

use super::*;
use crate::meters::event::Payload;

/// What a receiver does with a report.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Answers(u16),
    /// Closes the connection when it has read so many bytes.
    Cuts(usize),
}

/// A receiver that behaves so, report by report, and takes all that come later. Bodies of those that were answered go to the channel.
fn receiver(manners: Vec<Manner>) -> (Url, Receiver<(u16, Vec<Event>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/meters?from=test", listener.local_addr().unwrap()).parse().unwrap();
    let (told, seen) = mpsc::channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            match manners.get(number).copied().unwrap_or(Manner::Answers(200)) {
                Manner::Answers(status) => {
                    if told.send((status, answer(stream, status))).is_err() {
                        return;
                    }
                }
                Manner::Cuts(bytes) => {
                    let _ = (&stream).read_exact(&mut vec![0; bytes]);
                }
            }
        }
    });
    (url, seen)
}

/// Reads a report, and answers.
fn answer(mut stream: TcpStream, status: u16) -> Vec<Event> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the report is cut");
        text.extend_from_slice(&buffer[..count]);
        let head = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = head.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("POST /meters?from=test HTTP/1.1\r\n"), "{head}");
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() == length.unwrap().parse::<usize>().unwrap() {
            stream.write_all(format!("HTTP/1.1 {status} so\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
            return serde_json::from_str(body).unwrap();
        }
    }
}

fn event(number: u64) -> Event {
    Event {
        event_type: "l3.meter".to_owned(),
        payload: Payload { pkts: number, ..Payload::default() },
        publisher_id: "metering.test".to_owned(),
        timestamp: number,
        message_id: number.to_string(),
    }
}

fn begun(url: &Url, spool: Option<&Path>, limit: Size) -> Post {
    begun_with(url, spool, limit, &Arc::default())
}

fn begun_with(url: &Url, spool: Option<&Path>, limit: Size, delivery: &Arc<Delivery>) -> Post {
    let mut post = Post::open(url, spool, limit, delivery).unwrap();
    post.begin().unwrap();
    post
}

const LONG: Duration = Duration::from_secs(60);

fn numbers(seen: &Receiver<(u16, Vec<Event>)>, count: usize) -> Vec<(u16, u64)> {
    (0..count)
        .map(|_| seen.recv_timeout(LONG).unwrap())
        .map(|(status, events)| (status, events[0].payload.pkts))
        .collect()
}

#[test]
fn reports_arrive_in_their_order_whatever_the_receiver_does() {
    let folder = tempfile::tempdir().unwrap();
    let manners =
        vec![Manner::Cuts(0), Manner::Answers(500), Manner::Cuts(100), Manner::Answers(429), Manner::Answers(200)];
    let (url, seen) = receiver(manners);
    let post = begun(&url, Some(folder.path()), Size(1 << 20));
    for number in 1..=3 {
        post.publish(&[event(number)]);
    }
    assert_eq!(numbers(&seen, 5), [(500, 1), (429, 1), (200, 1), (200, 2), (200, 3)]);
    drop(post);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing waits any more");
}

#[test]
fn what_is_refused_for_good_is_not_tried_again() {
    let (url, seen) = receiver(vec![Manner::Answers(400)]);
    let delivery = Arc::default();
    let post = begun_with(&url, None, Size(1 << 20), &delivery);
    post.publish(&[event(1)]);
    post.publish(&[event(2)]);
    assert_eq!(numbers(&seen, 2), [(400, 1), (200, 2)]);
    drop(post);
    assert_eq!(told(&delivery), [0, 1], "it is counted as lost");
}

/// Reports that wait, and that are lost.
fn told(delivery: &Delivery) -> [u64; 2] {
    delivery.is_wanted();
    let report = delivery.report().unwrap();
    [report.waiting, report.lost]
}

#[test]
fn what_does_not_fit_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (url, len) = (format!("http://{nobody}/").parse().unwrap(), serde_json::to_vec(&[event(1)]).unwrap().len());
    let delivery = Arc::default();
    let post = begun_with(&url, Some(folder.path()), Size(2 * len as u64), &delivery);
    for number in 1..=5 {
        post.publish(&[event(number)]);
    }
    drop(post);
    assert_eq!(told(&delivery), [2, 3]);
}

#[test]
fn what_waits_at_the_end_is_sent_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: Url = format!("http://{nobody}/").parse().unwrap();
    let post = begun(&url, Some(folder.path()), Size(1 << 20));
    for number in 1..=3 {
        post.publish(&[event(number)]);
    }
    drop(post);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let (url, seen) = receiver(Vec::new());
    let post = begun(&url, Some(folder.path()), Size(1 << 20));
    post.publish(&[event(4)]);
    assert_eq!(numbers(&seen, 4), [(200, 1), (200, 2), (200, 3), (200, 4)]);
}

#[test]
fn what_is_no_url_is_refused() {
    for (text, why) in [
        ("collector:8080", "no such URL"),
        ("https://collector/", "no TLS"),
        ("http://user:secret@collector/", "no such URL"),
        ("ftp://collector/", "no such URL"),
        ("http://", "expected the URL"),
    ] {
        let refused = text.parse::<Url>().unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let url: Url = "http://collector:8080/meters?x=1".parse().unwrap();
    assert_eq!(url.to_string(), "http://collector:8080/meters?x=1");
}
