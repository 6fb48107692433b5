//! One test per rule, against one node whose messages the test writes itself; and a model of whole quorums
//! under faults.

mod elections;
mod fetching;
mod leading;
mod model;
mod single;
mod voter_changes;

use rand_core::SeedableRng as _;
use std::time::Duration;

use super::*;
use crate::error_code::ErrorCode;
use crate::partition::EpochCache;
use crate::wire::control::{Endpoint, LeaderChangeMessage};

const LISTENER: &str = "CONTROLLER";

fn key(id: i32) -> VoterKey {
    VoterKey { id: BrokerId(id), directory: Uuid(1000 + u128::from(id.unsigned_abs())) }
}

fn address(id: i32) -> Address {
    Address { host: format!("node{id}"), port: 9000 + id.unsigned_abs() as u16 }
}

fn endpoints(id: i32) -> Vec<Endpoint> {
    let Address { host, port } = address(id);
    vec![Endpoint { name: LISTENER.to_owned(), host, port }]
}

const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

fn voter(id: i32) -> VoterNode {
    VoterNode { key: key(id), endpoints: endpoints(id), versions: VERSIONS }
}

fn voters(ids: &[i32]) -> VoterSet {
    ids.iter().map(|id| voter(*id)).collect()
}

/// The voters of a quorum that was formatted with a set of them, at kraft.version 1.
fn formatted(ids: &[i32]) -> VoterHistory {
    let mut history = VoterHistory::new(VoterSet::default());
    for record in voter_records(&voters(ids)) {
        history.record(Offset(-1), &record);
    }
    history
}

fn voter_records(voters: &VoterSet) -> [ControlRecord; 2] {
    let version = crate::wire::control::KRaftVersionRecord { version: 0, k_raft_version: 1 };
    [ControlRecord::KRaftVersion(version), ControlRecord::KRaftVoters(voters.to_record())]
}

fn identity(id: i32) -> Identity {
    Identity {
        key: key(id),
        endpoints: endpoints(id),
        listener: LISTENER.to_owned(),
        versions: VERSIONS,
        bootstrap: Vec::new(),
    }
}

