//! `portlane meter-label-…`: labels and rules of meters, as Neutron's command line has them.

use std::fmt::Write as _;

use hyper::Method;
use serde_json::{Map, Value, json};

use super::container::escaped;
use super::outputs;
use crate::args::{MeterLabel, MeterRule, NewMeterLabel, NewMeterRule, Target};
use crate::control::client;
use crate::failure::Failure;

/// Runs a command of labels.
///
/// # Errors
///
/// Refused if nobody listens on the socket, or portlane refuses; failed if standard output cannot be written.
pub fn create_label(command: &NewMeterLabel) -> Result<(), Failure> {
    let body = json!({
        "name": command.name,
        "description": command.description,
        "shared": command.shared,
        "project_id": command.project_id,
    });
    let label = client::change(&command.target.socket, &Method::POST, "/control/meters/labels", Some(&body))?;
    outputs::print(&format!("Created a new metering_label:\n{}", fields(&label_fields(&label))))
}

/// Shows all labels.
///
/// # Errors
///
/// As [`create_label`].
pub fn list_labels(target: &Target) -> Result<(), Failure> {
    let columns = ["id", "name", "description", "shared"];
    let labels = all(target, "metering_labels")?;
    outputs::print(&table(&columns, &labels.iter().map(|label| row(label, &columns)).collect::<Vec<_>>()))
}

/// Shows one label.
///
/// # Errors
///
/// As [`create_label`]; refused if there is none.
pub fn show_label(command: &MeterLabel) -> Result<(), Failure> {
    let labels = all(&command.target, "metering_labels")?;
    let label = one(&labels, &command.label, "metering label")?;
    outputs::print(&fields(&label_fields(label)))
}

/// Deletes a label.
///
/// # Errors
///
/// As [`create_label`].
pub fn delete_label(command: &MeterLabel) -> Result<(), Failure> {
    delete(&command.target, "labels", &command.label, "metering_label")
}

/// Creates a rule.
///
/// # Errors
///
/// As [`create_label`].
pub fn create_rule(command: &NewMeterRule) -> Result<(), Failure> {
    let mut body = json!({
        "metering_label": command.label,
        "direction": command.direction,
        "excluded": command.excluded,
    });
    let prefixes = [
        ("remote_ip_prefix", command.remote_ip_prefix.as_ref().or(command.remote_ip_prefix_option.as_ref())),
        ("source_ip_prefix", command.source_ip_prefix.as_ref()),
        ("destination_ip_prefix", command.destination_ip_prefix.as_ref()),
    ];
    for (key, prefix) in prefixes {
        if let Some(prefix) = prefix {
            body[key] = json!(prefix);
        }
    }
    let rule = client::change(&command.target.socket, &Method::POST, "/control/meters/rules", Some(&body))?;
    outputs::print(&format!("Created a new metering_label_rule:\n{}", fields(&rule)))
}

/// Shows all rules.
///
/// # Errors
///
/// As [`create_label`].
pub fn list_rules(target: &Target) -> Result<(), Failure> {
    let rules = all(target, "metering_label_rules")?;
    let mut columns = vec!["id", "excluded", "direction", "remote_ip_prefix"];
    // Neutron's list has no other columns; they are shown where rules have them.
    let further = ["source_ip_prefix", "destination_ip_prefix"];
    columns.extend(further.into_iter().filter(|column| rules.iter().any(|rule| !rule[*column].is_null())));
    outputs::print(&table(&columns, &rules.iter().map(|rule| row(rule, &columns)).collect::<Vec<_>>()))
}

/// Shows one rule.
///
/// # Errors
///
/// As [`create_label`]; refused if there is none.
pub fn show_rule(command: &MeterRule) -> Result<(), Failure> {
    let rules = all(&command.target, "metering_label_rules")?;
    outputs::print(&fields(one(&rules, &command.rule, "metering label rule")?))
}

/// Deletes a rule.
///
/// # Errors
///
/// As [`create_label`].
pub fn delete_rule(command: &MeterRule) -> Result<(), Failure> {
    delete(&command.target, "rules", &command.rule, "metering_label_rule")
}

