//! Real traffic: the kernel's own TCP in both directions, and UDP there and back.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, TcpKeepalive, Type};

use super::topology::{SERVER, Topology, client_address};
use crate::netns::Namespace;

/// TCP connections from each container to its clients, and from the clients to it.
const DOWNLOADS: usize = 2;
const UPLOADS: usize = 1;

/// Ports of a container's servers, counted from the first port that it owns.
const DOWNLOAD: u16 = 1;
const UPLOAD: u16 = 2;
const ECHO: u16 = 3;

/// Ports of the servers that clients have, where containers open something themselves.
const CLIENTS_UPLOAD: u16 = 9_000;
const CLIENTS_ECHO: u16 = 9_001;

/// Where nobody listens (the discard protocol's, RFC 863).
const CLIENTS_DISCARD: u16 = 9;

/// A congestion control that fills queues, which is what is to be shown; the machine's default may not (BBR). The second
/// is in every kernel.
const LOSS_BASED: [&[u8]; 2] = [b"cubic", b"reno"];

/// Bytes of one write.
const CHUNK: usize = 1 << 16;

/// How often the downloads of a container without a limit write a chunk: 52 mbit a connection. Greedy ones would take the
/// whole machine, and what would then be measured is the machine.
const BETWEEN_CHUNKS: Duration = Duration::from_millis(10);

/// How often uploads write a chunk: 10 mbit a connection, so that acknowledgements of the downloads, which go the same
/// way, do not wait behind them.
const BETWEEN_UPLOADS: Duration = Duration::from_millis(50);

/// How often a thread looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long a connection may take: the line's queues are short, but the machine may be busy.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Time between two questions of the UDP client.
const ECHO_EVERY: Duration = Duration::from_millis(10);

/// What traffic needs to know of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Customer {
    /// The first port that it owns.
    pub(super) first_port: u16,
    /// Whether it has a limit that its programs run into.
    pub(super) limited: bool,
}

/// Where the clients of containers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peers {
    /// Each container's on the network.
    Clients,
    /// In the last container, and that one's on the host itself.
    Neighbours,
}

impl Peers {
    fn of(self, topology: &Topology, container: usize) -> &Namespace {
        match self {
            Self::Clients => &topology.clients[container],
            Self::Neighbours if container + 1 < topology.clients.len() => {
                topology.servers_of(topology.clients.len() - 1)
            }
            Self::Neighbours => &topology.line,
        }
    }
}

/// The threads that send and receive; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Traffic {
    /// Starts servers and clients for each container.
    pub(super) fn start(topology: &Topology, containers: &[Customer], peers: Peers) -> io::Result<Self> {
        let mut traffic = Self { stop: Arc::default(), threads: Vec::new() };
        for (number, &Customer { first_port, limited }) in containers.iter().enumerate() {
            let client = peers.of(topology, number);
            let inside = topology.servers_of(number);
            let between = if limited { Duration::ZERO } else { BETWEEN_CHUNKS };
            let at = |offset: u16| SocketAddr::from((Ipv4Addr::from(SERVER), first_port + offset));
            let [download, upload, echo] = [at(DOWNLOAD), at(UPLOAD), at(ECHO)];
            let (downloads, uploads, echoes) = inside
                .within(|| Ok::<_, io::Error>((listen(download)?, listen(upload)?, UdpSocket::bind(echo)?)))??;
            traffic.spawn_in(inside, move |stop| {
                serve(&downloads, &stop, move |stream, stop| send_all(stream, between, stop))
            })?;
            traffic.spawn_in(inside, move |stop| serve(&uploads, &stop, receive_all))?;
            traffic.spawn_in(inside, move |stop| answer(&echoes, &stop))?;
            for _ in 0..DOWNLOADS {
                traffic.spawn_in(client, move |stop| receive_all(&connect(download)?, &stop))?;
            }
            for _ in 0..UPLOADS {
                traffic.spawn_in(client, move |stop| send_all(&connect(upload)?, BETWEEN_UPLOADS, &stop))?;
            }
            traffic.spawn_in(client, move |stop| ask(echo, &stop))?;
        }
        Ok(traffic)
    }

    /// What containers open themselves, from ports that the system chooses among theirs: a connection to their client, by which
    /// they send, and questions by UDP.
    pub(super) fn outwards(&mut self, topology: &Topology) -> io::Result<()> {
        for (number, client) in topology.clients.iter().enumerate() {
            let inside = topology.servers_of(number);
            let at = |port: u16| SocketAddr::from((Ipv4Addr::from(client_address(number)), port));
            let [upload, echo] = [at(CLIENTS_UPLOAD), at(CLIENTS_ECHO)];
            let (uploads, echoes) =
                client.within(|| Ok::<_, io::Error>((listen(upload)?, UdpSocket::bind(echo)?)))??;
            self.spawn_in(client, move |stop| serve(&uploads, &stop, receive_all))?;
            self.spawn_in(client, move |stop| answer(&echoes, &stop))?;
            self.spawn_in(inside, move |stop| send_all(&connect(upload)?, BETWEEN_UPLOADS, &stop))?;
            self.spawn_in(inside, move |stop| ask(echo, &stop))?;
        }
        Ok(())
    }

    /// Has a container send its client what nobody there waits for.
    pub(super) fn flood(&mut self, topology: &Topology, flood: Flood) -> io::Result<()> {
        let to = SocketAddr::from((Ipv4Addr::from(client_address(flood.container)), CLIENTS_DISCARD));
        self.spawn_in(topology.servers_of(flood.container), move |stop| flood.run(to, &stop))
    }

    /// Stops everything, and returns the first failure that was not the end of a connection.
    pub(super) fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn spawn_in(
        &mut self,
        namespace: &Namespace,
        job: impl FnOnce(Arc<AtomicBool>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let entered = namespace.spawn("portlane-traffic", move || job(stop))?;
        self.threads.push(thread::spawn(move || entered.join().expect("traffic does not panic")?));
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).map(|thread| thread.join().expect("traffic does not panic")).fold(Ok(()), Result::and)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Whoever wants to know the failure calls `stop`.
        let _ = self.end();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket()?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = tcp_socket()?;
    let connected = socket.connect_timeout(&address.into(), CONNECT_WITHIN);
    connected.map_err(|cause| {
        io::Error::new(
            cause.kind(),
            format!(
                "a client of the demo could not connect to {address}: {cause}; try again when the machine is less busy"
            ),
        )
    })?;
    Ok(socket.into())
}

