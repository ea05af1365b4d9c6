//! Offloads that would show the line other frames than those on the wire: switched off for a run, and put back at its end.
//!
//! What has to be put back needs `CAP_NET_ADMIN`, which the worker gives up. So a thread keeps it, that does nothing else than
//! wait for the end. For runs that are killed there is a file, from which the next one puts things right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use caps::Capability;
use crossbeam::channel::{self, Sender};
use nix::libc::ENODEV;
use nix::net::if_::{if_indextoname, if_nametoindex};
use portlane_rings::Features;
use portlane_stats::snapshot::Mode;

use crate::config::{Plan, Switching};
use crate::failure::{self, Failure};
use crate::privileges;

/// What a card does before a program in its driver sees a frame: merges packets, and takes tags off.
const OF_THE_CARD: [&str; 4] = ["rx-lro", "rx-gro-hw", "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// What the kernel does after that: it merges packets. A program elsewhere than in the driver sees what has become of them.
const OF_THE_KERNEL: &str = "rx-gro";

/// Features by the interface's name.
type Named = BTreeMap<String, Vec<String>>;

/// Offloads that are off for a run. Dropped, they are on again.
#[derive(Debug)]
pub struct Offloads {
    switching: Switching,
    off: Off,
    keeper: Option<Keeper>,
}

/// What is off, and has been on.
#[derive(Debug, Default, Clone)]
struct Off {
    interfaces: BTreeMap<String, Interface>,
    /// The same, for a later run.
    record: PathBuf,
}

#[derive(Debug, Clone)]
struct Interface {
    index: u32,
    features: Vec<String>,
}

impl Offloads {
    /// Switches off what has to be before programs are attached: some drivers refuse them otherwise. What a run that was
    /// killed has left off is on again first.
    #[must_use]
    pub fn before_attaching(plan: &Plan) -> Self {
        let record = plan.socket.with_extension("offloads");
        put_back_what_is_left(&record);
        let names = match (&plan.wire, &plan.nic) {
            (Some(wire), _) => vec![&wire.network, &wire.container],
            (None, Some(nic)) => vec![&nic.interface, &nic.container],
            (None, None) => vec![],
        };
        let off = Off { interfaces: BTreeMap::new(), record };
        let mut offloads = Self { switching: plan.running.offloads, off, keeper: None };
        names.into_iter().for_each(|name| offloads.switch_off(name, &OF_THE_CARD));
        offloads
    }

    /// Switches off what has to be for programs that are attached in these modes, warns of what cannot be, and sees to it that
    /// all is put back when the calling thread has given up its privileges.
    ///
    /// # Errors
    ///
    /// Failed if there is no thread to be had, or its privileges are not as they have to be.
    pub fn attached(&mut self, modes: &BTreeMap<String, Mode>) -> Result<(), Failure> {
        for (name, mode) in modes {
            let unwanted: Vec<&str> = match mode {
                Mode::ZeroCopy | Mode::Copy => OF_THE_CARD.to_vec(),
                Mode::Generic => OF_THE_CARD.into_iter().chain([OF_THE_KERNEL]).collect(),
                // It puts tags back by itself.
                Mode::Packet => vec![OF_THE_CARD[0], OF_THE_CARD[1], OF_THE_KERNEL],
            };
            self.switch_off(name, &unwanted);
            warn_of(name, &unwanted);
        }
        if !self.off.interfaces.is_empty() {
            self.keeper = Some(Keeper::start(self.off.clone())?);
        }
        Ok(())
    }

    /// What is off, and will be on again.
    #[must_use]
    pub fn off(&self) -> Named {
        self.off.named()
    }

    /// Whoever may not do this will not open the interface either, and is told then.
    fn switch_off(&mut self, name: &str, unwanted: &[&str]) {
        let on = active(name, unwanted);
        if self.switching == Switching::Keep || on.is_empty() {
            return;
        }
        self.off.add(name, &on);
        let _ = Features::of(name).and_then(|features| features.switch(&on, false));
        self.off.forget(name, &active(name, unwanted));
    }
}

/// Which of the features an interface has on; none of one that cannot be asked.
fn active(name: &str, unwanted: &[&str]) -> Vec<String> {
    let among = |active: Vec<&str>| {
        active.into_iter().filter(|feature| unwanted.contains(feature)).map(str::to_owned).collect::<Vec<_>>()
    };
    Features::of(name).and_then(|features| features.active().map(among)).unwrap_or_default()
}

fn warn_of(name: &str, unwanted: &[&str]) {
    let on = active(name, unwanted);
    if !on.is_empty() {
        let features = on.join(", ");
        failure::tell(format!(
            "warning: interface {name} has {features} on: packets that come merged, or without their VLAN tags, are not sent on \
             as they were; `ethtool -K {name} FEATURE off` switches off what can be"
        ));
    }
}

impl Drop for Offloads {
    fn drop(&mut self) {
        if self.keeper.take().is_none() {
            self.off.put_back();
        }
    }
}

impl Off {
    fn add(&mut self, name: &str, features: &[String]) {
        let Ok(index) = if_nametoindex(name) else { return };
        let interface = self.interfaces.entry(name.to_owned()).or_insert(Interface { index, features: vec![] });
        interface.features.extend_from_slice(features);
        self.write_down();
    }

    /// Of these nothing has to be put back.
    fn forget(&mut self, name: &str, on: &[String]) {
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.features.retain(|feature| !on.contains(feature));
        }
        self.interfaces.retain(|_, interface| !interface.features.is_empty());
        self.write_down();
    }

    fn write_down(&self) {
        let written = match serde_json::to_vec(&self.named()) {
            Ok(_) if self.interfaces.is_empty() => fs::remove_file(&self.record),
            Ok(text) => fs::write(&self.record, text),
            Err(cause) => Err(cause.into()),
        };
        if let Err(cause) = written {
            let record = self.record.display();
            failure::tell(format!(
                "warning: {record}: {cause}: if this run is killed, the next will not put offloads back"
            ));
        }
    }

    fn named(&self) -> Named {
        self.interfaces.iter().map(|(name, interface)| (name.clone(), interface.features.clone())).collect()
    }

    /// An interface may have another name by now, or be gone.
    fn put_back(&self) {
        for (name, Interface { index, features }) in &self.interfaces {
            let now = if_indextoname(*index).ok().and_then(|name| name.into_string().ok());
            match now.map(|now| Features::of(&now)?.switch(features, true)) {
                Some(Err(cause)) if cause.raw_os_error() != Some(ENODEV) => {
                    failure::tell(format!("interface {name}: {} cannot be put back: {cause}", features.join(", ")));
                }
                _ => {}
            }
        }
        if !self.interfaces.is_empty() {
            // It may never have been written.
            let _ = fs::remove_file(&self.record);
        }
    }
}