fn delete(target: &Target, what: &str, wanted: &str, kind: &str) -> Result<(), Failure> {
    let name: String = wanted.bytes().map(escaped).collect();
    client::change(&target.socket, &Method::DELETE, &format!("/control/meters/{what}/{name}"), None)?;
    outputs::print(&format!("Deleted {kind}: {wanted}\n"))
}

fn all(target: &Target, what: &str) -> Result<Vec<Value>, Failure> {
    let told = client::change(&target.socket, &Method::GET, "/meters", None)?;
    Ok(told[what].as_array().cloned().unwrap_or_default())
}

/// The one of this id, or else the only one of this name.
fn one<'a>(all: &'a [Value], wanted: &str, kind: &str) -> Result<&'a Value, Failure> {
    if let Some(found) = all.iter().find(|one| one["id"] == wanted) {
        return Ok(found);
    }
    let named: Vec<_> = all.iter().filter(|one| one["name"] == wanted).collect();
    match named[..] {
        [one] => Ok(one),
        [] => Err(Failure::refused(format!("{kind} {wanted} does not exist"))),
        _ => Err(Failure::refused(format!("{} are named {wanted:?}: use an id", named.len()))),
    }
}

/// A label's fields under their names in Neutron's command line.
fn label_fields(label: &Value) -> Value {
    let mut fields: Map<String, Value> = label.as_object().cloned().unwrap_or_default();
    if let Some(project) = fields.remove("project_id") {
        fields.insert("tenant_id".to_owned(), project);
    }
    fields.into()
}

/// Fields in the order of their names.
fn fields(of: &Value) -> String {
    let mut rows: Vec<_> =
        of.as_object().into_iter().flatten().map(|(key, value)| vec![key.clone(), text(value)]).collect();
    rows.sort();
    table(&["Field", "Value"], &rows)
}

fn row(of: &Value, columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| text(&of[*column])).collect()
}

/// A value as Python prints it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let len = |text: &str| text.chars().count();
    let width =
        |column: usize| rows.iter().map(|row| len(&row[column])).chain([len(columns[column])]).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            // Writing to a string does not fail.
            let _ = write!(line, "| {cell:width$} ");
        }
        line + "|\n"
    };
    let mut out = rule.clone() + &line(&mut columns.iter().copied()) + &rule;
    rows.iter().for_each(|row| out += &line(&mut row.iter().map(String::as_str)));
    out + &rule
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the manual of a deployment of Neutron.
    #[test]
    fn tables_are_those_of_neutron() {
        let rule = json!({
            "direction": "ingress", "excluded": false, "id": "c2f5f724-df0c-4076-b72b-6bbaa1db36d2",
            "metering_label_id": "504ca435-97f0-47e8-97cf-a7b92b310fbe", "remote_ip_prefix": "7.7.7.0/24",
        });
        let expected = "\
+-------------------+--------------------------------------+
| Field             | Value                                |
+-------------------+--------------------------------------+
| direction         | ingress                              |
| excluded          | False                                |
| id                | c2f5f724-df0c-4076-b72b-6bbaa1db36d2 |
| metering_label_id | 504ca435-97f0-47e8-97cf-a7b92b310fbe |
| remote_ip_prefix  | 7.7.7.0/24                           |
+-------------------+--------------------------------------+
";
        assert_eq!(fields(&rule), expected);
        let columns = ["id", "excluded", "direction", "remote_ip_prefix"];
        let expected = "\
+--------------------------------------+----------+-----------+------------------+
| id                                   | excluded | direction | remote_ip_prefix |
+--------------------------------------+----------+-----------+------------------+
| c2f5f724-df0c-4076-b72b-6bbaa1db36d2 | False    | ingress   | 7.7.7.0/24       |
+--------------------------------------+----------+-----------+------------------+
";
        assert_eq!(table(&columns, &[row(&rule, &columns)]), expected);
        let label = json!({ "id": "1", "name": "in", "description": "", "shared": false, "project_id": "p" });
        let names: Vec<_> = fields(&label_fields(&label)).lines().skip(3).map(|line| line[2..].to_owned()).collect();
        assert!(names[0].starts_with("description |  ") && names[4].starts_with("tenant_id   | p"), "{names:?}");
    }
}
