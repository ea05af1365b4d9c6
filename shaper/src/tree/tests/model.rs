//! A model of `sch_htb`, as plain as can be: every class an entry in a list, every red-black tree a sorted set, tokens in
//! nanobits, every look at a queue a look at all of it. It shares no code with the tree beyond the parameters' types.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::scene::promised;
use crate::params::{Limiter, OwnFraming, Shape, TreeParams};
use crate::units::Rate;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    CantSend,
    MayBorrow,
    CanSend,
}

/// A sorted set with the kernel's pointer, and the id that it remembers when the pointer is lost.
#[derive(Debug, Clone, Default)]
struct IdTree {
    ids: BTreeSet<usize>,
    pointer: Option<usize>,
    last_id: Option<usize>,
}

impl IdTree {
    fn next(&mut self) {
        if let Some(pointer) = self.pointer {
            self.pointer = self.ids.range(pointer + 1..).next().copied();
        }
    }
}

/// Overhead and mpu of a node that has its own.
fn own(framing: OwnFraming) -> (i128, i128) {
    (framing.overhead.unwrap().into(), framing.mpu.unwrap().into())
}

#[derive(Debug, Clone)]
struct Fill {
    rate: i128,
    buffer: i128,
    tokens: i128,
}

#[derive(Debug)]
pub(super) struct Class {
    parent: Option<usize>,
    level: usize,
    overhead: i128,
    mpu: i128,
    rate: Option<Fill>,
    ceil: Option<Fill>,
    checkpoint: u64,
    mode: Mode,
    waits: Option<(u64, u64)>,
    activity: BTreeSet<usize>,
    feeds: BTreeMap<usize, IdTree>,
    priority: usize,
    quantum: i64,
    deficit: [i64; 10],
    pub(super) queue: VecDeque<u32>,
    pub(super) lends: u64,
    pub(super) borrows: u64,
    pub(super) overlimits: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) classes: Vec<Class>,
    lanes_from: usize,
    rows: BTreeMap<(usize, usize), IdTree>,
    waits: u64,
}

const BYTE: i128 = 8_000_000_000;

fn ceil_div(debt: i128, rate: i128) -> u64 {
    u64::try_from((debt + rate - 1) / rate).unwrap()
}

impl Model {
    /// Classes are numbered: the link, groups, lanes.
    pub(super) fn new(params: &TreeParams) -> Self {
        let promised = promised(params);
        let lanes_from = params.groups.len() + 1;
        let mut classes = vec![Self::class(None, params.link.shape, promised.link)];
        classes[0].level = 9;
        (classes[0].overhead, classes[0].mpu) = (params.link.framing.overhead.into(), params.link.framing.mpu.into());
        for (group, rate) in params.groups.iter().zip(&promised.groups) {
            let mut class = Self::class(Some(group.group.map_or(0, |id| id.0 as usize + 1)), group.shape, *rate);
            (class.overhead, class.mpu) = own(group.framing);
            classes.push(class);
        }
        for (lane, rate) in params.lanes.iter().zip(&promised.lanes) {
            let shape = if let Limiter::Htb(shape) = lane.limiter { Some(shape) } else { None };
            let mut class = Self::class(Some(lane.group.map_or(0, |id| id.0 as usize + 1)), shape, *rate);
            (class.overhead, class.mpu) = own(lane.framing);
            let chain: Vec<_> = std::iter::successors(lane.group, |id| params.groups[id.0 as usize].group)
                .map(|id| id.0 as usize)
                .collect();
            let above = chain.iter().find_map(|&id| params.groups[id].priority);
            class.priority = lane.share.priority.or(above).unwrap_or(0).into();
            let tc = |rate: Rate| (rate.bits_per_second() / 8 / 10).clamp(1_000, 200_000);
            // What a guarantee without a rate has been weighted by already.
            let rateless = chain.iter().take_while(|&&id| params.groups[id].shape.is_none());
            let by: u64 = rateless.map(|&id| u64::from(params.groups[id].weight)).product();
            let by = by * u64::from(lane.share.weight);
            let own = match (lane.share.quantum, shape, rate) {
                (Some(quantum), ..) => quantum.into(),
                (None, Some(shape), _) => tc(shape.rate),
                (None, None, Some(rate)) => (rate.bits_per_second() / by / 8 / 10).clamp(1_514, 200_000),
                (None, None, None) => 1_514,
            };
            let weights: u64 = chain.iter().map(|&id| u64::from(params.groups[id].weight)).product();
            class.quantum = i64::try_from(own * u64::from(lane.share.weight) * weights).unwrap();
            classes.push(class);
        }
        for index in 1..lanes_from {
            let depth = std::iter::successors(classes[index].parent, |&parent| classes[parent].parent).count();
            classes[index].level = 9 - depth;
        }
        Self { classes, lanes_from, rows: BTreeMap::new(), waits: 0 }
    }

