//! A broker: the shell's part around one [`Partition`], with a toy log.

use super::*;
use crate::types::BrokerEpoch;

/// What a machine keeps.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// The first offset.
    pub(super) base: i64,
    log: Vec<Record>,
    /// What a loss of power leaves.
    pub(super) durable: i64,
    /// The leader-epoch checkpoint.
    epochs: Vec<EpochEntry>,
    /// The high-watermark checkpoint.
    pub(super) high_watermark: i64,
    /// The log-start checkpoint.
    log_start: i64,
    generation: u64,
}

impl Disk {
    pub(super) fn end(&self) -> i64 {
        self.base + self.log.len() as i64
    }

    pub(super) fn record(&self, offset: i64) -> Option<Record> {
        self.log.get(usize::try_from(offset - self.base).ok()?).copied()
    }

    pub(super) fn cut(&mut self, end: i64) {
        self.log.truncate((end - self.base) as usize);
        self.durable = self.durable.min(end);
    }

    fn start_at(&mut self, offset: i64) {
        self.log.clear();
        (self.base, self.durable) = (offset, offset);
    }

    /// Retention: what lies before the log start may go.
    fn remove_before(&mut self, offset: i64) {
        self.log.drain(..(offset - self.base) as usize);
        (self.base, self.durable) = (offset, self.durable.max(offset));
    }

    pub(super) fn wipe(&mut self) {
        *self = Self::default();
    }

    fn header(&self, offset: i64) -> BatchHeader {
        let record = self.record(offset).expect("it is in the log");
        let partition_leader_epoch = LeaderEpoch(record.epoch);
        BatchHeader { base_offset: Offset(offset), partition_leader_epoch, ..batch(1) }
    }

    /// What recovery finds: the epochs of the checkpoint, set right by the log.
    fn recover(&mut self) -> Recovered {
        if self.end() < self.log_start {
            self.start_at(self.log_start);
        }
        let log_start = self.log_start.max(self.base);
        let mut epochs = EpochCache::from_entries(self.epochs.clone()).unwrap();
        (self.base..self.end()).for_each(|offset| _ = epochs.fold(&self.header(offset)));
        Recovered {
            log_start: LogStart(Offset(log_start)),
            durable_end: Offset(self.durable.max(log_start)),
            log_end: LogEnd(Offset(self.end())),
            high_watermark: HighWatermark(Offset(self.high_watermark)),
            truncation_generation: self.generation,
            epochs,
            producers: ProducerTable::default(),
        }
    }
}

pub(super) struct Node {
    pub(super) id: BrokerId,
    config: PartitionConfig,
    pub(super) disk: Disk,
    /// `None` while the process is down.
    pub(super) partition: Option<Partition>,
    /// The registration of this run.
    pub(super) broker_epoch: BrokerEpoch,
    /// The last entry of the controller's history that it has read.
    pub(super) metadata: usize,
    /// It has lost what it may not lose, and will say so when it registers.
    pub(super) lost: bool,
    /// The Fetch under way.
    pub(super) fetching: Option<FollowerFetch>,
    /// Syncs under way: epoch, generation, end.
    syncs: Vec<(LeaderEpoch, u64, i64)>,
    /// Producers that wait, by the offset of their record.
    waiting: Waiters<(i64, Record)>,
    /// The epoch that it leads as soon as the epochs are saved.
    elected: Option<LeaderEpoch>,
    /// An answer of the controller is expected.
    asking: bool,
    /// As it was last seen.
    high_watermark: HighWatermark,
}

impl Node {
    pub(super) fn new(id: BrokerId, counting: Counting, min_isr: usize) -> Self {
        Self {
            id,
            config: PartitionConfig { broker_id: id, ..config(counting, min_isr) },
            disk: Disk::default(),
            partition: None,
            broker_epoch: BrokerEpoch::NONE,
            metadata: 0,
            lost: false,
            fetching: None,
            syncs: Vec::new(),
            waiting: Waiters::new(1000),
            elected: None,
            asking: false,
            high_watermark: HighWatermark::default(),
        }
    }

    pub(super) fn open(&mut self) -> Positions {
        let partition = Partition::open(self.config, self.disk.recover());
        let positions = partition.positions();
        self.high_watermark = positions.high_watermark;
        self.partition = Some(partition);
        positions
    }

