//! Applying records: the only thing that changes metadata.
//!
//! The active controller replays at append, everybody else at commit, from one log: so all arrive at the
//! same images. A record that cannot be applied stops the node, standby controllers included: to skip it
//! would mean to differ from the others without knowing (KAFKA-14275).
//!
//! # Transactions (KIP-868)
//!
//! Records between BeginTransaction and EndTransaction become visible together or, after AbortTransaction,
//! never. Meanwhile [`Metadata::published`] is the image from before, and [`Metadata::current`] the one that
//! the next decision builds on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::image::{
    BrokerRegistration, ControllerRegistration, Endpoint, FeatureRange, Image, LeaderRecoveryState,
    PartitionRegistration, ResourceType, TopicImage,
};
use super::names;
use crate::types::{
    BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, PartitionKey, ProducerId, Uuid,
};
use crate::wire::metadata::*;

/// The metadata as the log builds it up.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    current: Image,
    transaction: Option<Transaction>,
}

#[derive(Debug, Clone, PartialEq)]
struct Transaction {
    begun_at: Offset,
    before: Image,
}

/// A record that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metadata record {record} at offset {offset} cannot be applied: {fault}")]
pub struct ReplayError {
    /// Where it stands.
    pub offset: Offset,
    /// Its name.
    pub record: &'static str,
    /// Why.
    pub fault: Fault,
}

/// Why a record cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The record before it has the same offset or a later one.
    #[error("offset {0} was replayed before it")]
    Order(Offset),
    /// There is no topic with this id.
    #[error("there is no topic {0}")]
    NoTopic(Uuid),
    /// There is no topic with this name.
    #[error("there is no topic named {0}")]
    NoTopicNamed(String),
    /// There is a topic with this name or id.
    #[error("topic {0} exists")]
    TopicExists(String),
    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoPartition(PartitionKey),
    /// A partition's directories are not as many as its replicas.
    #[error("it names {directories} directories for {replicas} replicas")]
    Directories {
        /// How many replicas.
        replicas: usize,
        /// How many directories.
        directories: usize,
    },
    /// An epoch cannot be raised.
    #[error("the epochs of partition {0} are exhausted")]
    Epochs(PartitionKey),
    /// There is no such broker, or it has registered again since.
    #[error("broker {id} is not registered with epoch {epoch}")]
    NoBroker {
        /// Which broker.
        id: BrokerId,
        /// In which epoch.
        epoch: BrokerEpoch,
    },
    /// A field has a value that Kafka does not define.
    #[error("{field} is {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// Producer ids would be given twice.
    #[error("the next producer id would go from {from} to {to}")]
    ProducerIds {
        /// The first id that is free.
        from: ProducerId,
        /// What the record says it is.
        to: ProducerId,
    },
    /// A transaction begins in a transaction.
    #[error("the transaction begun at {0} is open")]
    TransactionOpen(Offset),
    /// A transaction ends that never began.
    #[error("no transaction is open")]
    NoTransaction,
    /// What the record is about does not exist here: to go on without it would be to break its promise.
    #[error("this version of Ottla does not support it")]
    NotSupported,
}

impl Metadata {
    /// The metadata before the first record.
    pub fn empty() -> Self {
        Self { current: Image::empty(), transaction: None }
    }

    /// Everything replayed, an open transaction's records included: what decisions build on.
    pub fn current(&self) -> &Image {
        &self.current
    }

    /// What may be shown: without the records of an open transaction.
    pub fn published(&self) -> &Image {
        self.transaction.as_ref().map_or(&self.current, |transaction| &transaction.before)
    }

    /// Where the open transaction began, if one is open.
    pub fn open_transaction(&self) -> Option<Offset> {
        self.transaction.as_ref().map(|transaction| transaction.begun_at)
    }

    /// Notes that the record at `offset` is not one of metadata but a control record.
    pub fn skip(&mut self, offset: Offset, epoch: LeaderEpoch) {
        assert!(
            offset > self.current.offset,
            "a log is read in order: {offset} after {}",
            self.current.offset
        );
        self.advance(offset, epoch);
    }

