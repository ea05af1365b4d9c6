//! The command line.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts: [wire] is a table of the configuration"
)]

mod container;
mod meters;

use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use portlane_classify::Arriving;
use portlane_shaper::Size;
use portlane_stats::render::Format;

use crate::bench::Load;
use crate::capture::Request;
use crate::commands::import_mesos::ImportMesos;
use crate::config::{Age, DEFAULT_SOCKET};
use crate::flows::By;

pub use container::{Container, Keys};
pub use meters::{MeterLabel, MeterRule, NewMeterLabel, NewMeterRule};

/// Gives every container on a shared NIC its own lane.
///
/// portlane takes frames from AF_XDP rings (or from a capture), finds the container that owns the destination port (or,
/// for traffic leaving a container, the source port), holds it to its rate with a token bucket, keeps its queue short
/// with CoDel, and counts it the way tc counts.
///
/// Exit codes: 0 done; 1 failed while running; 2 refused before anything was touched (arguments, configuration,
/// interface, permission, unreadable input).
#[derive(Debug, Parser)]
#[command(name = "portlane", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a capture through the lanes in virtual time
    ///
    /// Answers what these limits would have done to that traffic, exactly: the same input and configuration give the
    /// same bytes. After the last arrival virtual time runs on until all lanes are empty. Packets that a snap length cut
    /// are shaped by their original length. Timestamps that run backwards are held at the latest one, and counted.
    Replay(Replay),
    /// Shape live traffic between two interfaces until SIGINT or SIGTERM
    ///
    /// Everything that arrives on one side of [wire] leaves by the other: traffic of containers through their lanes, the
    /// rest (ARP and all) in lane `unmatched`. With [nic] only what containers own is taken, and the host keeps the rest: see
    /// docs/operations.md. Prints the mode in use for each interface, and what refused a better one: zero-copy, copy (native XDP,
    /// the kernel copies), generic (the driver has no XDP) or packet (packet sockets, for [wire] where there is no AF_XDP);
    /// `io` names one. Needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (packet sockets: CAP_NET_RAW), and gives them up
    /// once the interfaces are open.
    ///
    /// Offloads that merge packets or take VLAN tags off are switched off for the run (`offloads`), and frames are as large as
    /// the MTU needs, to 12,010.
    ///
    /// SIGINT and SIGTERM: takes nothing more, sends what waits for as long as `drain` says, restores the interfaces, prints a
    /// last report. SIGHUP: reads the configuration again, all or nothing, and loses no packet; `io`, [wire], [nic],
    /// [http], [control] and `offloads` need a restart. Tells systemd how it is (NOTIFY_SOCKET, WATCHDOG_USEC).
    ///
    /// Ends of a veth pair leave checksums unfinished, and portlane sends frames as they are: have them completed
    /// (`checksums = "complete"`), or switch that off at the far ends (`ethtool -K IF tx off`). Tags of VLANs must be in the
    /// frames: `txvlan off` at the far ends of veth pairs.
    Run(Run),
    /// Show it: real TCP and UDP of three containers through `run`, in throw-away network namespaces
    ///
    /// Builds anonymous network namespaces with clients on one side and servers of three containers on one shared
    /// address on the other, sends TCP (both ways) and UDP through `run`, first with FQ-CoDel and then without, and prints
    /// what each container got. Leaves nothing behind, however it ends. Needs root, `ip` and `ethtool`.
    ///
    /// With --host the containers are in namespaces of their own, which portlane attaches to a host on whose address they all are
    /// ([nic] containers = "attached"); in the second round one of them floods from a port that is not its own.
    Demo(Demo),
    /// Measure what a packet costs: the packet line that runs live, between the ends of a device made of memory
    ///
    /// Every container is an HTB class with FQ-CoDel under a link of 10gbit (156.25mbit for each of fewer than 64). Its rate
    /// is its equal share of the link, but for a thousandth; its burst is what that earns in 10 ms, 16 packets and 1600b at
    /// least. CoDel has a target of 10us and an interval of 200us. 64 packets arrive in every turn, in virtual time, all
    /// egress; the time from turn to turn follows from --load. Lanes and flows come in random order with a fixed seed: what
    /// is counted is the same in every run, on every machine.
    ///
    /// With --workers the link has no limit, containers are divided among the workers, and what counts is how many packets they
    /// take together beside one of them alone.
    ///
    /// With --flows-metrics rounds without and with an observer alternate, and the worker waits, untimed, until the observer has seen what it was
    /// shown. The observer's times are of virtual seconds, and the rows of each second are in them; with `idle` 3.8 million packets
    /// of 64 bytes come in one.
    ///
    /// Times are of 25 rounds, after a warm-up in which queues come to rest: the lowest is the one to compare. They include
    /// the device, whose own part is measured too. The floor is a minimal loop over the same packets that shares no code
    /// with portlane: compare machines by it.
    Bench(Bench),
    /// Validate and explain a configuration
    ///
    /// Prints every value as it was understood, with conversions, and warns of what is allowed but probably not meant.
    Check(Check),
    /// Ask a running portlane for its numbers
    Stats(Stats),
    /// Show how flows fare: of a running portlane's last minutes, or of a store
    ///
    /// Those with the most bytes, added up by container, by port that containers serve, or by pair of client and server. Times are means.
    /// Live: of the last five minutes, if [flows] has them observed. With --store: of all minutes that are kept there, by [flows]
    /// store or by `replay --flows`. See docs/flows.md.
    Flows(Flows),
    /// Capture frames of a running portlane as pcapng, with what became of each
    ///
    /// AF_XDP hides frames from tcpdump. This shows them as they leave, or are dropped: each with the interface that it left by
    /// (outbound) or, if it did not leave, came from (inbound), the time when it did, and a comment with lane, direction, fate
    /// (sent, dropped or malformed, and why), time in its lane, and mark (ce: marked "congestion experienced" by its lane). The worker never waits
    /// for it: frames that find no room are counted, here and in the file's statistics. One capture at a time; Ctrl-C ends it.
    Capture(Capture),
    /// Add, change and remove containers of a running portlane
    ///
    /// Containers come beside those of the configuration file, with the same keys, and are kept over a restart ([control]
    /// state). A change is checked as a file is, takes effect between two turns, and loses no packet.
    #[command(subcommand)]
    Container(Container),
    /// Create a label for a running portlane's meters
    ///
    /// Labels, and rules that say which packets count for them, come beside those of the configuration file, and are kept over a
    /// restart: see docs/meters.md. Commands and tables are those of Neutron's command line.
    #[command(name = "meter-label-create")]
    MeterLabelCreate(NewMeterLabel),
    /// Show the labels of meters
    #[command(name = "meter-label-list")]
    MeterLabelList(Target),
    /// Show a label of meters
    #[command(name = "meter-label-show")]
    MeterLabelShow(MeterLabel),
    /// Delete a label of meters that has no rules
    #[command(name = "meter-label-delete")]
    MeterLabelDelete(MeterLabel),
    /// Create a rule: which packets count for a label, or do not
    #[command(name = "meter-label-rule-create")]
    MeterLabelRuleCreate(NewMeterRule),
    /// Show the rules of meters
    #[command(name = "meter-label-rule-list")]
    MeterLabelRuleList(Target),
    /// Show a rule of meters
    #[command(name = "meter-label-rule-show")]
    MeterLabelRuleShow(MeterRule),
    /// Delete a rule of meters
    #[command(name = "meter-label-rule-delete")]
    MeterLabelRuleDelete(MeterRule),
    /// Have a running portlane read its configuration again, as SIGHUP does
    Reload(Target),
    /// Have a running portlane take nothing more, send what waits for as long as `drain` says, and end, as SIGTERM does
    Drain(Target),
    /// Watch a running portlane, or look at recorded numbers, in a terminal
    ///
    /// Lanes with their rates, limits, queues, sojourn times, drops and marks, and what limits each. Rates, drops and marks are of the
    /// time since the last look; sojourn times of all since the start. Keys: arrows, PgUp, PgDn, Home and End move; Enter shows
    /// all of one lane, Esc goes back; s and S sort by the next and the last column, r reverses; / filters by names of
    /// containers and groups; d changes the direction; f (or space) freezes; q quits.
    Top(Top),
    /// Make and remove containers' interfaces, as told on standard input: `run` starts it
    #[command(hide = true)]
    Attach,
    /// Print the configuration that the flags of a Mesos agent come to
    ///
    /// Takes the flags of the network/port_mapping isolator by the names they have there, and prints a configuration with what
    /// each was read as: 37500KB a second, for one, is 38,400,000 B/s = 307.2 mbit. Rates by cpu, minimum, maximum, ceil and
    /// burst are those of Mesos' newer versions. What Mesos refuses is refused in its words.
    #[command(name = "import-mesos")]
    ImportMesos(Box<ImportMesos>),
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The capture: pcap or pcapng; Ethernet, raw IP or Linux cooked
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Write what leaves as pcapng, with departure times
    #[arg(long, value_name = "OUT.pcapng")]
    pub write: Option<PathBuf>,
    /// Write the numbers to a file, as json unless --format says otherwise [without: text on standard output]
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
    /// Write the sojourn times of all lanes together as HdrHistogram's percentile text, in microseconds
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Write how connections fare as Parquet files, in a folder for each table (docs/flows.md)
    #[arg(long, value_name = "DIR")]
    pub flows: Option<PathBuf>,
    /// How numbers are printed: text, json, tc, tc-json, mesos or prometheus
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Which way packets go
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    pub direction: Way,
}

