//! One line on an interface, not two: packet sockets do not exclude each other, and both lines would forward every frame.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// An interface that nobody else may claim, while this lives.
///
/// It is an abstract socket's name, which network namespaces have each their own of; the kernel takes it back however the
/// process dies.
#[derive(Debug)]
pub(super) struct Claim {
    _name: UnixDatagram,
}

impl Claim {
    /// Claims an interface of the calling thread's network namespace. `AddrInUse`: somebody has.
    pub(super) fn of(interface: u32) -> io::Result<Self> {
        let address = SocketAddr::from_abstract_name(format!("portlane/interface/{interface}"))?;
        Ok(Self { _name: UnixDatagram::bind_addr(&address)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_one_at_a_time() {
        // Of no interface.
        let number = u32::MAX - std::process::id();
        let claim = Claim::of(number).unwrap();
        assert_eq!(Claim::of(number).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(claim);
        Claim::of(number).unwrap();
    }
}
