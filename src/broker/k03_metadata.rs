//! Metadata (key 3), versions 0 to 13: the brokers, and the leaders of topics' partitions.
//!
//! - All topics are asked for with null, in version 0 also with an empty list. From version 12 on topics can be
//!   named by id (KIP-516); if any is, those without id are passed over, as in Kafka. Versions 10 and 11 have
//!   the fields for it, but may not use them: INVALID_REQUEST.
//! - Every broker is told by its address on the listener through which the client came. A leader without that
//!   listener is LISTENER_NOT_FOUND, before version 6 LEADER_NOT_AVAILABLE. Version 0 leaves brokers out that
//!   are not alive, and says REPLICA_NOT_AVAILABLE.
//! - Operations that the principal may do are told on request (KIP-430), else the schema's default.
//!
//! # Topics that do not exist
//!
//! A missing topic is created with the broker's defaults if `auto.create.topics.enable` is on and the client
//! allows it, which before version 4 it always does. Kafka answers UNKNOWN_TOPIC_OR_PARTITION then and has the
//! client ask again; here the topic is created first and the answer shows it. If it cannot be created, the
//! reasons that a user can do something about (INVALID_REPLICATION_FACTOR, INVALID_TOPIC_EXCEPTION) are told,
//! else it is UNKNOWN_TOPIC_OR_PARTITION.
//!
//! Not done: the topics of the cluster itself, such as `__consumer_offsets`, are created by the coordinator
//! that needs them and not here.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::{cluster_operations, throttle_time_ms};
use super::cluster_view::ClusterView;
use super::topic_metadata::TopicMetadata;
use super::{Broker, forwarding};
use crate::controller::{Image, names};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::Uuid;
use crate::wire::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use crate::wire::messages::metadata::*;

/// The first version in which topics can be asked for by id.
const SINCE_TOPIC_IDS: i16 = 12;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: MetadataRequest,
) -> MetadataResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let Some(wanted) = Wanted::of(&request, context.api_version) else {
        return MetadataResponse { throttle_time_ms, ..invalid(&request) };
    };
    let mut published = broker.metadata.current();
    let mut failures = BTreeMap::new();
    if broker.config.auto_create_topics && request.allow_auto_topic_creation {
        let missing = wanted.missing(&published.image, &context);
        let (create, denied): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|name| may_create(&context, name));
        failures.extend(denied.into_iter().map(|name| (name, ErrorCode::TopicAuthorizationFailed)));
        if !create.is_empty() {
            failures.extend(create_topics(&broker, &context, create).await);
            published = broker.metadata.current();
        }
    }
    let view = ClusterView::new(&published.image, &context.connection);
    let operations = request.include_topic_authorized_operations;
    let topics = TopicMetadata { view, context: &context, operations, failures: &failures };
    let mut response = MetadataResponse {
        throttle_time_ms,
        brokers: brokers(view),
        cluster_id: Some(broker.cluster_id.clone()),
        controller_id: view.controller(broker.id()).0,
        topics: topics.of(&wanted),
        ..MetadataResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = cluster_operations(&context);
    }
    response
}

/// The topics asked for, each one once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All there are.
    All,
    /// Those with these ids.
    Ids(BTreeSet<Uuid>),
    /// Those with these names.
    Names(BTreeSet<String>),
}

impl Wanted {
    /// What a request asks for; `None` if it may not ask so in this version.
    fn of(request: &MetadataRequest, version: i16) -> Option<Self> {
        let topics = match &request.topics {
            None => return Some(Self::All),
            Some(topics) if topics.is_empty() && version == 0 => return Some(Self::All),
            Some(topics) => topics,
        };
        let ids: BTreeSet<Uuid> =
            topics.iter().map(|topic| topic.topic_id).filter(|id| *id != Uuid::ZERO).collect();
        if version >= SINCE_TOPIC_IDS && !ids.is_empty() {
            return Some(Self::Ids(ids));
        }
        let names: Option<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        names.filter(|_| ids.is_empty()).map(Self::Names)
    }

    /// The topics that could be created: they do not exist, and may be called and described so.
    fn missing(&self, image: &Image, context: &RequestContext) -> Vec<String> {
        let Self::Names(names) = self else { return Vec::new() };
        let creatable = |name: &&String| {
            let own = names::is_internal(name) || name.as_str() == names::METADATA_TOPIC;
            image.topic_named(name).is_none()
                && names::check(name).is_ok()
                && !own
                && context.authorize(Operation::Describe, Resource::Topic(name))
        };
        names.iter().filter(creatable).cloned().collect()
    }
}

fn may_create(context: &RequestContext, name: &str) -> bool {
    context.authorize(Operation::Create, Resource::Cluster)
        || context.authorize(Operation::Create, Resource::Topic(name))
}

