//! Creation and deletion of topics.
//!
//! Each topic of a request succeeds or fails by itself, with an error and a message of its own; what
//! succeeds goes into one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::Rng;

use super::image::{ResourceType, TopicImage};
use super::placement::{check_manual, manual_record, partition_record, place};
use super::{Controller, Decision, MAX_RECORDS_PER_REQUEST, Refusal, names};
use crate::config::Texts;
use crate::config::describe::describe_topic;
use crate::config::topic::{Durability, durability, pin_durability, validate};
use crate::error_code::ErrorCode;
use crate::types::Uuid;
use crate::wire::messages::create_topics::*;
use crate::wire::messages::delete_topics::*;
use crate::wire::metadata::*;

impl Controller {
    /// Creates topics. Topic ids and placement are drawn from `rng`.
    pub fn create_topics(
        &self,
        request: &CreateTopicsRequest,
        rng: &mut impl Rng,
    ) -> Decision<CreateTopicsResponse> {
        let mut creation = Creation::new(self, request);
        let mut results = Vec::new();
        let mut answered = BTreeSet::new();
        for topic in &request.topics {
            if answered.insert(topic.name.as_str()) {
                let result = creation.topic(topic, rng);
                results.push(result.unwrap_or_else(|refusal| refused(&topic.name, &refusal)));
            }
        }
        let mut records = creation.records;
        if records.len() > MAX_RECORDS_PER_REQUEST {
            let names = answered.into_iter();
            results = names.map(|name| refused(name, &too_many())).collect();
            records.clear();
        }
        if request.validate_only {
            records.clear();
            results.iter_mut().for_each(|result| result.topic_id = Uuid::ZERO);
        }
        Decision::atomic(records, CreateTopicsResponse { throttle_time_ms: 0, topics: results })
    }

    /// Creates topics that a client asked about and that do not exist, with the defaults.
    pub fn auto_create_topics(&self, names: &[&str], rng: &mut impl Rng) -> Decision<CreateTopicsResponse> {
        let topic = |name: &&str| CreatableTopic {
            name: (*name).to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            ..CreatableTopic::default()
        };
        let topics = names.iter().map(topic).collect();
        self.create_topics(&CreateTopicsRequest { topics, ..CreateTopicsRequest::default() }, rng)
    }

    /// Deletes topics, named or identified.
    pub fn delete_topics(&self, request: &DeleteTopicsRequest) -> Decision<DeleteTopicsResponse> {
        let named = |name: &String| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
        let states: Vec<DeleteTopicState> =
            request.topics.iter().cloned().chain(request.topic_names.iter().map(named)).collect();
        let asked = Asked::count(self, &states);
        let mut records = Vec::new();
        let mut responses = Vec::new();
        let mut answered = BTreeSet::new();
        for state in &states {
            if !answered.insert(key_of(state)) {
                continue;
            }
            let result = self.find_deletable(state, &asked);
            if let Ok((_, topic_id)) = result {
                records.push(RemoveTopicRecord { topic_id }.into());
            }
            responses.push(deletion_result(state, result));
        }
        Decision::atomic(records, DeleteTopicsResponse { throttle_time_ms: 0, responses })
    }

