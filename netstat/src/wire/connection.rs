//! One connection, as seen from its container: as much of RFC 9293's state machine as the kernel's counters depend on.

use super::counters::Counters;
use super::segment::{Flags, Flaw, Segment};

/// As wide as a window is that is not scaled, and no SYN+ACK's is (RFC 7323, section 2.2).
const UNSCALED_WINDOW: u32 = 0xffff;

/// Where a connection is. States that count the same are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The container was given a SYN, and has not answered yet.
    Asked,
    /// It has: SYN-RECEIVED.
    Answered,
    /// It has sent a SYN: SYN-SENT.
    Asking,
    /// ESTABLISHED.
    Established,
    /// CLOSE-WAIT: the other end has no more to send.
    CloseWait,
    /// FIN-WAIT-1 and FIN-WAIT-2: the container has no more to send.
    FinWait,
    /// LAST-ACK: neither has, the container ended last.
    LastAck,
    /// CLOSING and TIME-WAIT: neither has, the container ended first.
    TimeWait,
}

impl State {
    /// What `CurrEstab` counts.
    pub(super) fn is_established(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait)
    }
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is where it was.
    Same,
    /// It is in another state.
    Moved,
    /// It is over, and need not be remembered.
    Over,
}

/// A connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    state: State,
    /// The sequence number that the container sends next.
    snd_nxt: u32,
    /// The one that it expects next.
    rcv_nxt: u32,
    /// Where the highest data ends that was given behind a hole.
    beyond: Option<u32>,
    /// Where the other end's FIN ends, if it was given behind a hole.
    fin_beyond: Option<u32>,
    /// It is established, and the container has not said anything since: its kernel may have dropped the last part of the handshake, or
    /// have ended it before it was answered.
    is_silent: bool,
    /// The container has asked for it: that was counted then.
    has_asked: bool,
    /// Both ends have asked, and the container has answered.
    has_crossed: bool,
}

/// Whether `one` is behind `other`, as sequence numbers go (RFC 9293, section 3.4).
fn is_after(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}

/// Counts a segment that a container was given. False: its kernel does not look at it any further.
fn is_taken(segment: &Segment, counters: &mut Counters) -> bool {
    counters.in_segs += 1;
    match segment.flaw {
        Some(flaw) => {
            counters.in_errs += 1;
            counters.in_csum_errors += u64::from(flaw == Flaw::Checksum);
            false
        }
        None => true,
    }
}

/// A container is given a segment of no connection that is known.
pub(super) fn received_from_nowhere(segment: &Segment, counters: &mut Counters) -> Option<Connection> {
    let is_taken = is_taken(segment, counters);
    let asks = segment.flags.contains(Flags::SYN) && !is_any(segment, &[Flags::ACK, Flags::RST]);
    // What follows one that began before anybody looked is known when the container answers.
    (is_taken && asks).then(|| Connection::new(State::Asked, 0, segment.seq.wrapping_add(1)))
}

/// A container sends a segment of no connection that is known.
pub(super) fn sent_from_nowhere(segment: &Segment, counters: &mut Counters) -> Option<Connection> {
    counters.out_segs += 1;
    if segment.flags.contains(Flags::RST) {
        counters.out_rsts += 1;
        return None;
    }
    let state = if segment.flags.contains(Flags::SYN) {
        if segment.flags.contains(Flags::ACK) {
            State::Answered
        } else {
            counters.active_opens += 1;
            State::Asking
        }
    } else if segment.flags.contains(Flags::FIN) {
        State::FinWait
    } else if segment.data > 0 {
        counters.established += 1;
        State::Established
    } else {
        // It may be over, and its end acknowledged once more.
        return None;
    };
    Some(Connection::new(state, segment.end(), segment.ack))
}

fn is_any(segment: &Segment, flags: &[Flags]) -> bool {
    flags.iter().any(|&flag| segment.flags.contains(flag))
}

