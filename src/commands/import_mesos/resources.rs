//! Resources as they are written on Mesos' command lines: `cpus:8;ports:[31000-32000]`.

use std::fmt;
use std::str::FromStr;

use portlane_classify::PortRange;

/// Port ranges in ascending order, none next to another: Mesos' `IntervalSet`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// These ranges, joined where they meet.
    pub(super) fn new(mut ranges: Vec<PortRange>) -> Self {
        ranges.sort();
        let mut joined: Vec<PortRange> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if u32::from(range.first()) <= u32::from(last.last()) + 1 => {
                    *last = PortRange::new(last.first(), last.last().max(range.last())).unwrap_or(*last);
                }
                _ => joined.push(range),
            }
        }
        Self(joined)
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// How many ports there are.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|range| u32::from(range.last() - range.first()) + 1).sum()
    }

    pub(super) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().any(|range| other.0.iter().any(|of_other| range.shared_with(*of_other).is_some()))
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        let has = |range: &PortRange| self.0.iter().any(|own| own.shared_with(*range) == Some(*range));
        other.0.iter().all(has)
    }
}

/// As Mesos prints interval sets: without the upper ends.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for range in &self.0 {
            write!(f, "[{},{})", range.first(), u32::from(range.last()) + 1)?;
        }
        f.write_str("}")
    }
}

/// The resources of an agent or a container that concern its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a cpu: Mesos keeps three decimals.
    pub millicpus: Option<u64>,
    /// Ports that are offered.
    pub ports: Option<Ports>,
    /// Ports that containers send from.
    pub ephemeral_ports: Option<Ports>,
}

impl FromStr for Resources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with(['[', '/']) && !text.contains(":[") || text.starts_with("file://") {
            return Err("Failed to parse --resources: JSON and files are not read here: write \
                        'cpus:8;ports:[31000-32000];ephemeral_ports:[32768-57344]'"
                .to_owned());
        }
        let mut resources = Self::default();
        for token in text.split(';').map(str::trim).filter(|token| !token.is_empty()) {
            resources.add(token)?;
        }
        Ok(resources)
    }
}

impl Resources {
    /// Adds one resource; the same one of another role is more of it.
    fn add(&mut self, token: &str) -> Result<(), String> {
        let halves: Vec<_> = token.split(':').collect();
        let &[name, value] = halves.as_slice() else {
            return Err(format!(
                "Failed to parse --resources: Bad value for resources, missing or extra ':' in {token}"
            ));
        };
        // A role may follow the name: ports(web).
        let name = name.split('(').next().unwrap_or(name).trim();
        match name {
            "cpus" => {
                let cpus = millis(value).ok_or_else(|| {
                    format!("Failed to parse --resources: Failed to parse resource cpus value '{value}': a number is expected, as in cpus:2.5")
                })?;
                self.millicpus = Some(self.millicpus.unwrap_or(0).saturating_add(cpus));
            }
            "ports" => more(&mut self.ports, ports("ports", token, value)?),
            "ephemeral_ports" => more(&mut self.ephemeral_ports, ports("ephemeral ports", token, value)?),
            _ => {}
        }
        Ok(())
    }
}

fn more(so_far: &mut Option<Ports>, ports: Ports) {
    let before = so_far.take().unwrap_or_default();
    *so_far = Some(Ports::new([before.0, ports.0].concat()));
}

/// Thousandths of a number that is not negative.
fn millis(text: &str) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths.parse().ok()?)
}

fn ports(what: &str, token: &str, value: &str) -> Result<Ports, String> {
    let refused = |why: &str| format!("Invalid {what} resource '{token}': {why}");
    let list = value.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let list = list.ok_or_else(|| refused("Expecting one or more \"ranges\", as in [31000-32000]"))?;
    let range = |text: &str| -> Result<PortRange, String> {
        let not_a_range = || refused(&format!("'{text}' is not a range: write [31000-32000]"));
        let (begin, end) = text.split_once('-').ok_or_else(not_a_range)?;
        let number = |digits: &str| digits.trim().parse::<u64>().map_err(|_| not_a_range());
        let (begin, end) = (number(begin)?, number(end)?);
        let bounded = |port: u64| u16::try_from(port).map_err(|_| refused("Range is out of bounds"));
        PortRange::new(bounded(begin)?, bounded(end)?).map_err(|why| refused(&why.to_string()))
    };
    let ranges = list.split(',').map(|text| range(text.trim())).collect::<Result<Vec<_>, _>>()?;
    Ok(Ports::new(ranges))
}

/// A container with what Mesos gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub id: String,
    /// Its cpus and ports.
    pub resources: Resources,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((id, resources)) = text.split_once('=').filter(|(id, _)| !id.is_empty()) else {
            return Err("a container is written ID=RESOURCES, as in web=cpus:2;ports:[31000-31499]".to_owned());
        };
        Ok(Self { id: id.to_owned(), resources: resources.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Resources {
        text.parse().unwrap()
    }

    #[test]
    fn what_concerns_the_network_is_read() {
        let all = read(
            "cpus:8; mem:1024;ports(web):[31000-31499, 31500-32000];disk:{a,b};ephemeral_ports:[32768-57344];cpus(x):0.5",
        );
        assert_eq!(all.millicpus, Some(8_500));
        assert_eq!(all.ports.unwrap().to_string(), "{[31000,32001)}", "joined");
        assert_eq!(all.ephemeral_ports.unwrap().count(), 24_577);
        assert_eq!(read("cpus:3.1").millicpus, Some(3_100));
        assert_eq!(read(""), Resources::default());
    }

    #[test]
    fn ports_up_to_the_last_are_a_range() {
        let ports = read("ports:[1-1,65535-65535,3-9]").ports.unwrap();
        assert_eq!((ports.count(), ports.to_string().as_str()), (9, "{[1,2)[3,10)[65535,65536)}"));
    }

    #[test]
    fn what_is_no_resource_is_refused_by_its_text() {
        let refused = |text: &str| text.parse::<Resources>().unwrap_err();
        assert_eq!(
            refused("ports"),
            "Failed to parse --resources: Bad value for resources, missing or extra ':' in ports"
        );
        assert!(refused("a:b:c").ends_with("missing or extra ':' in a:b:c"));
        assert!(refused("cpus:two").contains("cpus value 'two'"));
        assert!(refused("cpus:-1").contains("cpus value '-1'"));
        assert!(refused("ports:31000-32000").contains("Expecting one or more \"ranges\""));
        assert!(refused("ports:[31000]").contains("'31000' is not a range"));
        assert!(refused("ports:[5-3]").ends_with("port range 5-3 runs backwards: write 3-5"));
        assert_eq!(
            refused("ports:[31000-65536]"),
            "Invalid ports resource 'ports:[31000-65536]': Range is out of bounds"
        );
        assert!(
            refused("ephemeral_ports:[0-9]").starts_with("Invalid ephemeral ports resource 'ephemeral_ports:[0-9]'")
        );
        assert!(refused("[{\"name\":\"cpus\"}]").contains("JSON and files are not read"));
        assert!(refused("file:///etc/mesos/resources").contains("JSON and files are not read"));
    }

    #[test]
    fn a_container_has_a_name() {
        let task: Task = "web=cpus:2;ports:[31000-31499]".parse().unwrap();
        assert_eq!((task.id.as_str(), task.resources.millicpus), ("web", Some(2_000)));
        for text in ["", "web", "=cpus:2"] {
            assert!(text.parse::<Task>().is_err(), "{text}");
        }
        assert!("web=cpus".parse::<Task>().is_err());
    }
}
