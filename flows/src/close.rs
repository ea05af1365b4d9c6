//! How flows end.

use std::ops::AddAssign;

macro_rules! close_types {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $name:literal;)+) => {
        /// How a flow ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseType {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl CloseType {
            /// All of them, in the order of [`index`](Self::index).
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// Its number in `FlowMetrics`.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// Its name in `FlowMetrics`: that of the column that counts it, where there is one.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

close_types! {
    /// A combination of flags that has no place in a connection.
    Unknown = 0, "unknown";
    /// Both sides have said that they have no more to send; or the end of what is not TCP.
    Finish = 1, "finish";
    /// The server reset an established connection.
    ServerReset = 2, "server_rst_flow";
    /// An established connection was silent for too long.
    Timeout = 3, "tcp_timeout";
    /// The server never answered the client's SYN.
    ServerSynMiss = 7, "server_syn_miss";
    /// The client has no more to send, and the server never said so.
    ServerHalfClose = 8, "server_half_close_flow";
    /// The client reset an established connection.
    ClientReset = 9, "client_rst_flow";
    /// The client never acknowledged the server's SYN.
    ClientAckMiss = 10, "client_ack_miss";
    /// The server has no more to send, and the client never said so.
    ClientHalfClose = 11, "client_half_close_flow";
    /// The server answered a SYN with data of a connection that it takes for open: the client used a port again.
    ClientSourcePortReuse = 13, "client_source_port_reuse";
    /// The server refused: RST in answer to SYN.
    ServerRefused = 15, "server_reset";
    /// The server went on to answer a SYN after the handshake: its queue of connections is full.
    ServerQueueLack = 17, "server_queue_lack";
    /// The client reset a connection while it was being established, in another way.
    ClientEstablishReset = 18, "client_establish_other_rst";
    /// The server did.
    ServerEstablishReset = 19, "server_establish_other_rst";
    /// A probe: a handshake, no data, and RST by the client.
    Probe = 20, "tcp_fin_client_rst";
}

impl CloseType {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How many flows ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closes([u64; CloseType::COUNT]);

impl Closes {
    /// How many ended so.
    #[must_use]
    pub const fn get(&self, close: CloseType) -> u64 {
        self.0[close.index()]
    }

    /// How many ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Connections that the client did not get established: `client_establish_fail`.
    #[must_use]
    pub fn client_establish_fail(&self) -> u64 {
        use CloseType::{ClientAckMiss, ClientEstablishReset, ClientSourcePortReuse};
        self.sum(&[ClientAckMiss, ClientSourcePortReuse, ClientEstablishReset])
    }

    /// Connections that the server did not get established: `server_establish_fail`.
    #[must_use]
    pub fn server_establish_fail(&self) -> u64 {
        use CloseType::{ServerEstablishReset, ServerQueueLack, ServerRefused, ServerSynMiss};
        self.sum(&[ServerSynMiss, ServerRefused, ServerQueueLack, ServerEstablishReset])
    }

    /// Connections that were not established: `tcp_establish_fail`.
    #[must_use]
    pub fn establish_fail(&self) -> u64 {
        self.client_establish_fail() + self.server_establish_fail()
    }

    /// Connections that failed after they were established: `tcp_transfer_fail`. As in `FlowMetrics`, a full queue of the
    /// server's counts here as well as above.
    #[must_use]
    pub fn transfer_fail(&self) -> u64 {
        use CloseType::{ClientReset, ServerQueueLack, ServerReset, Timeout};
        self.sum(&[ClientReset, ServerReset, ServerQueueLack, Timeout])
    }

    /// Connections that were reset: `tcp_rst_fail`.
    #[must_use]
    pub fn rst_fail(&self) -> u64 {
        use CloseType::{ClientEstablishReset, ClientReset, ServerEstablishReset, ServerRefused, ServerReset};
        self.sum(&[ClientEstablishReset, ServerEstablishReset, ServerRefused, ClientReset, ServerReset])
    }

    pub(crate) fn count(&mut self, close: CloseType) {
        self.0[close.index()] += 1;
    }

    fn sum(&self, closes: &[CloseType]) -> u64 {
        closes.iter().map(|&close| self.get(close)).sum()
    }
}

impl AddAssign for Closes {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
