//! Asking the kernel for interfaces, addresses and routes, and changing them, by netlink (rtnetlink(7)).

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::libc::ENODEV;

use crate::netlink::Conversation;

/// A conversation with the kernel about one network namespace.
pub(super) struct Netlink(Conversation);

/// What is asked about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) alias: Option<String>,
    pub(super) is_up: bool,
    /// Of a pair, the other end: its index, in its namespace.
    pub(super) peer: Option<u32>,
    /// That namespace, by the number by which this one knows it; `None`: this one itself.
    pub(super) peer_namespace: Option<i32>,
    /// What it can be changed together with.
    pub(super) group: u32,
}

/// What is to become of something that is there already.
#[derive(Debug, Clone, Copy)]
pub(super) enum Present {
    /// It is an error (`EEXIST`).
    Refuse,
    /// It is replaced.
    Replace,
}

impl Netlink {
    /// About the network namespace of the calling thread; from then on it may be used by any.
    pub(super) fn open() -> io::Result<Self> {
        Conversation::open().map(Self)
    }

    /// Makes something.
    pub(super) fn create(&mut self, message: RouteNetlinkMessage, present: Present) -> io::Result<()> {
        let present = match present {
            Present::Refuse => NLM_F_EXCL,
            Present::Replace => NLM_F_REPLACE,
        };
        self.change(message, NLM_F_CREATE | present)
    }

    /// Changes or deletes something.
    pub(super) fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.0.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.0.answers(|_| ())
    }

    /// All that there is of a kind.
    pub(super) fn all(&mut self, question: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut found = Vec::new();
        self.0.send(question, NLM_F_REQUEST | NLM_F_DUMP)?;
        self.0.answers(|answer| found.push(answer))?;
        Ok(found)
    }

    /// All interfaces.
    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        let answers = self.all(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(answers.into_iter().filter_map(Link::of).collect())
    }

    /// The interface of this name, if there is one.
    pub(super) fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.0.send(RouteNetlinkMessage::GetLink(question), NLM_F_REQUEST | NLM_F_ACK)?;
        let mut found = None;
        match self.0.answers(|answer| found = found.take().or_else(|| Link::of(answer))) {
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(None),
            answered => answered.map(|()| found),
        }
    }

    /// Changes an interface that is there.
    pub(super) fn set_link(&mut self, index: u32, attributes: Vec<LinkAttribute>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = attributes;
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Sets an interface up, or down.
    pub(super) fn set_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags.set(LinkFlags::Up, up);
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Deletes an interface, and so the other end of its pair; it may be gone already.
    pub(super) fn delete_link(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(()),
            deleted => deleted,
        }
    }

    /// Deletes interfaces, all together: the kernel waits for all of its cores once, and not for each of them again. `all` are
    /// those that there are.
    pub(super) fn delete_links(&mut self, indices: &[u32], all: &[Link]) -> io::Result<()> {
        let taken: HashSet<_> = all.iter().map(|link| link.group).collect();
        // A group of their own, for the moment.
        let Some(group) = (1..=u32::MAX).rev().find(|group| !taken.contains(group)).filter(|_| !indices.is_empty())
        else {
            return Ok(());
        };
        for &index in indices {
            match self.set_link(index, vec![LinkAttribute::Group(group)]) {
                Err(error) if error.raw_os_error() != Some(ENODEV) => return Err(error),
                _ => {}
            }
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            // They have gone by themselves.
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(()),
            deleted => deleted,
        }
    }

    /// The number by which this namespace knows another one; `None` if it does not.
    pub(super) fn number_of(&mut self, namespace: &File) -> io::Result<Option<i32>> {
        let mut question = NsidMessage::default();
        let descriptor = u32::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
        question.attributes.push(NsidAttribute::Fd(descriptor));
        self.0.send(RouteNetlinkMessage::GetNsId(question), NLM_F_REQUEST | NLM_F_ACK)?;
        let mut number = None;
        self.0.answers(|answer| {
            if let RouteNetlinkMessage::NewNsId(answer) = answer {
                number = answer.attributes.iter().find_map(|attribute| match attribute {
                    NsidAttribute::Id(number) => Some(*number),
                    _ => None,
                });
            }
        })?;
        Ok(number.filter(|&number| number >= 0))
    }
}

impl Link {
    fn of(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = answer else { return None };
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            alias: None,
            is_up: message.header.flags.contains(LinkFlags::Up),
            peer: None,
            peer_namespace: None,
            group: 0,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::Link(peer) => link.peer = Some(peer),
                LinkAttribute::Group(group) => link.group = group,
                LinkAttribute::LinkNetNsId(number) => link.peer_namespace = Some(number),
                _ => {}
            }
        }
        Some(link)
    }
}
