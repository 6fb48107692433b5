//! Random clusters: whatever happens to them, what the controller decides keeps the rules.
//!
//! After each decision its records are replayed one by one, and the partitions that they change are compared
//! before and after. At the end the whole log is replayed, and a snapshot is written and read.

use std::collections::BTreeMap;

use super::*;
use crate::controller::image::LeaderRecoveryState;
use crate::wire::messages::alter_partition::{
    AlterPartitionRequest, BrokerState, PartitionData as AskedPartition, TopicData as AskedTopic,
};
use crate::wire::messages::alter_partition_reassignments::*;
use crate::wire::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};

const BROKERS: i32 = 5;
const TOPICS: u64 = 4;

/// What befell, so that the test can tell that it was not about nothing.
#[derive(Debug, Default)]
struct Seen {
    changes: usize,
    refused: usize,
    elections: usize,
    from_elr: usize,
    unclean: usize,
    leaderless: usize,
    reassigned: usize,
    lost: usize,
}

struct Model {
    cluster: Cluster,
    dice: ChaCha8Rng,
    seen: Seen,
    /// The process of each broker: its run, its directories, and whether the last one stopped cleanly.
    runs: BTreeMap<i32, Run>,
    /// Requests that leaders have sent and that arrive late.
    delayed: Vec<AlterPartitionRequest>,
    next_id: u128,
}

#[derive(Debug, Clone)]
struct Run {
    incarnation: u128,
    dirs: Vec<Uuid>,
    alive: bool,
    previous_epoch: i64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut cluster = Cluster::with_brokers(0);
        cluster.checked = false;
        let dice = ChaCha8Rng::seed_from_u64(seed);
        let mut model = Self {
            cluster,
            dice,
            seen: Seen::default(),
            runs: BTreeMap::new(),
            delayed: Vec::new(),
            next_id: 1_000_000,
        };
        for id in 1..=BROKERS {
            let dirs = registration(id, 0).log_dirs;
            model.runs.insert(id, Run { incarnation: model.next_id, dirs, alive: true, previous_epoch: -1 });
            model.next_id += 1;
            model.register(id);
            model.heartbeat(id, 0);
        }
        model
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn chance(&mut self, of: u64) -> bool {
        self.roll(of) == 0
    }

    fn any_broker(&mut self) -> i32 {
        1 + i32::try_from(self.roll(BROKERS as u64)).expect("small")
    }

    fn any_partition(&mut self) -> Option<(String, PartitionKey)> {
        let mut all = Vec::new();
        for topic in self.cluster.image().topics() {
            for &index in topic.partitions.keys() {
                all.push((topic.name.to_string(), PartitionKey { topic_id: topic.id, index }));
            }
        }
        let count = u64::try_from(all.len()).expect("few");
        (count > 0).then(|| all.swap_remove(usize::try_from(self.dice.next_u64() % count).expect("few")))
    }

    /// Some brokers in any order.
    fn any_replicas(&mut self) -> Vec<i32> {
        let mut brokers: Vec<i32> = (1..=BROKERS).collect();
        let count = 1 + usize::try_from(self.roll(4)).expect("small");
        (0..count)
            .map(|_| brokers.swap_remove((self.dice.next_u64() % brokers.len() as u64) as usize))
            .collect()
    }

    /// Replays a decision record by record, with an eye on every partition that it changes.
    fn take<R>(&mut self, decision: Decision<R>) -> R {
        let after = {
            let mut controller = self.cluster.controller.clone();
            for (offset, record) in (self.cluster.next.0..).map(Offset).zip(&decision.records) {
                controller
                    .replay(offset, self.cluster.epoch, record)
                    .expect("what was decided can be applied");
            }
            controller
        };
        for record in decision.records {
            let change = match &record {
                MetadataRecord::PartitionChange(change) => Some(change.clone()),
                _ => None,
            };
            let key =
                change.as_ref().map(|it| PartitionKey { topic_id: it.topic_id, index: it.partition_id });
            let find = |controller: &Controller, key: PartitionKey| {
                controller.image().partition(key.topic_id, key.index).cloned()
            };
            let before = key.map(|key| find(&self.cluster.controller, key).expect("it exists"));
            self.cluster.append(record);
            if let (Some(key), Some(before)) = (key, before) {
                let now = find(&self.cluster.controller, key).expect("it exists");
                self.check_change(&before, &now, after.image(), key);
            }
        }
        self.check_all();
        decision.response
    }

