//! Prints what the flows of captures did in all, from first packet to last: `meters CAPTURE...`

use std::error::Error;
use std::path::Path;

use portlane_classify::Link;
use portlane_flows::{CloseType, Config, Digest, Meter, Pair, Record, Table, Timing};
use portlane_pcap::Reader;

fn main() -> Result<(), Box<dyn Error>> {
    for path in std::env::args_os().skip(1) {
        let meter = meter(Path::new(&path))?;
        println!("{}", Path::new(&path).display());
        print(&meter);
    }
    Ok(())
}

fn meter(path: &Path) -> Result<Meter, Box<dyn Error>> {
    let mut reader = Reader::open(path)?;
    let mut table = Table::new(Config::default(), [0, 0]);
    let mut meter = Meter::default();
    while let Some(packet) = reader.next()? {
        let Some(link) = Link::from_linktype(packet.link.0) else { continue };
        if let Ok(Some(digest)) = Digest::read(link, packet.data, packet.original_len, packet.time_ns) {
            table.packet(&digest, &mut |record: &Record| meter += &record.meter);
        }
    }
    table.finish(&mut |record: &Record| meter += &record.meter);
    Ok(meter)
}

fn print(meter: &Meter) {
    let pairs: [(&str, Pair); 7] = [
        ("packet", meter.packet),
        ("byte", meter.byte),
        ("l3_byte", meter.l3_byte),
        ("l4_byte", meter.l4_byte),
        ("retrans", meter.retrans),
        ("ooo", meter.ooo),
        ("zero_win", meter.zero_win),
    ];
    for (name, pair) in pairs.into_iter().filter(|(_, pair)| pair.sum() > 0) {
        println!("  {name} {} (tx {}, rx {})", pair.sum(), pair.tx, pair.rx);
    }
    let counts = [
        ("new_flow", meter.new_flow),
        ("syn_count", meter.syn_count),
        ("synack_count", meter.synack_count),
        ("retrans_syn", meter.retrans_syn),
        ("retrans_synack", meter.retrans_synack),
    ];
    let closes = CloseType::ALL.map(|close| (close.as_str(), meter.closes.get(close)));
    for (name, count) in counts.into_iter().chain(closes).filter(|&(_, count)| count > 0) {
        println!("  {name} {count}");
    }
    let timings: [(&str, Timing); 5] = [
        ("rtt", meter.rtt),
        ("rtt_client", meter.rtt_client),
        ("rtt_server", meter.rtt_server),
        ("srt", meter.srt),
        ("art", meter.art),
    ];
    for (name, timing) in timings.into_iter().filter(|(_, timing)| timing.count > 0) {
        println!("  {name} {} us in {}, at most {} us", timing.sum_us(), timing.count, timing.max_us());
    }
}
