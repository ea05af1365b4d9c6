//! The tree beside a model of `sch_htb`, and what it promises by itself.

mod bounds;
mod changes;
mod guarantees;
mod invariants;
mod model;
mod parity;
mod refusals;
mod scene;
mod shares;