    fn check_change(
        &mut self,
        before: &PartitionRegistration,
        now: &PartitionRegistration,
        after: &Image,
        key: PartitionKey,
    ) {
        self.seen.changes += 1;
        assert_eq!(now.partition_epoch.0, before.partition_epoch.0 + 1, "R2: every change");
        assert!(now.leader_epoch >= before.leader_epoch, "R2: never down");
        let removed = before.replicas.iter().any(|id| !now.replicas.contains(id));
        if now.leader != before.leader || removed {
            assert_eq!(now.leader_epoch.0, before.leader_epoch.0 + 1, "R2: with the leader or a replica");
        }
        self.seen.reassigned += usize::from(before.is_reassigning() && !now.is_reassigning());
        if now.leader == BrokerId::NONE {
            self.seen.leaderless += usize::from(before.leader != BrokerId::NONE);
            return;
        }
        if now.leader == before.leader {
            return;
        }
        self.seen.elections += 1;
        assert!(after.is_active(now.leader), "E1: {} is not active: {before:?} {now:?}", now.leader);
        let dir = now.directory(now.leader).expect("a leader has a replica");
        assert!(after.has_online_dir(now.leader, dir), "E1: its directory is not in use");
        self.seen.from_elr += usize::from(before.elr.contains(&now.leader));
        // The change that brought the last of those added into sync has ended the reassignment, too.
        let joined = before.is_reassigning()
            && !now.is_reassigning()
            && before.adding.iter().all(|id| now.isr.contains(id))
            && now.leader_recovery == LeaderRecoveryState::Recovered;
        if before.isr.contains(&now.leader) || before.elr.contains(&now.leader) || joined {
            return;
        }
        self.seen.unclean += 1;
        let topic = after.topic(key.topic_id).expect("it exists");
        let allowed = topic.configs.get("unclean.leader.election.enable").is_some_and(|it| it == "true");
        // The last known leader is not eligible any more only where it may have lost something.
        let cached = topic.configs.contains_key("flush.messages");
        let last_known = before.last_known_elr == [now.leader] && before.isr.is_empty() && cached;
        assert!(allowed || last_known, "E1: an unclean election that nobody allowed: {before:?} {now:?}");
        assert_eq!(now.leader_recovery, LeaderRecoveryState::Recovering);
        assert_eq!((&now.isr, &now.elr), (&vec![now.leader], &vec![]));
    }

    fn check_all(&self) {
        let image = self.cluster.image();
        for topic in image.topics() {
            for (index, it) in &topic.partitions {
                let at = || format!("{}-{index}: {it:?}", topic.name);
                let distinct = |ids: &[BrokerId]| {
                    let mut sorted = ids.to_vec();
                    sorted.sort_unstable();
                    sorted.windows(2).all(|pair| pair[0] != pair[1])
                };
                for ids in [&it.replicas, &it.isr, &it.elr, &it.adding, &it.removing] {
                    assert!(distinct(ids), "nobody twice: {}", at());
                    assert!(ids.iter().all(|id| it.replicas.contains(id)), "only replicas: {}", at());
                }
                assert!(it.isr.iter().all(|id| !it.elr.contains(id)), "ISR and ELR are apart: {}", at());
                assert!(
                    it.leader == BrokerId::NONE || it.isr.contains(&it.leader),
                    "leader in ISR: {}",
                    at()
                );
                assert!(!it.isr.is_empty() || it.leader == BrokerId::NONE, "no ISR, no leader: {}", at());
                let min_isr = topic
                    .configs
                    .get("min.insync.replicas")
                    .map_or(2, |text| text.parse().expect("a number"));
                let enough = it.isr.len() >= it.replicas.len().min(min_isr);
                assert!(
                    !enough || it.elr.is_empty(),
                    "E2: no ELR with an ISR that is large enough: {}",
                    at()
                );
                assert!(
                    it.last_known_elr.len() <= 1
                        && (it.leader == BrokerId::NONE || it.last_known_elr.is_empty())
                );
                assert!(it.isr.iter().all(|&id| image.is_active(id)), "in sync is who is active: {}", at());
                let electable = |id: &BrokerId| {
                    image.is_active(*id) && image.has_online_dir(*id, it.directory(*id).expect("a replica"))
                };
                let clean = if it.isr.is_empty() { &it.elr } else { &it.isr };
                assert!(
                    it.leader != BrokerId::NONE || !clean.iter().any(electable),
                    "somebody could lead: {}",
                    at()
                );
            }
        }
    }

