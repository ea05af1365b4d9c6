//! The way from those who want changes to the one who makes them.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam::channel::{self, Receiver, Sender};
use tokio::sync::oneshot;
use toml::Table;

/// Changes that may wait at a time.
const MOST: usize = 16;

/// What the bell says; whatever else comes the same way is a SIGHUP.
const RUNG: u8 = b'o';

/// A change that is wanted of a running portlane.
#[derive(Debug)]
pub enum Wanted {
    /// A container with these keys comes, or takes the place of one that was added.
    Put(String, Table),
    /// A container that was added gets these keys; those that are not among them stay.
    Set(String, Table),
    /// A container that was added goes, when it is empty.
    Remove(String),
    /// The configuration file is read again.
    Reload,
    /// Nothing more is taken; what waits is sent, and portlane ends.
    Drain,
    /// None: the containers are to be told.
    List,
}

/// Somebody wants a change.
#[derive(Debug)]
pub struct Order {
    /// Which.
    pub wanted: Wanted,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<serde_json::Value, Refusal>>,
}

/// Why a change is refused: nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such container.
    #[error("{0}")]
    Unknown(String),
    /// Something else is in the way.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be.
    #[error("{0}")]
    Invalid(String),
    /// It could be, but something failed.
    #[error("{0}")]
    Failed(String),
}

/// Where orders are given.
#[derive(Debug, Clone)]
pub struct Orders {
    orders: Sender<Order>,
    bell: Arc<UnixStream>,
}

impl Orders {
    /// Orders, and where they are read. Each rings the bell: whoever waits at its other end need not look for orders.
    #[must_use]
    pub fn new(bell: UnixStream) -> (Self, Receiver<Order>) {
        let (orders, read) = channel::bounded(MOST);
        (Self { orders, bell: Arc::new(bell) }, read)
    }

    /// Whether what came from the bell's other end says more than that there are orders.
    #[must_use]
    pub fn is_hangup(heard: &[u8]) -> bool {
        heard.iter().any(|&byte| byte != RUNG)
    }

    /// Gives an order. `None`: too many wait, or nobody reads them any more.
    pub async fn give(&self, wanted: Wanted) -> Option<Result<serde_json::Value, Refusal>> {
        let (answer, answered) = oneshot::channel();
        self.orders.try_send(Order { wanted, answer }).ok()?;
        // Were it full, it would have been heard.
        let _ = (&*self.bell).write(&[RUNG]);
        answered.await.ok()
    }
}