    fn class(parent: Option<usize>, shape: Option<Shape>, promised: Option<Rate>) -> Class {
        let fill = |rate: Rate, bytes: u64| {
            let buffer = i128::from(bytes) * BYTE;
            Fill { rate: rate.bits_per_second().into(), buffer, tokens: buffer }
        };
        Class {
            parent,
            level: 0,
            overhead: 0,
            mpu: 0,
            rate: promised.map(|rate| fill(rate, shape.map_or(1_600, |shape| shape.burst.0))),
            ceil: shape.map(|shape| fill(shape.ceil, shape.cburst.0)),
            checkpoint: 0,
            mode: Mode::CanSend,
            waits: None,
            activity: BTreeSet::new(),
            feeds: BTreeMap::new(),
            priority: 0,
            quantum: 0,
            deficit: [0; 10],
            queue: VecDeque::new(),
            lends: 0,
            borrows: 0,
            overlimits: 0,
        }
    }

    pub(super) fn lane(&self, lane: usize) -> &Class {
        &self.classes[self.lanes_from + lane]
    }

    pub(super) fn enqueue(&mut self, lane: usize, len: u32) {
        let class = self.lanes_from + lane;
        self.classes[class].queue.push_back(len);
        if self.classes[class].activity.is_empty() {
            self.classes[class].activity = BTreeSet::from([self.classes[class].priority]);
            self.activate(class);
        }
    }

    /// The lane that sends, the level that it sends at, and the length of its packet.
    pub(super) fn dequeue(&mut self, now: u64) -> Option<(usize, usize, u32)> {
        for level in 0..10 {
            self.do_events(level, now);
            for priority in 0..8 {
                if self.rows.get(&(level, priority)).is_some_and(|row| !row.ids.is_empty()) {
                    return Some(self.dequeue_tree(level, priority, now));
                }
            }
        }
        None
    }

    fn dequeue_tree(&mut self, level: usize, priority: usize, now: u64) -> (usize, usize, u32) {
        let class = loop {
            let class = self.lookup_leaf(level, priority);
            if self.classes[class].deficit[level] >= 0 {
                break class;
            }
            self.classes[class].deficit[level] += self.classes[class].quantum;
            self.turn_of(class, level, priority).next();
        };
        let len = self.classes[class].queue.pop_front().unwrap();
        self.classes[class].deficit[level] -= i64::from(len);
        if self.classes[class].deficit[level] < 0 {
            self.classes[class].deficit[level] += self.classes[class].quantum;
            self.turn_of(class, level, priority).next();
        }
        if self.classes[class].queue.is_empty() {
            self.deactivate(class);
            self.classes[class].activity.clear();
        }
        self.charge(class, level, len, now);
        (class - self.lanes_from, level, len)
    }

    fn turn_of(&mut self, class: usize, level: usize, priority: usize) -> &mut IdTree {
        match self.classes[class].parent {
            Some(parent) if level > 0 => self.classes[parent].feeds.get_mut(&priority).unwrap(),
            _ => self.rows.get_mut(&(0, priority)).unwrap(),
        }
    }

    fn lookup_leaf(&mut self, level: usize, priority: usize) -> usize {
        let mut stack: Vec<Option<usize>> = vec![None];
        loop {
            let tree = self.stage(*stack.last().unwrap(), level, priority);
            if tree.pointer.is_none()
                && let Some(id) = tree.last_id
            {
                tree.pointer = tree.ids.range(id..).next().copied();
            }
            tree.last_id = None;
            let pointer = tree.pointer;
            if pointer.is_none() {
                tree.pointer = tree.ids.first().copied();
            }
            match pointer {
                None => {
                    if stack.len() > 1 {
                        stack.pop();
                        self.stage(*stack.last().unwrap(), level, priority).next();
                    }
                }
                Some(class) if self.classes[class].level == 0 => return class,
                Some(class) => stack.push(Some(class)),
            }
        }
    }

    /// The row, or the feed of a class.
    fn stage(&mut self, class: Option<usize>, level: usize, priority: usize) -> &mut IdTree {
        match class {
            None => self.rows.get_mut(&(level, priority)).unwrap(),
            Some(class) => self.classes[class].feeds.get_mut(&priority).unwrap(),
        }
    }

    fn activate(&mut self, class: usize) {
        let (mut class, mut mask) = (class, self.classes[class].activity.clone());
        while self.classes[class].mode == Mode::MayBorrow && !mask.is_empty() {
            let Some(parent) = self.classes[class].parent else { return };
            for priority in mask.clone() {
                let feed = self.classes[parent].feeds.entry(priority).or_default();
                if !feed.ids.is_empty() {
                    mask.remove(&priority);
                }
                feed.ids.insert(class);
            }
            self.classes[parent].activity.extend(&mask);
            class = parent;
        }
        if self.classes[class].mode == Mode::CanSend {
            for priority in mask {
                self.rows.entry((self.classes[class].level, priority)).or_default().ids.insert(class);
            }
        }
    }

