//! The admin client: topics, configurations, the cluster itself.
//!
//! Questions are asked again until they are answered or time is over. Changes are not: one whose answer was
//! lost may have been made, and asking again would blur what happened (a topic that "already exists" may be
//! the one just made). The caller is told so by [`AdminError::Unknown`].

mod cluster;
mod partitions;
mod types;

pub use cluster::{QuorumDescription, QuorumReplica};
pub use partitions::{
    AskedPartition, PartitionDescription, PerPartition, Reassignment, ReplicaPositions, TopicDescription,
};
pub use types::{
    AdminError, AlterConfig, BrokerDescription, ClusterDescription, ConfigEntry, ConfigResource,
    ConfigSource, CreatedTopic, NewTopic, PerTopic,
};

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::cluster::{Choice, Cluster};
use crate::client::config::ClientConfig;
use crate::client::connection::CallError;
use crate::client::metadata::{Metadata, Topic, code};
use crate::env::{Clock, Env, Purpose, Rng};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, Mono, Offset};
use crate::wire::Request;
use crate::wire::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use crate::wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use crate::wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use crate::wire::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use crate::wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use crate::wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};

/// The largest Kafka timeout that still fits its field, in milliseconds.
const TIMEOUT_MS_MAX: u128 = i32::MAX as u128;

/// Administers a cluster. Dropping it closes its connections.
pub struct Admin<E: Env> {
    env: E,
    config: ClientConfig,
    cluster: Cluster<E>,
    rng: Rng,
}

impl<E: Env> Admin<E> {
    /// An admin client with these options. `instance` tells several of one node apart: it keys their
    /// randomness.
    ///
    /// # Errors
    ///
    /// [`AdminError::Bootstrap`]. The brokers need not be there.
    pub fn new(env: &E, config: ClientConfig, instance: u64) -> Result<Self, AdminError> {
        let cluster = Cluster::new(env, &config, false, "client.admin", instance);
        let cluster = cluster.map_err(AdminError::Bootstrap)?;
        let rng = env.rng(Purpose { subsystem: "client.admin", what: "backoff", instance });
        Ok(Self { env: env.clone(), config, cluster, rng })
    }

