//! Labels and rules, and what of them cannot be (`neutron/db/metering/metering_db.py`, `metering_plugin.py`).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Seen from the container, as everywhere: ingress goes to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To a container; Neutron's default.
    #[default]
    Ingress,
    /// From a container.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

impl FromStr for Direction {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text {
            "ingress" => Ok(Self::Ingress),
            "egress" => Ok(Self::Egress),
            _ => Err(Refusal::Direction { text: text.to_owned() }),
        }
    }
}

/// What is counted under one name (`MeteringLabel`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Unique.
    pub id: Uuid,
    /// Need not be unique.
    pub name: String,
    /// Of no meaning here.
    #[serde(default)]
    pub description: String,
    /// Nobody's in particular. Told, and of no meaning here: there is one set of containers.
    #[serde(default)]
    pub shared: bool,
    /// Who it is for: told with what was counted.
    #[serde(default)]
    pub project_id: String,
}

/// Which packets count for a label, or do not (`MeteringLabelRule`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique.
    pub id: Uuid,
    /// The label's.
    #[serde(rename = "metering_label_id")]
    pub label_id: Uuid,
    /// Of the packets.
    #[serde(default)]
    pub direction: Direction,
    /// Of the packets.
    #[serde(flatten)]
    pub prefixes: Prefixes,
    /// What it names does not count, whatever other rules of the label say.
    #[serde(default)]
    pub excluded: bool,
}

/// The addresses that a rule names; each prefix without bits behind its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Prefixes {
    /// Of the far end: the source of ingress, the destination of egress.
    Remote(IpNet),
    /// Of the packet's source.
    Source(IpNet),
    /// Of its destination.
    Destination(IpNet),
    /// Of its source and of its destination.
    Both(IpNet, IpNet),
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_ip_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_ip_prefix: Option<String>,
}

impl TryFrom<Written> for Prefixes {
    type Error = Refusal;

    fn try_from(written: Written) -> Result<Self, Refusal> {
        let Written { remote_ip_prefix: remote, source_ip_prefix: source, destination_ip_prefix: destination } =
            written;
        Self::new(remote.as_deref(), source.as_deref(), destination.as_deref())
    }
}

impl From<Prefixes> for Written {
    fn from(prefixes: Prefixes) -> Self {
        let text = |prefix: Option<IpNet>| prefix.map(|prefix| prefix.to_string());
        let (source, destination) = match prefixes {
            Prefixes::Remote(_) => (None, None),
            other => other.ends(Direction::Ingress),
        };
        Self {
            remote_ip_prefix: text(prefixes.remote()),
            source_ip_prefix: text(source),
            destination_ip_prefix: text(destination),
        }
    }
}

impl Prefixes {
    /// Of what was written; a prefix may be an address, and bits behind its end are cut off (`ipaddress.ip_interface`).
    ///
    /// # Errors
    ///
    /// There is none, or the far end's beside others; one cannot be read; two are of different IP versions.
    pub fn new(remote: Option<&str>, source: Option<&str>, destination: Option<&str>) -> Result<Self, Refusal> {
        match (remote, source, destination) {
            (Some(remote), None, None) => Ok(Self::Remote(prefix("remote_ip_prefix", remote)?)),
            (None, Some(source), None) => Ok(Self::Source(prefix("source_ip_prefix", source)?)),
            (None, None, Some(destination)) => Ok(Self::Destination(prefix("destination_ip_prefix", destination)?)),
            (None, Some(source), Some(destination)) => {
                let from = prefix("source_ip_prefix", source)?;
                let to = prefix("destination_ip_prefix", destination)?;
                let of_one_version = from.addr().is_ipv4() == to.addr().is_ipv4();
                if of_one_version { Ok(Self::Both(from, to)) } else { Err(Refusal::Versions { from, to }) }
            }
            (None, None, None) => Err(Refusal::NoPrefix),
            (Some(_), ..) => Err(Refusal::BothKinds),
        }
    }

    /// The far end's, if it is of that kind.
    #[must_use]
    pub fn remote(&self) -> Option<IpNet> {
        match self {
            Self::Remote(remote) => Some(*remote),
            _ => None,
        }
    }