    /// What goes with the process.
    pub(super) fn stop(&mut self) {
        self.fetching = None;
        self.syncs.clear();
        self.leave();
    }

    /// What goes with the leadership.
    fn leave(&mut self) {
        self.waiting.take_all();
        self.elected = None;
        self.asking = false;
    }

    fn is(&self, broker_epoch: BrokerEpoch) -> bool {
        self.partition.is_some() && self.broker_epoch == broker_epoch
    }

    fn save_epochs(&mut self) {
        self.disk.epochs = self.partition.as_ref().unwrap().epochs().entries().to_vec();
    }
}

/// What a leader says to a Fetch.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    diverging: Option<EpochEnd>,
    high_watermark: HighWatermark,
    log_start: LogStart,
    records: Vec<Record>,
}

/// What is under way. Whoever is to be told is named by its run: a connection ends with its process.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Fetch {
        from: BrokerId,
        run: BrokerEpoch,
        fetch: FollowerFetch,
    },
    Read {
        from: BrokerId,
        run: BrokerEpoch,
        fetch: FollowerFetch,
        by: BrokerEpoch,
        plan: ReadPlan,
    },
    Fetched {
        to: BrokerId,
        run: BrokerEpoch,
        fetch: FollowerFetch,
        answer: Result<Answer, ReadRefusal>,
    },
    Alter {
        from: BrokerId,
        run: BrokerEpoch,
        asked: AlterPartition,
    },
    Altered {
        to: BrokerId,
        run: BrokerEpoch,
        asked: AlterPartition,
        answer: Result<AlteredPartition, ErrorCode>,
    },
}

fn index_of(id: BrokerId) -> usize {
    id.0 as usize - 1
}

