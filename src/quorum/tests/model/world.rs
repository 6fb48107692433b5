//! The nodes, what is under way between them, and what befalls them.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::Rng as _;

use super::disk::{Batch, Disk, Snapshot};
use super::oracle::{Life, Oracle};
use super::*;

/// How well network and disks work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions {
    /// Of a thousand messages, so many are lost,
    pub(super) lost: u64,
    /// so many arrive twice,
    pub(super) doubled: u64,
    /// so many take up to three seconds.
    pub(super) late: u64,
    /// The longest that a message takes otherwise.
    pub(super) delay_max: Duration,
    /// The longest that a sync takes.
    pub(super) sync_max: Duration,
    /// Of a thousand writes of the quorum state, so many are followed by a crash, perhaps before they are done.
    pub(super) fragile: u64,
}

pub(super) const CALM: Conditions =
    Conditions { lost: 0, doubled: 0, late: 0, delay_max: ms(20), sync_max: ms(5), fragile: 0 };

/// What travels beside a response.
#[derive(Debug, Clone)]
pub(super) enum Parcel {
    Nothing,
    Batches(Vec<Batch>),
    Chunk(Snapshot),
}

#[derive(Debug, Clone)]
pub(super) enum Message {
    Request { from: usize, life: u64, id: RequestId, request: Request },
    Response { life: u64, id: RequestId, response: Response, parcel: Parcel },
    Failed { life: u64, id: RequestId },
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Tick { node: usize, deadline: Mono },
    Deliver { to: usize, message: Message },
    Persisted { node: usize, life: u64, state: ElectionState },
    Synced { node: usize, life: u64, end: Offset, generation: u64 },
    Crash { node: usize, life: u64 },
    Restart { node: usize, life: u64 },
}

impl Event {
    /// Whose process it waits for. A crash waits for nobody.
    fn waits_for(&self) -> Option<usize> {
        match self {
            Self::Tick { node, .. }
            | Self::Persisted { node, .. }
            | Self::Synced { node, .. }
            | Self::Deliver { to: node, .. } => Some(*node),
            Self::Crash { .. } | Self::Restart { .. } => None,
        }
    }
}

/// Who waits for an answer.
#[derive(Debug, Clone)]
pub(super) enum Requester {
    Node { node: usize, life: u64, id: RequestId, request: Request },
    Client,
}

pub(super) struct ModelNode {
    pub(super) disk: Disk,
    pub(super) quorum: Option<Quorum>,
    pub(super) life: u64,
    /// How often it has moved to another host.
    pub(super) moves: u64,
    /// Its process stands still until then.
    paused_until: Mono,
    /// So many thousandths of a second pass on its clock in a millisecond.
    pub(super) clock_rate: u64,
    pub(super) leads: Option<LeaderEpoch>,
    pub(super) committed: Offset,
    /// The deadline, by its own clock, that it was last heard to have.
    pub(super) tick_at: Option<Mono>,
    pub(super) syncs: bool,
    pub(super) requesters: BTreeMap<RequestToken, Requester>,
    pub(super) fetched: BTreeMap<RequestId, Vec<Batch>>,
    pub(super) chunks: BTreeMap<RequestId, Snapshot>,
    pub(super) download: Option<(SnapshotId, Snapshot)>,
}

/// What happened in a run, so that a run in which nothing does is noticed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) elections: u64,
    pub(super) commits: u64,
    pub(super) crashes: u64,
    pub(super) wiped: u64,
    pub(super) truncations: u64,
    pub(super) installs: u64,
    pub(super) lost_leads: u64,
    pub(super) changes: u64,
    pub(super) refused_keys: u64,
    pub(super) pauses: u64,
    pub(super) updates: u64,
    pub(super) stops: u64,
    /// From the end of all faults to the first leader, and until all agree: the longest.
    pub(super) leaderless: Duration,
    pub(super) unsettled: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.elections += other.elections;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.wiped += other.wiped;
        self.truncations += other.truncations;
        self.installs += other.installs;
        self.lost_leads += other.lost_leads;
        self.changes += other.changes;
        self.refused_keys += other.refused_keys;
        self.pauses += other.pauses;
        self.updates += other.updates;
        self.stops += other.stops;
        self.leaderless = self.leaderless.max(other.leaderless);
        self.unsettled = self.unsettled.max(other.unsettled);
    }
}