fn put_back_what_is_left(record: &Path) {
    let Some(left) = fs::read(record).ok().and_then(|text| serde_json::from_slice::<Named>(&text).ok()) else { return };
    for (name, features) in left {
        if let Ok(()) = Features::of(&name).and_then(|of| of.switch(&features, true)) {
            let features = features.join(", ");
            failure::tell(format!("interface {name} has {features} on again: a run that was killed had left that off"));
        }
    }
    // What of it could not be switched is an interface that is gone.
    let _ = fs::remove_file(record);
}

/// A thread that puts offloads back when it is dropped.
#[derive(Debug)]
struct Keeper {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    fn start(off: Off) -> Result<Self, Failure> {
        let (end, ended) = channel::bounded::<()>(0);
        let (ready, begun) = channel::bounded(1);
        let wait = move || {
            let kept = privileges::keep(&[Capability::CAP_NET_ADMIN]);
            let goes_on = kept.is_ok();
            // Who started it waits.
            let _ = ready.send(kept);
            if goes_on {
                // Nothing is ever said: the other side is dropped.
                let _ = ended.recv();
                off.put_back();
            }
        };
        let thread = thread::Builder::new().name("portlane-offload".to_owned()).spawn(wait).map_err(Failure::failed)?;
        begun.recv().map_err(Failure::failed)??;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}
