//! Links: who reaches whom, and how fast.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::engine::NodeId;

/// The way from one node to another.
#[derive(Debug)]
pub struct Link {
    /// Nothing arrives.
    pub cut: bool,
    /// Latency on top of its own.
    pub extra_ns: u64,
    /// Bandwidth; `None` is as much as needed.
    pub bytes_per_second: Option<u64>,
    /// When a slow link has sent what it was given.
    busy_until_ns: u64,
    base_ns: u64,
    dice: Dice,
}

/// What happened on the network, for the report: a fault that changed nothing has not fired.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetCounts {
    /// Bytes delivered.
    pub bytes: u64,
    /// Segments that a cut held back.
    pub held: u64,
    /// SYNs and their answers that a cut swallowed.
    pub cut_syns: u64,
    /// RSTs that were lost.
    pub lost_resets: u64,
    /// Ends whose peer vanished without a word.
    pub half_open: u64,
    /// Segments that a slow link delayed.
    pub slowed: u64,
}

impl Link {
    pub(super) fn heal(&mut self) {
        self.cut = false;
        self.extra_ns = 0;
        self.bytes_per_second = None;
    }
}

/// All links, made when first used: latencies are the seed's.
pub(super) struct Links {
    seed: u64,
    links: BTreeMap<(NodeId, NodeId), Link>,
}

impl Links {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, links: BTreeMap::new() }
    }

    pub(super) fn of(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        let seed = self.seed;
        self.links.entry((from, to)).or_insert_with(|| {
            let mut dice = Dice::new(seed, from, "link", u64::from(to.0));
            let base_ns = if from == to { 10_000 } else { dice.between(50_000, 500_000) };
            Link { cut: false, extra_ns: 0, bytes_per_second: None, busy_until_ns: 0, base_ns, dice }
        })
    }

    /// How long so many bytes take, given that they start now.
    pub(super) fn latency(&mut self, from: NodeId, to: NodeId, bytes: usize, now_ns: u64) -> u64 {
        let link = self.of(from, to);
        let mut latency = link.dice.latency(link.base_ns) + link.extra_ns;
        if let Some(rate) = link.bytes_per_second {
            let start = link.busy_until_ns.max(now_ns);
            link.busy_until_ns = start + bytes as u64 * 1_000_000_000 / rate.max(1);
            latency += link.busy_until_ns - now_ns;
        }
        latency
    }

    /// The links that are cut or slow.
    pub(super) fn hurt(&self) -> Vec<(NodeId, NodeId)> {
        let is_hurt = |link: &Link| link.cut || link.extra_ns > 0 || link.bytes_per_second.is_some();
        self.links.iter().filter(|(_, link)| is_hurt(link)).map(|(key, _)| *key).collect()
    }
}