    fn find_deletable(&self, state: &DeleteTopicState, asked: &Asked<'_>) -> Result<(String, Uuid), Refusal> {
        let invalid = |message: &str| Refusal::new(ErrorCode::InvalidRequest, message);
        if !self.settings.delete_topics {
            return Err(Refusal::new(ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled."));
        }
        match (&state.name, state.topic_id) {
            (None, Uuid::ZERO) => return Err(invalid("Neither topic name nor id were specified.")),
            (Some(_), id) if id != Uuid::ZERO => {
                return Err(invalid("You may not specify both topic name and topic id."));
            }
            _ => {}
        }
        if asked.states[&key_of(state)] > 1 {
            let what = if state.name.is_some() { "name" } else { "id" };
            return Err(invalid(&format!("Duplicate topic {what}.")));
        }
        let topic = self.find_topic(state).ok_or_else(|| match state.name {
            Some(_) => unknown_name(),
            None => Refusal::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID."),
        })?;
        if asked.topics[&topic.id] > 1 {
            return Err(invalid("The topic was supplied by its name and by its id."));
        }
        Ok((topic.name.to_string(), topic.id))
    }

    fn find_topic(&self, state: &DeleteTopicState) -> Option<&Arc<TopicImage>> {
        match &state.name {
            Some(name) => self.image().topic_named(name),
            None => self.image().topic(state.topic_id),
        }
    }
}

/// How often a deletion asks for each topic.
struct Asked<'a> {
    /// In the same words.
    states: BTreeMap<(Option<&'a str>, Uuid), usize>,
    /// By name or by id.
    topics: BTreeMap<Uuid, usize>,
}

impl<'a> Asked<'a> {
    fn count(controller: &Controller, states: &'a [DeleteTopicState]) -> Self {
        let mut asked = Self { states: BTreeMap::new(), topics: BTreeMap::new() };
        for state in states {
            *asked.states.entry(key_of(state)).or_default() += 1;
            if let Some(topic) = controller.find_topic(state) {
                *asked.topics.entry(topic.id).or_default() += 1;
            }
        }
        asked
    }
}

fn key_of(state: &DeleteTopicState) -> (Option<&str>, Uuid) {
    (state.name.as_deref(), state.topic_id)
}

pub(super) fn unknown_name() -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
}

fn too_many() -> Refusal {
    Refusal::new(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.")
}

fn refused(name: &str, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        ..CreatableTopicResult::default()
    }
}

fn deletion_result(
    state: &DeleteTopicState,
    result: Result<(String, Uuid), Refusal>,
) -> DeletableTopicResult {
    let (name, topic_id, refusal) = match result {
        Ok((name, id)) => (Some(name), id, None),
        Err(refusal) => (state.name.clone(), state.topic_id, Some(refusal)),
    };
    DeletableTopicResult {
        name,
        topic_id,
        error_code: refusal.as_ref().map_or(ErrorCode::None, |refusal| refusal.code).code(),
        error_message: refusal.map(|refusal| refusal.message),
    }
}

/// The creation of the topics of one request.
struct Creation<'a> {
    controller: &'a Controller,
    /// How often each name occurs.
    occurrences: BTreeMap<&'a str, usize>,
    /// The unified names of the topics accepted so far.
    unified: BTreeMap<String, &'a str>,
    too_large: bool,
    records: Vec<MetadataRecord>,
}

impl<'a> Creation<'a> {
    fn new(controller: &'a Controller, request: &'a CreateTopicsRequest) -> Self {
        let mut occurrences = BTreeMap::new();
        let mut partitions = 0usize;
        for topic in &request.topics {
            *occurrences.entry(topic.name.as_str()).or_default() += 1;
            let asked = match (topic.assignments.len(), topic.num_partitions) {
                (0, -1) => usize::try_from(controller.settings.num_partitions).unwrap_or(0),
                (0, count) => usize::try_from(count).unwrap_or(0),
                (count, _) => count,
            };
            partitions = partitions.saturating_add(asked);
        }
        let too_large = partitions > MAX_RECORDS_PER_REQUEST;
        Self { controller, occurrences, unified: BTreeMap::new(), too_large, records: Vec::new() }
    }

    fn topic(
        &mut self,
        topic: &'a CreatableTopic,
        rng: &mut impl Rng,
    ) -> Result<CreatableTopicResult, Refusal> {
        self.check_name(topic)?;
        let (overrides, configs) = self.configs(topic)?;
        let topic_id = self.new_id(rng);
        let partitions = self.partitions(topic, topic_id, rng)?;
        let replication_factor = partitions[0].replicas.len();
        let result = CreatableTopicResult {
            name: topic.name.clone(),
            topic_id,
            error_code: ErrorCode::None.code(),
            error_message: None,
            topic_config_error_code: ErrorCode::None.code(),
            num_partitions: i32::try_from(partitions.len()).expect("10,000 at the most"),
            replication_factor: i16::try_from(replication_factor).map_err(|_| {
                Refusal::new(ErrorCode::InvalidReplicaAssignment, "There are more than 32767 replicas.")
            })?,
            configs: Some(configs),
        };
        self.records.push(TopicRecord { name: topic.name.clone(), topic_id }.into());
        for (name, value) in overrides {
            self.records.push(
                ConfigRecord {
                    resource_type: ResourceType::Topic as i8,
                    resource_name: topic.name.clone(),
                    name,
                    value: Some(value),
                }
                .into(),
            );
        }
        self.records.extend(partitions.into_iter().map(MetadataRecord::from));
        if let Some(unified) = names::unified(&topic.name) {
            self.unified.insert(unified, &topic.name);
        }
        Ok(result)
    }

    fn check_name(&self, topic: &CreatableTopic) -> Result<(), Refusal> {
        let name = topic.name.as_str();
        let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        if self.occurrences[name] > 1 {
            return invalid("Duplicate topic name.".to_owned());
        }
        if name == names::METADATA_TOPIC {
            return invalid(format!("Creation of internal topic {name} is prohibited."));
        }
        if self.too_large {
            return Err(too_many());
        }
        names::check(name)
            .map_err(|error| Refusal::new(ErrorCode::InvalidTopicException, error.to_string()))?;
        if self.controller.image().topic_named(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
        }
        let Some(unified) = names::unified(name) else { return Ok(()) };
        let existing = self.controller.image().colliding_names.get(unified.as_str());
        let other = existing.and_then(|names| names.first()).map(AsRef::as_ref);
        match other.or_else(|| self.unified.get(&unified).copied()) {
            Some(other) => {
                let message = format!("Topic '{name}' collides with existing topic: {other}");
                Err(Refusal::new(ErrorCode::InvalidTopicException, message))
            }
            None => Ok(()),
        }
    }

