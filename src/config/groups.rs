//! Groups: their names, what is in what, and what they are to be.

use std::collections::{HashMap, HashSet};
use std::iter;

use portlane_classify::Direction;
use portlane_shaper::{GroupId, GroupParams};
use toml::Spanned;

use super::error::Problem;
use super::file;
use super::limiter::{framing, inner, priority, weight};
use super::node;
use super::plan::Group;

/// Groups within groups, at most.
const MAX_DEPTH: usize = 8;

/// What all groups and containers are under, also by this name.
const LINK: &str = "link";

/// Names that reports use for what is no container and no group.
const RESERVED: [(&str, &str); 2] = [
    (LINK, "\"link\" is what all groups and containers are under"),
    ("unmatched", "\"unmatched\" is the lane of traffic that no container owns"),
];

/// The position of each group, by its name.
#[derive(Debug)]
pub(crate) struct Names<'a>(HashMap<&'a str, GroupId>);

impl<'a> Names<'a> {
    /// The names of all groups; two may not be the same.
    pub(crate) fn of(written: &'a [file::Group]) -> Result<Self, Problem> {
        let mut names = HashMap::new();
        for (place, group) in (0..).zip(written) {
            let name = check_id(&group.id, "group", "tenant-a")?;
            if names.insert(name, GroupId(place)).is_some() {
                let problem = Problem::at(group.id.span(), format!("two groups are named {name:?}"));
                return Err(problem.help("give each a name of its own"));
            }
        }
        Ok(Self(names))
    }

    /// The group of this name.
    pub(crate) fn find(&self, name: &Spanned<String>) -> Result<Option<GroupId>, Problem> {
        let wanted = name.get_ref().as_str();
        if wanted == LINK {
            return Ok(None);
        }
        self.0.get(wanted).copied().map(Some).ok_or_else(|| {
            let problem = Problem::at(name.span(), format!("no group is named {wanted:?}"));
            problem.help(format!("add one: [[group]] with id = {wanted:?}"))
        })
    }

    /// The name of a container, which no group may have: reports tell nodes by their names.
    pub(crate) fn check_container<'b>(&self, id: &'b Spanned<String>) -> Result<&'b str, Problem> {
        let name = check_id(id, "container", "web")?;
        if self.0.contains_key(name) {
            let problem = Problem::at(id.span(), format!("a group and a container are both named {name:?}"));
            return Err(problem.help("give each a name of its own"));
        }
        Ok(name)
    }
}

fn check_id<'a>(id: &'a Spanned<String>, of: &str, example: &str) -> Result<&'a str, Problem> {
    let name = id.get_ref().as_str();
    let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == name);
    let wrong = if name.is_empty() {
        format!("a {of}'s id is empty")
    } else if name.chars().any(char::is_control) {
        format!("a {of}'s id has a control character")
    } else if let Some((_, why)) = reserved {
        (*why).to_owned()
    } else {
        return Ok(name);
    };
    Err(Problem::at(id.span(), wrong).help(format!("give the {of} a name of its own, as in id = {example:?}")))
}

/// All groups, as written.
pub(crate) fn groups(
    written: &[file::Group],
    names: &Names,
    warnings: &mut Vec<String>,
) -> Result<Vec<Group>, Problem> {
    let parents = written.iter().map(|group| group.group.as_ref().map_or(Ok(None), |parent| names.find(parent)));
    let parents: Vec<Option<GroupId>> = parents.collect::<Result<_, _>>()?;
    check_nesting(written, &parents)?;
    let build = |(group, &parent): (&file::Group, &Option<GroupId>)| {
        let mut params = |direction: Direction, written: &node::Direction| {
            params(written, parent, &format!("group {} {direction}", group.id.get_ref()), warnings)
        };
        Ok(Group {
            id: group.id.get_ref().clone(),
            group: parent,
            params: [params(Direction::Ingress, &group.ingress)?, params(Direction::Egress, &group.egress)?],
        })
    };
    written.iter().zip(&parents).map(build).collect()
}

fn params(
    written: &node::Direction,
    group: Option<GroupId>,
    who: &str,
    warnings: &mut Vec<String>,
) -> Result<GroupParams, Problem> {
    if let Some(quantum) = &written.quantum {
        let problem = Problem::at(quantum.span(), format!("{who}: quantum of a group, which has no turn of its own"));
        return Err(problem.help("give a weight: it multiplies those of the containers in the group"));
    }
    let shape = inner(written, who, warnings)?;
    Ok(GroupParams { group, shape, framing: framing(written), priority: priority(written), weight: weight(written) })
}

/// Every group is under the link, through a few others at most.
fn check_nesting(written: &[file::Group], parents: &[Option<GroupId>]) -> Result<(), Problem> {
    let above = |group: &usize| parents[*group].map(|parent| parent.0 as usize);
    let upwards = |group: usize| iter::successors(Some(group), above);
    let Some(wrong) = (0..written.len()).find(|&group| upwards(group).nth(MAX_DEPTH).is_some()) else { return Ok(()) };
    let mut seen = HashSet::new();
    let name = |group: usize| written[group].id.get_ref().as_str();
    let Some(again) = upwards(wrong).find(|&group| !seen.insert(group)) else {
        let title = format!("group {:?} is {} deep", name(wrong), upwards(wrong).count());
        let problem = Problem::at(written[wrong].id.span(), title);
        return Err(problem.help(format!("groups are nested at most {MAX_DEPTH} deep")));
    };
    let circle =
        upwards(again).take(1).chain(upwards(again).skip(1).take_while(|&group| group != again)).chain([again]);
    let circle: Vec<_> = circle.map(name).collect();
    let place = written[again].group.as_ref().map_or(0..0, Spanned::span);
    let problem = Problem::at(place, format!("groups in a circle: {}", circle.join(" -> ")));
    Err(problem.help("leave one of these groups out of the next"))
}
