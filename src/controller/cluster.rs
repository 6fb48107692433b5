//! What a new metadata log begins with, the registration of brokers, and blocks of producer ids.

use super::image::{BrokerRegistration, Endpoint, FeatureRange};
use super::{Controller, Decision, Refusal};
use crate::config::broker_keys::effective;
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, Offset, ProducerId, Uuid};
use crate::wire::metadata::*;

/// The feature that says which metadata records there are.
pub const METADATA_VERSION: &str = "metadata.version";
/// The level at which a cluster is formatted: 4.3-IV0.
pub const METADATA_LEVEL: i16 = 30;
/// The features and levels that this version supports, as a broker and as a controller.
pub const SUPPORTED_FEATURES: &[(&str, FeatureRange)] =
    &[(METADATA_VERSION, FeatureRange { min: METADATA_LEVEL, max: METADATA_LEVEL })];
/// How many producer ids a broker is given at a time, as in Kafka.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// A broker that wants to be part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The cluster that it believes to belong to.
    pub cluster_id: String,
    /// Its id.
    pub id: BrokerId,
    /// The id of this run of it.
    pub incarnation: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// The levels of each feature that it supports.
    pub features: Vec<(String, FeatureRange)>,
    /// Its rack.
    pub rack: Option<String>,
    /// The ids of its online directories.
    pub log_dirs: Vec<Uuid>,
}

/// Producer ids that belong to one broker: `first` and the `count - 1` that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first one.
    pub first: ProducerId,
    /// How many there are.
    pub count: i64,
}

impl Controller {
    /// What a controller writes when it becomes active: nothing, as a rule; the end of a transaction that its
    /// predecessor left open; and in a new log the finalized features and the cluster-wide defaults, so that
    /// these no longer depend on which node's `server.properties` is asked.
    pub fn activate(&self) -> Decision<()> {
        let mut records = Vec::new();
        if self.metadata.open_transaction().is_some() {
            let reason = Some("Controller failover".to_owned());
            records.push(AbortTransactionRecord { reason }.into());
        }
        if self.metadata.published().feature(METADATA_VERSION) == 0 {
            let name = METADATA_VERSION.to_owned();
            records.push(FeatureLevelRecord { name, feature_level: METADATA_LEVEL }.into());
            let minimum = effective("min.insync.replicas", self.layers())
                .expect("the server's configuration was checked")
                .expect("it has a default");
            records.push(
                ConfigRecord {
                    resource_type: super::image::ResourceType::Broker as i8,
                    resource_name: String::new(),
                    name: "min.insync.replicas".to_owned(),
                    value: Some(minimum.to_string()),
                }
                .into(),
            );
        }
        Decision::atomic(records, ())
    }

    /// Registers a broker, fenced; `next_offset` is where the first record of the decision will stand, for
    /// the broker's epoch is the offset of its record. A new run of a broker gets a new epoch, and the leader
    /// epochs of all partitions that it leads are raised, so that it appends in none that it led before; the
    /// same run keeps its epoch (KAFKA-16952).
    pub fn register_broker(
        &self,
        registration: &Registration,
        next_offset: Offset,
    ) -> Decision<Result<BrokerEpoch, Refusal>> {
        if let Err(refusal) = self.check_registration(registration) {
            return Decision::answer(Err(refusal));
        }
        let previous = self.image().broker(registration.id);
        let same_run = previous.filter(|broker| broker.incarnation == registration.incarnation);
        let mut records = Vec::new();
        if same_run.is_none() {
            records.extend(self.raised_epochs(registration.id));
        }
        let own_offset = next_offset + i64::try_from(records.len()).expect("so few records fit in memory");
        let epoch = same_run.map_or(BrokerEpoch(own_offset.0), |broker| broker.epoch);
        records.push(register_record(registration, epoch, same_run.map(AsRef::as_ref)).into());
        Decision::atomic(records, Ok(epoch))
    }

    /// Lets a registered broker lead and be given replicas.
    pub fn unfence_broker(&self, id: BrokerId, epoch: BrokerEpoch) -> Decision<Result<(), Refusal>> {
        let broker = match self.check_broker_epoch(id, epoch) {
            Ok(broker) => broker,
            Err(refusal) => return Decision::answer(Err(refusal)),
        };
        let record = BrokerRegistrationChangeRecord {
            broker_id: id.0,
            broker_epoch: epoch.0,
            fenced: -1,
            ..BrokerRegistrationChangeRecord::default()
        };
        let records = if broker.fenced { vec![record.into()] } else { Vec::new() };
        Decision::atomic(records, Ok(()))
    }

