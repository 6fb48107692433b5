//! Requests in, records replayed, metadata out. Every decision is replayed twice: into the live controller,
//! and from the first record on, encoded and decoded, into a fresh one. Both must be equal.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

use super::features::{ELR_VERSION, METADATA_VERSION, SUPPORTED_FEATURES};
use super::image::{BrokerRegistration, FeatureRange, PartitionRegistration, ResourceType};
use super::*;
use crate::types::{BrokerEpoch, Mono, PartitionEpoch, PartitionKey, Uuid};
use crate::wire::messages::assign_replicas_to_dirs::*;
use crate::wire::messages::broker_heartbeat::*;
use crate::wire::messages::broker_registration::*;
use crate::wire::messages::create_partitions::*;
use crate::wire::messages::create_topics::*;
use crate::wire::messages::delete_topics::*;
use crate::wire::messages::incremental_alter_configs::*;
use crate::wire::metadata::*;

mod alter_partition;
mod brokers;
mod change;
mod cluster;
mod configs;
mod elections;
mod features;
mod model;
mod placement;
mod reassignment;
mod replay;
mod snapshot;
mod topics;

struct Cluster {
    controller: Controller,
    log: Vec<(Offset, LeaderEpoch, MetadataRecord)>,
    next: Offset,
    epoch: LeaderEpoch,
    rng: ChaCha8Rng,
    heartbeats: Heartbeats,
    now: Mono,
    /// Whether the log is replayed after every decision.
    checked: bool,
}

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self {
            controller: Controller::new(settings()),
            log: Vec::new(),
            next: Offset(0),
            epoch: LeaderEpoch(1),
            rng: ChaCha8Rng::seed_from_u64(7),
            heartbeats: Heartbeats::new(Duration::from_secs(9)),
            now: Mono::default() + Duration::from_secs(1),
            checked: true,
        };
        cluster.lead();
        cluster
    }

    /// With the brokers 1 to `count` registered and unfenced.
    fn with_brokers(count: i32) -> Self {
        let mut cluster = Self::new();
        cluster.take(cluster.controller.activate(None));
        for id in 1..=count {
            cluster.start_broker(id, u128::try_from(id).expect("positive"));
        }
        cluster
    }

    /// The leader's control record, which holds no metadata.
    fn lead(&mut self) {
        self.controller.skip(self.next, self.epoch);
        self.next = self.next.next();
    }

    /// A broker's run starts once the session of the run before is over.
    fn start_broker(&mut self, id: i32, run: u128) -> BrokerEpoch {
        let request = registration(id, run);
        let before = self.image().broker(BrokerId(id)).map(|broker| (broker.epoch, broker.incarnation));
        if before.is_some_and(|(epoch, incarnation)| {
            incarnation != Uuid(run) && self.heartbeats.is_alive(BrokerId(id), epoch, self.now)
        }) {
            self.pass(10);
        }
        let epoch = self.register(&request).expect("it may register");
        self.beat(id);
        epoch
    }

    fn decide_registration(
        &self,
        request: &BrokerRegistrationRequest,
    ) -> Decision<Result<BrokerEpoch, Refusal>> {
        self.controller.register_broker(request, &self.heartbeats, self.now, self.next)
    }

    fn register(&mut self, request: &BrokerRegistrationRequest) -> Result<BrokerEpoch, Refusal> {
        let decision = self.decide_registration(request);
        self.take(decision)
    }

    fn decide_heartbeat(
        &mut self,
        request: &BrokerHeartbeatRequest,
    ) -> Decision<Result<BrokerHeartbeatResponse, Refusal>> {
        self.controller.broker_heartbeat(request, &mut self.heartbeats, self.now, self.next)
    }

    fn heartbeat(&mut self, request: &BrokerHeartbeatRequest) -> Result<BrokerHeartbeatResponse, Refusal> {
        let decision = self.decide_heartbeat(request);
        self.take(decision)
    }

    /// A heartbeat of a broker that is up to date.
    fn beat(&mut self, id: i32) {
        let request = heartbeat(id, self.broker(id).epoch, self.next.0 - 1);
        self.heartbeat(&request).expect("it is registered");
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Fences all stale brokers, and says which.
    fn fence_stale(&mut self) -> Vec<BrokerId> {
        let mut fenced = Vec::new();
        while let Some(id) = self.take(self.controller.fence_stale_broker(&self.heartbeats, self.now)) {
            fenced.push(id);
        }
        fenced
    }

    fn broker(&self, id: i32) -> Arc<BrokerRegistration> {
        self.image().broker(BrokerId(id)).expect("it is registered").clone()
    }

    fn partition(&self, topic: &str, index: i32) -> Arc<PartitionRegistration> {
        self.image().topic_named(topic).expect("the topic exists").partitions[&index].clone()
    }

    fn key(&self, topic: &str, index: i32) -> PartitionKey {
        PartitionKey { topic_id: self.image().topic_named(topic).expect("the topic exists").id, index }
    }

    /// A broker says in which directory a replica of it lies.
    fn assign_dir(&mut self, id: i32, topic: &str, partition_index: i32, dir: Uuid) -> ErrorCode {
        let topic_id = self.key(topic, partition_index).topic_id;
        let topics = vec![TopicData { topic_id, partitions: vec![PartitionData { partition_index }] }];
        let request = AssignReplicasToDirsRequest {
            broker_id: id,
            broker_epoch: self.broker(id).epoch.0,
            directories: vec![DirectoryData { id: dir, topics }],
        };
        let response = self.take(self.controller.assign_replicas_to_dirs(&request));
        assert_eq!(response.error_code, 0);
        let code = response.directories[0].topics[0].partitions[0].error_code;
        ErrorCode::from_code(code).expect("a code of Kafka's")
    }

    fn append(&mut self, record: MetadataRecord) {
        self.controller.replay(self.next, self.epoch, &record).expect("what was decided can be applied");
        self.log.push((self.next, self.epoch, record));
        self.next = self.next.next();
    }

    /// Appends that only these are in sync with partition 0 of a topic.
    fn shrink(&mut self, topic: &str, isr: Vec<i32>) {
        let key = self.key(topic, 0);
        let change = PartitionChangeRecord {
            topic_id: key.topic_id,
            partition_id: 0,
            isr: Some(isr),
            ..Default::default()
        };
        self.append(change.into());
    }

    /// Appends what was decided, checks that a replay of the whole log arrives at the same metadata, and
    /// gives the answer.
    fn take<R>(&mut self, decision: Decision<R>) -> R {
        for record in decision.records {
            self.append(record);
        }
        if self.checked {
            self.check_replay();
        }
        decision.response
    }

    fn check_replay(&self) {
        let mut rebuilt = Metadata::empty();
        rebuilt.skip(Offset(0), self.epoch);
        for (offset, epoch, record) in &self.log {
            let record =
                MetadataRecord::decode(&record.encode().expect("it can be written")).expect("and read");
            rebuilt.replay(*offset, *epoch, &record).expect("and applied");
        }
        assert_eq!(&rebuilt, self.controller.metadata());
    }

    fn image(&self) -> &Image {
        self.controller.metadata().current()
    }

    fn create(&mut self, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
        let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
        let decision = self.controller.create_topics(&request, &mut self.rng);
        assert!(decision.atomic);
        self.take(decision).topics
    }

    fn alter(&mut self, kind: ResourceType, name: &str, configs: Vec<AlterableConfig>) -> Outcome {
        let resource = resource(kind as i8, name, configs);
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let decision = self.controller.incremental_alter_configs(&request);
        let response = self.take(decision).responses.remove(0);
        outcome(response.error_code, response.error_message)
    }

    fn topic_config(&self, name: &str) -> Texts {
        Texts::clone(&self.image().topic_named(name).expect("it exists").configs)
    }
}

