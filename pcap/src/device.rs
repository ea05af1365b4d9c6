//! A capture as a device: frames arrive when it says so, and leave into another capture.

use std::io::{self, Read, Write};
use std::mem;

use portlane_rings::{Device, Frame, Held, Pool};

use crate::{LinkType, Packet, ReadError, Reader, Writer, tails::Tails};

/// A frame, and when it arrives or has left.
#[derive(Debug)]
struct Timed {
    frame: Frame,
    time_ns: u64,
}

impl From<Frame> for Timed {
    fn from(frame: Frame) -> Self {
        Self { frame, time_ns: 0 }
    }
}

/// A capture as a [`Device`] in virtual time: [`set_now`](Device::set_now) says what time it is, frames whose time has
/// come arrive, and frames sent are written with that time.
///
/// Times that run backwards are held at the latest one, and counted. When the capture turns out to be cut or damaged,
/// it ends there: all packets before arrive, and [`finish`](Self::finish) returns the error.
///
/// Packets are read, and written, many at a time. To that end the device keeps [`FRAMES`](Self::FRAMES) frames of the
/// pool's: ahead of their time, on their way out, or spare.
///
/// What a captured packet has beyond a frame is kept beside it. That memory is bounded by the most frames that were
/// out at the same time and the longest packets in them: a long tail is given back when its packet has been written,
/// or, if it was dropped, when its frame is next used.
#[derive(Debug)]
pub struct Capture<R, W: Write> {
    reader: Reader<R>,
    writer: Option<Writer<W>>,
    now_ns: u64,
    /// Frames may be received until this time, though it is yet to come.
    until_ns: u64,
    /// When the frames received last arrived.
    received_ns: Vec<u64>,
    /// The latest time of a packet that was read.
    latest_ns: u64,
    /// Read ahead, the next one last; not empty until the capture ends.
    arriving: Vec<Timed>,
    leaving: Vec<Timed>,
    spare: Vec<Timed>,
    /// Frames to keep; none when the capture has ended.
    kept: usize,
    failed: Option<ReadError>,
    tails: Tails,
    backwards: u64,
}

impl<R: Read, W: Write> Capture<R, W> {
    /// Frames that a capture keeps for itself, or a quarter of a pool that has few: those that are handled now, and those
    /// that come next.
    pub const FRAMES: u32 = 128;

    /// The capture that `reader` reads; frames sent go to `writer`, or nowhere. Takes frames of the pool's.
    pub fn new(reader: Reader<R>, writer: Option<Writer<W>>, pool: &mut Pool) -> Self {
        let kept = Self::FRAMES.min(pool.total() / 4) as usize;
        let mut capture = Self {
            reader,
            writer,
            now_ns: 0,
            until_ns: 0,
            received_ns: Vec::with_capacity(kept),
            latest_ns: 0,
            arriving: Vec::with_capacity(kept),
            leaving: Vec::with_capacity(kept),
            spare: Vec::with_capacity(kept),
            kept,
            failed: None,
            tails: Tails::default(),
            backwards: 0,
        };
        capture.keep_frames(pool);
        capture.read_ahead(pool);
        capture
    }

    /// What time it is, in nanoseconds since 1970: what was said last.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now_ns
    }

    /// Lets frames be received that arrive until then, whatever time it is: see [`Device::arrival`]. Many at a time cost
    /// less; their receiver must not have frames of other devices to receive.
    pub fn receive_until(&mut self, until_ns: u64) {
        self.until_ns = until_ns;
    }

    /// When the next packet arrives; `None` after the last.
    #[inline]
    #[must_use]
    pub fn next_arrival(&self) -> Option<u64> {
        self.arriving.last().map(|next| next.time_ns)
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

    /// Writes all that has left. To be called before [`finish`](Self::finish): until then, some of it may not be written.
    ///
    /// # Errors
    ///
    /// The output could not be written.
    pub fn write_out(&mut self, pool: &Pool) -> io::Result<()> {
        let Self { leaving, tails, .. } = self;
        let written = match &mut self.writer {
            Some(writer) => leaving.iter().try_for_each(|left| write(left, pool, tails, writer)),
            None => Ok(()),
        };
        tails.forget_all(pool, leaving.iter().map(|left| &left.frame));
        self.spare.append(leaving);
        written
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

    /// Brings the next packets into the spare frames, the first packet into the last of them.
    fn read_ahead(&mut self, pool: &mut Pool) {
        if self.spare.is_empty() {
            self.spare.extend(pool.take().map(Timed::from));
        }
        assert!(!self.spare.is_empty(), "the line keeps frames free for what arrives");
        mem::swap(&mut self.arriving, &mut self.spare);
        let mut unused = self.arriving.len();
        for next in self.arriving.iter_mut().rev() {
            let packet = match self.reader.ready() {
                Some(located) => self.reader.deliver(located),
                None => match self.reader.look_further() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => {
                        self.failed = Some(error);
                        break;
                    }
                },
            };
            load(&packet, pool, &mut next.frame, &mut self.tails);
            self.backwards += u64::from(packet.time_ns < self.latest_ns);
            self.latest_ns = self.latest_ns.max(packet.time_ns);
            next.time_ns = self.latest_ns;
            unused -= 1;
        }
        self.spare.extend(self.arriving.drain(..unused));
        if self.arriving.is_empty() {
            self.kept = 0;
        }
    }

    /// Takes frames from the pool, or puts some back, until as many are kept as should be.
    #[inline]
    fn keep_frames(&mut self, pool: &mut Pool) {
        let held = self.arriving.len() + self.leaving.len() + self.spare.len();
        if held != self.kept {
            self.keep_frames_of(held, pool);
        }
    }

    #[inline(never)]
    fn keep_frames_of(&mut self, held: usize, pool: &mut Pool) {
        for _ in held..self.kept {
            self.spare.extend(pool.take().map(Timed::from));
        }
        for _ in self.kept..held {
            if let Some(spare) = self.spare.pop() {
                pool.put(spare.frame);
            }
        }
    }
}

