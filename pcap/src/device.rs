//! A capture as a device: frames arrive when it says so, and leave into another capture.

use std::io::{self, Read, Write};

use portlane_rings::{Device, Frame, Held, Pool};

use crate::{LinkType, Packet, ReadError, Reader, Writer};

/// The longest tail whose memory a frame keeps for the next packet.
const KEPT_TAIL: usize = 4_096;

/// What a frame cannot hold of a captured packet.
#[derive(Debug, Default)]
struct Beside {
    link: u16,
    /// Captured bytes beyond the frame's capacity: captures hold packets far longer than any network carries.
    tail: Vec<u8>,
}

impl Beside {
    /// Takes the next packet's tail. A frame that was dropped has not passed by [`forget`](Self::forget), and may come
    /// with a long one.
    fn load(&mut self, link: LinkType, tail: &[u8]) {
        self.forget();
        self.link = link.0;
        self.tail.extend_from_slice(tail);
    }

    /// Empties the tail, and gives the memory of a long one back.
    fn forget(&mut self) {
        self.tail.clear();
        if self.tail.capacity() > KEPT_TAIL {
            self.tail = Vec::new();
        }
    }
}

/// A frame that arrives next, and when.
#[derive(Debug)]
struct Ahead {
    frame: Frame,
    time_ns: u64,
}

/// A capture as a [`Device`] in virtual time: [`set_now`](Self::set_now) says what time it is, frames whose time has
/// come arrive, and frames sent are written with that time.
///
/// Times that run backwards are held at the latest one, and counted. When the capture turns out to be cut or damaged,
/// it ends there: all packets before arrive, and [`finish`](Self::finish) returns the error.
///
/// What a captured packet has beyond a frame is kept beside it. That memory is bounded by the most frames that were
/// out at the same time and the longest packets in them: a long tail is given back when its packet has been written,
/// or, if it was dropped, when its frame is next used.
#[derive(Debug)]
pub struct Capture<R, W: Write> {
    reader: Reader<R>,
    writer: Option<Writer<W>>,
    now_ns: u64,
    ahead: Option<Ahead>,
    failed: Option<ReadError>,
    /// By frame: see [`Pool::index`].
    beside: Vec<Beside>,
    leaving: Vec<Ahead>,
    backwards: u64,
}

impl<R: Read, W: Write> Capture<R, W> {
    /// The capture that `reader` reads; frames sent go to `writer`, or nowhere. The first packet is taken from the pool.
    pub fn new(reader: Reader<R>, writer: Option<Writer<W>>, pool: &mut Pool) -> Self {
        let mut capture = Self {
            reader,
            writer,
            now_ns: 0,
            ahead: None,
            failed: None,
            beside: Vec::new(),
            leaving: Vec::new(),
            backwards: 0,
        };
        capture.look_ahead(pool);
        capture
    }

    /// Says what time it is, in nanoseconds since 1970.
    pub fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// When the next packet arrives; `None` after the last.
    #[must_use]
    pub fn next_arrival(&self) -> Option<u64> {
        self.ahead.as_ref().map(|ahead| ahead.time_ns)
    }

    /// Timestamps that ran backwards and were held.
    #[must_use]
    pub fn backwards(&self) -> u64 {
        self.backwards
    }

    /// Bytes of the capture read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.reader.bytes_read()
    }

    /// Ends the output, and says whether the input was whole.
    ///
    /// # Errors
    ///
    /// The outer error: the output could not be written. The inner one: the input was cut or damaged.
    pub fn finish(self) -> io::Result<Result<(), ReadError>> {
        if let Some(writer) = self.writer {
            writer.finish()?;
        }
        Ok(self.failed.map_or(Ok(()), Err))
    }

    /// Brings the next packet into a frame.
    fn look_ahead(&mut self, pool: &mut Pool) {
        match self.reader.next() {
            Ok(Some(packet)) => {
                let mut frame = pool.take().expect("the line keeps frames free for what arrives");
                let beside = beside(&mut self.beside, pool.index(&frame));
                load(&packet, pool, &mut frame, beside);
                self.backwards += u64::from(packet.time_ns < self.now_ns);
                self.ahead = Some(Ahead { frame, time_ns: packet.time_ns.max(self.now_ns) });
            }
            Ok(None) => self.ahead = None,
            Err(error) => self.failed = Some(error),
        }
    }
}

fn beside(table: &mut Vec<Beside>, index: usize) -> &mut Beside {
    if index >= table.len() {
        table.resize_with(index + 1, Beside::default);
    }
    &mut table[index]
}

/// Copies what fits into the frame, and the rest beside it.
fn load(packet: &Packet<'_>, pool: &mut Pool, frame: &mut Frame, beside: &mut Beside) {
    let fits = packet.data.len().min(pool.capacity() as usize);
    let (head, tail) = packet.data.split_at(fits);
    pool.write(frame, head).expect("the head was cut to fit");
    frame.set_wire_len(packet.original_len);
    beside.load(packet.link, tail);
}