    fn deactivate(&mut self, class: usize) {
        let (mut class, mut mask) = (class, self.classes[class].activity.clone());
        while self.classes[class].mode == Mode::MayBorrow && !mask.is_empty() {
            let Some(parent) = self.classes[class].parent else { return };
            for priority in std::mem::take(&mut mask) {
                let feed = self.classes[parent].feeds.get_mut(&priority).unwrap();
                if feed.pointer == Some(class) {
                    feed.last_id = feed.pointer.take();
                }
                assert!(feed.ids.remove(&class));
                if feed.ids.is_empty() {
                    mask.insert(priority);
                    self.classes[parent].activity.remove(&priority);
                }
            }
            class = parent;
        }
        if self.classes[class].mode == Mode::CanSend {
            for priority in mask {
                let row = self.rows.get_mut(&(self.classes[class].level, priority)).unwrap();
                if row.pointer == Some(class) {
                    row.next();
                }
                assert!(row.ids.remove(&class));
            }
        }
    }

    fn charge(&mut self, leaf: usize, level: usize, len: u32, now: u64) {
        let mut next = Some(leaf);
        while let Some(class) = next {
            let this = &mut self.classes[class];
            let elapsed = i128::from(now - this.checkpoint);
            this.checkpoint = now;
            let cost = (i128::from(len) + this.overhead).max(this.mpu) * BYTE;
            let pays = this.level >= level;
            this.lends += u64::from(this.level == level);
            this.borrows += u64::from(!pays);
            if let Some(rate) = &mut this.rate {
                rate.tokens += elapsed * rate.rate;
                if pays {
                    rate.tokens = rate.tokens.min(rate.buffer) - cost;
                }
            }
            if let Some(ceil) = &mut this.ceil {
                ceil.tokens = (ceil.tokens + elapsed * ceil.rate).min(ceil.buffer) - cost;
            }
            let (old, (new, delay)) = (this.mode, this.mode_after(0));
            next = this.parent;
            if old != new {
                self.change_mode(class, new);
                self.classes[class].waits = None;
                self.wait(class, delay.map(|delay| now + delay));
            }
        }
    }

    fn change_mode(&mut self, class: usize, mode: Mode) {
        if mode != self.classes[class].mode {
            self.classes[class].overlimits += u64::from(mode == Mode::CantSend);
            self.deactivate(class);
            self.classes[class].mode = mode;
            self.activate(class);
        }
    }

    fn wait(&mut self, class: usize, until: Option<u64>) {
        if let Some(until) = until {
            self.waits += 1;
            self.classes[class].waits = Some((until, self.waits));
        }
    }

    fn do_events(&mut self, level: usize, now: u64) {
        loop {
            let waiting = self.classes.iter().enumerate().filter(|(_, class)| class.level == level);
            let first = waiting.filter_map(|(index, class)| Some((class.waits?, index))).min();
            let Some(((_, _), class)) = first.filter(|((due, _), _)| *due <= now) else { return };
            let (mode, delay) = self.classes[class].mode_after(now - self.classes[class].checkpoint);
            self.classes[class].waits = None;
            self.change_mode(class, mode);
            self.wait(class, delay.map(|delay| now + delay));
        }
    }

    /// The first time from `now` on at which a class with packets could send: each of them asked, and all above it.
    pub(super) fn wakes(&self, now: u64) -> Option<u64> {
        let waiting = self.classes.iter().filter(|class| !class.queue.is_empty());
        waiting.map(|class| self.sends_at(class).max(now)).min()
    }

    fn sends_at(&self, class: &Class) -> u64 {
        let at = |fill: &Option<Fill>| {
            fill.as_ref().map_or(0, |fill| class.checkpoint + ceil_div(-fill.tokens.min(0), fill.rate))
        };
        let lent = class.parent.map_or(u64::MAX, |parent| self.sends_at(&self.classes[parent]));
        at(&class.ceil).max(at(&class.rate).min(lent))
    }
}

impl Class {
    /// The mode after some time, and how long until it changes.
    fn mode_after(&self, elapsed: u64) -> (Mode, Option<u64>) {
        let level = |fill: &Fill| fill.tokens + i128::from(elapsed) * fill.rate;
        if let Some(ceil) = self.ceil.as_ref().filter(|ceil| level(ceil) < 0) {
            return (Mode::CantSend, Some(ceil_div(-level(ceil), ceil.rate)));
        }
        if let Some(rate) = self.rate.as_ref().filter(|rate| level(rate) < 0) {
            return (Mode::MayBorrow, Some(ceil_div(-level(rate), rate.rate)));
        }
        (Mode::CanSend, None)
    }
}
