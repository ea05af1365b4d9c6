//! `portlane container`, `reload` and `drain`: changes of a running portlane.

use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::{Map, Value, json};
use toml::Table;

use super::outputs;
use crate::args::{Container, Keys};
use crate::control::client;
use crate::failure::Failure;

/// Runs the command.
///
/// # Errors
///
/// Refused if nobody listens on the socket, or portlane refuses; failed if standard output cannot be written.
pub fn run(command: &Container) -> Result<(), Failure> {
    match command {
        Container::Add { id, ports, netns, pid, keys, target } => {
            let mut body = body(keys)?;
            body.insert("ports".to_owned(), json!(ports));
            let of_process = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")));
            if let Some(netns) = netns.as_ref().or(of_process.as_ref()) {
                body.insert("netns".to_owned(), json!(netns));
            }
            let added = ask(&target.socket, &Method::PUT, id, Some(&body.into()))?;
            outputs::print(&format!("{id}: ports {}\n", texts(&added["ports"])))
        }
        Container::Set { id, ports, keys, target } => {
            let mut body = body(keys)?;
            if !ports.is_empty() {
                body.insert("ports".to_owned(), json!(ports));
            }
            let set = ask(&target.socket, &Method::PATCH, id, Some(&body.into()))?;
            outputs::print(&format!("{id}: ports {}\n", texts(&set["ports"])))
        }
        Container::Remove { id, target } => {
            ask(&target.socket, &Method::DELETE, id, None)?;
            outputs::print(&format!("{id}: removed; what waits in its lanes still leaves\n"))
        }
        Container::List { json, target } => {
            let list = client::change(&target.socket, &Method::GET, "/control/containers", None)?;
            if *json {
                return outputs::print(&format!("{list:#}\n"));
            }
            let line = |one: &Value| {
                let origin = if one["added"] == true { "added at run time" } else { "of the file" };
                format!("{}  ports {}  {origin}\n", one["id"].as_str().unwrap_or_default(), texts(&one["ports"]))
            };
            outputs::print(&list.as_array().into_iter().flatten().map(line).collect::<String>())
        }
    }
}

/// Has a running portlane read its configuration again.
///
/// # Errors
///
/// As [`run`].
pub fn reload(socket: &Path) -> Result<(), Failure> {
    let did = client::change(socket, &Method::POST, "/control/reload", None)?;
    let [added, changed, removed] = ["added", "changed", "removed"].map(|key| did[key].as_u64().unwrap_or_default());
    outputs::print(&format!("containers: {added} added, {changed} changed, {removed} removed\n"))
}

/// Has a running portlane take nothing more, send what waits, and end.
///
/// # Errors
///
/// As [`run`].
pub fn drain(socket: &Path) -> Result<(), Failure> {
    client::change(socket, &Method::POST, "/control/drain", None)?;
    outputs::print("what waits is sent, then it ends\n")
}

fn ask(socket: &Path, method: &Method, id: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let name: String = id.bytes().map(escaped).collect();
    Ok(client::change(socket, method, &format!("/control/containers/{name}"), body)?)
}

/// A byte of a name in a path (RFC 3986, section 2.1).
pub(super) fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn body(keys: &Keys) -> Result<Map<String, Value>, Failure> {
    let mut all = Table::new();
    for key in &keys.keys {
        let table: Table = toml::from_str(key).map_err(|error| {
            Failure::refused(format!(
                "{key:?}: {}: expected a key of [[container]], as in 'egress = {{ rate = \"10mbit\" }}'",
                error.message()
            ))
        })?;
        all.extend(table);
    }
    if let Some(group) = &keys.group {
        all.insert("group".to_owned(), group.as_str().into());
    }
    for (direction, rate) in [("ingress", &keys.ingress_rate), ("egress", &keys.egress_rate)] {
        if let Some(rate) = rate {
            let table = all.entry(direction).or_insert_with(|| Table::new().into());
            if let Some(table) = table.as_table_mut() {
                table.insert("rate".to_owned(), rate.as_str().into());
            }
        }
    }
    match serde_json::to_value(all) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Failure::refused("keys have values that JSON does not have")),
    }
}

fn texts(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}