fn start_of(id: i32, voters: VoterHistory) -> Start {
    Start {
        identity: identity(id),
        config: QuorumConfig::default(),
        rng: Rng::seed_from_u64(id as u64),
        persisted: None,
        log: LogView::empty(),
        voters,
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One node, with a shell that does at once whatever concerns its own disk, and keeps the rest.
struct Node {
    quorum: Quorum,
    now: Mono,
    sent: Vec<(RequestId, Destination, Request)>,
    answers: Vec<(RequestToken, Answer)>,
    /// Commit, Lead, Lost, Truncate ... in order.
    done: Vec<Effect>,
    tokens: u64,
    /// Whether syncs and Persist are carried out at once.
    disk_is_fast: bool,
    unpersisted: Vec<ElectionState>,
}

impl Node {
    fn start(start: Start) -> Self {
        let now = Mono(1_000_000_000);
        let (quorum, effects) = Quorum::start(now, start).expect("there are epochs left");
        let mut node = Self {
            quorum,
            now,
            sent: Vec::new(),
            answers: Vec::new(),
            done: Vec::new(),
            tokens: 0,
            disk_is_fast: true,
            unpersisted: Vec::new(),
        };
        node.carry_out(effects);
        node
    }

    /// Voter 1 of three, formatted at kraft.version 1.
    fn of_three() -> Self {
        Self::start(start_of(1, formatted(&[1, 2, 3])))
    }

    fn step(&mut self, input: Input) {
        let effects = self.quorum.step(self.now, input);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let inputs = match effect {
                Effect::Persist(state) if self.disk_is_fast => vec![Input::Persisted(state)],
                Effect::Persist(state) => {
                    self.unpersisted.push(state);
                    vec![]
                }
                Effect::Send { id, to, request } => {
                    self.sent.push((id, to, request));
                    vec![]
                }
                Effect::Answer { token, answer } => {
                    self.answers.push((token, answer));
                    vec![]
                }
                Effect::Append { epoch, ref records } => {
                    let base = self.quorum.log().end();
                    let controls: Vec<_> = (base.0..).map(Offset).zip(records.clone()).collect();
                    let end = base + controls.len() as i64;
                    self.done.push(effect);
                    let batch = AppendedBatch { span: BatchSpan { base, end, epoch }, controls };
                    vec![Some(Input::Appended(vec![batch])), self.disk_is_fast.then_some(Input::Durable(end))]
                        .into_iter()
                        .flatten()
                        .collect()
                }
                Effect::Truncate(_) => {
                    self.done.push(effect);
                    vec![Input::Truncated]
                }
                other => {
                    self.done.push(other);
                    vec![]
                }
            };
            for input in inputs {
                effects.extend(self.quorum.step(self.now, input));
            }
        }
    }

    fn persist(&mut self) {
        for state in std::mem::take(&mut self.unpersisted) {
            self.step(Input::Persisted(state));
        }
    }

    /// Lets time pass, with a tick whenever one is asked for.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.quorum.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.step(Input::Tick);
        }
        self.now = end;
    }

    /// Lets time pass until the node takes this role.
    fn pass_until(&mut self, role: RoleName) {
        for _ in 0..1000 {
            if self.quorum.role() == role {
                return;
            }
            let deadline = self.quorum.next_deadline().expect("it waits for something");
            self.now = self.now.max(deadline);
            self.step(Input::Tick);
        }
        panic!("never {role:?}: {:?}", self.quorum);
    }

    /// Asks something, and returns the answer if there is one at once.
    fn ask(&mut self, request: Request) -> Option<Answer> {
        self.tokens += 1;
        let token = RequestToken(self.tokens);
        self.step(Input::Request { token, request });
        self.answer_to(token)
    }

    fn answer_to(&mut self, token: RequestToken) -> Option<Answer> {
        let place = self.answers.iter().position(|(answered, _)| *answered == token)?;
        Some(self.answers.remove(place).1)
    }

    /// The request to this node that was sent last.
    fn sent_to(&mut self, id: i32) -> Option<(RequestId, Request)> {
        let place = self.sent.iter().rposition(|(_, to, _)| to.peer == Peer::Node(BrokerId(id)))?;
        let (request, _, content) = self.sent.remove(place);
        self.sent.retain(|(_, to, _)| to.peer != Peer::Node(BrokerId(id)));
        Some((request, content))
    }

    fn respond(&mut self, id: RequestId, response: Response) {
        self.step(Input::Response { id, response });
    }

    /// Grants the votes that are asked of this voter, until it is asked for none.
    fn grant_from(&mut self, id: i32) {
        while let Some((request, Request::Vote(vote))) = self.sent_to(id) {
            let known = Known { error: ErrorCode::None, epoch: vote.epoch, leader: None };
            self.respond(request, Response::Vote(VoteResponse { known, granted: true }));
        }
    }

    /// Has the node elected, with the vote of voter 2.
    fn elect(&mut self) {
        self.pass_until(RoleName::Prospective);
        self.grant_from(2);
        assert_eq!(self.quorum.role(), RoleName::Leader);
    }

    /// Has the node elected and established: voter 2 holds its LeaderChange.
    fn establish(&mut self) {
        self.elect();
        let end = self.quorum.log().end();
        assert!(self.fetch(2, end, self.quorum.epoch()).is_some());
        assert!(self.quorum.leads().is_some());
        self.done.clear();
        self.sent.clear();
    }

    /// A Fetch of a replica that has nothing to wait for.
    fn fetch(
        &mut self,
        id: i32,
        offset: Offset,
        last_epoch: LeaderEpoch,
    ) -> Option<FetchResponse<ReadRange>> {
        let answer = self.ask(Request::Fetch(FetchRequest {
            replica: key(id),
            epoch: self.quorum.epoch(),
            offset,
            last_epoch,
            high_watermark: Offset::ZERO,
            max_wait: Duration::ZERO,
        }))?;
        let Answer::Fetch(response) = answer else { panic!("{answer:?}") };
        Some(response)
    }

    /// The controller appends a batch.
    fn append(&mut self, records: i64) {
        let base = self.quorum.log().end();
        let span = BatchSpan { base, end: base + records, epoch: self.quorum.epoch() };
        self.step(Input::Appended(vec![AppendedBatch { span, controls: Vec::new() }]));
    }

    fn begin_quorum_epoch(&mut self, leader: i32, epoch: i32) -> Known {
        let request = BeginQuorumEpochRequest {
            epoch: LeaderEpoch(epoch),
            leader: BrokerId(leader),
            address: Some(address(leader)),
            voter: Some(self.quorum.identity.key),
        };
        let answer = self.ask(Request::BeginQuorumEpoch(request)).expect("it is answered at once");
        let Answer::BeginQuorumEpoch(known) = answer else { panic!("{answer:?}") };
        known
    }

    fn vote(&mut self, request: VoteRequest) -> VoteResponse {
        let answer = self.ask(Request::Vote(request)).expect("it is answered at once");
        let Answer::Vote(response) = answer else { panic!("{answer:?}") };
        response
    }
}

fn from_leader(leader: i32, epoch: i32) -> Known {
    let leader = LeaderAt { id: BrokerId(leader), address: Some(address(leader)) };
    Known { error: ErrorCode::None, epoch: LeaderEpoch(epoch), leader: Some(leader) }
}

fn span(base: i64, end: i64, epoch: i32) -> BatchSpan {
    BatchSpan { base: Offset(base), end: Offset(end), epoch: LeaderEpoch(epoch) }
}

/// A log of batches (end, epoch), all durable.
fn log_of(batches: &[(i64, i32)]) -> LogView {
    let mut log = LogView::empty();
    for &(end, epoch) in batches {
        log.append(log.end(), Offset(end), LeaderEpoch(epoch));
    }
    log.made_durable(log.end());
    log
}

fn leader_change(effects: &[Effect]) -> &LeaderChangeMessage {
    let change = effects.iter().find_map(|effect| match effect {
        Effect::Append { records, .. } => match records.first() {
            Some(ControlRecord::LeaderChange(change)) => Some(change),
            _ => None,
        },
        _ => None,
    });
    change.expect("a LeaderChange was appended")
}

#[test]
fn a_view_of_a_recovered_log_has_its_epochs() {
    let entries = log_of(&[(5, 1), (9, 4)]).epochs().entries().to_vec();
    let epochs = EpochCache::from_entries(entries).expect("they rise");
    let view = LogView::new(Offset(0), Offset(9), Offset(9), epochs, []);
    assert_eq!(view, log_of(&[(5, 1), (9, 4)]));
}
