//! The way from those who want changes to the one who makes them.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver, Sender};
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
    /// Orders, and where they are read. Each rings the bell: whoever waits at its other end need not look for orders. Who
    /// stops reading drops what waits, so that those who wait for answers learn it.
    #[must_use]
    pub fn new(bell: UnixStream) -> (Self, Receiver<Order>) {
        let (orders, read) = mpsc::channel(MOST);
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::Read;
    use std::iter::from_fn;

    use serde_json::{Value, json};
    use tokio::runtime::Builder;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// Orders, where they are read, and the other end of their bell.
    fn desk() -> (Orders, Receiver<Order>, UnixStream) {
        let (bell, heard) = UnixStream::pair().unwrap();
        bell.set_nonblocking(true).unwrap();
        let (orders, read) = Orders::new(bell);
        (orders, read, heard)
    }

    fn run(test: impl Future<Output = ()>) {
        Builder::new_current_thread().build().unwrap().block_on(test);
    }

    type Answer = JoinHandle<Option<Result<Value, Refusal>>>;

    /// Gives the order to remove this container, and returns as soon as it waits.
    async fn give(orders: &Orders, id: usize) -> Answer {
        let orders = orders.clone();
        let answer = tokio::spawn(async move { orders.give(Wanted::Remove(id.to_string())).await });
        yield_now().await;
        answer
    }

    #[test]
    fn orders_are_read_as_they_were_given_and_each_has_its_own_answer() {
        run(async {
            let (orders, mut read, _heard) = desk();
            let mut answers = Vec::new();
            for id in 0..MOST {
                answers.push(give(&orders, id).await);
            }
            let read: Vec<_> = from_fn(|| read.try_recv().ok()).collect();
            let ids = read.iter().map(|order| match &order.wanted {
                Wanted::Remove(id) => id.parse::<usize>().unwrap(),
                other => panic!("{other:?}"),
            });
            assert!(ids.eq(0..MOST), "{read:?}");
            for (id, order) in read.into_iter().enumerate().rev() {
                order.answer.send(Ok(json!(id))).unwrap();
            }
            for (id, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.await.unwrap(), Some(Ok(json!(id))));
            }
        });
    }

    #[test]
    fn one_too_many_is_turned_away_until_another_is_read() {
        run(async {
            let (orders, mut read, _heard) = desk();
            for id in 0..MOST {
                give(&orders, id).await;
            }
            assert_eq!(orders.give(Wanted::List).await, None);
            assert_eq!(read.len(), MOST, "those that waited wait on");
            drop(read.try_recv().unwrap());
            let last = give(&orders, MOST).await;
            let why = Refusal::Conflict("there was room".to_owned());
            from_fn(|| read.try_recv().ok()).last().unwrap().answer.send(Err(why.clone())).unwrap();
            assert_eq!(last.await.unwrap(), Some(Err(why)));
        });
    }

    #[test]
    fn who_is_not_answered_learns_it() {
        run(async {
            let (orders, mut read, _heard) = desk();
            let waits = give(&orders, 0).await;
            drop(read.try_recv().unwrap());
            assert_eq!(waits.await.unwrap(), None, "it was read, and not answered");
            let waits = give(&orders, 1).await;
            drop(read);
            assert_eq!(waits.await.unwrap(), None, "who was to read it has gone");
            assert_eq!(orders.give(Wanted::Drain).await, None, "nobody reads");
        });
    }

    #[test]
    fn the_bell_tells_orders_from_a_hangup() {
        run(async {
            let (orders, _read, mut heard) = desk();
            for id in 0..3 {
                give(&orders, id).await;
            }
            let mut bytes = [0; 64];
            assert_eq!(heard.read(&mut bytes).unwrap(), 3, "each rings");
            assert!(!Orders::is_hangup(&bytes[..3]));
            // What signal-hook writes.
            bytes[1] = b'X';
            assert!(Orders::is_hangup(&bytes[..3]) && Orders::is_hangup(&bytes[1..2]));
            assert!(!Orders::is_hangup(&[]));
        });
    }

    #[test]
    fn a_full_bell_keeps_no_order_back() {
        run(async {
            let (orders, read, _heard) = desk();
            while (&*orders.bell).write(&[RUNG; 4_096]).is_ok() {}
            give(&orders, 0).await;
            assert_eq!(read.len(), 1);
        });
    }
}
