//! Questions and answers of applications: DNS (RFC 1035) and HTTP/1 (RFC 9112), as far as the first bytes of a packet tell.

use domain::base::Message as Dns;
use domain::base::iana::{Opcode, Rcode};

use crate::SECOND;
use crate::meter::{Dialogue, Meter};

/// Ports of DNS, and of its multicast kin (RFC 6762).
const DNS_PORTS: [u16; 2] = [53, 5_353];

/// A protocol that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// Questions and answers are paired by their ids.
    Dns,
    /// The next answer is to the last question.
    Http,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for.
    Well,
    /// The question was wrong: a status from 400 to 499; FORMERR or NXDOMAIN.
    ClientError,
    /// It could not be answered: a status from 500 to 600; any other code of DNS.
    ServerError,
}

/// A question or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of what protocol.
    pub application: Application,
    /// Tells questions of DNS apart; 0 of HTTP.
    pub id: u16,
    /// `None`: it is a question.
    pub answer: Option<Answer>,
}

/// The questions and answers that a packet begins, in their order: of more than [`MOST`](Self::MOST) the first ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages([Option<Message>; Messages::MOST]);

impl Messages {
    /// How many there may be.
    pub const MOST: usize = 4;

    /// What a datagram begins.
    pub(crate) fn of_datagram(payload: &[u8], ports: [u16; 2]) -> Self {
        if is_dns(ports) { dns(payload).into() } else { Self::default() }
    }

    /// What a segment begins.
    pub(crate) fn of_segment(payload: &[u8], ports: [u16; 2]) -> Self {
        if is_dns(ports) { Self::behind_lengths(payload) } else { http(payload).into() }
    }

    /// Of DNS over TCP a message has its length before it, and a segment may have several (RFC 7766, section 6.2.1.1).
    fn behind_lengths(mut payload: &[u8]) -> Self {
        let mut messages = Self::default();
        for message in &mut messages.0 {
            let Some((length, rest)) = payload.split_first_chunk() else { break };
            let length = usize::from(u16::from_be_bytes(*length));
            *message = dns(rest.get(..length).unwrap_or(rest));
            payload = rest.get(length..).unwrap_or_default();
            if message.is_none() {
                break;
            }
        }
        messages
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Message> {
        self.0.iter().map_while(|message| *message)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }
}

impl From<Option<Message>> for Messages {
    fn from(message: Option<Message>) -> Self {
        let mut messages = Self::default();
        messages.0[0] = message;
        messages
    }
}

fn is_dns(ports: [u16; 2]) -> bool {
    ports.iter().any(|port| DNS_PORTS.contains(port))
}

fn dns(payload: &[u8]) -> Option<Message> {
    let message = Dns::from_octets(payload).ok()?;
    let header = message.header();
    let asks = message.header_counts().qdcount() > 0;
    if header.opcode() != Opcode::QUERY || !asks && !header.qr() {
        return None;
    }
    let answer = header.qr().then(|| match header.rcode() {
        Rcode::NOERROR => Answer::Well,
        Rcode::FORMERR | Rcode::NXDOMAIN => Answer::ClientError,
        _ => Answer::ServerError,
    });
    Some(Message { application: Application::Dns, id: header.id(), answer })
}

fn http(payload: &[u8]) -> Option<Message> {
    let message = |answer| Message { application: Application::Http, id: 0, answer };
    // Most segments go on with what others have begun.
    if payload.starts_with(b"HTTP/1.") {
        let mut answer = httparse::Response::new(&mut []);
        // There are more headers than none.
        let _ = answer.parse(payload);
        return match answer.code? {
            // The answer is yet to come. After 101 it is in another protocol.
            100 | 102 | 103 => None,
            400..=499 => Some(message(Some(Answer::ClientError))),
            500..=600 => Some(message(Some(Answer::ServerError))),
            _ => Some(message(Some(Answer::Well))),
        };
    }
    if !payload.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    let mut question = httparse::Request::new(&mut []);
    let _ = question.parse(payload);
    (question.method.is_some() && question.version.is_some()).then(|| message(None))
}

/// Questions that may be open at a time; beyond, the oldest is given up.
const MOST: usize = 16;

/// How long an answer may take: what comes later answers nothing.
const LONGEST_TCP: u64 = 300 * SECOND;
const LONGEST_UDP: u64 = 150 * SECOND;

/// The questions and answers of a flow. Most flows have none.
#[derive(Debug, Default)]
pub(crate) struct Questions(Option<Box<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// Ids, and when they were asked, in the order in which they were.
    asked: Vec<(Application, u16, u64)>,
    /// Answers have come, and none of an error.
    answered_well: bool,
    failed: bool,
}

impl Questions {
    /// A question or an answer, at `now_ns`.
    pub(crate) fn message(&mut self, message: Message, over_tcp: bool, now_ns: u64, meter: &mut Meter) {
        let Message { application, id, answer } = message;
        let open = self.0.get_or_insert_default();
        let counted = meter.dialogue(application);
        let same = |&(of, other, _): &(Application, u16, u64)| (of, other) == (application, id);
        let earlier = open.asked.iter().position(same).map(|position| open.asked.remove(position));
        let Some(answer) = answer else {
            counted.request += 1;
            // One that is asked again is not answered any more; nor is the oldest of too many.
            counted.timeout += u32::from(earlier.is_some());
            if open.asked.len() == MOST {
                let (oldest, ..) = open.asked.remove(0);
                meter.dialogue(oldest).timeout += 1;
            }
            return open.asked.push((application, id, now_ns));
        };
        counted.answer(answer);
        open.answered_well |= answer == Answer::Well;
        open.failed |= answer != Answer::Well;
        if let Some((_, _, asked_ns)) = earlier {
            let longest = if over_tcp { LONGEST_TCP } else { LONGEST_UDP };
            if now_ns.saturating_sub(asked_ns) > longest {
                counted.timeout += 1;
            } else {
                counted.rrt.measure(asked_ns, now_ns, longest);
            }
        }
    }

    /// Nothing is answered any more.
    pub(crate) fn end(&self, meter: &mut Meter) {
        for &(application, ..) in self.0.iter().flat_map(|open| &open.asked) {
            meter.dialogue(application).timeout += 1;
        }
    }

    /// Whether there were answers, and all of them were well.
    pub(crate) fn are_answered_well(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.answered_well && !open.failed)
    }
}

impl Dialogue {
    fn answer(&mut self, answer: Answer) {
        self.response += 1;
        match answer {
            Answer::Well => {}
            Answer::ClientError => self.client_error += 1,
            Answer::ServerError => self.server_error += 1,
        }
    }
}

#[cfg(test)]
mod tests;
