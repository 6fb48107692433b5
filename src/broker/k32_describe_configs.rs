//! DescribeConfigs (key 32), versions 1 to 4: configs with their values, sources and synonyms.
//!
//! - A topic shows every topic config; a broker, which only describes itself, its static and dynamic ones; the
//!   broker with the empty name what is set dynamically for all.
//! - No keys, or an empty list of them, means all. Keys that do not exist are left out.
//! - Synonyms (KIP-226) and documentation (KIP-569, version 3) are sent to those who ask.
//! - A resource of an unknown type makes the whole request INVALID_REQUEST, as in Kafka.
//!
//! Not done: log levels (BROKER_LOGGER), client metrics and groups, which are INVALID_REQUEST. There are no
//! configs that are secret yet, so that none is marked as sensitive.

use super::Broker;
use super::admission::throttle_time_ms;
use crate::config::Texts;
use crate::config::describe::{Described, describe_broker, describe_cluster, describe_topic};
use crate::config::value::ValueError;
use crate::controller::{Image, Refusal, names};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::BrokerId;
use crate::wire::messages::describe_configs::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let published = broker.metadata.current();
    let asked = Asked {
        image: &published.image,
        node: broker.id(),
        server: &broker.config.texts,
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let results = asked.describe_all(&context, &request.resources);
    DescribeConfigsResponse { throttle_time_ms: throttle_time_ms(&context), results }
}

/// What is asked, and what there is.
struct Asked<'a> {
    image: &'a Image,
    /// The broker that answers.
    node: BrokerId,
    /// Its static configuration.
    server: &'a Texts,
    synonyms: bool,
    documentation: bool,
}

impl Asked<'_> {
    fn describe_all(
        &self,
        context: &RequestContext,
        resources: &[DescribeConfigsResource],
    ) -> Vec<DescribeConfigsResult> {
        let known = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
        if let Some(unknown) = resources.iter().find(|resource| !known.contains(&resource.resource_type)) {
            let refusal = invalid(format!(
                "Unexpected resource type {} for resource {}",
                unknown.resource_type, unknown.resource_name
            ));
            return resources.iter().map(|resource| refused(resource, &refusal)).collect();
        }
        let describe = |resource: &DescribeConfigsResource| {
            let described = permitted(context, resource).and_then(|()| self.describe(resource));
            described.unwrap_or_else(|refusal| refused(resource, &refusal))
        };
        resources.iter().map(describe).collect()
    }

    fn describe(&self, resource: &DescribeConfigsResource) -> Result<DescribeConfigsResult, Refusal> {
        let name = resource.resource_name.as_str();
        let described = match resource.resource_type {
            TOPIC => self.topic(name)?,
            BROKER => self.broker(name)?,
            other => return Err(invalid(format!("Configs of resource type {other} are not supported yet."))),
        };
        let keys = resource.configuration_keys.as_deref().unwrap_or_default();
        let wanted = |config: &Described| keys.is_empty() || keys.iter().any(|key| key == config.name);
        Ok(DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: name.to_owned(),
            configs: described.into_iter().filter(wanted).map(|config| self.entry(config)).collect(),
            ..DescribeConfigsResult::default()
        })
    }

    fn topic(&self, name: &str) -> Result<Vec<Described>, Refusal> {
        names::check(name)
            .map_err(|error| Refusal::new(ErrorCode::InvalidTopicException, error.to_string()))?;
        let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, String::new());
        let topic = self.image.topic_named(name).ok_or_else(unknown)?;
        describe_topic(&topic.configs, self.image.layers(self.node, self.server)).map_err(unreadable)
    }

    fn broker(&self, name: &str) -> Result<Vec<Described>, Refusal> {
        let layers = self.image.layers(self.node, self.server);
        match name.parse::<i32>() {
            _ if name.is_empty() => Ok(describe_cluster(layers.cluster)),
            Ok(id) if id == self.node.0 => describe_broker(layers).map_err(unreadable),
            Ok(_) => Err(invalid(format!(
                "Unexpected broker id, expected {} or empty string, but received {name}",
                self.node
            ))),
            Err(_) => Err(invalid(format!("Broker id must be an integer, but it is: {name}"))),
        }
    }

    fn entry(&self, config: Described) -> DescribeConfigsResourceResult {
        let synonyms = if self.synonyms { config.synonyms } else { Vec::new() };
        DescribeConfigsResourceResult {
            name: config.name.to_owned(),
            value: config.value,
            read_only: config.read_only,
            config_source: config.source as i8,
            is_sensitive: false,
            synonyms: synonyms
                .into_iter()
                .map(|synonym| DescribeConfigsSynonym {
                    name: synonym.name.to_owned(),
                    value: Some(synonym.value),
                    source: synonym.source as i8,
                })
                .collect(),
            config_type: config.kind as i8,
            documentation: self.documentation.then(|| config.doc.to_owned()),
        }
    }
}