pub(super) struct World {
    pub(super) now: Mono,
    pub(super) rng: Rng,
    pub(super) conditions: Conditions,
    pub(super) config: QuorumConfig,
    pub(super) nodes: Vec<ModelNode>,
    pub(super) fixed: VoterSet,
    formatted: Vec<ControlRecord>,
    first_voters: usize,
    /// From whom to whom nothing goes.
    pub(super) cuts: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(Mono, u64), Event>,
    events: u64,
    pub(super) contents: u64,
    pub(super) tokens: u64,
    pub(super) directories: u128,
    pub(super) oracle: Oracle,
    pub(super) tally: Tally,
    pub(super) change_until: Mono,
    /// Disks that were lost, as they last were.
    pub(super) graves: Vec<Disk>,
}

impl World {
    /// So many voters and observers; their voters fixed by configuration at kraft.version 0, formatted at 1.
    pub(super) fn new(seed: u64, voters: usize, observers: usize, version: i16) -> Self {
        let ids: Vec<i32> = (0..voters as i32).collect();
        let mut fixed = VoterSet::default();
        let mut formatted = Vec::new();
        if version == 0 {
            let by_id =
                |id: &i32| VoterNode { key: VoterKey { directory: Uuid::ZERO, ..key(*id) }, ..voter(*id) };
            fixed = ids.iter().map(by_id).collect();
        } else {
            formatted = voter_records(&super::voters(&ids)).to_vec();
        }
        let mut world = Self {
            now: Mono(5_000_000_000),
            rng: Rng::seed_from_u64(seed),
            conditions: CALM,
            config: QuorumConfig::default(),
            nodes: Vec::new(),
            fixed,
            formatted,
            first_voters: voters,
            cuts: BTreeSet::new(),
            queue: BTreeMap::new(),
            events: 0,
            contents: 0,
            tokens: 0,
            directories: 5000,
            oracle: Oracle::default(),
            tally: Tally::default(),
            change_until: Mono(0),
            graves: Vec::new(),
        };
        for node in 0..voters + observers {
            world.nodes.push(ModelNode::new(Disk::new(key(node as i32))));
            world.start(node);
        }
        world
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    pub(super) fn chance(&mut self, of_a_thousand: u64) -> bool {
        self.below(1000) < of_a_thousand
    }

    pub(super) fn within(&mut self, max: Duration) -> Duration {
        let nanos = self.below(max.as_nanos() as u64 + 1);
        Duration::from_nanos(nanos)
    }

    pub(super) fn schedule(&mut self, after: Duration, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + after, self.events), event);
    }

    /// Sends a message, which may or may not arrive.
    pub(super) fn deliver(&mut self, from: usize, to: usize, message: Message) {
        if self.cuts.contains(&(from, to)) || self.chance(self.conditions.lost) {
            return;
        }
        let copies = if self.chance(self.conditions.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let max = if self.chance(self.conditions.late) { ms(3000) } else { self.conditions.delay_max };
            let delay = ms(1) + self.within(max);
            self.schedule(delay, Event::Deliver { to, message: message.clone() });
        }
    }

    /// Lets everything happen that is due within this time.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            match event.waits_for().filter(|node| !self.is_running(*node)) {
                Some(node) => self.schedule(self.nodes[node].paused_until.since(at), event),
                None => self.happen(event),
            }
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node, deadline } => {
                let due = self.nodes[node].tick_at == Some(deadline);
                if due && self.nodes[node].quorum.is_some() {
                    self.nodes[node].tick_at = None;
                    self.step(node, Input::Tick);
                }
            }
            Event::Deliver { to, message } => self.receive(to, message),
            Event::Persisted { node, life, state } => {
                if self.nodes[node].life == life {
                    let disk = &mut self.nodes[node].disk;
                    // One that a later one has overtaken does not come to the disk any more.
                    let place = disk.states_under_way.iter().position(|under_way| *under_way == state);
                    if let Some(place) = place {
                        disk.states_under_way.drain(..=place);
                        disk.state = Some(state);
                    }
                    self.step(node, Input::Persisted(state));
                }
            }
            Event::Synced { node, life, end, generation } => {
                if self.nodes[node].life == life {
                    let disk = &mut self.nodes[node].disk;
                    disk.synced(end, generation);
                    let durable = disk.durable_end;
                    self.nodes[node].syncs = false;
                    self.sync(node);
                    self.step(node, Input::Durable(durable));
                }
            }
            Event::Crash { node, life } => {
                if self.nodes[node].life == life {
                    self.crash(node);
                    let life = self.nodes[node].life;
                    let after = self.within(ms(500));
                    self.schedule(after, Event::Restart { node, life });
                }
            }
            Event::Restart { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].quorum.is_none() {
                    self.start(node);
                }
            }
        }
    }

    fn receive(&mut self, to: usize, message: Message) {
        let up = self.nodes[to].quorum.is_some();
        match message {
            Message::Request { from, life, id, .. } if !up => {
                if self.chance(700) {
                    self.deliver(to, from, Message::Failed { life, id });
                }
            }
            Message::Request { from, life, id, request } => {
                if request == Request::SupportedVersions {
                    let response = Response::SupportedVersions(Some(VERSIONS));
                    let message = Message::Response { life, id, response, parcel: Parcel::Nothing };
                    return self.deliver(to, from, message);
                }
                let token =
                    self.new_token(to, Requester::Node { node: from, life, id, request: request.clone() });
                self.step(to, Input::Request { token, request });
            }
            Message::Response { life, id, response, parcel } => {
                if self.nodes[to].life == life {
                    match parcel {
                        Parcel::Nothing => {}
                        Parcel::Batches(batches) => drop(self.nodes[to].fetched.insert(id, batches)),
                        Parcel::Chunk(snapshot) => drop(self.nodes[to].chunks.insert(id, snapshot)),
                    }
                    self.step(to, Input::Response { id, response });
                }
            }
            Message::Failed { life, id } => {
                if self.nodes[to].life == life {
                    self.step(to, Input::Failed { id, failure: Failure::Unreachable });
                }
            }
        }
    }

    pub(super) fn new_token(&mut self, node: usize, requester: Requester) -> RequestToken {
        self.tokens += 1;
        let token = RequestToken(self.tokens);
        self.nodes[node].requesters.insert(token, requester);
        token
    }

    pub(super) fn start(&mut self, node: usize) {
        let id = self.nodes[node].disk.key.id.0;
        let (log, voters) = self.nodes[node].disk.recovered(&self.fixed, &self.formatted_on(node));
        let mut start = start_of(id, voters);
        start.config = self.config;
        start.identity.key = self.nodes[node].disk.key;
        start.identity.endpoints = self.endpoints_of(node);
        start.identity.bootstrap =
            (0..self.nodes.len() as i32).filter(|other| *other != id).map(address).collect();
        start.rng = Rng::seed_from_u64(self.rng.next_u64());
        start.persisted = self.nodes[node].disk.state;
        start.log = log;
        let (quorum, effects) = Quorum::start(self.clock(node), start).expect("epochs are left");
        let state = &mut self.nodes[node];
        state.committed = quorum.committed();
        state.quorum = Some(quorum);
        self.carry_out(node, effects);
    }

    /// Only the first voters were formatted with a voter set.
    fn formatted_on(&self, node: usize) -> Vec<ControlRecord> {
        let was_formatted = node < self.first_voters && self.nodes[node].disk.key == key(node as i32);
        if was_formatted { self.formatted.clone() } else { Vec::new() }
    }

    pub(super) fn crash(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if state.quorum.take().is_none() {
            return;
        }
        state.disk.lose_power(&mut self.rng);
        let disk = state.disk.clone();
        let (life, moves, clock_rate) = (state.life + 1, state.moves, state.clock_rate);
        self.nodes[node] = ModelNode { life, moves, clock_rate, ..ModelNode::new(disk) };
        self.tally.crashes += 1;
    }

    /// Its process stands still, as when a virtual machine is moved.
    pub(super) fn pause(&mut self, node: usize, duration: Duration) {
        self.nodes[node].paused_until = self.now + duration;
        self.tally.pauses += 1;
    }

    pub(super) fn is_running(&self, node: usize) -> bool {
        self.nodes[node].paused_until <= self.now
    }

    /// Whether it is up, and not paused.
    pub(super) fn is_there(&self, node: usize) -> bool {
        self.nodes[node].quorum.is_some() && self.is_running(node)
    }

    pub(super) fn clock(&self, node: usize) -> Mono {
        Mono(self.now.0 * self.nodes[node].clock_rate / 1000)
    }

    /// When a node's clock shows this.
    pub(super) fn when(&self, node: usize, on_its_clock: Mono) -> Mono {
        Mono((on_its_clock.0 * 1000).div_ceil(self.nodes[node].clock_rate))
    }

    /// Where it listens: the port says which node it is, the host where it has moved.
    pub(super) fn endpoints_of(&self, node: usize) -> Vec<Endpoint> {
        let mut endpoints = endpoints(self.nodes[node].disk.key.id.0);
        for endpoint in &mut endpoints {
            endpoint.host += &format!("-{}", self.nodes[node].moves);
        }
        endpoints
    }

    pub(super) fn life(&self, node: usize) -> Life {
        Life { key: self.nodes[node].disk.key, number: self.nodes[node].life }
    }

    /// The node that leads, if exactly one says so.
    pub(super) fn leader(&self) -> Option<usize> {
        let mut leading = (0..self.nodes.len()).filter(|node| self.nodes[*node].leads.is_some());
        leading.next().filter(|_| leading.next().is_none())
    }

    pub(super) fn quorum(&self, node: usize) -> &Quorum {
        self.nodes[node].quorum.as_ref().expect("it is up")
    }

    pub(super) fn isolate(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cuts.extend([(node, other), (other, node)]);
        }
    }

    /// All is well from now on.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.conditions = CALM;
        for node in 0..self.nodes.len() {
            if self.nodes[node].quorum.is_none() {
                self.start(node);
            }
        }
    }

    /// Whether one leads, and everybody has committed all that it has.
    pub(super) fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let (id, end) = (self.nodes[leader].disk.key.id, self.nodes[leader].disk.end());
        let settled = |node: &ModelNode| {
            // Who was about to crash or to stop when all became well does so yet, and comes back.
            let Some(quorum) = &node.quorum else { return false };
            quorum.leader() == Some(id) && quorum.committed() == end && node.disk.end() == end
        };
        self.nodes.iter().all(settled) && self.voters_are_where_they_say()
    }

    /// Whether the voters' record names the hosts to which they have moved; at kraft.version 0 nobody can tell.
    fn voters_are_where_they_say(&self) -> bool {
        let voters = self.quorum(0).voters();
        let is_right = |node: usize| {
            let key = self.nodes[node].disk.key;
            let listed = voters.current().get(key.id).filter(|voter| voter.is(key));
            listed.is_none_or(|voter| voter.endpoints == self.endpoints_of(node))
        };
        !voters.is_reconfigurable() || (0..self.nodes.len()).all(is_right)
    }

    /// Lets time pass until all is settled.
    pub(super) fn settle(&mut self, at_most: Duration) {
        let begin = self.now;
        let mut leaderless = None;
        while !self.is_settled() {
            assert!(self.now.since(begin) < at_most, "not settled: {}", self.picture());
            self.run(ms(100));
            if leaderless.is_none() && self.leader().is_some() {
                leaderless = Some(self.now.since(begin));
            }
        }
        self.tally.leaderless = self.tally.leaderless.max(leaderless.unwrap_or_default());
        self.tally.unsettled = self.tally.unsettled.max(self.now.since(begin));
        let digests: BTreeSet<_> =
            self.nodes.iter().map(|node| node.disk.digest_at(node.disk.end())).collect();
        assert_eq!(digests.len(), 1, "the logs differ");
        assert_eq!(self.nodes[0].disk.end(), self.oracle.committed_end());
    }

    fn picture(&self) -> String {
        let line = |node: &ModelNode| {
            let Some(quorum) = &node.quorum else { return "down".to_owned() };
            let voters: Vec<_> = quorum.voters().current().iter().map(|voter| voter.key.id.0).collect();
            format!(
                "{:?} {:?} {:?} log {}..{} committed {} voters {voters:?}",
                node.disk.key,
                quorum.role(),
                quorum.election(),
                node.disk.start,
                node.disk.end(),
                quorum.committed()
            )
        };
        self.nodes.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl ModelNode {
    fn new(disk: Disk) -> Self {
        Self {
            disk,
            quorum: None,
            life: 0,
            moves: 0,
            paused_until: Mono(0),
            clock_rate: 1000,
            leads: None,
            committed: Offset::ZERO,
            tick_at: None,
            syncs: false,
            requesters: BTreeMap::new(),
            fetched: BTreeMap::new(),
            chunks: BTreeMap::new(),
            download: None,
        }
    }
}
