//! What is counted for a container.

use std::ops::AddAssign;

/// The kernel's TCP counters, as far as they are known from frames, and two of our own. Segments unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// `InSegs`: given to the container, wrong ones included (`tcp_v4_rcv`).
    pub in_segs: u64,
    /// `OutSegs`: sent for the first time, or without data; SYN+ACKs each time (`__tcp_transmit_skb`, `tcp_make_synack`,
    /// `tcp_v4_send_reset`, `tcp_v4_send_ack`).
    pub out_segs: u64,
    /// `RetransSegs`: SYNs, SYN+ACKs, data and FINs sent again (`__tcp_retransmit_skb`, `tcp_rtx_synack`).
    pub retrans_segs: u64,
    /// `ActiveOpens`: connections that the container has asked for (`tcp_connect`).
    pub active_opens: u64,
    /// `PassiveOpens`: connections that it was asked for, and whose handshake is complete (`tcp_create_openreq_child`).
    pub passive_opens: u64,
    /// `AttemptFails`: connections that were reset before they were established (`tcp_done`, `tcp_check_req`).
    pub attempt_fails: u64,
    /// `EstabResets`: connections that were reset, by either end, while they were established or in CLOSE-WAIT
    /// (`tcp_set_state`).
    pub estab_resets: u64,
    /// `CurrEstab`: connections that are established or in CLOSE-WAIT now. A gauge.
    pub established: u64,
    /// `OutRsts`: sent with RST (`tcp_v4_send_reset`, `tcp_send_active_reset`).
    pub out_rsts: u64,
    /// `InErrs`: given with a wrong checksum or a header that is too short.
    pub in_errs: u64,
    /// `InCsumErrors`: given with a wrong checksum.
    pub in_csum_errors: u64,
    /// `TCPSynRetrans`: SYNs and SYN+ACKs sent again.
    pub syn_retrans: u64,
    /// Given SYNs that neither a SYN+ACK nor a reset has answered, within a second or until the next came. No counter of the kernel's:
    /// it may have dropped them (`ListenDrops`), or what it sent was lost on its way here.
    pub unanswered_syns: u64,
    /// Connections that there was no room for. Of them segments are counted, but not what they mean: all that they send is
    /// taken for new.
    pub untracked: u64,
    /// Passive opens counted whose handshake was not complete after all: the next one counts for them.
    pub(super) owed_opens: u64,
}

impl Counters {
    /// A connection that the container was asked for is established.
    pub(super) fn passive_open(&mut self) {
        match self.owed_opens.checked_sub(1) {
            Some(rest) => self.owed_opens = rest,
            None => self.passive_opens += 1,
        }
    }

    /// One is established no more.
    pub(super) fn leave_established(&mut self) {
        self.established = self.established.saturating_sub(1);
    }

    /// Each of the kernel's counters by its protocol and name, as in `/proc/net/snmp` and `netstat`.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &'static str, u64); 12] {
        [
            ("Tcp", "ActiveOpens", self.active_opens),
            ("Tcp", "PassiveOpens", self.passive_opens),
            ("Tcp", "AttemptFails", self.attempt_fails),
            ("Tcp", "EstabResets", self.estab_resets),
            ("Tcp", "CurrEstab", self.established),
            ("Tcp", "InSegs", self.in_segs),
            ("Tcp", "OutSegs", self.out_segs),
            ("Tcp", "RetransSegs", self.retrans_segs),
            ("Tcp", "InErrs", self.in_errs),
            ("Tcp", "OutRsts", self.out_rsts),
            ("Tcp", "InCsumErrors", self.in_csum_errors),
            ("TcpExt", "TCPSynRetrans", self.syn_retrans),
        ]
    }
}

/// Of one container at several workers.
impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.in_segs += other.in_segs;
        self.out_segs += other.out_segs;
        self.retrans_segs += other.retrans_segs;
        self.active_opens += other.active_opens;
        self.passive_opens += other.passive_opens;
        self.attempt_fails += other.attempt_fails;
        self.estab_resets += other.estab_resets;
        self.established += other.established;
        self.out_rsts += other.out_rsts;
        self.in_errs += other.in_errs;
        self.in_csum_errors += other.in_csum_errors;
        self.syn_retrans += other.syn_retrans;
        self.unanswered_syns += other.unanswered_syns;
        self.untracked += other.untracked;
        self.owed_opens += other.owed_opens;
    }
}