impl World {
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Fetch { from, run, fetch } => self.serve_fetch(from, run, fetch),
            Message::Read { from, run, fetch, by, plan } => self.read(from, run, fetch, by, plan),
            Message::Fetched { to, run, fetch, answer } => self.take_answer(index_of(to), run, fetch, answer),
            Message::Alter { from, run, asked } => {
                let unwilling = self.dice.one_in(15);
                let answer = self.controller.alter(from, &asked, unwilling);
                // It may fail once it has done what it was asked for.
                let failed = self.dice.one_in(10);
                let answer = if failed { Err(ErrorCode::RequestTimedOut) } else { answer };
                self.network.push(Message::Altered { to: from, run, asked, answer });
            }
            Message::Altered { to, run, asked, answer } => {
                self.take_altered(index_of(to), run, &asked, &answer)
            }
        }
    }

    /// What every step leads to, and what must hold after it.
    fn settle(&mut self, index: usize, advance: Advance) {
        let (before, after) = (advance.before, advance.after);
        let epoch = advance.leader_epoch.0;
        let node = &mut self.nodes[index];
        assert_eq!(before.high_watermark, node.high_watermark, "{} moved without a step", node.id);
        node.high_watermark = after.high_watermark;
        let to = after.high_watermark.offset().0;
        let from = before.high_watermark.offset().max(after.log_start.offset()).0;
        if to > before.high_watermark.offset().0 {
            self.oracle.exposes(node.id, epoch, from..to.max(from), &node.disk);
        }
        for (offset, record) in node.waiting.release(&after) {
            self.counts.count("acknowledged");
            assert_eq!(node.disk.record(offset), Some(record), "another record is acknowledged");
            self.oracle.acknowledged(offset, record, epoch);
        }
        if advance.under_min_isr {
            node.waiting.take_position(Position::HighWatermark);
        }
        let bounds = node.partition.as_ref().unwrap().offset_bounds(ANY_EPOCH, Isolation::ReadUncommitted);
        if let Ok(latest) = bounds.and_then(|bounds| bounds.latest()) {
            self.oracle.said_latest(node.id, epoch, latest);
        }
        let registration = &self.controller.registration;
        let leads = registration.leader == node.id && registration.leader_epoch == advance.leader_epoch;
        if leads && after.high_watermark > before.high_watermark {
            self.check_backed(to);
        }
    }

    /// Whoever could be elected cleanly has everything that is committed. Whoever has lost what it may not lose
    /// will leave as soon as it starts.
    fn check_backed(&self, to: i64) {
        let registration = &self.controller.registration;
        let members = registration.isr.iter().chain(&registration.elr);
        for member in members.filter(|member| !self.nodes[index_of(**member)].lost) {
            let disk = &self.nodes[index_of(*member)].disk;
            let kept = if self.counting == Counting::WhenSynced { disk.durable } else { disk.end() };
            assert!(kept >= to, "{to} is committed, but {member} has only {kept}: {registration:?}");
        }
    }

    // Metadata.

    pub(super) fn read_metadata(&mut self, index: usize) {
        let ahead = self.controller.history.len() - 1 - self.nodes[index].metadata;
        // What changes nothing comes, too: another partition of the topic has changed.
        self.nodes[index].metadata += self.dice.below(ahead + 1);
        self.apply_metadata(index);
    }

    pub(super) fn apply_metadata(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(partition) = &mut node.partition else { return };
        let (registration, brokers) = &self.controller.history[node.metadata];
        let pending = partition.pending_alter().is_some();
        let applied = partition.apply(registration, brokers, self.now);
        if pending && partition.pending_alter().is_none() {
            self.counts.count("request settled by metadata");
            node.asking = false;
        }
        match applied {
            Applied::Stale | Applied::AfterTruncation => {}
            Applied::Updated(advance) => self.settle(index, advance),
            Applied::Following { .. } | Applied::NotLeading => node.leave(),
            Applied::Elected { advance, .. } => {
                let epoch = registration.leader_epoch;
                (node.asking, node.elected) = (false, Some(epoch));
                self.oracle.elected(node.id, epoch.0, &node.disk);
                self.settle(index, advance);
                self.counts.count("elected");
            }
        }
    }

    /// The epochs of a new leader are saved; then it serves.
    pub(super) fn begin_to_serve(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(epoch) = node.elected.take() else { return };
        node.save_epochs();
        assert!(node.partition.as_mut().unwrap().start_serving(epoch), "it leads epoch {epoch}");
    }

    // Records and disks.

    pub(super) fn append(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(partition) = &mut node.partition else { return };
        let acks = if self.dice.one_in(4) { Acks::Leader } else { Acks::All };
        let Ok(Prepared::Append { base_offset, leader_epoch }) = partition.prepare_append(&batch(1), acks)
        else {
            return;
        };
        let record = Record { epoch: leader_epoch.0, id: self.dice.0.next_u64() };
        self.oracle.wrote(node.id, base_offset.0, record);
        node.disk.log.push(record);
        let advance = partition.appended(&node.disk.header(base_offset.0));
        if acks == Acks::All
            && let Some(wait) = partition.wait_for(acks, base_offset.next())
        {
            let _ = node.waiting.insert(wait, (base_offset.0, record));
        }
        self.settle(index, advance);
    }

    /// Begins a sync, or ends one of those under way.
    pub(super) fn sync(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(partition) = &node.partition else { return };
        if partition.truncating().is_some() {
            return;
        }
        if node.syncs.is_empty() || (node.syncs.len() < 3 && self.dice.one_in(3)) {
            node.syncs.push((partition.leader_epoch(), node.disk.generation, node.disk.end()));
        } else {
            let done = self.dice.below(node.syncs.len());
            let done = node.syncs.swap_remove(done);
            self.synced(index, done);
        }
    }

    pub(super) fn sync_all(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if let Some(partition) = &node.partition
            && partition.truncating().is_none()
        {
            let all = (partition.leader_epoch(), node.disk.generation, node.disk.end());
            self.synced(index, all);
        }
    }

    fn synced(&mut self, index: usize, (epoch, generation, end): (LeaderEpoch, u64, i64)) {
        let node = &mut self.nodes[index];
        if generation == node.disk.generation {
            node.disk.durable = node.disk.durable.max(end);
        }
        if let Some(advance) = node.partition.as_mut().unwrap().synced(epoch, generation, Offset(end)) {
            self.settle(index, advance);
        }
    }

    pub(super) fn checkpoint(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if let Some(partition) = &node.partition {
            node.disk.high_watermark = partition.positions().high_watermark.offset().0;
            node.save_epochs();
        }
    }

    /// Saves the log start; sometimes what lies before it goes, too.
    pub(super) fn save_log_start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(partition) = &node.partition else { return };
        if partition.truncating().is_none() {
            node.disk.log_start = partition.positions().log_start.offset().0;
            if self.dice.one_in(2) {
                node.disk.remove_before(node.disk.log_start);
            }
        }
    }

    pub(super) fn raise_log_start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(partition) = &mut node.partition else { return };
        let leads = partition.snapshot(self.now).role == RoleName::Leader;
        if leads && self.dice.one_in(4) {
            let Positions { log_start, high_watermark, log_end, .. } = partition.positions();
            let to = Offset(self.dice.between(log_start.offset().0, log_end.offset().0 + 1));
            let Ok(advance) = partition.raise_log_start(to) else {
                return assert!(to > high_watermark.offset(), "{to} is committed");
            };
            self.oracle.deleted(to.0);
            self.settle(index, advance);
        }
    }

    // Following.

    pub(super) fn poll(&mut self, index: usize) {
        self.resend_alter(index);
        let node = &mut self.nodes[index];
        let Some(fetch) = node.partition.as_ref().and_then(Partition::next_fetch) else { return };
        if node.fetching.is_none_or(|under_way| under_way.leader_epoch < fetch.leader_epoch) {
            node.fetching = Some(fetch);
            self.network.push(Message::Fetch { from: node.id, run: node.broker_epoch, fetch });
        }
    }

    fn take_answer(
        &mut self,
        index: usize,
        run: BrokerEpoch,
        fetch: FollowerFetch,
        answer: Result<Answer, ReadRefusal>,
    ) {
        let node = &mut self.nodes[index];
        if !node.is(run) {
            return;
        }
        if node.fetching == Some(fetch) {
            node.fetching = None;
        }
        let partition = node.partition.as_mut().unwrap();
        match answer {
            Ok(answer) => self.take_records(index, &fetch, &answer),
            Err(refusal) => {
                let after = partition.fetch_refused(&fetch, refusal.error_code());
                if after == AfterError::AskForEnds {
                    let ReadRefusal::OffsetOutOfRange { log_start, log_end, .. } = refusal else {
                        panic!("{refusal:?}")
                    };
                    let decision = partition.fetch_out_of_range(&fetch, log_start, log_end).unwrap();
                    self.note(index, decision);
                }
            }
        }
    }

    fn take_records(&mut self, index: usize, fetch: &FollowerFetch, answer: &Answer) {
        let node = &mut self.nodes[index];
        let offsets = fetch.fetch_offset.0..;
        let headers: Vec<_> = offsets
            .zip(&answer.records)
            .map(|(offset, record)| BatchHeader {
                base_offset: Offset(offset),
                partition_leader_epoch: LeaderEpoch(record.epoch),
                ..batch(1)
            })
            .collect();
        let Answer { diverging, high_watermark, log_start, .. } = *answer;
        let taken = FetchAnswer { diverging, high_watermark, log_start, batches: &headers };
        let partition = node.partition.as_mut().unwrap();
        let decision = partition.fetch_answered(fetch, &taken).unwrap();
        let Replication::Append { batches } = decision else { return self.note(index, decision) };
        for (header, record) in headers.iter().zip(&answer.records).take(batches) {
            assert_eq!(header.base_offset.0, node.disk.end());
            self.oracle.replicated(header.base_offset.0, *record);
            node.disk.log.push(*record);
        }
        let advance = partition.replicated(&taken, batches);
        self.settle(index, advance);
    }

    fn note(&mut self, index: usize, decision: Replication) {
        if let Replication::Truncate { truncation, below_high_watermark } = decision {
            let id = self.nodes[index].id;
            assert!(!below_high_watermark, "{id} cuts committed records: {truncation:?}");
            self.counts.count("divergence");
        }
    }

    pub(super) fn finish_truncation(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(truncation) = node.partition.as_ref().and_then(Partition::truncating) else { return };
        match truncation {
            Truncation::To(to) if to.0 < node.disk.end() => {
                node.disk.cut(to.0);
                node.disk.generation += 2;
                self.counts.count("log cut");
            }
            Truncation::To(_) => {}
            Truncation::StartAt(offset) => {
                node.disk.start_at(offset.0);
                node.disk.log_start = offset.0;
                node.disk.generation += 2;
                self.counts.count("log started anew");
            }
        }
        let (log_end, generation) = (LogEnd(Offset(node.disk.end())), node.disk.generation);
        let producers = ProducerTable::default();
        let advance =
            node.partition.as_mut().unwrap().truncated(TruncatedLog { log_end, generation, producers });
        node.high_watermark = advance.after.high_watermark;
        node.save_epochs();
        self.apply_metadata(index);
    }

    // Leading.

    fn serve_fetch(&mut self, from: BrokerId, run: BrokerEpoch, fetch: FollowerFetch) {
        let index = index_of(fetch.leader);
        let node = &mut self.nodes[index];
        let Some(partition) = &mut node.partition else { return };
        let request = ReplicaFetch {
            replica: from,
            broker_epoch: run,
            current_leader_epoch: fetch.leader_epoch,
            last_fetched_epoch: fetch.last_fetched_epoch,
            fetch_offset: fetch.fetch_offset,
            log_start: fetch.log_start,
        };
        let (_, brokers) = &self.controller.history[node.metadata];
        let planned = partition.follower_fetch(&request, brokers, self.now).map(|read| {
            let FollowerRead { plan, advance, alter } = read;
            self.settle(index, advance);
            if let Some(asked) = alter {
                self.counts.count("expanded ISR");
                self.ask(index, asked);
            }
            plan
        });
        let message = match planned {
            Ok(plan) => Message::Read { from, run, fetch, by: self.nodes[index].broker_epoch, plan },
            Err(refusal) => Message::Fetched { to: from, run, fetch, answer: Err(refusal) },
        };
        self.network.push(message);
    }

    /// The log is read without the lock: what it was planned to read may be gone, or other records be there
    /// (KAFKA-18723).
    fn read(
        &mut self,
        to: BrokerId,
        run: BrokerEpoch,
        fetch: FollowerFetch,
        by: BrokerEpoch,
        plan: ReadPlan,
    ) {
        let most = fetch.fetch_offset.0 + self.dice.between(1, 4);
        let node = &self.nodes[index_of(fetch.leader)];
        if !node.is(by) {
            return;
        }
        let end = if plan.diverging.is_some() { 0 } else { plan.limit.0.min(most) };
        let answer = Ok(Answer {
            diverging: plan.diverging,
            high_watermark: plan.positions.high_watermark,
            log_start: plan.positions.log_start,
            records: (fetch.fetch_offset.0..end).map_while(|at| node.disk.record(at)).collect(),
        });
        self.network.push(Message::Fetched { to, run, fetch, answer });
    }

    pub(super) fn check_isr(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(partition) = &mut node.partition else { return };
        let (_, brokers) = &self.controller.history[node.metadata];
        let Some((advance, alter)) = partition.check_isr(brokers, self.now) else { return };
        self.settle(index, advance);
        if let Some(asked) = alter {
            self.counts.count("shrunk ISR");
            self.ask(index, asked);
        }
    }

    fn ask(&mut self, index: usize, asked: AlterPartition) {
        let node = &mut self.nodes[index];
        node.asking = true;
        self.network.push(Message::Alter { from: node.id, run: node.broker_epoch, asked });
    }

    /// Asks again, now and then even if the answer is only late.
    pub(super) fn resend_alter(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if (!node.asking || self.dice.one_in(10))
            && let Some(asked) = node.partition.as_mut().and_then(Partition::resend_alter)
        {
            self.ask(index, asked);
        }
    }

    fn take_altered(
        &mut self,
        index: usize,
        run: BrokerEpoch,
        asked: &AlterPartition,
        answer: &Result<AlteredPartition, ErrorCode>,
    ) {
        let node = &mut self.nodes[index];
        if !node.is(run) {
            return;
        }
        let partition = node.partition.as_mut().unwrap();
        match partition.alter_partition_answered(asked, answer, self.now) {
            AlterOutcome::Committed(advance) => self.settle(index, advance),
            AlterOutcome::RolledBack(advance) => {
                self.counts.count("request rolled back");
                self.settle(index, advance);
            }
            AlterOutcome::Resend => node.asking = false,
            AlterOutcome::AwaitMetadata | AlterOutcome::Stale => {}
        }
    }
}