    /// The overrides to record, and the whole configuration for the answer.
    fn configs(&self, topic: &CreatableTopic) -> Result<(Texts, Vec<CreatableTopicConfigs>), Refusal> {
        let refuse = |message: String| Refusal::new(ErrorCode::InvalidConfig, message);
        let null: Vec<&str> = (topic.configs.iter())
            .filter(|config| config.value.is_none())
            .map(|config| config.name.as_str())
            .collect();
        if !null.is_empty() {
            return Err(refuse(format!("Null value not supported for topic configs: {}", null.join(","))));
        }
        let mut overrides: Texts = (topic.configs.iter())
            .filter_map(|config| Some((config.name.clone(), config.value.clone()?)))
            .collect();
        if let Some(name) =
            overrides.iter().find(|(_, text)| text.len() > MAX_VALUE_BYTES).map(|(name, _)| name)
        {
            return Err(refuse(too_long(name)));
        }
        let layers = self.controller.layers();
        validate(None, &overrides, layers).map_err(|error| refuse(error.to_string()))?;
        if names::is_internal(&topic.name) {
            if durability(&overrides).expect("the overrides were validated") == Durability::PageCache {
                return Err(refuse(format!(
                    "{} belongs to the cluster and always syncs: leave out flush.messages and flush.ms",
                    topic.name
                )));
            }
        } else {
            pin_durability(&mut overrides, layers).map_err(|error| refuse(error.to_string()))?;
        }
        let described = describe_topic(&overrides, layers).map_err(|error| refuse(error.to_string()))?;
        let configs = described.into_iter().map(|config| CreatableTopicConfigs {
            name: config.name.to_owned(),
            value: config.value,
            read_only: false,
            config_source: config.source as i8,
            is_sensitive: false,
        });
        Ok((overrides, configs.collect()))
    }

    fn new_id(&self, rng: &mut impl Rng) -> Uuid {
        loop {
            let id = Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()));
            if self.controller.image().topic(id).is_none() {
                return id;
            }
        }
    }

    fn partitions(
        &self,
        topic: &CreatableTopic,
        topic_id: Uuid,
        rng: &mut impl Rng,
    ) -> Result<Vec<PartitionRecord>, Refusal> {
        if !topic.assignments.is_empty() {
            return self.assigned_partitions(topic, topic_id);
        }
        let settings = &self.controller.settings;
        let factor = match topic.replication_factor {
            -1 => settings.default_replication_factor,
            factor if factor <= 0 => {
                let message = "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
            }
            factor => factor,
        };
        let count = match topic.num_partitions {
            -1 => settings.num_partitions,
            count if count <= 0 => {
                let message = "Number of partitions was set to an invalid non-positive value.";
                return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
            }
            count => count,
        };
        let image = self.controller.image();
        let placed = place(image, usize::try_from(count).expect("it is positive"), factor, rng)?;
        let record = |(index, replicas): (i32, Vec<_>)| {
            partition_record(image, topic_id, index, &replicas).expect("an active broker was chosen to lead")
        };
        Ok((0..).zip(placed).map(record).collect())
    }

    fn assigned_partitions(
        &self,
        topic: &CreatableTopic,
        topic_id: Uuid,
    ) -> Result<Vec<PartitionRecord>, Refusal> {
        for (given, what) in [
            (i32::from(topic.replication_factor), "replication factor"),
            (topic.num_partitions, "numPartitions"),
        ] {
            if given != -1 {
                let message =
                    format!("A manual partition assignment was specified, but {what} was not set to -1.");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        }
        let refuse = |message: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, message);
        let image = self.controller.image();
        let mut factor = None;
        let mut partitions = BTreeMap::new();
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            let replicas = check_manual(image, &assignment.broker_ids, factor)?;
            factor = Some(replicas.len());
            let record = manual_record(image, topic_id, index, &replicas)?;
            if partitions.insert(index, record).is_some() {
                return Err(refuse(format!(
                    "Found multiple manual partition assignments for partition {index}"
                )));
            }
        }
        if !partitions.keys().copied().eq((0..).take(partitions.len())) {
            return Err(refuse("partitions should be a consecutive 0-based integer sequence".to_owned()));
        }
        Ok(partitions.into_values().collect())
    }
}

/// The longest value of a config, as in Kafka.
pub(super) const MAX_VALUE_BYTES: usize = i16::MAX as usize;

pub(super) fn too_long(name: &str) -> String {
    format!(
        "The configuration value of {name} cannot be added because it exceeds the maximum value size of \
         {MAX_VALUE_BYTES} bytes."
    )
}