    /// Of source and destination of the packets of a direction.
    #[must_use]
    pub fn ends(&self, direction: Direction) -> (Option<IpNet>, Option<IpNet>) {
        match (*self, direction) {
            (Self::Remote(prefix), Direction::Ingress) | (Self::Source(prefix), _) => (Some(prefix), None),
            (Self::Remote(prefix), Direction::Egress) | (Self::Destination(prefix), _) => (None, Some(prefix)),
            (Self::Both(source, destination), _) => (Some(source), Some(destination)),
        }
    }
}

fn prefix(key: &'static str, text: &str) -> Result<IpNet, Refusal> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| Refusal::Prefix { key, text: text.to_owned() })
}

/// Why something is refused: nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `MeteringLabelNotFound`.
    #[error("metering label {wanted} does not exist: `portlane meter-label-list` shows which there are")]
    NoLabel {
        /// Its id or name.
        wanted: String,
    },
    /// `MeteringLabelRuleNotFound`.
    #[error("metering label rule {wanted} does not exist: `portlane meter-label-rule-list` shows which there are")]
    NoRule {
        /// Its id.
        wanted: String,
    },
    /// Several labels have the name.
    #[error("{count} metering labels are named {name:?}: use an id, of {ids}")]
    Ambiguous {
        /// Their name.
        name: String,
        /// How many.
        count: usize,
        /// Theirs.
        ids: String,
    },
    /// `MeteringLabelRuleOverlaps`.
    #[error(
        "metering label rule with remote_ip_prefix {prefix} overlaps another, {id} with {other}: delete that first"
    )]
    Overlaps {
        /// The new one's.
        prefix: IpNet,
        /// The other rule.
        id: Uuid,
        /// Its prefix.
        other: IpNet,
    },
    /// A label that has rules is deleted.
    #[error("metering label {name:?} ({id}) has {rules} {}: delete {} first", plural(*rules), if *rules == 1 { "it" } else { "them" })]
    HasRules {
        /// The label.
        id: Uuid,
        /// Its name.
        name: String,
        /// How many.
        rules: usize,
    },
    /// Two of the same id.
    #[error("there is {what} {id} already: ids are unique")]
    Exists {
        /// What they are.
        what: &'static str,
        /// Theirs.
        id: Uuid,
    },
    /// A label without a name, or with a long one.
    #[error("the name {name:?} of a metering label has {} characters: 1 to 255 are expected", name.chars().count())]
    Name {
        /// It.
        name: String,
    },
    /// No prefix.
    #[error("{key} {text:?} is no prefix: expected one as in \"192.0.2.0/24\" or \"2001:db8::/32\"")]
    Prefix {
        /// What it is the value of.
        key: &'static str,
        /// It.
        text: String,
    },
    /// A rule without a prefix.
    #[error("a metering label rule needs remote_ip_prefix, or source_ip_prefix or destination_ip_prefix or both")]
    NoPrefix,
    /// Both kinds of prefixes in one rule.
    #[error(
        "a metering label rule has remote_ip_prefix or else source_ip_prefix and destination_ip_prefix: leave out one kind"
    )]
    BothKinds,
    /// No packet goes from one IP version to another.
    #[error(
        "source_ip_prefix {from} and destination_ip_prefix {to} are of different IP versions: no packet is of both"
    )]
    Versions {
        /// Of the source.
        from: IpNet,
        /// Of the destination.
        to: IpNet,
    },
    /// No direction.
    #[error("direction {text:?} is not known: expected ingress or egress")]
    Direction {
        /// What was written.
        text: String,
    },
    /// No table could be made for all pairs.
    #[error(
        "rules with prefixes of sources and of destinations come to {combinations} combinations, and {most} fit: use fewer prefixes of one of the two"
    )]
    Combinations {
        /// How many.
        combinations: usize,
        /// The most.
        most: usize,
    },
}

fn plural(rules: usize) -> &'static str {
    if rules == 1 { "rule" } else { "rules" }
}

/// The longest name of a label, in characters (Neutron's `NAME_FIELD_SIZE`).
const LONGEST_NAME: usize = 255;