/// Creates topics with the defaults. Returns those of which that failed; they may exist nevertheless.
async fn create_topics<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    names: Vec<String>,
) -> BTreeMap<String, ErrorCode> {
    let defaults = |name: String| CreatableTopic {
        name,
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    let topics = names.into_iter().map(defaults).collect();
    let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
    let decided = if broker.raft.leadership().current().is_here {
        broker.decide(move |desk| desk.controller.create_topics(&request, desk.rng)).await
    } else {
        forwarding::ask_for(broker, context, &request).await
    };
    let results = match decided {
        Ok(response) => response.topics,
        // The client asks again, perhaps another broker.
        Err(_) => Vec::new(),
    };
    let mut failures = BTreeMap::new();
    for result in results {
        if let Some(code) = ErrorCode::from_code(result.error_code).filter(|code| !code.is_none()) {
            let reason = result.error_message.unwrap_or_default();
            tracing::warn!(topic = result.name, %code, reason, "a topic cannot be created automatically");
            failures.insert(result.name, told(code));
        }
    }
    failures
}

/// What the client is told of a topic that cannot be created.
fn told(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::InvalidReplicationFactor | ErrorCode::InvalidTopicException => code,
        _ => ErrorCode::UnknownTopicOrPartition,
    }
}

fn brokers(view: ClusterView<'_>) -> Vec<MetadataResponseBroker> {
    let brokers = view.alive_brokers().map(|(broker, endpoint)| MetadataResponseBroker {
        node_id: broker.id.0,
        host: view.host(endpoint),
        port: i32::from(endpoint.port),
        rack: broker.rack.clone(),
    });
    brokers.collect()
}

fn invalid(request: &MetadataRequest) -> MetadataResponse {
    let error_code = ErrorCode::InvalidRequest.code();
    let topics = request.topics.iter().flatten().map(|topic| MetadataResponseTopic {
        error_code,
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    });
    MetadataResponse { topics: topics.collect(), error_code, ..MetadataResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::{TestCluster, context};
    use crate::wire::ApiKey;

    fn request(topics: Option<&[(Option<&str>, u128)]>) -> MetadataRequest {
        let topic = |&(name, id): &(Option<&str>, u128)| MetadataRequestTopic {
            topic_id: Uuid(id),
            name: name.map(str::to_owned),
        };
        let topics = topics.map(|topics| topics.iter().map(topic).collect());
        MetadataRequest { topics, ..MetadataRequest::default() }
    }

    fn named(names: &[&str]) -> Option<Wanted> {
        Some(Wanted::Names(names.iter().map(|&name| name.to_owned()).collect()))
    }

    #[test]
    fn which_topics_are_asked_for_depends_on_the_version() {
        assert_eq!(Wanted::of(&request(None), 13), Some(Wanted::All));
        assert_eq!(Wanted::of(&request(Some(&[])), 0), Some(Wanted::All));
        assert_eq!(Wanted::of(&request(Some(&[])), 1), named(&[]));
        assert_eq!(Wanted::of(&request(Some(&[(Some("a"), 0), (Some("a"), 0)])), 5), named(&["a"]));
        let mixed = request(Some(&[(Some("a"), 0), (None, 1000)]));
        assert_eq!(Wanted::of(&mixed, 12), Some(Wanted::Ids([Uuid(1000)].into())));
    }

    #[test]
    fn kip_516_ids_and_null_names_have_their_version() {
        let by_id = request(Some(&[(Some(""), 1000)]));
        assert_eq!(Wanted::of(&by_id, 11), None);
        assert_eq!(Wanted::of(&request(Some(&[(None, 0)])), 10), None);
        assert_eq!(Wanted::of(&request(Some(&[(None, 0)])), 13), None, "neither name nor id");
        let response = invalid(&by_id);
        assert_eq!((response.error_code, response.topics[0].error_code), (42, 42));
    }

    #[test]
    fn only_a_possible_topic_that_is_missing_is_created() {
        let image = TestCluster::new().topic("there", 1000, 1, &[1]).image();
        let context = context(ApiKey::Metadata, 13);
        let names = ["there", "missing", "a b", "", "__consumer_offsets", "__cluster_metadata"];
        let wanted = named(&names).expect("names");
        assert_eq!(wanted.missing(&image, &context), ["missing"]);
        assert_eq!(Wanted::All.missing(&image, &context), [""; 0]);
        assert_eq!(Wanted::Ids([Uuid(7777)].into()).missing(&image, &context), [""; 0]);
    }

    #[test]
    fn a_creation_that_failed_is_explained_where_that_helps() {
        assert_eq!(told(ErrorCode::InvalidReplicationFactor), ErrorCode::InvalidReplicationFactor);
        assert_eq!(told(ErrorCode::InvalidTopicException), ErrorCode::InvalidTopicException);
        assert_eq!(told(ErrorCode::TopicAlreadyExists), ErrorCode::UnknownTopicOrPartition);
        assert_eq!(told(ErrorCode::PolicyViolation), ErrorCode::UnknownTopicOrPartition);
    }
}