    fn register(&mut self, id: i32) {
        let run = self.runs[&id].clone();
        let request = BrokerRegistrationRequest {
            log_dirs: run.dirs,
            previous_broker_epoch: run.previous_epoch,
            ..registration(id, run.incarnation)
        };
        let before = self.cluster.image().clone();
        let decision = self.cluster.decide_registration(&request);
        match self.take(decision) {
            Ok(epoch) => {
                let broker = self.cluster.broker(id);
                assert_eq!(broker.epoch, epoch);
                let known = before.broker(BrokerId(id)).filter(|it| it.incarnation == broker.incarnation);
                assert!(known.map_or(broker.fenced, |known| known.epoch == epoch));
                self.check_restart(id, &before, known.is_none());
            }
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::DuplicateBrokerRegistration);
                self.seen.refused += 1;
            }
        }
    }

    /// After a registration nobody leads or is in sync who should not, and who has lost its log is forgotten.
    fn check_restart(&mut self, id: i32, before: &Image, new_run: bool) {
        let (broker, id) = (self.cluster.broker(id), BrokerId(id));
        for topic in before.topics() {
            for (&index, old) in &topic.partitions {
                let now = self.cluster.image().partition(topic.id, index).expect("it exists");
                if new_run && old.isr.contains(&id) {
                    assert!(
                        now.leader_epoch > old.leader_epoch,
                        "an epoch of its own from before the restart"
                    );
                }
                assert!(!new_run || !now.isr.contains(&id));
                let lost = now.directory(id).is_some_and(|dir| !broker.log_dirs.contains(&dir));
                if lost {
                    self.seen.lost += 1;
                    assert!(
                        !now.isr.contains(&id) && !now.elr.contains(&id) && !now.last_known_elr.contains(&id)
                    );
                }
            }
        }
    }

    fn heartbeat(&mut self, id: i32, kind: u64) {
        let Some(broker) = self.cluster.image().broker(BrokerId(id)).cloned() else { return };
        if !self.runs[&id].alive || broker.incarnation != Uuid(self.runs[&id].incarnation) {
            return;
        }
        let mut request = heartbeat(id, broker.epoch, self.cluster.next.0 - 1);
        match kind {
            1 => request.want_fence = true,
            2 => request.want_shut_down = true,
            3 => request.current_metadata_offset = broker.epoch.0 - 1,
            4 => request.offline_log_dirs = vec![self.runs[&id].dirs[0]],
            _ => {}
        }
        let decision = self.cluster.decide_heartbeat(&request);
        let reply = self.take(decision).expect("its epoch is right");
        if reply.should_shut_down {
            let run = self.runs.get_mut(&id).expect("it runs");
            (run.alive, run.previous_epoch) = (false, broker.epoch.0);
        }
    }

    fn crash(&mut self, id: i32) {
        let run = self.runs.get_mut(&id).expect("all brokers have one");
        (run.alive, run.previous_epoch) = (false, -1);
    }

    /// Some start again with a directory replaced, some without.
    fn start(&mut self, id: i32) {
        let wiped = self.chance(6);
        let same_boot = self.chance(3);
        let epoch = self.cluster.image().broker(BrokerId(id)).map_or(-1, |broker| broker.epoch.0);
        self.next_id += 2;
        let (incarnation, fresh) = (self.next_id, Uuid(self.next_id + 1));
        let run = self.runs.get_mut(&id).expect("all brokers have one");
        if run.alive {
            return;
        }
        (run.alive, run.incarnation) = (true, incarnation);
        if wiped {
            run.dirs[0] = fresh;
            run.previous_epoch = -1;
        } else if same_boot {
            run.previous_epoch = epoch;
        }
        self.register(id);
    }

    fn alter_partition(&mut self) {
        let Some((_, key)) = self.any_partition() else { return };
        let partition = self.cluster.image().partition(key.topic_id, key.index).expect("it exists").clone();
        let Some(leader) = self.cluster.image().broker(partition.leader).cloned() else { return };
        let mut isr = vec![partition.leader];
        for &id in &partition.replicas {
            if id != partition.leader && !self.chance(3) {
                isr.push(id);
            }
        }
        let unsure = self.chance(5);
        let member = |id: &BrokerId| BrokerState {
            broker_id: id.0,
            broker_epoch: match self.cluster.image().broker(*id) {
                Some(broker) if !unsure => broker.epoch.0,
                _ => -1,
            },
        };
        let asked = AskedPartition {
            partition_index: key.index,
            leader_epoch: partition.leader_epoch.0,
            new_isr: Vec::new(),
            new_isr_with_epochs: isr.iter().map(member).collect(),
            leader_recovery_state: 0,
            partition_epoch: partition.partition_epoch.0,
        };
        let request = AlterPartitionRequest {
            broker_id: leader.id.0,
            broker_epoch: leader.epoch.0,
            topics: vec![AskedTopic { topic_id: key.topic_id, partitions: vec![asked] }],
        };
        if self.chance(3) {
            self.delayed.push(request);
        } else {
            self.arrive(&request);
        }
    }

    fn arrive(&mut self, request: &AlterPartitionRequest) {
        let decision = self.cluster.controller.alter_partition(request);
        let response = self.take(decision);
        let refused =
            |it: &crate::wire::messages::alter_partition::TopicResult| it.partitions[0].error_code != 0;
        self.seen.refused += usize::from(response.error_code != 0 || response.topics.iter().any(refused));
        for result in response.topics.iter().flat_map(|it| &it.partitions).filter(|it| it.error_code == 0) {
            let now = self.cluster.image().partition(request.topics[0].topic_id, result.partition_index);
            let now = now.expect("it exists");
            assert_eq!(
                (result.partition_epoch, result.leader_epoch),
                (now.partition_epoch.0, now.leader_epoch.0)
            );
            assert_eq!(result.isr, now.isr.iter().map(|id| id.0).collect::<Vec<_>>());
        }
    }

    fn reassign(&mut self) {
        let Some((name, key)) = self.any_partition() else { return };
        let replicas = if self.chance(4) { None } else { Some(self.any_replicas()) };
        let partitions = vec![ReassignablePartition { partition_index: key.index, replicas }];
        let topics = vec![ReassignableTopic { name, partitions }];
        let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
        let decision = self.cluster.controller.alter_partition_reassignments(&request);
        let response = self.take(decision);
        self.seen.refused += usize::from(response.responses[0].partitions[0].error_code != 0);
    }

    fn elect(&mut self) {
        let some = self.any_partition().filter(|_| self.chance(2));
        let topic_partitions =
            some.map(|(topic, key)| vec![TopicPartitions { topic, partitions: vec![key.index] }]);
        let request = ElectLeadersRequest { election_type: 0, topic_partitions, timeout_ms: 0 };
        let decision = self.cluster.controller.elect_leaders(&request);
        self.take(decision);
    }

    fn assign_dirs(&mut self) {
        let Some((_, key)) = self.any_partition() else { return };
        let partition = self.cluster.image().partition(key.topic_id, key.index).expect("it exists").clone();
        let id =
            partition.replicas[usize::try_from(self.roll(partition.replicas.len() as u64)).expect("few")];
        let Some(broker) = self.cluster.image().broker(id).cloned() else { return };
        let nth = usize::try_from(self.roll(2)).expect("few");
        let dir = self.runs[&id.0].dirs[nth];
        let partitions = vec![PartitionData { partition_index: key.index }];
        let topics = vec![TopicData { topic_id: key.topic_id, partitions }];
        let request = AssignReplicasToDirsRequest {
            broker_id: id.0,
            broker_epoch: broker.epoch.0,
            directories: vec![DirectoryData { id: dir, topics }],
        };
        let decision = self.cluster.controller.assign_replicas_to_dirs(&request);
        self.take(decision);
    }

    fn topics(&mut self) {
        let name = format!("t{}", self.roll(TOPICS));
        if self.cluster.image().topic_named(&name).is_some() && self.chance(4) {
            let request = DeleteTopicsRequest { topic_names: vec![name], ..Default::default() };
            let decision = self.cluster.controller.delete_topics(&request);
            self.take(decision);
            return;
        }
        let factor = i16::try_from(1 + self.roll(4)).expect("small");
        let mut wanted = topic(&name, 3, factor);
        if self.chance(2) {
            let flush = configured("", &[("flush.messages", Some("100"))]).configs;
            wanted.configs = flush;
        }
        if self.chance(4) {
            let lax = configured("", &[("unclean.leader.election.enable", Some("true"))]).configs;
            wanted.configs.extend(lax);
        }
        let request = CreateTopicsRequest { topics: vec![wanted], ..Default::default() };
        let decision = self.cluster.controller.create_topics(&request, &mut self.cluster.rng);
        self.take(decision);
    }

    fn alter_config(&mut self) {
        let Some((name, _)) = self.any_partition() else { return };
        let minimum = (1 + self.roll(3)).to_string();
        let resources = vec![resource(2, &name, vec![set("min.insync.replicas", &minimum)])];
        let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
        let decision = self.cluster.controller.incremental_alter_configs(&request);
        self.take(decision);
    }

    fn fence(&mut self) {
        loop {
            let (heartbeats, now) = (&self.cluster.heartbeats, self.cluster.now);
            let decision = self.cluster.controller.fence_stale_broker(heartbeats, now);
            let Some(id) = self.take(decision) else { return };
            assert!(self.cluster.broker(id.0).fenced);
        }
    }

    fn step(&mut self) {
        let id = self.any_broker();
        match self.roll(40) {
            0 => self.crash(id),
            1..=4 => self.start(id),
            5 => self.register(id),
            6..=8 => {
                let kind = 1 + self.roll(4);
                self.heartbeat(id, kind);
            }
            9..=12 => {
                self.cluster.pass(3);
                (1..=BROKERS).for_each(|id| self.heartbeat(id, 0));
                self.fence();
            }
            13 => self.cluster.pass(4),
            14..=24 => self.alter_partition(),
            25..=26 => {
                if let Some(request) = self.delayed.pop() {
                    self.arrive(&request);
                }
            }
            27..=29 => self.reassign(),
            30 => self.elect(),
            31 => {
                let decision = self.cluster.controller.balance_leaders();
                self.take(decision);
            }
            32 => {
                let decision = self.cluster.controller.elect_leaderless();
                self.take(decision);
            }
            33..=34 => self.assign_dirs(),
            35..=36 => self.topics(),
            37 => self.alter_config(),
            38 => {
                let timeout = Duration::from_secs(9);
                let heartbeats =
                    Heartbeats::of_new_controller(timeout, self.cluster.image(), self.cluster.now);
                self.cluster.heartbeats = heartbeats;
            }
            _ => {
                let decision = self.cluster.controller.unregister_broker(BrokerId(id));
                if self.runs[&id].alive {
                    return;
                }
                let _ = self.take(decision);
            }
        }
    }
}

#[test]
fn whatever_happens_the_rules_are_kept() {
    let mut total = Seen::default();
    for seed in 0..200 {
        let mut model = Model::new(seed);
        (0..400).for_each(|_| model.step());
        model.cluster.check_replay();
        assert_eq!(&snapshot::reread(model.cluster.image()), model.cluster.image(), "seed {seed}");
        let seen = model.seen;
        total.changes += seen.changes;
        total.refused += seen.refused;
        total.elections += seen.elections;
        total.from_elr += seen.from_elr;
        total.unclean += seen.unclean;
        total.leaderless += seen.leaderless;
        total.reassigned += seen.reassigned;
        total.lost += seen.lost;
    }
    let Seen { changes, refused, elections, from_elr, unclean, leaderless, reassigned, lost } = total;
    for count in [changes, refused, elections, from_elr, unclean, leaderless, reassigned, lost] {
        assert!(count >= 100, "the model has become too quiet: {total:?}");
    }
}
