//! Changes of configuration (KIP-339): of topics, of this broker, and of all brokers.
//!
//! Each resource of a request succeeds or fails by itself.
//!
//! # `min.insync.replicas` and eligible leader replicas (KIP-966)
//!
//! A replica is eligible because the high watermark stands still while the ISR is too small. Where a lower
//! `min.insync.replicas` lets it move on, the ELR must be forgotten in the same batch. Kafka forgets it wherever
//! the config changes, also that of a partition without an ISR, which then nobody may lead any more; here only
//! the partitions change whose ISR is large enough now. So that leader and controller agree on the number, no
//! single broker may have its own while ELRs are kept, and the cluster's cannot be removed.
//!
//! # `unclean.leader.election.enable`
//!
//! Where it comes to be allowed, partitions without a leader get one in the same batch, up to a number: the rest,
//! and those whose replicas are all away, when the controller looks for them the next time. In Kafka all wait for
//! that.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::elections::ELECTIONS_PER_DECISION;
use super::features::MIN_ISR;
use super::image::ResourceType;
use super::topics::{MAX_VALUE_BYTES, too_long, unknown_name};
use super::{Controller, Decision, Refusal, names};
use crate::config::broker_keys::{Update, broker_key};
use crate::config::topic::{keep_syncing, validate};
use crate::config::topic_keys::topic_key;
use crate::config::value::Kind;
use crate::config::{Layers, Texts};
use crate::error_code::ErrorCode;
use crate::wire::messages::incremental_alter_configs::*;
use crate::wire::metadata::{ConfigRecord, MetadataRecord};

impl Controller {
    /// Changes single configs of topics and brokers.
    pub fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        let mut draft = Draft::new(self);
        let mut responses = Vec::new();
        let mut occurrences: BTreeMap<(i8, &str), usize> = BTreeMap::new();
        for resource in &request.resources {
            *occurrences.entry((resource.resource_type, &resource.resource_name)).or_default() += 1;
        }
        for resource in &request.resources {
            let altered = if occurrences[&(resource.resource_type, resource.resource_name.as_str())] > 1 {
                Err(invalid_request("Each resource must appear at most once."))
            } else {
                self.alter_resource(resource)
            };
            responses.push(AlterConfigsResourceResponse {
                error_code: altered.as_ref().map_or_else(|refusal| refusal.code, |_| ErrorCode::None).code(),
                error_message: altered.as_ref().err().map(|refusal| refusal.message.clone()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            });
            altered.into_iter().flatten().for_each(|record| draft.push(record));
        }
        let response = IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses };
        if request.validate_only {
            return Decision::answer(response);
        }
        draft.follow_min_isr();
        draft.follow_unclean();
        draft.atomic(response)
    }

    fn alter_resource(&self, resource: &AlterConfigsResource) -> Result<Vec<MetadataRecord>, Refusal> {
        check_updates(&resource.configs)?;
        match ResourceType::from_code(resource.resource_type) {
            Some(ResourceType::Topic) => self.alter_topic(resource),
            Some(ResourceType::Broker) => self.alter_broker(resource),
            Some(ResourceType::ClientMetrics | ResourceType::Group) => Err(invalid_request(format!(
                "Configuration of resource type {} is not supported yet.",
                resource.resource_type
            ))),
            None => Err(invalid_request(format!("Unknown resource type {}", resource.resource_type))),
        }
    }

    fn alter_topic(&self, resource: &AlterConfigsResource) -> Result<Vec<MetadataRecord>, Refusal> {
        let name = resource.resource_name.as_str();
        if name.is_empty() {
            return Err(invalid_request("Default topic resources are not allowed."));
        }
        names::check(name)
            .map_err(|error| Refusal::new(ErrorCode::InvalidTopicException, error.to_string()))?;
        let topic = self.image().topic_named(name).ok_or_else(unknown_name)?;
        let list = |key: &str| {
            let key = topic_key(key).filter(|key| key.kind == Kind::List)?;
            Some(key.default.unwrap_or_default())
        };
        let mut altered = apply(&topic.configs, &resource.configs, list)?;
        keep_syncing(&topic.configs, &mut altered)
            .map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))?;
        validate(Some(&topic.configs), &altered, self.layers())
            .map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))?;
        Ok(difference(&topic.configs, &altered, resource))
    }

    fn alter_broker(&self, resource: &AlterConfigsResource) -> Result<Vec<MetadataRecord>, Refusal> {
        let name = resource.resource_name.as_str();
        check_broker_name(name)?;
        let existing = self.image().config(ResourceType::Broker, name);
        let list = |key: &str| {
            let key = broker_key(key).filter(|key| key.kind == Kind::List)?;
            Some(key.default.unwrap_or_default())
        };
        let altered = apply(existing, &resource.configs, list)?;
        check_dynamic(&altered, name.is_empty())?;
        if self.image().elr_enabled() {
            check_min_isr(existing, &altered, name.is_empty())?;
        }
        let own = self.settings.node_id.to_string();
        let (broker, cluster) = if name.is_empty() {
            (self.image().config(ResourceType::Broker, &own), &altered)
        } else {
            (&altered, self.image().config(ResourceType::Broker, ""))
        };
        validate(None, &Texts::new(), Layers { broker, cluster, server: &self.settings.texts })
            .map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))?;
        Ok(difference(existing, &altered, resource))
    }
}

/// The empty name means all brokers; another is a broker's id. That it is the id of the broker that the client has
/// asked is for that broker to check.
fn check_broker_name(name: &str) -> Result<(), Refusal> {
    match name.parse::<i32>() {
        _ if name.is_empty() => Ok(()),
        Ok(_) => Ok(()),
        Err(_) => Err(invalid_request(format!("Broker id must be an integer, but it is: {name}"))),
    }
}