/// Writes a packet that has left, with its tail.
#[inline]
fn write<W: Write>(left: &Timed, pool: &Pool, tails: &Tails, writer: &mut Writer<W>) -> io::Result<()> {
    let Timed { frame, time_ns } = left;
    let link = LinkType(frame.link_type());
    match (pool.bytes(frame), tails.of(pool, frame)) {
        (packet, []) => writer.write(link, *time_ns, packet, frame.wire_len()),
        (head, tail) => writer.write(link, *time_ns, &[head, tail].concat(), frame.wire_len()),
    }
}

/// Copies what fits into the frame, and keeps the rest beside it.
#[inline]
fn load(packet: &Packet<'_>, pool: &mut Pool, frame: &mut Frame, tails: &mut Tails) {
    let fits = packet.data.len().min(pool.capacity() as usize);
    let (head, tail) = packet.data.split_at(fits);
    pool.write(frame, head).expect("the head was cut to fit");
    frame.set_wire_len(packet.original_len);
    frame.set_link_type(packet.link.0);
    tails.set(pool, frame, tail);
}

impl<R: Read, W: Write> Device for Capture<R, W> {
    #[inline]
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        let until = self.now_ns.max(self.until_ns);
        self.received_ns.clear();
        for _ in 0..max {
            let Some(Timed { frame, time_ns }) = self.arriving.pop_if(|next| next.time_ns <= until) else { break };
            batch.push(frame);
            self.received_ns.push(time_ns);
            if self.arriving.is_empty() {
                self.read_ahead(pool);
            }
        }
        Ok(())
    }

    #[inline]
    fn arrival(&self, position: usize) -> Option<u64> {
        self.received_ns.get(position).copied()
    }

    #[inline]
    fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    #[inline]
    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.leaving.push(Timed { frame, time_ns: self.now_ns });
        Ok(())
    }

    #[inline]
    fn room(&mut self) -> usize {
        usize::MAX
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        let enough = self.kept / 2;
        let written = if self.leaving.len() < enough { Ok(()) } else { self.write_out(pool) };
        self.keep_frames(pool);
        written
    }

    fn held(&self) -> Held {
        let count = |frames: usize| u32::try_from(frames).expect("frames are counted in u32");
        Held { filling: count(self.arriving.len() + self.spare.len()), sending: count(self.leaving.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tails::KEPT_TAIL;
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
                arrivals.push((time, frame.len(), frame.wire_len(), frame.link_type()));
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
    fn frames_received_ahead_say_when_they_arrive() {
        let input = capture(&[(10, 60), (20, 61), (15, 62), (30, 63)]);
        let mut pool = pool();
        let mut output = Vec::new();
        let writer = Writer::new(&mut output).unwrap();
        let mut device = Capture::new(Reader::new(input.as_slice()).unwrap(), Some(writer), &mut pool);
        device.receive_until(29);
        let (mut batch, mut arrivals) = (Vec::new(), Vec::new());
        device.receive(&mut pool, &mut batch, 64).unwrap();
        for (position, frame) in batch.drain(..).enumerate() {
            let arrival = device.arrival(position).unwrap();
            arrivals.push((arrival, frame.len()));
            device.set_now(arrival);
            device.send(frame).unwrap();
        }
        assert_eq!(arrivals, [(10, 60), (20, 61), (20, 62)]);
        assert_eq!((device.now(), device.next_arrival()), (20, Some(30)));
        device.write_out(&pool).unwrap();
        device.finish().unwrap().unwrap();
        assert_eq!(output, capture(&[(10, 60), (20, 61), (20, 62)]));
    }

    #[test]
    fn packets_of_one_moment_arrive_in_order_and_no_frame_is_lost() {
        let packets: Vec<_> = (0..300).map(|len| (10, len)).chain([(20, 300), (20, 301)]).collect();
        let input = capture(&packets);
        let mut pool = Pool::new(Layout { frames: 1_024, frame_size: 2_048 }).unwrap();
        let mut device = Capture::new(Reader::new(input.as_slice()).unwrap(), Some(sink()), &mut pool);
        assert_eq!(device.arriving.len(), 128, "packets are read ahead");
        let (mut queued, mut arrived, mut batch) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(time) = device.next_arrival() {
            device.set_now(time);
            device.reclaim(&mut pool).unwrap();
            assert_eq!(device.held().filling + device.held().sending, Capture::<&[u8], io::Sink>::FRAMES);
            device.receive(&mut pool, &mut batch, 64).unwrap();
            assert!(batch.len() == 64 || device.next_arrival() != Some(time), "all that has arrived is delivered");
            arrived.extend(batch.iter().map(|frame| (time, frame.len() as usize)));
            // Every second packet waits.
            for (index, frame) in batch.drain(..).enumerate() {
                if index % 2 == 0 {
                    queued.push(frame);
                } else {
                    device.send(frame).unwrap();
                }
            }
            let Held { filling, sending } = device.held();
            assert_eq!(pool.free() as usize + (filling + sending) as usize + queued.len(), 1_024);
        }
        assert_eq!(arrived, packets);
        queued.drain(..).for_each(|frame| device.send(frame).unwrap());
        device.reclaim(&mut pool).unwrap();
        assert_eq!((device.held(), pool.free()), (Held::default(), pool.total()));
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
            let kept: Vec<_> = device.tails.capacities().collect();
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