impl Connection {
    fn new(state: State, snd_nxt: u32, rcv_nxt: u32) -> Self {
        let has_asked = state == State::Asking;
        Self {
            state,
            snd_nxt,
            rcv_nxt,
            beyond: None,
            fin_beyond: None,
            is_silent: false,
            has_asked,
            has_crossed: false,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// It is remembered no longer.
    pub(super) fn is_forgotten(&self, counters: &mut Counters) {
        if self.state.is_established() {
            counters.leave_established();
        }
    }

    fn moves(&mut self, state: State) -> Change {
        self.state = state;
        Change::Moved
    }

    /// It leaves ESTABLISHED or CLOSE-WAIT for CLOSED.
    fn is_reset(&self, counters: &mut Counters) -> Change {
        if self.state.is_established() {
            counters.estab_resets += 1;
            counters.leave_established();
        }
        Change::Over
    }

    /// The container is given a segment.
    pub(super) fn receives(&mut self, segment: &Segment, counters: &mut Counters) -> Change {
        if !is_taken(segment, counters) {
            return Change::Same;
        }
        if segment.flags.contains(Flags::RST) {
            return self.receives_reset(segment, counters);
        }
        if segment.flags.contains(Flags::SYN) {
            return self.receives_syn(segment, counters);
        }
        match self.state {
            State::Asked | State::Asking => Change::Same,
            State::Answered if !self.completes(segment) => Change::Same,
            State::Answered => {
                self.establishes(counters);
                self.takes(segment);
                Change::Moved
            }
            State::LastAck if segment.flags.contains(Flags::ACK) && segment.ack == self.snd_nxt => Change::Over,
            _ => self.takes(segment),
        }
    }

    fn establishes(&mut self, counters: &mut Counters) -> Change {
        counters.established += 1;
        self.is_silent = true;
        if !self.has_asked {
            counters.passive_open();
        }
        self.moves(State::Established)
    }

    /// Whether a segment is the last of the handshake, or behind that: `tcp_check_req`.
    fn completes(&self, segment: &Segment) -> bool {
        let begins_before = is_after(segment.end(), self.rcv_nxt) && is_after(self.rcv_nxt, segment.seq);
        let is_in_window = begins_before || self.is_near(segment.seq);
        segment.flags.contains(Flags::ACK) && segment.ack == self.snd_nxt && is_in_window
    }

    /// Whether a segment acknowledges the SYN+ACK, or nothing: any other is none of the connection's.
    fn is_for_answer(&self, segment: &Segment) -> bool {
        !segment.flags.contains(Flags::ACK) || segment.ack == self.snd_nxt
    }

    /// Whether a sequence number is in the window of a SYN+ACK.
    fn is_near(&self, seq: u32) -> bool {
        seq.wrapping_sub(self.rcv_nxt) < UNSCALED_WINDOW
    }

    /// `tcp_rcv_synsent_state_process`, `tcp_check_req`, `tcp_validate_incoming` and `tcp_reset`.
    fn receives_reset(&mut self, segment: &Segment, counters: &mut Counters) -> Change {
        match self.state {
            State::Asking if segment.flags.contains(Flags::ACK) && segment.ack == self.snd_nxt => {
                counters.attempt_fails += 1;
                Change::Over
            }
            // Another number within the window is challenged, too.
            State::Answered if segment.seq == self.rcv_nxt => {
                counters.attempt_fails += 1;
                Change::Over
            }
            State::Asked if segment.seq == self.rcv_nxt => Change::Over,
            State::Asking | State::Answered | State::Asked => Change::Same,
            _ if segment.seq == self.rcv_nxt || self.beyond == Some(segment.seq) || self.is_at_fin(segment.seq) => {
                self.is_reset(counters)
            }
            // A challenge (RFC 5961, section 3.2), or nothing.
            _ => Change::Same,
        }
    }

    /// Some send a reset with the number of their FIN: `tcp_reset_check`.
    fn is_at_fin(&self, seq: u32) -> bool {
        let is_after_fin = matches!(self.state, State::CloseWait | State::LastAck | State::TimeWait);
        is_after_fin && seq == self.rcv_nxt.wrapping_sub(1)
    }

    fn receives_syn(&mut self, segment: &Segment, counters: &mut Counters) -> Change {
        let is_answer = segment.flags.contains(Flags::ACK);
        let is_same = segment.seq == self.rcv_nxt.wrapping_sub(1);
        match self.state {
            State::Asking if is_answer && segment.ack == self.snd_nxt => {
                self.rcv_nxt = segment.end();
                self.establishes(counters)
            }
            // Both ask at the same time (RFC 9293, figure 7).
            State::Asking if !is_answer => {
                self.rcv_nxt = segment.end();
                self.moves(State::Answered)
            }
            State::Asked if !is_answer => {
                counters.unanswered_syns += 1;
                self.rcv_nxt = segment.seq.wrapping_add(1);
                self.moves(State::Asked)
            }
            // The other end has asked at the same time, and answers what it was asked.
            State::Answered if self.has_asked => {
                if is_answer && is_same && segment.ack == self.snd_nxt {
                    self.establishes(counters)
                } else {
                    Change::Same
                }
            }
            State::Answered if !is_same && self.is_near(segment.seq) && self.is_for_answer(segment) => {
                counters.attempt_fails += 1;
                Change::Over
            }
            State::TimeWait if !is_answer => {
                *self = Self::new(State::Asked, 0, segment.seq.wrapping_add(1));
                Change::Moved
            }
            State::Established => {
                counters.in_errs += 1;
                Change::Same
            }
            _ => Change::Same,
        }
    }

    /// Data and FIN are taken, in their order: `tcp_data_queue`. Not what comes after the end, nor with an acknowledgment of what was
    /// not sent, or without one (`tcp_rcv_state_process`, `tcp_ack`).
    fn takes(&mut self, segment: &Segment) -> Change {
        let end = segment.end();
        let goes_on = matches!(self.state, State::Established | State::FinWait);
        let acknowledges = segment.flags.contains(Flags::ACK) && !is_after(segment.ack, self.snd_nxt);
        if !goes_on || !acknowledges || !is_after(end, self.rcv_nxt) {
            return Change::Same;
        }
        let has_fin = segment.flags.contains(Flags::FIN);
        if is_after(segment.seq, self.rcv_nxt) {
            let beyond = self.beyond.filter(|&beyond| is_after(beyond, end));
            self.beyond = beyond.or(Some(end));
            self.fin_beyond = self.fin_beyond.or(has_fin.then_some(end));
            return Change::Same;
        }
        self.expects(end, has_fin)
    }

    /// All before `next` has arrived.
    fn expects(&mut self, next: u32, has_fin: bool) -> Change {
        self.rcv_nxt = next;
        self.beyond = self.beyond.filter(|&beyond| is_after(beyond, next));
        if !has_fin && self.fin_beyond != Some(next) {
            return Change::Same;
        }
        match self.state {
            State::Established => self.moves(State::CloseWait),
            State::FinWait => self.moves(State::TimeWait),
            _ => Change::Same,
        }
    }

    /// The container sends a segment.
    pub(super) fn sends(&mut self, segment: &Segment, counters: &mut Counters) -> Change {
        if segment.flags.contains(Flags::RST) {
            return self.sends_reset(segment, counters);
        }
        if segment.flags.contains(Flags::SYN) {
            return self.sends_syn(segment, counters);
        }
        let end = segment.end();
        let has_more = end != segment.seq;
        let is_again = has_more && !is_after(end, self.snd_nxt);
        if is_again && !matches!(self.state, State::Asked) {
            counters.retrans_segs += 1;
        } else {
            counters.out_segs += 1;
        }
        if has_more && !is_again {
            self.snd_nxt = end;
        }
        let mut change = self.shows_that_established(has_more, counters);
        self.is_silent = false;
        if segment.flags.contains(Flags::ACK) && is_after(segment.ack, self.rcv_nxt) {
            change = or(self.expects(segment.ack, false), change);
        }
        if segment.flags.contains(Flags::FIN) && !is_again {
            change = or(self.sends_fin(counters), change);
        }
        change
    }

    /// A container that sends data has a connection, whatever of the handshake was seen here.
    fn shows_that_established(&mut self, has_more: bool, counters: &mut Counters) -> Change {
        match self.state {
            State::Answered | State::Asking if has_more => self.establishes(counters),
            _ => Change::Same,
        }
    }

    /// `tcp_close_state`.
    fn sends_fin(&mut self, counters: &mut Counters) -> Change {
        match self.state {
            State::Established => {
                counters.leave_established();
                self.moves(State::FinWait)
            }
            State::CloseWait => {
                counters.leave_established();
                self.moves(State::LastAck)
            }
            _ => Change::Same,
        }
    }

    /// A reset that answers a wrong SYN+ACK, or a wrong answer to one, ends nothing: `tcp_v4_send_reset`.
    fn sends_reset(&mut self, segment: &Segment, counters: &mut Counters) -> Change {
        counters.out_segs += 1;
        counters.out_rsts += 1;
        // Without ACK it answers a segment of no connection that the kernel knows: who ends one acknowledges (`tcp_send_active_reset`).
        let was_none = self.is_silent && !segment.flags.contains(Flags::ACK);
        match self.state {
            State::Asking | State::Answered => Change::Same,
            State::Established | State::CloseWait if was_none => {
                self.is_none(counters);
                Change::Over
            }
            _ => self.is_reset(counters),
        }
    }

    /// The queue of those that may be accepted is full: the last part of the handshake was dropped. Or the container has given up what
    /// it asked for before it was answered.
    fn is_none(&mut self, counters: &mut Counters) {
        counters.leave_established();
        counters.owed_opens += u64::from(!self.has_asked);
        self.is_silent = false;
    }

    fn sends_syn(&mut self, segment: &Segment, counters: &mut Counters) -> Change {
        let is_same = segment.seq.wrapping_add(1) == self.snd_nxt;
        if segment.flags.contains(Flags::ACK) {
            return self.answers(segment, is_same, counters);
        }
        if self.state == State::Asking && is_same {
            counters.retrans_segs += 1;
            counters.syn_retrans += 1;
            return Change::Same;
        }
        counters.out_segs += 1;
        counters.active_opens += 1;
        self.is_forgotten(counters);
        *self = Self::new(State::Asking, segment.end(), 0);
        Change::Moved
    }

    /// A SYN+ACK is counted as sent each time, and as sent again from the second time on (`tcp_make_synack`, `tcp_rtx_synack`). Of one who
    /// has asked himself it is his SYN once more: not counted at first, and as any other that is sent again then (`tcp_send_synack`).
    fn answers(&mut self, segment: &Segment, is_same: bool, counters: &mut Counters) -> Change {
        if self.has_asked && is_same {
            let again = u64::from(std::mem::replace(&mut self.has_crossed, true));
            counters.retrans_segs += again;
            counters.syn_retrans += again;
            if self.state != State::Asking {
                return Change::Same;
            }
            self.rcv_nxt = segment.ack;
            return self.moves(State::Answered);
        }
        counters.out_segs += 1;
        let is_known = matches!(self.state, State::Answered | State::Established) && is_same;
        if is_known && (self.state == State::Answered || self.is_silent) {
            counters.retrans_segs += 1;
            counters.syn_retrans += 1;
        }
        match self.state {
            State::Established if is_known && self.is_silent => {
                self.is_none(counters);
                self.moves(State::Answered)
            }
            State::Established | State::CloseWait => Change::Same,
            _ => {
                (self.snd_nxt, self.rcv_nxt) = (segment.end(), segment.ack);
                self.moves(State::Answered)
            }
        }
    }
}

fn or(change: Change, otherwise: Change) -> Change {
    if change == Change::Same { otherwise } else { change }
}