/// Whether the principal may see this resource's configs.
fn permitted(context: &RequestContext, resource: &DescribeConfigsResource) -> Result<(), Refusal> {
    let name = resource.resource_name.as_str();
    let (target, code) = match resource.resource_type {
        TOPIC => (Resource::Topic(name), ErrorCode::TopicAuthorizationFailed),
        GROUP => (Resource::Group(name), ErrorCode::GroupAuthorizationFailed),
        _ => (Resource::Cluster, ErrorCode::ClusterAuthorizationFailed),
    };
    let permitted = context.authorize(Operation::DescribeConfigs, target);
    if permitted { Ok(()) } else { Err(Refusal::new(code, "Authorization failed.")) }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// What is stored was checked when it came in, by this version or by another one.
fn unreadable(error: ValueError) -> Refusal {
    Refusal::new(ErrorCode::UnknownServerError, error.to_string())
}

fn refused(resource: &DescribeConfigsResource, refusal: &Refusal) -> DescribeConfigsResult {
    DescribeConfigsResult {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::{TestCluster, context};
    use crate::wire::ApiKey;

    fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
        let configuration_keys = keys.map(|keys| keys.iter().map(|&key| key.to_owned()).collect());
        DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys }
    }

    fn describe(resources: &[DescribeConfigsResource], extras: bool) -> Vec<DescribeConfigsResult> {
        let image = TestCluster::new()
            .topic("t", 1000, 1, &[1])
            .config(TOPIC, "t", "retention.ms", "60000")
            .config(BROKER, "", "min.insync.replicas", "1")
            .image();
        let server = Texts::from([("node.id".to_owned(), "1".to_owned())]);
        let (node, synonyms, documentation) = (BrokerId(1), extras, extras);
        let asked = Asked { image: &image, node, server: &server, synonyms, documentation };
        asked.describe_all(&context(ApiKey::DescribeConfigs, 4), resources)
    }

    fn outcome(resource: DescribeConfigsResource) -> Result<Vec<String>, (i16, String)> {
        let mut results = describe(&[resource], false);
        let result = results.remove(0);
        let value = |config: &DescribeConfigsResourceResult| {
            format!("{}={:?} from {}", config.name, config.value.as_deref(), config.config_source)
        };
        match result.error_code {
            0 => Ok(result.configs.iter().map(value).collect()),
            code => Err((code, result.error_message.expect("every error has a message"))),
        }
    }

    #[test]
    fn keys_choose_what_is_described() {
        let keys: &[&str] = &["retention.ms", "min.insync.replicas", "no.such.key"];
        let both = ["min.insync.replicas=Some(\"1\") from 3", "retention.ms=Some(\"60000\") from 1"];
        let mut chosen = outcome(resource(TOPIC, "t", Some(keys))).expect("it exists");
        chosen.sort();
        assert_eq!(chosen, both);
        let all = outcome(resource(TOPIC, "t", None)).expect("it exists");
        assert!(all.len() > 20, "{all:?}");
        assert_eq!(outcome(resource(TOPIC, "t", Some(&[]))), Ok(all), "no keys are all keys");
    }

    #[test]
    fn a_broker_describes_itself_and_what_is_set_for_all() {
        let own = outcome(resource(BROKER, "1", Some(&["node.id"])));
        assert_eq!(own, Ok(vec!["node.id=Some(\"1\") from 4".to_owned()]));
        let all = outcome(resource(BROKER, "", None));
        assert_eq!(all, Ok(vec!["min.insync.replicas=Some(\"1\") from 3".to_owned()]));
        let (code, message) = outcome(resource(BROKER, "2", None)).expect_err("another one");
        assert_eq!(code, 42);
        assert!(message.contains("expected 1 or empty string, but received 2"), "{message}");
        assert_eq!(outcome(resource(BROKER, "one", None)).expect_err("no number").0, 42);
    }

    #[test]
    fn each_resource_has_an_error_of_its_own() {
        assert_eq!(outcome(resource(TOPIC, "none", None)).expect_err("there is none").0, 3);
        assert_eq!(outcome(resource(TOPIC, "a b", None)).expect_err("no name").0, 17);
        for kind in [BROKER_LOGGER, CLIENT_METRICS, GROUP] {
            assert_eq!(outcome(resource(kind, "1", None)).expect_err("not yet").0, 42);
        }
    }

    #[test]
    fn an_unknown_resource_type_spoils_the_request() {
        let results = describe(&[resource(TOPIC, "t", None), resource(3, "x", None)], false);
        let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [42, 42]);
    }

    #[test]
    fn synonyms_and_documentation_come_on_request() {
        for extras in [false, true] {
            let results = describe(&[resource(TOPIC, "t", Some(&["retention.ms"]))], extras);
            let [config] = results[0].configs.as_slice() else { panic!("{results:?}") };
            assert_eq!(!config.synonyms.is_empty(), extras);
            assert_eq!(config.documentation.is_some(), extras);
            assert_eq!(config.config_type, 5, "a Long");
        }
    }
}
