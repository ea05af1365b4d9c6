//! Captures built byte by byte, and what the reader and other programs make of them.

mod bytes;
mod cuts;
mod formats;
mod hostile;
mod opening;
mod round_trip;
mod wireshark;