impl Draft<'_> {
    /// Has ELRs, and reassignments that wait for enough in sync, follow the `min.insync.replicas` now in force, if one
    /// was changed.
    fn follow_min_isr(&mut self) {
        let is_min_isr =
            |record: &MetadataRecord| matches!(record, MetadataRecord::Config(it) if it.name == MIN_ISR);
        if self.records().iter().any(is_min_isr) {
            for key in self.partitions(|_, partition| !partition.elr.is_empty() || partition.is_reassigning())
            {
                self.alter(key, |_| {});
            }
        }
    }

    /// Elects leaders where an unclean election may have come to be allowed.
    fn follow_unclean(&mut self) {
        let is_unclean =
            |record: &MetadataRecord| matches!(record, MetadataRecord::Config(it) if it.name == UNCLEAN);
        if self.records().iter().any(is_unclean) {
            self.elect_leaderless(self.len() + ELECTIONS_PER_DECISION);
        }
    }
}

const UNCLEAN: &str = "unclean.leader.election.enable";

fn check_min_isr(existing: &Texts, altered: &Texts, for_all: bool) -> Result<(), Refusal> {
    let (before, after) = (existing.get(MIN_ISR), altered.get(MIN_ISR));
    let refuse = |message: &str| Err(Refusal::new(ErrorCode::InvalidConfig, message));
    match (for_all, after) {
        _ if before == after => Ok(()),
        (false, _) => refuse("Broker-level min.insync.replicas cannot be altered while ELR is enabled."),
        (true, None) => refuse("Cluster-level min.insync.replicas cannot be removed while ELR is enabled."),
        (true, Some(_)) => Ok(()),
    }
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn check_updates(configs: &[AlterableConfig]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for config in configs {
        if !names.insert(config.name.as_str()) {
            return Err(invalid_request("Error due to duplicate config keys"));
        }
        if !(SET..=SUBTRACT).contains(&config.config_operation) {
            return Err(invalid_request(format!("Unknown operations type {}", config.config_operation)));
        }
    }
    let null: Vec<&str> = (configs.iter())
        .filter(|config| config.config_operation != DELETE && config.value.is_none())
        .map(|config| config.name.as_str())
        .collect();
    match null.as_slice() {
        [] => Ok(()),
        null => Err(invalid_request(format!("Null value not supported for : {}", null.join(", ")))),
    }
}

/// The configuration after the updates. `list` gives the default of a config that is a list, which is what
/// an update appends to or subtracts from where nothing is set.
fn apply<'a>(
    existing: &Texts,
    updates: &[AlterableConfig],
    list: impl Fn(&str) -> Option<&'a str>,
) -> Result<Texts, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidConfig, message));
    let mut altered = existing.clone();
    for update in updates {
        let given = update.value.as_deref().unwrap_or_default();
        let value = match update.config_operation {
            DELETE => {
                altered.remove(&update.name);
                continue;
            }
            SET => given.to_owned(),
            operation => {
                let Some(default) = list(&update.name) else {
                    let verb = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
                    return refuse(format!(
                        "Can't {verb} to key {} because its type is not LIST.",
                        update.name
                    ));
                };
                let current = altered.get(&update.name).map_or(default, String::as_str);
                edit_list(current, given, operation == APPEND)
            }
        };
        if value.len() > MAX_VALUE_BYTES {
            return refuse(too_long(&update.name));
        }
        altered.insert(update.name.clone(), value);
    }
    Ok(altered)
}

/// A list after something was appended (unless it is there already) or subtracted.
fn edit_list(current: &str, given: &str, append: bool) -> String {
    let items = |text: &'_ str| -> Vec<String> {
        text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    };
    let mut list = items(current);
    for item in items(given) {
        if !append {
            list.retain(|known| *known != item);
        } else if !list.contains(&item) {
            list.push(item);
        }
    }
    list.join(",")
}

/// Checks what is dynamically configured for one broker, or for all. Keys that we do not know are stored, as
/// Kafka stores them: tools set such as `leader.replication.throttled.rate`.
fn check_dynamic(altered: &Texts, for_all: bool) -> Result<(), Refusal> {
    let of = |update: Update| -> Vec<&str> {
        let keys = altered.keys().filter_map(|name| broker_key(name));
        keys.filter(|key| key.update == update).map(|key| key.name).collect()
    };
    let refuse = |what: &str, keys: &[&str]| {
        Err(invalid_request(format!("Cannot update these configs {what}: [{}]", keys.join(", "))))
    };
    let (read_only, per_broker) = (of(Update::ReadOnly), of(Update::PerBroker));
    if !read_only.is_empty() {
        return refuse("dynamically", &read_only);
    }
    if for_all && !per_broker.is_empty() {
        return refuse("at default cluster level, broker id must be specified", &per_broker);
    }
    for (name, text) in altered {
        if let Some(Err(error)) = broker_key(name).map(|key| key.parse(text)) {
            return Err(invalid_request(error.to_string()));
        }
    }
    Ok(())
}

/// One record for each config that differs.
fn difference(existing: &Texts, altered: &Texts, resource: &AlterConfigsResource) -> Vec<MetadataRecord> {
    let record = |name: &String, value: Option<&String>| {
        MetadataRecord::from(ConfigRecord {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            name: name.clone(),
            value: value.cloned(),
        })
    };
    let set = altered.iter().filter(|(name, value)| existing.get(*name) != Some(value));
    let removed = existing.keys().filter(|name| !altered.contains_key(*name));
    set.map(|(name, value)| record(name, Some(value))).chain(removed.map(|name| record(name, None))).collect()
}
