//! Messages by their bytes, and what becomes of questions.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

/// A header of DNS (RFC 1035, section 4.1.1), and the question for the root's name servers.
fn dns(id: u16, answers: bool, rcode: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let flags = if answers { 0x84 } else { 0x01 };
    [&[high, low, flags, rcode, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0, 0, 2, 0, 1]].concat()
}

fn http(text: &str) -> Option<Option<Answer>> {
    let messages: Vec<_> = Messages::of_segment(text.as_bytes(), [45_000, 8_080]).iter().collect();
    assert!(messages.len() <= 1, "of HTTP a segment begins one at most");
    messages.first().map(|message| {
        assert_eq!((message.application, message.id), (Application::Http, 0));
        message.answer
    })
}

#[test]
fn messages_of_dns_are_told_by_port_and_header() {
    let read = |payload: &[u8]| Messages::of_datagram(payload, [53, 40_000]);
    let message = |id, answer| Messages::from(Some(Message { application: Application::Dns, id, answer }));
    let none = Messages::default();
    assert_eq!(read(&dns(7, false, 0)), message(7, None));
    for (rcode, answer) in [
        (0, Answer::Well),
        (1, Answer::ClientError),
        (2, Answer::ServerError),
        (3, Answer::ClientError),
        (5, Answer::ServerError),
    ] {
        assert_eq!(read(&dns(7, true, rcode)), message(7, Some(answer)), "{rcode}");
    }
    assert_eq!(Messages::of_datagram(&dns(7, false, 0), [80, 40_000]), none);
    assert_eq!(read(&dns(7, false, 0)[..11]), none);
    let mut update = dns(7, false, 0);
    update[2] = 5 << 3;
    assert_eq!(read(&update), none);
    assert!(none.is_empty() && !message(7, None).is_empty());
}

#[test]
fn a_segment_may_have_several_messages_of_dns() {
    let over_tcp =
        |ids: &[u16]| ids.iter().flat_map(|&id| [vec![0, 17], dns(id, false, 0)].concat()).collect::<Vec<_>>();
    let ids = |payload: &[u8]| -> Vec<_> {
        Messages::of_segment(payload, [40_000, 53]).iter().map(|message| message.id).collect()
    };
    assert_eq!(ids(&over_tcp(&[9])), [9]);
    assert_eq!(ids(&over_tcp(&[9, 7])), [9, 7]);
    assert_eq!(ids(&over_tcp(&[5, 4, 3, 2, 1])), [5, 4, 3, 2], "the first ones");
    let two = over_tcp(&[9, 7]);
    assert_eq!(ids(&two[..19 + 2 + 12]), [9, 7], "the header is enough");
    assert_eq!(ids(&two[..19 + 2 + 11]), [9]);
    assert_eq!(ids(&[&two[..19], &[0, 3, 1, 2, 3], &two[19..]].concat()), [9], "it cannot be told what is behind");
    for none in [&[][..], &[0], &[0, 0], &[0, 0, 0, 0]] {
        assert_eq!(ids(none), [0_u16; 0], "{none:?}");
    }
}

#[test]
fn messages_of_http_are_told_by_their_first_line() {
    assert_eq!(http("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(None));
    assert_eq!(http("POST /x?y HTTP/1.0\r\n"), Some(None));
    assert_eq!(http("HTTP/1.1 200 OK\r\nServer: a\r\n\r\nbody"), Some(Some(Answer::Well)));
    assert_eq!(http("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Some(Some(Answer::Well)));
    assert_eq!(http("HTTP/1.0 200 OK\r\n"), Some(Some(Answer::Well)), "its headers come later");
    assert_eq!(http("HTTP/1.1 304 Not Modified\r\n\r\n"), Some(Some(Answer::Well)));
    assert_eq!(http("HTTP/1.0 404 Not Found\r\n"), Some(Some(Answer::ClientError)));
    assert_eq!(http("HTTP/1.1 503 \r\n"), Some(Some(Answer::ServerError)));
    for none in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / with",
        "get / HTTP/1.1\r\n",
        "",
        "\x16\x03\x01",
    ] {
        assert_eq!(http(none), None, "{none}");
    }
}

fn asked(id: u16) -> Message {
    Message { application: Application::Dns, id, answer: None }
}

fn answered(id: u16, answer: Answer) -> Message {
    Message { answer: Some(answer), ..asked(id) }
}

#[test]
fn answers_are_paired_by_id_and_in_time() {
    let (mut questions, mut meter) = (Questions::default(), Meter::default());
    let mut at = |ms: u64, message| questions.message(message, false, ms * MS, &mut meter);
    at(0, asked(1));
    at(1, asked(2));
    at(5, answered(2, Answer::Well));
    at(11, answered(1, Answer::ClientError));
    at(12, answered(1, Answer::Well));
    // Asked again, and too late.
    at(20, asked(3));
    at(30, asked(3));
    at(150_031, answered(3, Answer::ServerError));
    at(200_000, asked(4));
    questions.end(&mut meter);
    let rrt = crate::Timing { sum_ns: 15 * MS, count: 2, max_ns: 11 * MS };
    let expected = Dialogue { request: 5, response: 4, client_error: 1, server_error: 1, timeout: 3, rrt };
    assert_eq!(meter, Meter { dns: expected, ..Meter::default() });
    assert!(!questions.are_answered_well());
}

proptest! {
    /// Each question is answered in time, or is a timeout; and what is remembered is bounded.
    #[test]
    fn every_question_ends_once(
        messages in prop::collection::vec((0..40_u16, 0..4_u8, any::<bool>(), 0..80_000_u64), 0..200),
    ) {
        let (mut questions, mut meter, mut now) = (Questions::default(), Meter::default(), 0);
        for (id, kind, http, later) in messages {
            now += later * MS;
            let application = if http { Application::Http } else { Application::Dns };
            let id = if http { 0 } else { id };
            let answer = [None, Some(Answer::Well), Some(Answer::ClientError), Some(Answer::ServerError)][usize::from(kind)];
            questions.message(Message { application, id, answer }, http, now, &mut meter);
            prop_assert!(questions.0.as_ref().is_none_or(|open| open.asked.len() <= MOST));
        }
        questions.end(&mut meter);
        for of in [meter.dns, meter.http] {
            // What took no time is not measured.
            prop_assert!(of.rrt.count + u64::from(of.timeout) <= of.request.into());
            prop_assert!(of.rrt.count <= of.response.into() && of.client_error + of.server_error <= of.response);
        }
    }

    #[test]
    fn any_bytes_may_come(payload in prop::collection::vec(any::<u8>(), 0..60), dns in any::<bool>()) {
        let ports = if dns { [53, 1] } else { [80, 1] };
        let _ = (Messages::of_datagram(&payload, ports), Messages::of_segment(&payload, ports));
    }
}
