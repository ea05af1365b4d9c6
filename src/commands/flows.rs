//! `portlane flows`: how flows fared, by container, port or pair.

use std::time::Duration;

use hyper::Method;

use super::outputs;
use crate::args::Flows;
use crate::control::client;
use crate::failure::Failure;
use crate::flows::{self, By, Figures, Line, Of, Told};

/// Runs the command.
///
/// # Errors
///
/// Refused if nobody listens on the socket, flows are not observed, or there is no such store; failed if standard output cannot be
/// written.
pub fn flows(arguments: &Flows) -> Result<(), Failure> {
    let Flows { by, top, last, json, store, socket } = arguments;
    let last = last.map(|last| last.0.as_secs());
    let told = match store {
        Some(store) => flows::stored(store, *by, last, *top)?,
        None => {
            let word = serde_json::to_value(by).map_err(Failure::failed)?;
            let last = last.map(|last| format!("&last={last}")).unwrap_or_default();
            let path = format!("/flows?by={}&top={top}{last}", word.as_str().unwrap_or_default());
            let told = client::change(socket, &Method::GET, &path, None)?;
            serde_json::from_value(told).map_err(Failure::failed)?
        }
    };
    if *json {
        let text = serde_json::to_string(&told).map_err(Failure::failed)?;
        return outputs::print(&format!("{text}\n"));
    }
    outputs::print(&table(&told))
}

/// The whole table, and what is not in it.
fn table(told: &Told) -> String {
    let mut columns: Vec<Column> = of(told.by);
    columns.extend(FIGURES.iter().map(|&(title, figure)| Column {
        title,
        is_text: false,
        cell: Box::new(move |line| figure(&line.figures)),
    }));
    let cells: Vec<Vec<String>> =
        told.rows.iter().map(|line| columns.iter().map(|column| (column.cell)(line)).collect()).collect();
    let width =
        |place: usize| cells.iter().map(|row| row[place].chars().count()).chain([columns[place].title.len()]).max();
    let widths: Vec<_> = (0..columns.len()).map(|place| width(place).unwrap_or_default()).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&columns).zip(&widths).map(|((cell, column), &width)| {
            if column.is_text { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = line(&mut columns.iter().map(|column| column.title));
    cells.iter().for_each(|row| out += &line(&mut row.iter().map(String::as_str)));
    let seconds = Duration::from_secs(told.until.saturating_sub(told.from)).as_secs();
    out += &format!("In {seconds} s. Packets of others: {}\n", told.other_packets);
    out
}

/// A column of the table.
struct Column {
    title: &'static str,
    is_text: bool,
    cell: Box<dyn Fn(&Line) -> String>,
}

/// The columns that say whose figures they are.
fn of(by: By) -> Vec<Column> {
    let text =
        |title, cell: fn(&Of) -> String| Column { title, is_text: true, cell: Box::new(move |line| cell(&line.of)) };
    let container = || text("container", |of| of.pod_id.clone().unwrap_or_default());
    let service =
        || text("server port", |of| format!("{}/{}", of.server_port.unwrap_or_default(), protocol(of.protocol)));
    let end = |address: Option<std::net::IpAddr>, container: &Option<String>| {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        match container.as_deref().unwrap_or_default() {
            "" => address,
            container => format!("{address} ({container})"),
        }
    };
    match by {
        By::Container => vec![container()],
        By::Port => vec![container(), service()],
        By::Pair => vec![
            Column { title: "client", is_text: true, cell: Box::new(move |line| end(line.of.ip_0, &line.of.pod_id_0)) },
            Column { title: "server", is_text: true, cell: Box::new(move |line| end(line.of.ip_1, &line.of.pod_id_1)) },
            service(),
        ],
    }
}

fn protocol(number: Option<u8>) -> String {
    match number {
        Some(6) => "tcp".to_owned(),
        Some(17) => "udp".to_owned(),
        other => other.unwrap_or_default().to_string(),
    }
}

/// A column of figures: its title, and what is in it.
type Figure = (&'static str, fn(&Figures) -> String);

/// The columns of figures.
const FIGURES: [Figure; 14] = [
    ("sent", |f| f.byte_tx.to_string()),
    ("received", |f| f.byte_rx.to_string()),
    ("flows", |f| f.new_flow.to_string()),
    ("ended", |f| f.closed_flow.to_string()),
    ("rtt ms", |f| mean(f.rtt_sum, f.rtt_count)),
    ("srt ms", |f| mean(f.srt_sum, f.srt_count)),
    ("art ms", |f| mean(f.art_sum, f.art_count)),
    ("retrans", |f| (f.retrans_tx + f.retrans_rx).to_string()),
    ("zero win", |f| (f.zero_win_tx + f.zero_win_rx).to_string()),
    ("no connection", |f| f.tcp_establish_fail.to_string()),
    ("broken", |f| f.tcp_transfer_fail.to_string()),
    ("requests", |f| f.l7_request.to_string()),
    ("errors", |f| (f.l7_error + f.l7_timeout).to_string()),
    ("rrt ms", |f| mean(f.rrt_sum, f.rrt_count)),
];

/// The mean of times, in milliseconds; nothing if there is none.
fn mean(sum_us: u64, count: u64) -> String {
    let Some(mean_us) = sum_us.checked_div(count) else { return "-".to_owned() };
    format!("{}.{:03}", mean_us / 1_000, mean_us % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_say_whose_figures_they_are() {
        let figures = Figures { byte_tx: 1_000, rtt_sum: 2_468, rtt_count: 2, new_flow: 3, ..Figures::default() };
        let of = Of { pod_id: Some("web".to_owned()), server_port: Some(443), protocol: Some(6), ..Of::default() };
        let told = Told { by: By::Port, from: 100, until: 160, other_packets: 7, rows: vec![Line { of, figures }] };
        assert_eq!(
            table(&told),
            "container  server port  sent  received  flows  ended  rtt ms  srt ms  art ms  retrans  zero win  no connection  broken  requests  errors  rrt ms\n\
             web        443/tcp      1000         0      3      0   1.234       -       -        0         0              0       0         0       0       -\n\
             In 60 s. Packets of others: 7\n"
        );
    }
}
