//! Fuzz targets: whatever arrives, nothing panics, nothing is lost and nothing is made up.
//!
//! | target | what arrives |
//! |---|---|
//! | `parse` | frames of every link type, cut and damaged |
//! | `capture` | pcap and pcapng files, cut and damaged |
//! | `capture_requests` | captures that are asked for of a running portlane |
//! | `config` | configurations with the wrong values, and text that is none |
//! | `containers` | containers that are asked for at run time, and the file that they are kept in |
//! | `flows` | frames of any flows, at any time |
//! | `heads` | frames as workers show them to who observes flows |
//! | `http` | requests for metrics: `Accept` headers and queries |
//! | `netstat` | frames of any connections |
//! | `shaper` | packets in any order, in lanes with any limits, at any time |
//!
//! Each is a test that runs for a few seconds with random input, and a target for coverage-guided fuzzers; the
//! README beside this file says how to run them for longer.

#[cfg(test)]
mod capture;
#[cfg(test)]
mod capture_requests;
#[cfg(test)]
mod config;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod http;
#[cfg(test)]
mod netstat;
#[cfg(test)]
mod parse;
#[cfg(test)]
mod shaper;

/// How long each target runs as a test, unless `BOLERO_RANDOM_TEST_TIME_MS` says otherwise.
#[cfg(test)]
const BUDGET: std::time::Duration = std::time::Duration::from_secs(3);