    /// Creates topics; with `validate_only`, says whether that would succeed.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single topics, in the list.
    pub async fn create_topics(
        &mut self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<PerTopic<CreatedTopic>, AdminError> {
        let topics = topics.iter().map(creatable).collect();
        let request = CreateTopicsRequest { topics, timeout_ms: self.timeout_ms(), validate_only };
        let response = self
            .change(&request, |response| response.topics.iter().map(|topic| topic.error_code).collect())
            .await?;
        let outcome = |error, message, created| outcome(error, message).map(|()| created);
        let results = response.topics.into_iter().map(|topic| {
            let created = CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            (topic.name, outcome(topic.error_code, topic.error_message, created))
        });
        Ok(results.collect())
    }

    /// Deletes topics by name.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single topics, in the list.
    pub async fn delete_topics(&mut self, names: &[String]) -> Result<PerTopic<()>, AdminError> {
        let state = |name: &String| DeleteTopicState { name: Some(name.clone()), ..Default::default() };
        let by_state = DeleteTopicsRequest {
            topics: names.iter().map(state).collect(),
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        // Before version 6 the names stand in a field of their own.
        let by_name = DeleteTopicsRequest {
            topic_names: names.to_vec(),
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        let version = self.version_of::<DeleteTopicsRequest>().await?;
        let request = if version >= 6 { by_state } else { by_name };
        let response = self
            .change(&request, |response| response.responses.iter().map(|topic| topic.error_code).collect())
            .await?;
        let results = response
            .responses
            .into_iter()
            .map(|topic| (topic.name.unwrap_or_default(), outcome(topic.error_code, topic.error_message)));
        Ok(results.collect())
    }

    /// Raises the number of partitions of topics to these totals.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single topics, in the list.
    pub async fn create_partitions(&mut self, totals: &[(String, i32)]) -> Result<PerTopic<()>, AdminError> {
        let topics = totals.iter().map(|(name, count)| CreatePartitionsTopic {
            name: name.clone(),
            count: *count,
            assignments: None,
        });
        let request = CreatePartitionsRequest {
            topics: topics.collect(),
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let response = self
            .change(&request, |response| response.results.iter().map(|topic| topic.error_code).collect())
            .await?;
        let results = response.results.into_iter();
        Ok(results.map(|topic| (topic.name, outcome(topic.error_code, topic.error_message))).collect())
    }

    /// All topics, internal ones included, by name.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn list_topics(&mut self) -> Result<BTreeMap<String, Topic>, AdminError> {
        self.metadata(None).await.map(|metadata| metadata.topics().clone())
    }

    /// These topics.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single topics, in the list.
    pub async fn describe_topics(&mut self, names: &[String]) -> Result<PerTopic<Topic>, AdminError> {
        let metadata = self.metadata(Some(names)).await?;
        let describe = |name: &String| match metadata.topic(name) {
            Some(topic) if topic.error.is_none() => Ok(topic.clone()),
            unknown => {
                let error = unknown.map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error);
                Err(AdminError::Refused { error, message: None })
            }
        };
        Ok(names.iter().map(|name| (name.clone(), describe(name))).collect())
    }

    /// The configuration of a topic or broker.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn describe_configs(&mut self, of: &ConfigResource) -> Result<Vec<ConfigEntry>, AdminError> {
        let resource = DescribeConfigsResource {
            resource_type: of.code(),
            resource_name: of.name(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let choice = self.choice_for(of).await?;
        let response = self
            .ask(choice, &request, |response| {
                response.results.iter().map(|result| result.error_code).collect()
            })
            .await?;
        let result = response.results.into_iter().find(|result| {
            ConfigResource::from_wire(result.resource_type, &result.resource_name).as_ref() == Some(of)
        });
        let result =
            result.ok_or_else(|| AdminError::Unknown("the answer is about something else".into()))?;
        outcome(result.error_code, result.error_message)?;
        let entries = result.configs.into_iter().map(|entry| ConfigEntry {
            name: entry.name,
            value: entry.value,
            source: ConfigSource::from_wire(entry.config_source),
            read_only: entry.read_only,
            sensitive: entry.is_sensitive,
        });
        Ok(entries.collect())
    }

    /// Changes entries of a configuration; all or none.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn incremental_alter_configs(
        &mut self,
        of: &ConfigResource,
        changes: &[(String, AlterConfig)],
    ) -> Result<(), AdminError> {
        let configs = changes.iter().map(|(name, change)| {
            let (config_operation, value) = match change {
                AlterConfig::Set(value) => (0, Some(value.clone())),
                AlterConfig::Delete => (1, None),
                AlterConfig::Append(value) => (2, Some(value.clone())),
                AlterConfig::Subtract(value) => (3, Some(value.clone())),
            };
            AlterableConfig { name: name.clone(), config_operation, value }
        });
        let resource = AlterConfigsResource {
            resource_type: of.code(),
            resource_name: of.name(),
            configs: configs.collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let choice = self.choice_for(of).await?;
        let response = self
            .change_at(choice, &request, |response| {
                response.responses.iter().map(|it| it.error_code).collect()
            })
            .await?;
        for result in response.responses {
            outcome(result.error_code, result.error_message)?;
        }
        Ok(())
    }

    /// Raises the log start of a partition to `before`; `None`: to its high watermark. Returns the new log
    /// start.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn delete_records(
        &mut self,
        topic: &str,
        partition: i32,
        before: Option<Offset>,
    ) -> Result<Offset, AdminError> {
        const HIGH_WATERMARK: i64 = -1;
        let offset = before.map_or(HIGH_WATERMARK, |before| before.0);
        let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset }];
        let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: self.timeout_ms() };
        let deadline = self.deadline();
        let mut failures = 0;
        loop {
            let leader = self.leader(topic, partition).await?;
            let response = self.call(Choice::Broker(leader), &request, deadline).await;
            let response = response.map_err(|error| change_failed(&error))?;
            let results = response.topics.into_iter().flat_map(|topic| topic.partitions);
            let result = results.into_iter().find(|result| result.partition_index == partition);
            let result = result.ok_or_else(|| AdminError::Unknown("the partition has no answer".into()))?;
            match outcome(result.error_code, None) {
                Ok(()) => return Ok(Offset(result.low_watermark)),
                // It was not the leader: nothing was done. Raising twice is raising once, besides.
                Err(AdminError::Refused { error, .. })
                    if error.is_retriable() && self.env.clock().now() < deadline =>
                {
                    self.pause(&mut failures).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Metadata of these topics, `None`: all; never creating any.
    async fn metadata(&mut self, topics: Option<&[String]>) -> Result<Metadata, AdminError> {
        let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let response = self.ask(Choice::Any, &request, |response| vec![response.error_code]).await?;
        outcome(response.error_code, None)?;
        let mut metadata = Metadata::default();
        metadata.apply(&response);
        self.cluster.metadata.apply(&response);
        Ok(metadata)
    }

    /// Whom to ask about a configuration: brokers answer for their own alone.
    async fn choice_for(&mut self, resource: &ConfigResource) -> Result<Choice, AdminError> {
        let ConfigResource::Broker(Some(id)) = resource else { return Ok(Choice::Any) };
        if !self.cluster.metadata.brokers().contains_key(id) {
            self.metadata(Some(&[])).await?;
        }
        Ok(Choice::Broker(*id))
    }

    async fn leader(&mut self, topic: &str, partition: i32) -> Result<BrokerId, AdminError> {
        let deadline = self.deadline();
        let mut failures = 0;
        loop {
            let metadata = self.metadata(Some(&[topic.to_owned()])).await?;
            if let Some((leader, _)) = metadata.leader(topic, partition) {
                return Ok(leader);
            }
            let known = metadata.topic(topic);
            let error = match known {
                Some(known) if !known.error.is_none() => known.error,
                Some(known) if known.partitions.contains_key(&partition) => ErrorCode::LeaderNotAvailable,
                _ => ErrorCode::UnknownTopicOrPartition,
            };
            if error != ErrorCode::LeaderNotAvailable || self.env.clock().now() >= deadline {
                return Err(AdminError::Refused { error, message: None });
            }
            self.pause(&mut failures).await;
        }
    }

    /// Asks until there is an answer without an error that goes away by itself.
    async fn ask<R: Request>(
        &mut self,
        choice: Choice,
        request: &R,
        errors: impl Fn(&R::Response) -> Vec<i16>,
    ) -> Result<R::Response, AdminError> {
        let deadline = self.deadline();
        self.ask_until(choice, request, errors, deadline).await
    }

    async fn ask_until<R: Request>(
        &mut self,
        choice: Choice,
        request: &R,
        errors: impl Fn(&R::Response) -> Vec<i16>,
        deadline: Mono,
    ) -> Result<R::Response, AdminError> {
        let mut failures = 0;
        loop {
            let outcome = self.call(choice, request, deadline).await;
            let over = self.env.clock().now() >= deadline;
            match outcome {
                Ok(response) => {
                    let errors = errors(&response);
                    if over || !errors.iter().any(|&error| goes_away(error)) {
                        return Ok(response);
                    }
                }
                Err(CallError::Unsupported(text)) => return Err(AdminError::Unsupported(text)),
                Err(error) if over => return Err(AdminError::Unreachable(error.to_string())),
                Err(_) => {}
            }
            self.pause(&mut failures).await;
        }
    }

    /// Asks for a change, once, or more often while it is certain that nothing was done.
    async fn change<R: Request>(
        &mut self,
        request: &R,
        errors: impl Fn(&R::Response) -> Vec<i16>,
    ) -> Result<R::Response, AdminError> {
        self.change_at(Choice::Any, request, errors).await
    }

    async fn change_at<R: Request>(
        &mut self,
        mut choice: Choice,
        request: &R,
        errors: impl Fn(&R::Response) -> Vec<i16>,
    ) -> Result<R::Response, AdminError> {
        let deadline = self.deadline();
        let mut failures = 0;
        loop {
            let outcome = self.call(choice, request, deadline).await;
            let over = self.env.clock().now() >= deadline;
            match outcome {
                Ok(response) => {
                    let errors = errors(&response);
                    let refused = |&error: &i16| code(error) == ErrorCode::NotController;
                    if over || errors.is_empty() || !errors.iter().all(refused) {
                        return Ok(response);
                    }
                    // Any broker passes changes on to the controller (KIP-590); where one does not, all of
                    // them know who it is.
                    let metadata = self.metadata(Some(&[])).await?;
                    choice = metadata.controller.map_or(Choice::Any, Choice::Broker);
                }
                Err(CallError::NotSent(_)) if !over => {}
                Err(error) => return Err(change_failed(&error)),
            }
            self.pause(&mut failures).await;
        }
    }

    async fn call<R: Request>(
        &mut self,
        choice: Choice,
        request: &R,
        deadline: Mono,
    ) -> Result<R::Response, CallError> {
        let connection = self.cluster.obtain(choice, deadline).await?;
        let until = deadline.min(connection.env().clock().now() + self.config.request_timeout);
        let call = connection.start(request, i16::MAX, until)?;
        call.wait().await
    }

    /// Asks one broker once.
    async fn ask_once<R: Request>(
        &mut self,
        broker: BrokerId,
        request: &R,
        patience: Duration,
    ) -> Result<R::Response, AdminError> {
        let deadline: Mono = self.env.clock().now() + patience;
        if !self.cluster.metadata.brokers().contains_key(&broker) {
            self.metadata(Some(&[])).await?;
        }
        self.call(Choice::Broker(broker), request, deadline).await.map_err(|error| match error {
            CallError::NotSent(text) | CallError::Lost(text) => AdminError::Unreachable(text),
            CallError::Unsupported(text) => AdminError::Unsupported(text),
        })
    }

    async fn version_of<R: Request>(&mut self) -> Result<i16, AdminError> {
        let deadline = self.deadline();
        let connection = self.cluster.obtain(Choice::Any, deadline).await;
        let connection = connection.map_err(|error| AdminError::Unreachable(error.to_string()))?;
        let version = connection.versions().choose::<R>(i16::MAX);
        version.map_err(|error| AdminError::Unsupported(error.to_string()))
    }

    async fn pause(&mut self, failures: &mut u32) {
        let pause = self.config.retry().pause(*failures, &mut self.rng);
        *failures = failures.saturating_add(1);
        self.env.clock().sleep(pause).await;
    }

    fn deadline(&self) -> Mono {
        self.env.clock().now() + self.config.default_api_timeout
    }

    fn timeout_ms(&self) -> i32 {
        timeout_ms(self.config.request_timeout)
    }
}

fn timeout_ms(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis().min(TIMEOUT_MS_MAX)).expect("it was limited to that")
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    const CLUSTER_DEFAULT: i8 = -1;
    let assignments =
        topic.assignments.iter().map(|(&partition_index, brokers)| CreatableReplicaAssignment {
            partition_index,
            broker_ids: brokers.iter().map(|broker| broker.0).collect(),
        });
    let configs = topic
        .configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
    // With assignments, the numbers follow from them, and must not be given.
    let assigned = !topic.assignments.is_empty();
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions.filter(|_| !assigned).unwrap_or(CLUSTER_DEFAULT.into()),
        replication_factor: topic.replication_factor.filter(|_| !assigned).unwrap_or(CLUSTER_DEFAULT.into()),
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn outcome(error: i16, message: Option<String>) -> Result<(), AdminError> {
    match code(error) {
        ErrorCode::None => Ok(()),
        ErrorCode::RequestTimedOut => {
            Err(AdminError::Unknown(message.unwrap_or_else(|| ErrorCode::RequestTimedOut.to_string())))
        }
        error => Err(AdminError::Refused { error, message: message.filter(|text| !text.is_empty()) }),
    }
}

fn change_failed(error: &CallError) -> AdminError {
    match error {
        CallError::NotSent(text) => AdminError::Unreachable(text.clone()),
        CallError::Lost(text) => AdminError::Unknown(text.clone()),
        CallError::Unsupported(text) => AdminError::Unsupported(text.clone()),
    }
}

/// Errors of questions that are worth asking again; a topic that is unknown stays so.
fn goes_away(error: i16) -> bool {
    let error = code(error);
    error.is_retriable() && !matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)
}