/// All labels and rules. Every change is whole, or refused and none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    labels: Vec<Label>,
    rules: Vec<Rule>,
}

impl Book {
    /// In the order in which they came.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// In the order in which they came.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether there is nothing to count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// A label comes, without rules.
    ///
    /// # Errors
    ///
    /// Its id is another's, or its name is none.
    pub fn add_label(&mut self, label: Label) -> Result<(), Refusal> {
        if self.labels.iter().any(|other| other.id == label.id) {
            return Err(Refusal::Exists { what: "a metering label", id: label.id });
        }
        if !(1..=LONGEST_NAME).contains(&label.name.chars().count()) {
            return Err(Refusal::Name { name: label.name });
        }
        self.labels.push(label);
        Ok(())
    }

    /// A rule comes.
    ///
    /// # Errors
    ///
    /// Its label is none, its id another's, or its `remote_ip_prefix` overlaps that of another rule of the same label, direction and
    /// kind.
    pub fn add_rule(&mut self, rule: Rule) -> Result<(), Refusal> {
        if !self.labels.iter().any(|label| label.id == rule.label_id) {
            return Err(Refusal::NoLabel { wanted: rule.label_id.to_string() });
        }
        if self.rules.iter().any(|other| other.id == rule.id) {
            return Err(Refusal::Exists { what: "a metering label rule", id: rule.id });
        }
        if let Some(prefix) = rule.prefixes.remote() {
            let alike = |other: &&Rule| {
                (other.label_id, other.direction, other.excluded) == (rule.label_id, rule.direction, rule.excluded)
            };
            for other in self.rules.iter().filter(alike) {
                let overlaps = |theirs: &IpNet| theirs.contains(&prefix) || prefix.contains(theirs);
                if let Some(theirs) = other.prefixes.remote().filter(overlaps) {
                    return Err(Refusal::Overlaps { prefix, id: other.id, other: theirs });
                }
            }
        }
        self.rules.push(rule);
        Ok(())
    }

    /// The label of this id or name.
    ///
    /// # Errors
    ///
    /// There is none, or several have the name.
    pub fn label(&self, wanted: &str) -> Result<&Label, Refusal> {
        let id = Uuid::parse_str(wanted).ok();
        if let Some(label) = self.labels.iter().find(|label| Some(label.id) == id) {
            return Ok(label);
        }
        let named: Vec<_> = self.labels.iter().filter(|label| label.name == wanted).collect();
        match named[..] {
            [] => Err(Refusal::NoLabel { wanted: wanted.to_owned() }),
            [label] => Ok(label),
            _ => {
                let ids: Vec<_> = named.iter().map(|label| label.id.to_string()).collect();
                Err(Refusal::Ambiguous { name: wanted.to_owned(), count: ids.len(), ids: ids.join(", ") })
            }
        }
    }

    /// The rule of this id.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn rule(&self, wanted: &str) -> Result<&Rule, Refusal> {
        let id = Uuid::parse_str(wanted).ok();
        let found = self.rules.iter().find(|rule| Some(rule.id) == id);
        found.ok_or_else(|| Refusal::NoRule { wanted: wanted.to_owned() })
    }

    /// A label that has no rules goes.
    ///
    /// # Errors
    ///
    /// There is none of this id, or it has rules.
    pub fn remove_label(&mut self, id: Uuid) -> Result<Label, Refusal> {
        let position = self.labels.iter().position(|label| label.id == id);
        let position = position.ok_or_else(|| Refusal::NoLabel { wanted: id.to_string() })?;
        match self.rules.iter().filter(|rule| rule.label_id == id).count() {
            0 => Ok(self.labels.remove(position)),
            rules => Err(Refusal::HasRules { id, name: self.labels[position].name.clone(), rules }),
        }
    }

    /// A rule goes.
    ///
    /// # Errors
    ///
    /// There is none of this id.
    pub fn remove_rule(&mut self, id: Uuid) -> Result<Rule, Refusal> {
        let position = self.rules.iter().position(|rule| rule.id == id);
        position.map(|position| self.rules.remove(position)).ok_or_else(|| Refusal::NoRule { wanted: id.to_string() })
    }
}