impl<R: Read, W: Write> Device for Capture<R, W> {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        for _ in 0..max {
            match self.ahead.take_if(|ahead| ahead.time_ns <= self.now_ns) {
                Some(arrived) => batch.push(arrived.frame),
                None => break,
            }
            self.look_ahead(pool);
        }
        Ok(())
    }

    #[inline]
    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.leaving.push(Ahead { frame, time_ns: self.now_ns });
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        let mut written = Ok(());
        for Ahead { frame, time_ns } in self.leaving.drain(..) {
            if let (Some(writer), Ok(())) = (&mut self.writer, &written) {
                let Beside { link, tail } = &self.beside[pool.index(&frame)];
                let link = LinkType(*link);
                let head = pool.bytes(&frame);
                written = if tail.is_empty() {
                    writer.write(link, time_ns, head, frame.wire_len())
                } else {
                    writer.write(link, time_ns, &[head, tail].concat(), frame.wire_len())
                };
            }
            self.beside[pool.index(&frame)].forget();
            pool.put(frame);
        }
        written
    }

    fn held(&self) -> Held {
        let sending = u32::try_from(self.leaving.len()).expect("frames are counted in u32");
        Held { filling: u32::from(self.ahead.is_some()), sending }
    }

    #[inline]
    fn link_type(&self, pool: &Pool, frame: &Frame) -> u16 {
        self.beside[pool.index(frame)].link
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portlane_rings::Layout;

    /// Packets as (time, captured bytes), on the wire 100 bytes longer.
    fn capture(packets: &[(u64, usize)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for &(time_ns, len) in packets {
            let data: Vec<u8> = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            writer.write(LinkType::RAW, time_ns, &data, u32::try_from(len).unwrap() + 100).unwrap();
        }
        writer.finish().unwrap()
    }

    fn pool() -> Pool {
        Pool::new(Layout { frames: 8, frame_size: 2_048 }).unwrap()
    }

    #[test]
    fn frames_arrive_in_time_and_leave_as_they_were_captured() {
        let input = capture(&[(10, 60), (20, 5_000), (15, 70), (30, 80)]);
        let mut pool = pool();
        let mut output = Vec::new();
        let writer = Writer::new(&mut output).unwrap();
        let mut device = Capture::new(Reader::new(input.as_slice()).unwrap(), Some(writer), &mut pool);
        let mut arrivals = Vec::new();
        while let Some(time) = device.next_arrival() {
            device.set_now(time);
            let mut batch = Vec::new();
            device.receive(&mut pool, &mut batch, 64).unwrap();
            for frame in batch {
                arrivals.push((time, frame.len(), frame.wire_len(), device.link_type(&pool, &frame)));
                device.send(frame).unwrap();
            }
            device.reclaim(&mut pool).unwrap();
        }
        assert_eq!(arrivals, [(10, 60, 160, 101), (20, 2_048, 5_100, 101), (20, 70, 170, 101), (30, 80, 180, 101)]);
        assert_eq!(device.backwards(), 1);
        assert_eq!(pool.free(), pool.total());
        device.finish().unwrap().unwrap();
        assert_eq!(output, capture(&[(10, 60), (20, 5_000), (20, 70), (30, 80)]));
    }

    #[test]
    fn long_tails_do_not_stay_with_their_frames() {
        for drop_instead in [false, true] {
            let input = capture(&[(10, 60_000), (20, 60), (30, 5_000), (40, 60)]);
            let mut pool = pool();
            let mut device = Capture::new(Reader::new(input.as_slice()).unwrap(), Some(sink()), &mut pool);
            let mut batch = Vec::new();
            while let Some(time) = device.next_arrival() {
                device.set_now(time);
                device.receive(&mut pool, &mut batch, 1).unwrap();
                for frame in batch.drain(..) {
                    if drop_instead {
                        pool.put(frame);
                    } else {
                        device.send(frame).unwrap();
                    }
                }
                device.reclaim(&mut pool).unwrap();
            }
            let kept: Vec<_> = device.beside.iter().map(|beside| beside.tail.capacity()).collect();
            assert!(kept.iter().all(|&capacity| capacity <= KEPT_TAIL), "dropped: {drop_instead}, kept: {kept:?}");
            assert!(kept.iter().any(|&capacity| capacity > 0), "short tails are kept for the next packet");
        }
    }

    fn sink() -> Writer<io::Sink> {
        Writer::new(io::sink()).unwrap()
    }

    #[test]
    fn a_cut_capture_delivers_what_is_whole_and_then_says_where_it_was_cut() {
        let mut input = capture(&[(10, 60), (20, 60)]);
        input.truncate(input.len() - 10);
        let mut pool = pool();
        let mut device = Capture::<_, Vec<u8>>::new(Reader::new(input.as_slice()).unwrap(), None, &mut pool);
        device.set_now(99);
        let mut batch = Vec::new();
        device.receive(&mut pool, &mut batch, 64).unwrap();
        assert_eq!(batch.len(), 1);
        batch.drain(..).for_each(|frame| pool.put(frame));
        let error = device.finish().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("packet 2 (byte "), "{error}");
    }
}
