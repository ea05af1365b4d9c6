//! Interfaces that are changed while they are in use.

use nix::net::if_::if_indextoname;
use portlane_rings::Interface;

/// An interface, as it was when last looked at.
#[derive(Debug)]
pub(super) struct Watched(Interface);

impl Watched {
    pub(super) fn new(interface: Interface) -> Self {
        Self(interface)
    }

    /// What has changed since the last look, in words. That it is down or gone the worker notices by itself.
    pub(super) fn look(&mut self) -> Option<String> {
        let name = if_indextoname(self.0.index).ok()?.into_string().ok()?;
        let now = Interface::query(&name).ok()?;
        let said = changes(&self.0, &now);
        self.0 = now;
        (!said.is_empty()).then(|| said.join("\n"))
    }
}

fn changes(before: &Interface, now: &Interface) -> Vec<String> {
    let mut said = Vec::new();
    let name = &now.name;
    if before.name != now.name {
        let former = &before.name;
        said.push(format!(
            "interface {former} is called {name} now, and served as before: before the next start, change the configuration"
        ));
    }
    if now.receive_queues > before.receive_queues {
        let (queues, former) = (now.receive_queues, before.receive_queues);
        let kind = if now.combined_queues > 0 { "combined" } else { "rx" };
        said.push(format!(
            "interface {name} receives on {queues} queues now, and only those that it had are served: \
             `ethtool -L {name} {kind} {former}` takes the others away"
        ));
    }
    if now.mtu > before.mtu {
        let (former, mtu) = (before.mtu, now.mtu);
        said.push(format!(
            "interface {name} has an MTU of {mtu} now, it had {former}: what is longer than a frame is dropped, see \
             rx_dropped"
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface() -> Interface {
        Interface {
            name: "eth0".to_owned(),
            index: 7,
            up: true,
            mtu: 1_500,
            combined_queues: 0,
            receive_queues: 1,
            address: [2; 6],
            hardware: 1,
        }
    }

    #[test]
    fn what_matters_is_told_and_nothing_else() {
        let before = interface();
        assert_eq!(changes(&before, &Interface { up: false, mtu: 1_400, ..interface() }), [""; 0]);
        let renamed = changes(&before, &Interface { name: "wan0".to_owned(), ..interface() });
        assert!(renamed.len() == 1 && renamed[0].starts_with("interface eth0 is called wan0 now"), "{renamed:?}");
        let wider = Interface { receive_queues: 4, combined_queues: 4, mtu: 9_000, ..interface() };
        let said = changes(&before, &wider);
        assert!(said[0].contains("on 4 queues") && said[0].contains("`ethtool -L eth0 combined 1`"), "{said:?}");
        assert!(said[1].contains("MTU of 9000 now, it had 1500"), "{said:?}");
        assert_eq!(changes(&wider, &before), [""; 0]);
    }
}