    /// Applies the record at `offset`, written in `epoch`.
    ///
    /// # Errors
    /// If it cannot be applied; then nothing has changed, and the node must stop.
    pub fn replay(
        &mut self,
        offset: Offset,
        epoch: LeaderEpoch,
        record: &MetadataRecord,
    ) -> Result<(), ReplayError> {
        let result = if offset > self.current.offset {
            self.apply(offset, record)
        } else {
            Err(Fault::Order(self.current.offset))
        };
        result.map_err(|fault| ReplayError { offset, record: record.name(), fault })?;
        self.advance(offset, epoch);
        Ok(())
    }

    /// The metadata that a snapshot holds, which ends with the record at `offset`, written in `epoch`.
    ///
    /// # Errors
    /// If a record of it cannot be applied; the node must stop.
    pub fn load<'a>(
        offset: Offset,
        epoch: LeaderEpoch,
        records: impl IntoIterator<Item = &'a MetadataRecord>,
    ) -> Result<Self, ReplayError> {
        let mut metadata = Self::empty();
        for record in records {
            let applied = metadata.apply(offset, record);
            applied.map_err(|fault| ReplayError { offset, record: record.name(), fault })?;
        }
        metadata.advance(offset, epoch);
        Ok(metadata)
    }

    fn advance(&mut self, offset: Offset, epoch: LeaderEpoch) {
        self.current.offset = offset;
        self.current.epoch = epoch;
    }

    fn apply(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), Fault> {
        match record {
            MetadataRecord::BeginTransaction(_) => self.begin(offset),
            MetadataRecord::EndTransaction(_) => self.end().map(drop),
            MetadataRecord::AbortTransaction(_) => {
                self.current = self.end()?.before;
                Ok(())
            }
            record => self.current.apply(record),
        }
    }

    fn begin(&mut self, offset: Offset) -> Result<(), Fault> {
        if let Some(open) = self.open_transaction() {
            return Err(Fault::TransactionOpen(open));
        }
        self.transaction = Some(Transaction { begun_at: offset, before: self.current.clone() });
        Ok(())
    }

    fn end(&mut self) -> Result<Transaction, Fault> {
        self.transaction.take().ok_or(Fault::NoTransaction)
    }
}

