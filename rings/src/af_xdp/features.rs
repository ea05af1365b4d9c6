//! Offloads of network interfaces, which the kernel calls features.
//!
//! Asked of the network namespace that the calling thread is in, by ioctl: the commands of `linux/ethtool.h` are a number, and
//! what belongs to it, all in words of 32 bits.

use std::io;

use super::interface::Kernel;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;

/// The set of strings that are names of features.
const ETH_SS_FEATURES: u32 = 4;

/// Words of a name (`ETH_GSTRING_LEN`).
const NAME: usize = 32 / 4;

/// Words of a block of 32 features, as they are told: available, requested, active, and never changed.
const TOLD: usize = 4;

/// The offloads of an interface.
#[derive(Debug)]
pub struct Features<'a> {
    kernel: Kernel<'a>,
    /// In the order of their bits.
    names: Vec<String>,
}

impl<'a> Features<'a> {
    /// Of the interface called `name` in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is none.
    pub fn of(name: &'a str) -> io::Result<Self> {
        let kernel = Kernel::of(name)?;
        let names = names(&kernel)?;
        Ok(Self { kernel, names })
    }

    /// The names of those that are on, by the kernel's names for them: `rx-gro` for what ethtool(8) calls `gro`.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn active(&self) -> io::Result<Vec<&str>> {
        let blocks = self.blocks();
        let mut words = vec![0; 2 + TOLD * blocks];
        (words[0], words[1]) = (ETHTOOL_GFEATURES, count(blocks)?);
        self.kernel.ethtool(&mut words)?;
        let is_active = |bit: usize| words[2 + TOLD * (bit / 32) + 2] >> (bit % 32) & 1 == 1;
        let names = self.names.iter().enumerate();
        Ok(names.filter(|&(bit, _)| is_active(bit)).map(|(_, name)| name.as_str()).collect())
    }

    /// Switches features on or off. Those that the interface does not have, or that cannot change, stay as they are: ask.
    ///
    /// # Errors
    ///
    /// What the kernel says: without `CAP_NET_ADMIN` `EPERM`.
    pub fn switch(&self, names: &[impl AsRef<str>], on: bool) -> io::Result<()> {
        let blocks = self.blocks();
        let mut words = vec![0; 2 + 2 * blocks];
        (words[0], words[1]) = (ETHTOOL_SFEATURES, count(blocks)?);
        for (bit, name) in self.names.iter().enumerate() {
            if names.iter().any(|chosen| chosen.as_ref() == name) {
                let (valid, requested) = (2 + 2 * (bit / 32), 3 + 2 * (bit / 32));
                words[valid] |= 1 << (bit % 32);
                words[requested] |= u32::from(on) << (bit % 32);
            }
        }
        self.kernel.ethtool(&mut words)
    }

    fn blocks(&self) -> usize {
        self.names.len().div_ceil(32)
    }
}

/// How many features this kernel knows does not change while it runs.
fn names(kernel: &Kernel<'_>) -> io::Result<Vec<String>> {
    // The mask of sets is of 64 bits; the answer follows it.
    let mask = u64::to_ne_bytes(1 << ETH_SS_FEATURES);
    let half = |at: usize| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]);
    let mut info = [ETHTOOL_GSSET_INFO, 0, half(0), half(4), 0];
    kernel.ethtool(&mut info)?;
    let number = usize::try_from(info[4]).map_err(io::Error::other)?;
    let mut words = vec![0; 3 + NAME * number];
    (words[0], words[1], words[2]) = (ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count(number)?);
    kernel.ethtool(&mut words)?;
    let text = |name: &[u32]| {
        let bytes = name.iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0);
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
    };
    Ok(words[3..].chunks_exact(NAME).map(text).collect())
}

fn count(number: usize) -> io::Result<u32> {
    u32::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_features_of_loopback_are_known() {
        let features = Features::of("lo").unwrap();
        assert!(features.names.iter().any(|name| name == "rx-gro"), "{:?}", features.names);
        assert!(features.active().unwrap().contains(&"loopback"));
    }

    #[test]
    fn an_interface_that_is_not_there_has_none() {
        assert_eq!(Features::of("no-such-name").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
