//! The cluster itself: its brokers, what is configured for it, and its metadata quorum as the leader sees it.

use std::time::Duration;

use super::{Admin, AdminError, BrokerDescription, ClusterDescription, ConfigResource, PerTopic, outcome};
use crate::client::cluster::Choice;
use crate::env::{Clock, Env};
use crate::types::{BrokerId, LeaderEpoch, Offset, Uuid, WallMs};
use crate::wire::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use crate::wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use crate::wire::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionData, PartitionResult, ReplicaState, TopicData,
};

/// The one partition that a quorum writes.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// How the metadata quorum stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Who leads it, if anyone.
    pub leader: Option<BrokerId>,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Up to where the metadata are committed; `None` while the leader does not know.
    pub high_watermark: Option<Offset>,
    /// Those who vote, the leader among them.
    pub voters: Vec<QuorumReplica>,
    /// Those who only read.
    pub observers: Vec<QuorumReplica>,
}

/// A replica of the metadata. Times are by the leader's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The node.
    pub id: BrokerId,
    /// Its directory, or [`Uuid::ZERO`] if that does not matter.
    pub directory: Uuid,
    /// The end of its log, as far as the leader knows.
    pub log_end: Option<Offset>,
    /// When it last fetched.
    pub last_fetch: Option<WallMs>,
    /// When it last had all that the leader had.
    pub last_caught_up: Option<WallMs>,
}

impl<E: Env> Admin<E> {
    /// The value of one entry in many configurations of topics, asked in as few requests as there must be.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single topics, in the list.
    pub async fn topic_config(
        &mut self,
        names: &[String],
        key: &str,
    ) -> Result<PerTopic<Option<String>>, AdminError> {
        const TOPICS_PER_REQUEST: usize = 500;
        let mut values = Vec::new();
        for some in names.chunks(TOPICS_PER_REQUEST) {
            let resources =
                some.iter().map(|name| config_question(&ConfigResource::Topic(name.clone()), key));
            let resources = resources.collect();
            let request = DescribeConfigsRequest { resources, ..Default::default() };
            let response = self.ask(Choice::Any, &request, |_| Vec::new()).await?;
            values.extend(response.results.into_iter().map(|result| {
                let value = config_value(result.configs);
                (result.resource_name, outcome(result.error_code, result.error_message).map(|()| value))
            }));
        }
        Ok(values)
    }

    /// The value of one entry in the configuration of a broker, which is asked once.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn broker_config(
        &mut self,
        broker: BrokerId,
        key: &str,
        patience: Duration,
    ) -> Result<Option<String>, AdminError> {
        let resources = vec![config_question(&ConfigResource::Broker(Some(broker)), key)];
        let request = DescribeConfigsRequest { resources, ..Default::default() };
        let response = self.ask_once(broker, &request, patience).await?;
        let result = response.results.into_iter().next();
        let result =
            result.ok_or_else(|| AdminError::Unknown("the answer is about something else".into()))?;
        outcome(result.error_code, result.error_message)?;
        Ok(config_value(result.configs))
    }

    /// The brokers of the cluster, fenced ones included where brokers tell (Kafka 4.0).
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn describe_cluster(&mut self) -> Result<ClusterDescription, AdminError> {
        const FENCED_SINCE: i16 = 2;
        let version = self.version_of::<DescribeClusterRequest>().await;
        let response = match version {
            Ok(version) => {
                let include_fenced_brokers = version >= FENCED_SINCE;
                let request = DescribeClusterRequest { include_fenced_brokers, ..Default::default() };
                self.ask(Choice::Any, &request, |response| vec![response.error_code]).await
            }
            Err(error) => Err(error),
        };
        match response {
            Ok(response) => {
                outcome(response.error_code, response.error_message.clone())?;
                Ok(described(response))
            }
            // Before Kafka 2.8, metadata tell as much.
            Err(AdminError::Unsupported(_)) => {
                let metadata = self.metadata(Some(&[])).await?;
                let brokers = metadata.brokers().iter().map(|(&id, it)| BrokerDescription {
                    id,
                    host: it.host.clone(),
                    port: it.port,
                    rack: it.rack.clone(),
                    fenced: false,
                });
                Ok(ClusterDescription {
                    cluster_id: metadata.cluster_id.clone().unwrap_or_default(),
                    controller: metadata.controller,
                    brokers: brokers.collect(),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The metadata quorum. While it has no leader, nobody can tell: after `patience` that is
    /// [`AdminError::Unreachable`].
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn describe_quorum(&mut self, patience: Duration) -> Result<QuorumDescription, AdminError> {
        let partitions = vec![PartitionData { partition_index: 0 }];
        let topics = vec![TopicData { topic_name: METADATA_TOPIC.to_owned(), partitions }];
        let request = DescribeQuorumRequest { topics };
        let deadline = self.env.clock().now() + patience;
        let response = self.ask_until(Choice::Any, &request, error_codes, deadline).await?;
        outcome(response.error_code, response.error_message)?;
        let mut partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
        let partition = partitions
            .next()
            .ok_or_else(|| AdminError::Unknown("the answer names no partition of the quorum".to_owned()))?;
        outcome(partition.error_code, partition.error_message.clone())?;
        Ok(quorum(&partition))
    }
}

fn config_question(of: &ConfigResource, key: &str) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type: of.code(),
        resource_name: of.name(),
        configuration_keys: Some(vec![key.to_owned()]),
    }
}

/// The value of the one entry asked for, if there is such a one.
fn config_value(entries: Vec<DescribeConfigsResourceResult>) -> Option<String> {
    entries.into_iter().next().and_then(|entry| entry.value)
}

fn described(response: DescribeClusterResponse) -> ClusterDescription {
    let brokers = response.brokers.into_iter().map(|broker| BrokerDescription {
        id: BrokerId(broker.broker_id),
        host: broker.host,
        port: u16::try_from(broker.port).unwrap_or(0),
        rack: broker.rack,
        fenced: broker.is_fenced,
    });
    ClusterDescription {
        cluster_id: response.cluster_id,
        controller: (response.controller_id >= 0).then_some(BrokerId(response.controller_id)),
        brokers: brokers.collect(),
    }
}

fn error_codes(response: &DescribeQuorumResponse) -> Vec<i16> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let partitions = partitions.map(|partition| partition.error_code);
    std::iter::once(response.error_code).chain(partitions).collect()
}

fn quorum(partition: &PartitionResult) -> QuorumDescription {
    let known = |number: i64| (number >= 0).then_some(number);
    let replica = |state: &ReplicaState| QuorumReplica {
        id: BrokerId(state.replica_id),
        directory: state.replica_directory_id,
        log_end: known(state.log_end_offset).map(Offset),
        last_fetch: known(state.last_fetch_timestamp).map(WallMs),
        last_caught_up: known(state.last_caught_up_timestamp).map(WallMs),
    };
    QuorumDescription {
        leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        high_watermark: known(partition.high_watermark).map(Offset),
        voters: partition.current_voters.iter().map(replica).collect(),
        observers: partition.observers.iter().map(replica).collect(),
    }
}
