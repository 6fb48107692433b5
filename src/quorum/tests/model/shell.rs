//! Carries out what a node's state machine asks for, and tells the oracle.

use std::collections::VecDeque;

use super::disk::{Batch, Snapshot, digest};
use super::world::{Event, Message, Parcel, Requester, World};
use super::*;

impl World {
    pub(super) fn step(&mut self, node: usize, input: Input) {
        let now = self.clock(node);
        let quorum = self.nodes[node].quorum.as_mut().expect("the node is up");
        let effects = quorum.step(now, input);
        self.carry_out(node, effects);
    }

    pub(super) fn carry_out(&mut self, node: usize, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let completion = self.carry_out_one(node, effect);
            let now = self.clock(node);
            let Some(quorum) = self.nodes[node].quorum.as_mut() else { return };
            if let Some(input) = completion {
                effects.extend(quorum.step(now, input));
            }
        }
        self.observe(node);
    }

    fn carry_out_one(&mut self, node: usize, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Persist(state) => {
                let life = self.nodes[node].life;
                self.nodes[node].disk.states_under_way.push(state);
                let waiting = self.nodes[node].disk.states_under_way.len() as u32;
                let after = self.conditions.sync_max * waiting;
                self.schedule(after, Event::Persisted { node, life, state });
                if self.chance(self.conditions.fragile) {
                    let after = self.within(after * 2);
                    self.schedule(after, Event::Crash { node, life });
                }
            }
            Effect::Send { id, to, request } => self.send(node, id, &to, request),
            Effect::Answer { token, answer } => self.answer(node, token, answer),
            Effect::Append { epoch, records } => {
                self.oracle.follows_from(&self.nodes[node].disk, epoch, None);
                let base = self.nodes[node].disk.end();
                let controls: Vec<_> = (base.0..).map(Offset).zip(records).collect();
                let span = BatchSpan { base, end: base + controls.len() as i64, epoch };
                return Some(self.append_own(node, span, controls));
            }
            Effect::AppendFetched(id) => {
                let batches = self.nodes[node].fetched.remove(&id).expect("it was received");
                return Some(self.append(node, batches));
            }
            Effect::Truncate(to) => {
                assert!(to >= self.nodes[node].committed, "truncates what it knows to be committed");
                self.oracle.truncates(&self.nodes[node].disk, to);
                self.nodes[node].disk.truncate(to);
                self.tally.truncations += 1;
                return Some(Input::Truncated);
            }
            Effect::WriteSnapshot { response, id, position } => {
                let snapshot = self.nodes[node].chunks.remove(&response).expect("it was received");
                let begun = self.nodes[node].download.as_ref().is_some_and(|(known, _)| *known == id);
                assert!(position == 0 || begun, "a piece of a file that was never begun");
                self.nodes[node].download = Some((id, snapshot));
            }
            Effect::InstallSnapshot(id) => return self.install(node, id),
            Effect::Commit(end) => self.commit(node, end),
            Effect::Lead(epoch) => {
                assert_eq!(self.nodes[node].leads.replace(epoch), None);
                self.oracle.is_told_to_lead(&self.nodes[node].disk, epoch, self.nodes[node].committed);
            }
            Effect::Lost(epoch) => {
                assert_eq!(self.nodes[node].leads.take(), Some(epoch));
                self.tally.lost_leads += 1;
            }
        }
        None
    }

    fn send(&mut self, from: usize, id: RequestId, to: &Destination, request: Request) {
        let disk = &self.nodes[from].disk;
        match &request {
            Request::Vote(VoteRequest { epoch, candidate, pre_vote, .. }) => {
                let voted = (!pre_vote).then_some(*candidate);
                self.oracle.follows_from(disk, *epoch, voted);
                if let Some(candidate) = voted {
                    self.oracle.voted(disk.key, *epoch, candidate);
                }
            }
            Request::BeginQuorumEpoch(BeginQuorumEpochRequest { epoch, .. })
            | Request::EndQuorumEpoch(EndQuorumEpochRequest { epoch, .. })
            | Request::Fetch(FetchRequest { epoch, .. })
            | Request::FetchSnapshot(FetchSnapshotRequest { epoch, .. })
            | Request::UpdateVoter(UpdateVoterRequest { epoch, .. }) => {
                self.oracle.follows_from(disk, *epoch, None);
            }
            Request::AddVoter(_) | Request::RemoveVoter(_) | Request::SupportedVersions => {}
        }
        if let Request::Fetch(FetchRequest { offset, .. }) = &request {
            assert_eq!(*offset, disk.durable_end, "fetches from what it has not durably (KAFKA-10533)");
        }
        let to = usize::from(to.address.port - 9000);
        let life = self.nodes[from].life;
        self.deliver(from, to, Message::Request { from, life, id, request });
    }

    fn answer(&mut self, node: usize, token: RequestToken, answer: Answer) {
        let requester = self.nodes[node].requesters.remove(&token).expect("one answer per request");
        let Requester::Node { node: to, life, id, request } = requester else {
            return self.client_hears(&answer);
        };
        if let (Answer::Vote(VoteResponse { granted: true, .. }), Request::Vote(vote)) = (&answer, &request)
            && !vote.pre_vote
        {
            let disk = &self.nodes[node].disk;
            self.oracle.follows_from(disk, vote.epoch, Some(vote.candidate));
            self.oracle.voted(disk.key, vote.epoch, vote.candidate);
        }
        if let Some(epoch) = epoch_of(&answer) {
            self.oracle.follows_from(&self.nodes[node].disk, epoch, None);
        }
        let (response, parcel) = self.response(node, answer);
        self.deliver(node, to, Message::Response { life, id, response, parcel });
    }

    fn client_hears(&mut self, answer: &Answer) {
        let (Answer::AddVoter(response) | Answer::RemoveVoter(response)) = answer else {
            panic!("no client asks that: {answer:?}")
        };
        if response.error == ErrorCode::None {
            self.tally.changes += 1;
        }
    }

    fn response(&mut self, node: usize, answer: Answer) -> (Response, Parcel) {
        let response = match answer {
            Answer::Vote(response) => {
                self.tally.refused_keys += u64::from(response.known.error == ErrorCode::InvalidVoterKey);
                Response::Vote(response)
            }
            Answer::BeginQuorumEpoch(known) => Response::BeginQuorumEpoch(known),
            Answer::EndQuorumEpoch(known) => Response::EndQuorumEpoch(known),
            Answer::UpdateVoter(known) => {
                self.tally.updates += u64::from(known.error == ErrorCode::None);
                Response::UpdateVoter(known)
            }
            Answer::Fetch(response) => return self.fetch_response(node, response),
            Answer::FetchSnapshot(response) => return self.snapshot_response(node, response),
            Answer::AddVoter(_) | Answer::RemoveVoter(_) => panic!("no node asks that"),
        };
        (response, Parcel::Nothing)
    }

    fn fetch_response(&mut self, node: usize, answer: FetchResponse<ReadRange>) -> (Response, Parcel) {
        let FetchResponse { known, high_watermark, fetched } = answer;
        let mut parcel = Parcel::Nothing;
        let fetched = fetched.map(|fetched| match fetched {
            Fetched::Records(range) => {
                let at_most = 1 + self.below(5) as usize;
                let within = |batch: &&Batch| batch.span.base >= range.from && batch.span.base < range.to;
                let batches = self.nodes[node].disk.batches.iter().filter(within).take(at_most);
                let batches: Vec<Batch> = batches.cloned().collect();
                let spans = batches.iter().map(|batch| batch.span).collect();
                parcel = Parcel::Batches(batches);
                Fetched::Records(spans)
            }
            Fetched::Diverging { epoch, end } => Fetched::Diverging { epoch, end },
            Fetched::Snapshot(id) => Fetched::Snapshot(id),
        });
        (Response::Fetch(FetchResponse { known, high_watermark, fetched }), parcel)
    }

    fn snapshot_response(
        &mut self,
        node: usize,
        answer: FetchSnapshotResponse<ReadChunk>,
    ) -> (Response, Parcel) {
        let FetchSnapshotResponse { mut known, chunk: asked } = answer;
        let (mut chunk, mut parcel) = (None, Parcel::Nothing);
        if let Some(ReadChunk { id, position, .. }) = asked {
            match self.nodes[node].disk.snapshots.get(&id).cloned() {
                Some(snapshot) if position < snapshot.bytes => {
                    let bytes = 1 + self.below(snapshot.bytes - position);
                    chunk = Some(Chunk { id, position, bytes, size: snapshot.bytes });
                    parcel = Parcel::Chunk(snapshot);
                }
                _ => known.error = ErrorCode::SnapshotNotFound,
            }
        }
        (Response::FetchSnapshot(FetchSnapshotResponse { known, chunk }), parcel)
    }

    fn append_own(&mut self, node: usize, span: BatchSpan, controls: Vec<(Offset, ControlRecord)>) -> Input {
        self.contents += 1;
        let content = self.contents;
        let quorum = self.nodes[node].quorum.as_ref().expect("the node is up");
        self.oracle.appends(quorum, span, &controls);
        let before = self.nodes[node].disk.digest_at(span.base).expect("it is the end of the log");
        self.append(node, vec![Batch { span, controls, content, digest: digest(before, span, content) }])
    }

    fn append(&mut self, node: usize, batches: Vec<Batch>) -> Input {
        let disk = &mut self.nodes[node].disk;
        let mut appended = Vec::new();
        for batch in batches {
            self.oracle.appended(disk, &batch);
            appended.push(AppendedBatch { span: batch.span, controls: batch.controls.clone() });
            disk.append(batch);
        }
        self.sync(node);
        Input::Appended(appended)
    }

    /// Syncs, unless a sync is under way; the next one begins when it ends.
    pub(super) fn sync(&mut self, node: usize) {
        let (end, generation) = (self.nodes[node].disk.end(), self.nodes[node].disk.generation);
        if !self.nodes[node].syncs && self.nodes[node].disk.durable_end < end {
            self.nodes[node].syncs = true;
            let (after, life) = (self.within(self.conditions.sync_max), self.nodes[node].life);
            self.schedule(after, Event::Synced { node, life, end, generation });
        }
    }

    fn install(&mut self, node: usize, id: SnapshotId) -> Option<Input> {
        let (downloaded, snapshot) = self.nodes[node].download.take().expect("it was written");
        assert_eq!(downloaded, id);
        assert_ne!(
            self.quorum(node).role(),
            RoleName::Leader,
            "a leader never loads a snapshot (KAFKA-12958)"
        );
        let controls = snapshot.controls.clone();
        self.nodes[node].disk.snapshots.insert(id, snapshot);
        self.tally.installs += 1;
        if self.chance(self.conditions.fragile * 4) {
            // The snapshot is there, the log not yet gone.
            self.crash(node);
            return None;
        }
        self.nodes[node].disk.replace(id);
        self.nodes[node].syncs = false;
        Some(Input::SnapshotInstalled(controls))
    }

    fn commit(&mut self, node: usize, end: Offset) {
        assert!(end > self.nodes[node].committed, "commits go forward");
        assert!(end <= self.nodes[node].disk.durable_end, "commits what is not durable");
        self.nodes[node].committed = end;
        self.tally.commits += 1;
        let quorum = self.nodes[node].quorum.as_ref().expect("it is up");
        // Who commits its own removal has resigned in the same step.
        let leads = matches!(quorum.role(), RoleName::Leader | RoleName::Resigned);
        if !leads {
            assert!(end <= self.oracle.committed_end(), "commits what no leader has committed");
        }
        self.oracle.commits(&self.nodes[node].disk, end);
        if leads {
            // What was counted before a disk was lost stays counted: a minority may be lost.
            let disks: Vec<_> = self.nodes.iter().map(|node| &node.disk).chain(&self.graves).collect();
            self.oracle.leader_commits(quorum, end, &disks);
        }
    }

    fn observe(&mut self, node: usize) {
        let life = self.life(node);
        let state = &mut self.nodes[node];
        let quorum = state.quorum.as_ref().expect("it is up");
        assert_eq!(quorum.leads(), state.leads);
        assert_eq!(quorum.log().end(), state.disk.end());
        assert!(quorum.log().durable_end() <= state.disk.durable_end);
        if quorum.role() == RoleName::Leader && self.oracle.leads(quorum.epoch(), life, &state.disk) {
            self.tally.elections += 1;
        }
        let deadline = quorum.next_deadline();
        if deadline != state.tick_at {
            state.tick_at = deadline;
            if let Some(deadline) = deadline {
                let after = self.when(node, deadline).since(self.now);
                self.schedule(after, Event::Tick { node, deadline });
            }
        }
    }

    /// The controller appends a batch, if this node leads.
    pub(super) fn write(&mut self, node: usize) {
        let Some(epoch) = self.nodes[node].leads.filter(|_| self.is_running(node)) else { return };
        let base = self.nodes[node].disk.end();
        let span = BatchSpan { base, end: base + 1 + self.below(3) as i64, epoch };
        let input = self.append_own(node, span, Vec::new());
        self.step(node, input);
    }

    /// The node takes a snapshot of what is committed.
    pub(super) fn take_snapshot(&mut self, node: usize) {
        let Some(quorum) = self.nodes[node].quorum.as_ref().filter(|_| self.is_running(node)) else { return };
        let Some(id) = quorum.snapshot_id(quorum.committed()) else { return };
        if self.nodes[node].disk.snapshots.contains_key(&id) {
            return;
        }
        let (version, voters) = quorum.voters().before(id.end);
        let controls = match voters {
            Some(voters) if version > 0 => voter_records(voters).to_vec(),
            _ => Vec::new(),
        };
        let digest = self.nodes[node].disk.digest_at(id.end).expect("commits end with batches");
        let bytes = 1 + self.below(4);
        self.nodes[node].disk.snapshots.insert(id, Snapshot { controls, digest, bytes });
        self.step(node, Input::SnapshotTaken(id));
    }

    /// The node forgets its log before one of its snapshots.
    pub(super) fn clean(&mut self, node: usize) {
        let ids: Vec<SnapshotId> = self.nodes[node].disk.snapshots.keys().copied().collect();
        if !self.is_there(node) || ids.is_empty() {
            return;
        }
        let id = ids[self.below(ids.len() as u64) as usize];
        if id.end > self.nodes[node].disk.start {
            self.nodes[node].disk.raise_start(id);
            self.step(node, Input::LogStartRaised(id.end));
        }
    }
}

/// The epoch that an answer speaks of.
fn epoch_of(answer: &Answer) -> Option<LeaderEpoch> {
    match answer {
        Answer::Vote(VoteResponse { known, .. })
        | Answer::Fetch(FetchResponse { known, .. })
        | Answer::FetchSnapshot(FetchSnapshotResponse { known, .. })
        | Answer::BeginQuorumEpoch(known)
        | Answer::EndQuorumEpoch(known)
        | Answer::UpdateVoter(known) => Some(known.epoch),
        Answer::AddVoter(_) | Answer::RemoveVoter(_) => None,
    }
}