    /// Gives a broker a block of producer ids that nobody ever had.
    pub fn allocate_producer_ids(
        &self,
        id: BrokerId,
        epoch: BrokerEpoch,
    ) -> Decision<Result<ProducerIdBlock, Refusal>> {
        if let Err(refusal) = self.check_broker_epoch(id, epoch) {
            return Decision::answer(Err(refusal));
        }
        let first = self.image().next_producer_id();
        let Some(next) = first.0.checked_add(PRODUCER_ID_BLOCK) else {
            let message = "All producer ids have been given away";
            return Decision::answer(Err(Refusal::new(ErrorCode::UnknownServerError, message)));
        };
        let record = ProducerIdsRecord { broker_id: id.0, broker_epoch: epoch.0, next_producer_id: next };
        Decision::atomic(vec![record.into()], Ok(ProducerIdBlock { first, count: PRODUCER_ID_BLOCK }))
    }

    fn check_broker_epoch(&self, id: BrokerId, epoch: BrokerEpoch) -> Result<&BrokerRegistration, Refusal> {
        let stale = |message: String| Err(Refusal::new(ErrorCode::StaleBrokerEpoch, message));
        match self.image().broker(id) {
            None => stale(format!("No broker registration found for broker id {id}")),
            Some(broker) if broker.epoch != epoch => {
                stale(format!("Expected broker epoch {}, but got broker epoch {epoch}", broker.epoch))
            }
            Some(broker) => Ok(broker),
        }
    }

    fn check_registration(&self, registration: &Registration) -> Result<(), Refusal> {
        let expected = &self.settings.cluster_id;
        if registration.cluster_id != *expected {
            let message =
                format!("Expected cluster ID {expected}, but got cluster ID {}", registration.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
        }
        self.check_directories(registration)?;
        self.check_features(registration)
    }

    fn check_directories(&self, registration: &Registration) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        let dirs = &registration.log_dirs;
        if dirs.is_empty() {
            return refuse("No directories specified in request".to_owned());
        }
        for (position, dir) in dirs.iter().enumerate() {
            if dir.is_reserved() {
                return refuse("Reserved directory ID in request".to_owned());
            }
            if dirs[..position].contains(dir) {
                return refuse("Duplicate directory ID in request".to_owned());
            }
            let owner = self.image().brokers().find(|broker| broker.log_dirs.contains(dir));
            if let Some(owner) = owner.filter(|owner| owner.id != registration.id) {
                return refuse(format!("Broker {} is already registered with directory {dir}", owner.id));
            }
        }
        Ok(())
    }

    fn check_features(&self, registration: &Registration) -> Result<(), Refusal> {
        let range = |name: &str| {
            let found = registration.features.iter().find(|(known, _)| known == name);
            found.map(|(_, range)| *range)
        };
        if range(METADATA_VERSION).is_none() {
            let message = format!("Request features do not contain '{METADATA_VERSION}'");
            return Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        }
        for (name, level) in self.image().features() {
            let FeatureRange { min, max } = range(name).unwrap_or(FeatureRange { min: 0, max: 0 });
            if !(min..=max).contains(&level) {
                let message = format!(
                    "Unable to register because the broker does not support finalized version {level} of \
                     {name}. The broker wants a version between {min} and {max}, inclusive."
                );
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
            }
        }
        Ok(())
    }

    /// A change for each partition that a broker leads, naming it leader again.
    fn raised_epochs(&self, leader: BrokerId) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for topic in self.image().topics() {
            for (&index, partition) in &topic.partitions {
                if partition.leader == leader {
                    records.push(
                        PartitionChangeRecord {
                            partition_id: index,
                            topic_id: topic.id,
                            leader: leader.0,
                            ..PartitionChangeRecord::default()
                        }
                        .into(),
                    );
                }
            }
        }
        records
    }
}

fn register_record(
    registration: &Registration,
    epoch: BrokerEpoch,
    same_run: Option<&BrokerRegistration>,
) -> RegisterBrokerRecord {
    let endpoint = |endpoint: &Endpoint| BrokerEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    };
    let feature = |(name, range): &(String, FeatureRange)| BrokerFeature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    RegisterBrokerRecord {
        broker_id: registration.id.0,
        incarnation_id: registration.incarnation,
        broker_epoch: epoch.0,
        end_points: registration.endpoints.iter().map(endpoint).collect(),
        features: registration.features.iter().map(feature).collect(),
        rack: registration.rack.clone(),
        fenced: same_run.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: same_run.is_some_and(|broker| broker.in_controlled_shutdown),
        log_dirs: registration.log_dirs.clone(),
        ..RegisterBrokerRecord::default()
    }
}