/// Which way packets of a capture go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// All to the containers
    Ingress,
    /// All from the containers
    Egress,
    /// By [host] addresses where given: to one is ingress, from one egress. Otherwise ingress if a container owns the
    /// destination port, else egress if one owns the source port, else unmatched
    Auto,
}

impl From<Way> for Arriving {
    fn from(way: Way) -> Self {
        match way {
            Way::Ingress => Self::Ingress,
            Way::Egress => Self::Egress,
            Way::Auto => Self::Either,
        }
    }
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// How long each of the two rounds measures
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=300))]
    pub seconds: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
    /// Containers behind interfaces of their own on a host's address, without and with one of them flooding from a foreign port
    #[arg(long)]
    pub host: bool,
    /// Observe flows, and keep what they did in this folder, as [flows] store does: `portlane flows --store DIR` shows it
    #[arg(long, value_name = "DIR")]
    pub flows: Option<PathBuf>,
    /// Keep traffic flowing until Ctrl-C (10 minutes at most), with HTTP and the control socket where `run` has them
    #[arg(long, conflicts_with_all = ["seconds", "json", "host"])]
    pub hold: bool,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Containers, each with an equal block of ports; past 65,535 on two addresses
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub containers: u32,
    /// Packets of a round
    #[arg(long, value_name = "N", default_value_t = 250_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub packets: u64,
    /// Bytes of a packet, from the Ethernet header on, without the checksum behind it: 60 to 1514
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u16).range(60..=1_514))]
    pub size: u16,
    /// Flows of all containers together, one each at least [default: 4 a container; 64000 with --flows-metrics]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    #[arg(default_value_if("flows_metrics", ArgPredicate::IsPresent, "64000"), hide_default_value = true)]
    pub flows: Option<u32>,
    /// Frames in the device's receive ring, in whole batches of 64: 512 stay in the caches, 65536 do not. What waits in lanes
    /// is in frames of its own
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub frames: u32,
    /// How much is offered; with --flows-metrics idle if nothing is said
    #[arg(long, value_enum, default_value_t = Load::Default)]
    #[arg(default_value_if("flows_metrics", ArgPredicate::IsPresent, "idle"))]
    pub load: Load,
    /// Workers, each on a core of its own. More than one: how much faster they are together, with containers of their own,
    /// and with every packet handed over to the next
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// What it costs that flows are observed ([flows]): the line without and with it, and the observer on a core of its own
    #[arg(long, conflicts_with_all = ["workers", "hgrm"])]
    pub flows_metrics: bool,
    /// With --flows-metrics: packets are segments of TCP, of which there is more to follow than of UDP
    #[arg(long, requires = "flows_metrics")]
    pub tcp: bool,
    /// Print one JSON object instead of a page
    #[arg(long)]
    pub json: bool,
    /// Write the sojourn times of all lanes together as HdrHistogram's percentile text, in microseconds
    #[arg(long, value_name = "FILE", conflicts_with = "workers")]
    pub hgrm: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub struct Stats {
    /// How numbers are printed: text, json, tc, tc-json, mesos or prometheus
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// The control socket of the running portlane
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Arguments of `capture`.
#[derive(Debug, Args)]
pub struct Capture {
    /// The file to write, or - for standard output
    #[arg(value_name = "OUT.pcapng")]
    pub output: PathBuf,
    /// How long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=Request::MAX_SECONDS))]
    pub seconds: u64,
    /// Packets of this container alone; "unmatched": of none [default: all]
    #[arg(long, value_name = "ID")]
    pub container: Option<String>,
    /// Frames alone that are dropped
    #[arg(long)]
    pub drops: bool,
    /// Bytes of each frame, at most
    #[arg(short, long, value_name = "BYTES", default_value_t = Request::whole(), value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub snap: u32,
    /// Frames, at most
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Memory for frames on their way to the file, for each worker; to 256mb
    #[arg(long, value_name = "SIZE", default_value_t = Size(Request::usual_buffer()))]
    pub buffer: Size,
    /// The control socket of the running portlane
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Arguments of `flows`.
#[derive(Debug, Args)]
pub struct Flows {
    /// What figures are added up by
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub by: By,
    /// How many rows
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// Of the last so many seconds, minutes or hours, as in 90s, 5m or 2h
    #[arg(long, value_name = "TIME")]
    pub last: Option<Age>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The folder of a store instead
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    pub store: Option<PathBuf>,
    /// The control socket of the running portlane
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// A running portlane.
#[derive(Debug, Args)]
pub struct Target {
    /// The control socket of the running portlane
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Arguments of `top`.
#[derive(Debug, Args)]
pub struct Top {
    /// The control socket of the running portlane
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Numbers recorded with --format json instead; of several in one file, the last, with rates since the one before
    #[arg(long, value_name = "FILE", conflicts_with_all = ["socket", "interval"])]
    pub stats: Option<PathBuf>,
    /// Seconds from one look to the next
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
}
