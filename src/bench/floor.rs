//! The same packets for the loop that the line is compared with.

use portlane_floor::{Floor, Frames, Owners, Source};

use super::Options;
use super::plan::{ADDRESSES, blocks};
use super::scenario::FRAME_SIZE;
use super::traffic::Traffic;
use crate::failure::Failure;

const PORTS: usize = 1 << 16;

/// The floor under a line with these options and this traffic.
pub(super) fn floor(options: &Options, traffic: &Traffic) -> Result<Floor, Failure> {
    let frames = Frames { count: options.batches() * portlane_floor::BATCH, stride: FRAME_SIZE as usize };
    let sources = traffic.sources().map(|(address, ports)| Source { address, ports }).collect();
    let lanes = options.containers as usize + 1;
    Floor::new(frames, traffic.packet(), sources, owners(options.containers), lanes)
        .map_err(|cause| Failure::refused(format!("memory for the frames of the floor: {cause}")))
}

/// Ports that no container owns belong to one more.
fn owners(containers: u32) -> Vec<Owners> {
    let nobody = containers;
    let mut owners = ADDRESSES.map(|address| Owners { address: address.octets(), by_port: vec![nobody; PORTS] });
    for (container, block) in (0..).zip(blocks(containers)) {
        let first = usize::from(block.first);
        owners[block.address].by_port[first..first + usize::from(block.ports)].fill(container);
    }
    owners.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Load;

    #[test]
    fn the_floor_counts_what_the_line_is_offered() {
        for containers in [3, 65_536] {
            let options = Options { containers, load: Load::Idle, ..Options::default() };
            let traffic = Traffic::new(&options).unwrap();
            let mut floor = floor(&options, &traffic).unwrap();
            let turns = traffic.len() as u64 / portlane_floor::BATCH as u64;
            floor.turns(turns);
            let counts = floor.counts();
            let (lanes, nobodys) = counts.split_at(containers as usize);
            assert_eq!((floor.refused(), nobodys[0].packets), (0, 0));
            assert!(lanes.iter().all(|lane| lane.packets > 0 && lane.bytes == 64 * lane.packets));
            assert_eq!(lanes.iter().map(|lane| lane.packets).sum::<u64>(), turns * 64);
        }
    }
}