impl Image {
    /// Applies a record that is not part of a transaction's frame. Nothing has changed if it cannot be applied.
    pub(super) fn apply(&mut self, record: &MetadataRecord) -> Result<(), Fault> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(record),
            MetadataRecord::UnregisterBroker(record) => self.unregister_broker(record),
            MetadataRecord::BrokerRegistrationChange(record) => self.change_broker(record),
            MetadataRecord::FenceBroker(record) => self.fence(record.id, record.epoch, true),
            MetadataRecord::UnfenceBroker(record) => self.fence(record.id, record.epoch, false),
            MetadataRecord::RegisterController(record) => self.register_controller(record),
            MetadataRecord::Topic(record) => self.create_topic(record),
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record),
            MetadataRecord::Partition(record) => self.set_partition(record),
            MetadataRecord::PartitionChange(record) => self.change_partition(record),
            MetadataRecord::ClearElr(record) => self.clear_elrs(record),
            MetadataRecord::Config(record) => self.set_config(record),
            MetadataRecord::FeatureLevel(record) => self.set_feature(record),
            MetadataRecord::ProducerIds(record) => self.take_producer_ids(record),
            // Of ZooKeeper's time, and without a meaning since Kafka 4.
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => Ok(()),
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {
                unreachable!("the frame of a transaction is for whoever reads the log")
            }
            MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::RemoveDelegationToken(_)
            | MetadataRecord::ClientQuota(_) => Err(Fault::NotSupported),
        }
    }

    fn register_broker(&mut self, record: &RegisterBrokerRecord) -> Result<(), Fault> {
        let endpoint = |point: &BrokerEndpoint| Endpoint {
            name: point.name.clone(),
            host: point.host.clone(),
            port: point.port,
            security_protocol: point.security_protocol,
        };
        let feature = |feature: &BrokerFeature| {
            let range =
                FeatureRange { min: feature.min_supported_version, max: feature.max_supported_version };
            (feature.name.clone(), range)
        };
        let registration = BrokerRegistration {
            id: BrokerId(record.broker_id),
            epoch: BrokerEpoch(record.broker_epoch),
            incarnation: record.incarnation_id,
            endpoints: record.end_points.iter().map(endpoint).collect(),
            features: record.features.iter().map(feature).collect(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
            cordoned_log_dirs: record.cordoned_log_dirs.clone(),
        };
        Arc::make_mut(&mut self.brokers).insert(registration.id, Arc::new(registration));
        Ok(())
    }

    fn unregister_broker(&mut self, record: &UnregisterBrokerRecord) -> Result<(), Fault> {
        let (id, epoch) = (BrokerId(record.broker_id), BrokerEpoch(record.broker_epoch));
        self.registered(id, epoch)?;
        Arc::make_mut(&mut self.brokers).remove(&id);
        Ok(())
    }

    fn change_broker(&mut self, record: &BrokerRegistrationChangeRecord) -> Result<(), Fault> {
        let fenced = change("fenced", record.fenced, -1)?;
        let shutdown = change("inControlledShutdown", record.in_controlled_shutdown, 0)?;
        let broker = self.registered(BrokerId(record.broker_id), BrokerEpoch(record.broker_epoch))?;
        broker.fenced = fenced.unwrap_or(broker.fenced);
        broker.in_controlled_shutdown = shutdown.unwrap_or(broker.in_controlled_shutdown);
        if !record.log_dirs.is_empty() {
            broker.log_dirs.clone_from(&record.log_dirs);
        }
        if record.cordoned_log_dirs.is_some() {
            broker.cordoned_log_dirs.clone_from(&record.cordoned_log_dirs);
        }
        Ok(())
    }

    fn fence(&mut self, id: i32, epoch: i64, fenced: bool) -> Result<(), Fault> {
        self.registered(BrokerId(id), BrokerEpoch(epoch))?.fenced = fenced;
        Ok(())
    }

    fn registered(&mut self, id: BrokerId, epoch: BrokerEpoch) -> Result<&mut BrokerRegistration, Fault> {
        if self.broker(id).is_none_or(|broker| broker.epoch != epoch) {
            return Err(Fault::NoBroker { id, epoch });
        }
        let broker = Arc::make_mut(&mut self.brokers).get_mut(&id).expect("it was just found");
        Ok(Arc::make_mut(broker))
    }

    fn register_controller(&mut self, record: &RegisterControllerRecord) -> Result<(), Fault> {
        let endpoint = |point: &ControllerEndpoint| Endpoint {
            name: point.name.clone(),
            host: point.host.clone(),
            port: point.port,
            security_protocol: point.security_protocol,
        };
        let feature = |feature: &ControllerFeature| {
            let range =
                FeatureRange { min: feature.min_supported_version, max: feature.max_supported_version };
            (feature.name.clone(), range)
        };
        let registration = ControllerRegistration {
            id: BrokerId(record.controller_id),
            incarnation: record.incarnation_id,
            endpoints: record.end_points.iter().map(endpoint).collect(),
            features: record.features.iter().map(feature).collect(),
        };
        Arc::make_mut(&mut self.controllers).insert(registration.id, Arc::new(registration));
        Ok(())
    }

    fn create_topic(&mut self, record: &TopicRecord) -> Result<(), Fault> {
        let name: Arc<str> = Arc::from(record.name.as_str());
        if self.topic(record.topic_id).is_some() || self.topic_named(&name).is_some() {
            return Err(Fault::TopicExists(record.name.clone()));
        }
        if let Some(unified) = names::unified(&name) {
            let unified: Arc<str> = Arc::from(unified);
            let mut named = self.colliding_names.get(&unified).cloned().unwrap_or_default();
            named.push(name.clone());
            // In an order that does not depend on which came first, so that a snapshot's reader has the same.
            named.sort_unstable();
            self.colliding_names.insert(unified, named);
        }
        self.topic_ids.insert(name.clone(), record.topic_id);
        let topic =
            TopicImage { id: record.topic_id, name, configs: Arc::default(), partitions: BTreeMap::new() };
        self.topics.insert(record.topic_id, Arc::new(topic));
        Ok(())
    }

    fn remove_topic(&mut self, record: &RemoveTopicRecord) -> Result<(), Fault> {
        let topic = self.topics.remove(&record.topic_id).ok_or(Fault::NoTopic(record.topic_id))?;
        self.topic_ids.remove(&topic.name);
        if let Some(unified) = names::unified(&topic.name) {
            let unified: Arc<str> = Arc::from(unified);
            let mut named = self.colliding_names.remove(&unified).unwrap_or_default();
            named.retain(|name| *name != topic.name);
            if !named.is_empty() {
                self.colliding_names.insert(unified, named);
            }
        }
        Ok(())
    }

    fn set_partition(&mut self, record: &PartitionRecord) -> Result<(), Fault> {
        let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let optional = |ids: &Option<Vec<i32>>| ids.as_deref().map(brokers).unwrap_or_default();
        let registration = PartitionRegistration {
            replicas: brokers(&record.replicas),
            directories: directories(&record.directories, record.replicas.len())?,
            isr: brokers(&record.isr),
            elr: optional(&record.eligible_leader_replicas),
            last_known_elr: optional(&record.last_known_elr),
            removing: brokers(&record.removing_replicas),
            adding: brokers(&record.adding_replicas),
            leader: BrokerId(record.leader),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: PartitionEpoch(record.partition_epoch),
            leader_recovery: recovery_state(record.leader_recovery_state)?,
        };
        self.edit_topic(record.topic_id)?.partitions.insert(record.partition_id, Arc::new(registration));
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), Fault> {
        let key = PartitionKey { topic_id: record.topic_id, index: record.partition_id };
        let topic = self.edit_topic(record.topic_id)?;
        let old = topic.partitions.get(&record.partition_id).ok_or(Fault::NoPartition(key))?;
        let changed = merged(old, record, key)?;
        topic.partitions.insert(record.partition_id, Arc::new(changed));
        Ok(())
    }

    /// Forgets the ELRs of a topic, or of all. Kafka writes this where `min.insync.replicas` changes; Ottla
    /// changes the partitions concerned (see `configs`).
    fn clear_elrs(&mut self, record: &ClearElrRecord) -> Result<(), Fault> {
        let ids: Vec<Uuid> = if record.topic_name.is_empty() {
            self.topics().map(|topic| topic.id).collect()
        } else {
            let missing = || Fault::NoTopicNamed(record.topic_name.clone());
            vec![*self.topic_ids.get(record.topic_name.as_str()).ok_or_else(missing)?]
        };
        let none = || Some(Vec::new());
        let mut cleared = Vec::new();
        for id in ids {
            let topic = self.topic(id).expect("its id was just looked up");
            for (&index, old) in &topic.partitions {
                if !old.elr.is_empty() || !old.last_known_elr.is_empty() {
                    let change = PartitionChangeRecord {
                        eligible_leader_replicas: none(),
                        last_known_elr: none(),
                        ..PartitionChangeRecord::default()
                    };
                    cleared.push((id, index, merged(old, &change, PartitionKey { topic_id: id, index })?));
                }
            }
        }
        for (id, index, partition) in cleared {
            self.edit_topic(id)?.partitions.insert(index, Arc::new(partition));
        }
        Ok(())
    }

    fn edit_topic(&mut self, id: Uuid) -> Result<&mut TopicImage, Fault> {
        Ok(Arc::make_mut(self.topics.get_mut(&id).ok_or(Fault::NoTopic(id))?))
    }

    fn set_config(&mut self, record: &ConfigRecord) -> Result<(), Fault> {
        let code = i64::from(record.resource_type);
        let kind = ResourceType::from_code(record.resource_type)
            .ok_or(Fault::Value { field: "resourceType", value: code })?;
        if kind == ResourceType::Topic {
            let missing = || Fault::NoTopicNamed(record.resource_name.clone());
            let id = *self.topic_ids.get(record.resource_name.as_str()).ok_or_else(missing)?;
            set(Arc::make_mut(&mut self.edit_topic(id)?.configs), record);
            return Ok(());
        }
        let configs = Arc::make_mut(&mut self.configs);
        let resource = (kind, record.resource_name.clone());
        let texts = configs.entry(resource.clone()).or_default();
        set(Arc::make_mut(texts), record);
        if texts.is_empty() {
            configs.remove(&resource);
        }
        Ok(())
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord) -> Result<(), Fault> {
        let features = Arc::make_mut(&mut self.features);
        if record.feature_level == 0 {
            features.remove(&record.name);
        } else {
            features.insert(record.name.clone(), record.feature_level);
        }
        Ok(())
    }

    fn take_producer_ids(&mut self, record: &ProducerIdsRecord) -> Result<(), Fault> {
        let (from, to) = (self.next_producer_id, ProducerId(record.next_producer_id));
        if to <= from {
            return Err(Fault::ProducerIds { from, to });
        }
        self.next_producer_id = to;
        Ok(())
    }
}

