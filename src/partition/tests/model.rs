//! A whole partition at random: brokers with toy logs, a controller that follows R5 and E1 to E3, a network that
//! delays, reorders, repeats and loses, disks that forget what was not synced. Whatever happens within what the
//! guarantee table claims, no committed record is lost, and after healing all replicas are equal and in sync.

mod controller;
mod node;
mod oracle;

use std::collections::BTreeMap;
use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;
use controller::Controller;
use node::{Message, Node};
use oracle::Oracle;

/// One record, and the batch that it is alone in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    epoch: i32,
    id: u64,
}

/// What may happen to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The process ends; the page cache stays.
    Process,
    /// The page cache goes, too.
    Power,
    /// The disk goes, too.
    Wipe,
}

/// Randomness by name.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as usize) as i64
    }
}

/// How often what happened, so that a run in which nothing does is noticed.
#[derive(Debug, Default)]
struct Counts(BTreeMap<&'static str, usize>);

impl Counts {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

struct World {
    dice: Dice,
    now: Mono,
    counting: Counting,
    controller: Controller,
    nodes: Vec<Node>,
    network: Vec<Message>,
    oracle: Oracle,
    counts: Counts,
    /// Losses that nobody noticed at once, since the ISR was full.
    losses: usize,
    /// Of a thousand chances for trouble, so many are taken.
    trouble: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        let counting = if dice.one_in(2) { Counting::WhenSynced } else { Counting::WhenAppended };
        let replicas = dice.between(1, 5) as i32;
        let min_isr = dice.between(1, 3) as usize;
        let trouble = [30, 100, 300, 1000][dice.below(4)];
        let controller = Controller::new(replicas, min_isr);
        let nodes = (1..=replicas).map(|id| Node::new(BrokerId(id), counting, min_isr)).collect();
        let mut world = Self {
            dice,
            now: Mono(0),
            counting,
            controller,
            nodes,
            network: Vec::new(),
            oracle: Oracle::default(),
            counts: Counts::default(),
            losses: 0,
            trouble,
        };
        for index in 0..world.nodes.len() {
            world.start(index);
            world.controller.unfence(world.nodes[index].id);
        }
        world
    }

    fn step(&mut self) {
        let index = self.dice.below(self.nodes.len());
        match self.dice.below(100) {
            0..=34 => self.deliver(),
            35..=52 => self.poll(index),
            53..=62 => self.append(index),
            63..=75 => self.sync(index),
            76..=82 => self.read_metadata(index),
            83..=85 => self.begin_to_serve(index),
            86..=89 => self.finish_truncation(index),
            90 => self.checkpoint(index),
            91..=92 => self.save_log_start(index),
            93 => self.tick(),
            94..=95 => self.come_back(index),
            _ if self.dice.below(1000) < self.trouble => self.trouble(index),
            _ => {}
        }
    }

    fn trouble(&mut self, index: usize) {
        match self.dice.below(6) {
            0 => self.lose_message(),
            1 => self.forget_fetch(index),
            2 => self.raise_log_start(index),
            3 => self.change_standing(index),
            _ => self.crash_something(index),
        }
    }

    // Time and the network.

    /// Everything may overtake everything, and answers may come twice.
    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.dice.below(self.network.len());
        let message = self.network.remove(at);
        if matches!(message, Message::Fetched { .. } | Message::Altered { .. }) && self.dice.one_in(12) {
            self.network.push(message.clone());
        }
        self.take(message);
    }

    fn lose_message(&mut self) {
        if !self.network.is_empty() {
            let at = self.dice.below(self.network.len());
            self.network.remove(at);
        }
    }

    /// The connection of a follower breaks; what was under way may still arrive.
    fn forget_fetch(&mut self, index: usize) {
        self.nodes[index].fetching = None;
    }

    fn tick(&mut self) {
        self.now = self.now + Duration::from_millis(self.dice.between(1, 8000) as u64);
        for index in 0..self.nodes.len() {
            self.check_isr(index);
        }
    }

    // Machines and their standing.

    /// A process starts; one that has read what the metadata say of it is let in, and one whose process is down
    /// is shut out.
    fn come_back(&mut self, index: usize) {
        let node = &self.nodes[index];
        let (id, fenced) = (node.id, self.controller.brokers[&node.id].fenced);
        match (&node.partition, fenced) {
            (None, false) => self.controller.fence(id),
            (None, true) => self.start(index),
            (Some(_), true) if node.metadata + 1 == self.controller.history.len() => {
                self.controller.unfence(id);
            }
            (Some(_), false) if self.controller.brokers[&id].in_controlled_shutdown => {
                self.stop(index, Fault::Process);
            }
            _ => {}
        }
    }

    /// A session may end though the broker lives.
    fn change_standing(&mut self, index: usize) {
        let node = &self.nodes[index];
        if node.partition.is_none() || self.controller.brokers[&node.id].fenced {
            return;
        }
        if self.dice.one_in(2) {
            self.controller.fence(node.id);
        } else {
            self.controller.begin_shutdown(node.id);
            self.counts.count("controlled shutdown");
        }
    }

    fn crash_something(&mut self, index: usize) {
        if self.nodes[index].partition.is_none() {
            // Before anybody has noticed that it was down.
            return self.start(index);
        }
        let fault = [Fault::Process, Fault::Process, Fault::Power, Fault::Power, Fault::Wipe];
        let fault = fault[self.dice.below(fault.len())];
        let all_in_sync = self.controller.registration.isr.len() == self.nodes.len();
        if all_in_sync && self.nodes.iter().all(|node| !node.lost) {
            self.losses = 0;
        }
        let loses = match fault {
            Fault::Process => false,
            Fault::Power => self.counting == Counting::WhenAppended,
            Fault::Wipe => true,
        };
        if !loses {
            self.crash(index, fault);
        } else if self.leaves_a_member(index) {
            // Either it is one of the few that may be lost before anybody notices, or it is noticed at once.
            let unnoticed = self.losses + 1 < self.controller.min_isr && self.dice.one_in(2);
            self.losses += usize::from(unnoticed);
            self.crash(index, fault);
            if !unnoticed {
                self.controller.expel(self.nodes[index].id);
                self.counts.count("loss noticed at once");
            }
        }
    }

    /// Somebody else could still be elected cleanly, who has everything.
    fn leaves_a_member(&self, index: usize) -> bool {
        let Registration { isr, elr, .. } = &self.controller.registration;
        let mut others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        others.any(|(_, node)| !node.lost && (isr.contains(&node.id) || elr.contains(&node.id)))
    }

    /// A machine fails; sometimes all of them, where that costs nothing.
    fn crash(&mut self, index: usize, fault: Fault) {
        self.stop(index, fault);
        let spares_counted =
            fault == Fault::Process || (fault == Fault::Power && self.counting == Counting::WhenSynced);
        if spares_counted && self.dice.one_in(40) {
            for other in 0..self.nodes.len() {
                self.stop(other, fault);
            }
            self.counts.count("crash of all");
        }
    }

    fn stop(&mut self, index: usize, fault: Fault) {
        let node = &mut self.nodes[index];
        let Some(partition) = node.partition.take() else { return };
        if self.dice.one_in(2) {
            node.disk.high_watermark = partition.positions().high_watermark.offset().0;
        }
        match fault {
            Fault::Process => self.counts.count("crash"),
            Fault::Power => {
                let kept = self.dice.between(node.disk.durable, node.disk.end());
                node.disk.cut(kept);
                node.lost = self.counting == Counting::WhenAppended;
                self.counts.count("power loss");
            }
            Fault::Wipe => {
                node.disk.wipe();
                node.lost = true;
                self.counts.count("wiped disk");
            }
        }
        node.stop();
    }

    fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let lost = std::mem::take(&mut node.lost);
        node.broker_epoch = self.controller.register(node.id, lost);
        let Positions { log_start, high_watermark, .. } = node.open();
        let again = log_start.offset().0..high_watermark.offset().0;
        self.oracle.exposes_again(node.id, again, &node.disk);
        // Nothing older than its own registration is applied.
        node.metadata = self.controller.history.len() - 1;
        self.apply_metadata(index);
    }

    /// Everything is up, nothing is lost any more, nothing else happens.
    fn heal(&mut self) {
        for index in 0..self.nodes.len() {
            let id = self.nodes[index].id;
            if self.controller.brokers[&id].in_controlled_shutdown {
                self.stop(index, Fault::Process);
            }
            if self.nodes[index].partition.is_none() {
                self.start(index);
            }
            self.nodes[index].fetching = None;
            self.controller.unfence(id);
        }
        // A Fetch a second, which brings a record at least.
        let longest = self.nodes.iter().map(|node| node.disk.end()).max().expect("there are nodes");
        for _ in 0..longest + 60 {
            for index in 0..self.nodes.len() {
                self.nodes[index].metadata = self.controller.history.len() - 1;
                self.apply_metadata(index);
                self.begin_to_serve(index);
                self.finish_truncation(index);
                self.sync_all(index);
                self.save_log_start(index);
                self.resend_alter(index);
                self.poll(index);
            }
            while !self.network.is_empty() {
                let message = self.network.remove(0);
                self.take(message);
            }
            self.now = self.now + Duration::from_secs(1);
            (0..self.nodes.len()).for_each(|index| self.check_isr(index));
        }
        self.check_convergence();
    }

    fn check_convergence(&self) {
        let registration = &self.controller.registration;
        assert!(registration.leader != BrokerId::NONE, "nobody leads: {registration:?}");
        assert_eq!(registration.isr.len(), self.nodes.len(), "the ISR is not full: {registration:?}");
        let leader = &self.nodes[registration.leader.0 as usize - 1];
        for node in &self.nodes {
            let partition = node.partition.as_ref().unwrap();
            let end = node.disk.end();
            let Positions { high_watermark, counted_end, log_end, .. } = partition.positions();
            let all = (high_watermark.offset().0, counted_end.offset().0, log_end.offset().0);
            assert_eq!(all, (end, end, end), "{} is not at its end: {partition:?}", node.id);
            assert_eq!(end, leader.disk.end(), "{} is not like the leader", node.id);
            let from = node.disk.base.max(leader.disk.base);
            assert!((from..end).all(|at| node.disk.record(at) == leader.disk.record(at)), "{}", node.id);
        }
    }
}

fn run(seed: u64, steps: usize) -> Counts {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.heal();
    let from_elr = world.controller.elected_from_elr;
    (0..from_elr).for_each(|_| world.counts.count("elected from the ELR"));
    world.counts
}

#[test]
fn whatever_happens_committed_records_stay_and_replicas_converge() {
    let mut total = Counts::default();
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| run(seed, STEPS));
        let counts = outcome.unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
        for (what, count) in counts.0 {
            *total.0.entry(what).or_default() += count;
        }
    }
    for what in HAPPENINGS {
        assert!(total.0.get(what).is_some_and(|&count| count > 0), "no {what} in any run: {total:?}");
    }
}

const SEEDS: u64 = 300;
const STEPS: usize = 8000;

/// What has to happen somewhere, or the test shows nothing.
const HAPPENINGS: &[&str] = &[
    "acknowledged",
    "controlled shutdown",
    "crash of all",
    "crash",
    "divergence",
    "elected from the ELR",
    "elected",
    "expanded ISR",
    "log cut",
    "log started anew",
    "loss noticed at once",
    "power loss",
    "request rolled back",
    "request settled by metadata",
    "shrunk ISR",
    "wiped disk",
];