type Outcome = Result<(), (ErrorCode, String)>;

fn outcome(code: i16, message: Option<String>) -> Outcome {
    match ErrorCode::from_code(code).expect("a code of Kafka's") {
        ErrorCode::None => {
            assert_eq!(message, None);
            Ok(())
        }
        code => Err((code, message.expect("every error has its message"))),
    }
}

#[track_caller]
fn refused(outcome: Outcome, code: ErrorCode, message: &str) {
    let (actual, text) = outcome.expect_err("it is refused");
    assert_eq!(actual, code, "{text}");
    assert!(text.contains(message), "{text:?} does not say {message:?}");
}

fn settings() -> Settings {
    let texts = [("node.id", "1"), ("min.insync.replicas", "2")];
    Settings {
        cluster_id: "cluster".to_owned(),
        node_id: BrokerId(1),
        num_partitions: 4,
        default_replication_factor: 2,
        delete_topics: true,
        texts: texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

fn registration(id: i32, run: u128) -> BrokerRegistrationRequest {
    let dir = |nth: u128| Uuid(u128::try_from(id).expect("positive") * 1000 + nth);
    let feature = |(name, range): &(&str, FeatureRange)| Feature {
        name: (*name).to_owned(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    BrokerRegistrationRequest {
        broker_id: id,
        cluster_id: "cluster".to_owned(),
        incarnation_id: Uuid(run),
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: SUPPORTED_FEATURES.iter().map(feature).collect(),
        rack: Some("r".to_owned()),
        is_migrating_zk_broker: false,
        log_dirs: vec![dir(0), dir(1)],
        previous_broker_epoch: -1,
    }
}

fn heartbeat(id: i32, epoch: BrokerEpoch, applied: i64) -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest {
        broker_id: id,
        broker_epoch: epoch.0,
        current_metadata_offset: applied,
        ..BrokerHeartbeatRequest::default()
    }
}

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: replicas,
        ..CreatableTopic::default()
    }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|&(partition_index, brokers)| CreatableReplicaAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
    });
    CreatableTopic { assignments: assignments.collect(), ..topic(name, -1, -1) }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|&(name, value)| CreatableTopicConfig {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    });
    CreatableTopic { configs: configs.collect(), ..topic(name, -1, -1) }
}

fn set(name: &str, value: &str) -> AlterableConfig {
    operation(name, 0, Some(value))
}

fn operation(name: &str, operation: i8, value: Option<&str>) -> AlterableConfig {
    AlterableConfig { name: name.to_owned(), config_operation: operation, value: value.map(str::to_owned) }
}

fn resource(kind: i8, name: &str, configs: Vec<AlterableConfig>) -> AlterConfigsResource {
    AlterConfigsResource { resource_type: kind, resource_name: name.to_owned(), configs }
}