/// A socket whose congestion control fills queues; what it accepts inherits that.
fn tcp_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_congestion(LOSS_BASED[0]).or_else(|_| socket.set_tcp_congestion(LOSS_BASED[1]))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(30)))?;
    Ok(socket)
}

/// Accepts connections and gives each a thread, until it is time to stop.
fn serve(
    listener: &TcpListener,
    stop: &Arc<AtomicBool>,
    job: impl Fn(&TcpStream, &AtomicBool) -> io::Result<()> + Send + Copy + 'static,
) -> io::Result<()> {
    let mut connections = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let stop = Arc::clone(stop);
                stream.set_nonblocking(false)?;
                connections.push(thread::spawn(move || job(&stream, &stop)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error),
        }
    }
    connections
        .into_iter()
        .map(|connection| connection.join().expect("traffic does not panic"))
        .fold(Ok(()), Result::and)
}

fn send_all(mut stream: &TcpStream, between: Duration, stop: &AtomicBool) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let zeros = vec![0; CHUNK];
    until(stop, || {
        thread::sleep(between);
        stream.write(&zeros)
    })
}

fn receive_all(mut stream: &TcpStream, stop: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; 1 << 18];
    until(stop, || stream.read(&mut buffer))
}

/// Repeats until it is time to stop, or the other side has closed.
fn until(stop: &AtomicBool, mut transfer: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    while !stop.load(Ordering::Relaxed) {
        match transfer() {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(socket: &UdpSocket, stop: &AtomicBool) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 2_048];
    until(stop, || {
        let (len, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..len], from)
    })
}

/// Asks every 10 ms, as a resolver or a game would, and takes what answers come.
fn ask(server: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(ECHO_EVERY))?;
    let mut buffer = [0; 2_048];
    until(stop, || {
        let asked = Instant::now();
        let sent = socket.send(&[0; 200])?;
        // An answer that was dropped is not asked for again.
        let _ = socket.recv(&mut buffer);
        thread::sleep(ECHO_EVERY.saturating_sub(asked.elapsed()));
        Ok(sent)
    })
}

/// Datagrams that heed nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flood {
    /// Who sends them: by its position.
    pub(super) container: usize,
    /// From this port.
    pub(super) port: u16,
    /// So many each millisecond.
    pub(super) per_ms: u64,
    /// Of so many bytes.
    pub(super) bytes: usize,
}

impl Flood {
    /// Sends at a pace that does not depend on how long sending takes, nor, within limits, on how late the thread wakes.
    fn run(self, to: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
        /// Milliseconds that a late flood makes up for.
        const MOST_AT_ONCE: u64 = 5;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, self.port))?;
        socket.connect(to)?;
        let (started, mut sent_until, datagram) = (Instant::now(), 0, vec![0; self.bytes]);
        while !stop.load(Ordering::Relaxed) {
            let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            for _ in 0..(elapsed - sent_until).min(MOST_AT_ONCE) * self.per_ms {
                // A full buffer is no reason to stop, nor is what the kernel tells of datagrams that never arrived.
                let _ = socket.send(&datagram);
            }
            sent_until = elapsed;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
