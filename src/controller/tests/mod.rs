//! Requests in, records replayed, metadata out. Every decision is replayed twice: into the live controller,
//! and from the first record on, encoded and decoded, into a fresh one. Both must be equal.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

use super::cluster::{METADATA_VERSION, Registration, SUPPORTED_FEATURES};
use super::image::{Endpoint, FeatureRange, ResourceType};
use super::*;
use crate::types::{BrokerEpoch, PartitionEpoch, Uuid};
use crate::wire::messages::create_partitions::*;
use crate::wire::messages::create_topics::*;
use crate::wire::messages::delete_topics::*;
use crate::wire::messages::incremental_alter_configs::*;
use crate::wire::metadata::*;

mod cluster;
mod configs;
mod replay;
mod topics;

struct Cluster {
    controller: Controller,
    log: Vec<(Offset, LeaderEpoch, MetadataRecord)>,
    next: Offset,
    epoch: LeaderEpoch,
    rng: ChaCha8Rng,
}

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self {
            controller: Controller::new(settings()),
            log: Vec::new(),
            next: Offset(0),
            epoch: LeaderEpoch(1),
            rng: ChaCha8Rng::seed_from_u64(7),
        };
        cluster.lead();
        cluster
    }

    /// With the brokers 1 to `count` registered and unfenced.
    fn with_brokers(count: i32) -> Self {
        let mut cluster = Self::new();
        cluster.take(cluster.controller.activate());
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

    fn start_broker(&mut self, id: i32, run: u128) -> BrokerEpoch {
        let decision = self.controller.register_broker(&registration(id, run), self.next);
        let epoch = self.take(decision).expect("it may register");
        let decision = self.controller.unfence_broker(BrokerId(id), epoch);
        self.take(decision).expect("it is registered");
        epoch
    }

    fn append(&mut self, record: MetadataRecord) {
        self.controller.replay(self.next, self.epoch, &record).expect("what was decided can be applied");
        self.log.push((self.next, self.epoch, record));
        self.next = self.next.next();
    }

    /// Appends what was decided, checks that a replay of the whole log arrives at the same metadata, and
    /// gives the answer.
    fn take<R>(&mut self, decision: Decision<R>) -> R {
        for record in decision.records {
            self.append(record);
        }
        let mut rebuilt = Metadata::empty();
        rebuilt.skip(Offset(0), self.epoch);
        for (offset, epoch, record) in &self.log {
            let record =
                MetadataRecord::decode(&record.encode().expect("it can be written")).expect("and read");
            rebuilt.replay(*offset, *epoch, &record).expect("and applied");
        }
        assert_eq!(&rebuilt, self.controller.metadata());
        decision.response
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

fn registration(id: i32, run: u128) -> Registration {
    let dir = |nth: u128| Uuid(u128::try_from(id).expect("positive") * 1000 + nth);
    Registration {
        cluster_id: "cluster".to_owned(),
        id: BrokerId(id),
        incarnation: Uuid(run),
        endpoints: vec![Endpoint {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: SUPPORTED_FEATURES.iter().map(|&(name, range)| (name.to_owned(), range)).collect(),
        rack: Some("r".to_owned()),
        log_dirs: vec![dir(0), dir(1)],
    }
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