fn set(texts: &mut crate::config::Texts, record: &ConfigRecord) {
    match &record.value {
        Some(value) => texts.insert(record.name.clone(), value.clone()),
        None => texts.remove(&record.name),
    };
}

/// A registration after a change. Naming a leader raises the leader epoch even if it is the same one.
fn merged(
    old: &PartitionRegistration,
    record: &PartitionChangeRecord,
    key: PartitionKey,
) -> Result<PartitionRegistration, Fault> {
    const NO_LEADER_CHANGE: i32 = -2;
    const NO_RECOVERY_CHANGE: i8 = -1;
    let or = |new: &Option<Vec<i32>>, old: &Vec<BrokerId>| match new {
        Some(ids) => ids.iter().copied().map(BrokerId).collect(),
        None => old.clone(),
    };
    let replicas: Vec<BrokerId> = or(&record.replicas, &old.replicas);
    let given = record.directories.as_ref().unwrap_or(&old.directories);
    let raised = |epoch: i32| epoch.checked_add(1).ok_or(Fault::Epochs(key));
    let (leader, leader_epoch) = match record.leader {
        NO_LEADER_CHANGE => (old.leader, old.leader_epoch),
        leader => (BrokerId(leader), LeaderEpoch(raised(old.leader_epoch.0)?)),
    };
    Ok(PartitionRegistration {
        directories: directories(given, replicas.len())?,
        replicas,
        isr: or(&record.isr, &old.isr),
        elr: or(&record.eligible_leader_replicas, &old.elr),
        last_known_elr: or(&record.last_known_elr, &old.last_known_elr),
        removing: or(&record.removing_replicas, &old.removing),
        adding: or(&record.adding_replicas, &old.adding),
        leader,
        leader_epoch,
        partition_epoch: PartitionEpoch(raised(old.partition_epoch.0)?),
        leader_recovery: match record.leader_recovery_state {
            NO_RECOVERY_CHANGE => old.leader_recovery,
            state => recovery_state(state)?,
        },
    })
}

/// One directory per replica. Records from before KIP-858 name none; then all are zero, Kafka's "migrating".
fn directories(given: &[Uuid], replicas: usize) -> Result<Vec<Uuid>, Fault> {
    match given.len() {
        0 => Ok(vec![Uuid::ZERO; replicas]),
        count if count == replicas => Ok(given.to_vec()),
        count => Err(Fault::Directories { replicas, directories: count }),
    }
}

fn recovery_state(state: i8) -> Result<LeaderRecoveryState, Fault> {
    let unknown = Fault::Value { field: "leaderRecoveryState", value: i64::from(state) };
    LeaderRecoveryState::from_code(state).ok_or(unknown)
}

/// A change of a flag: 0 for none, 1 for on, and -1 for off where that exists.
fn change(field: &'static str, value: i8, min: i8) -> Result<Option<bool>, Fault> {
    match value {
        0 => Ok(None),
        1 => Ok(Some(true)),
        -1 if min == -1 => Ok(Some(false)),
        value => Err(Fault::Value { field, value: i64::from(value) }),
    }
}
