//! Configuration changes.

use super::*;

/// A topic's configs, in words.
fn shown(cluster: &Cluster, topic: &str) -> String {
    let texts = cluster.topic_config(topic);
    texts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_clusters_page_cache_default_is_fixed_in_each_topic_at_its_creation() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![topic("synced", 1, 1)]);
    let cached = vec![set("log.flush.interval.messages", "1000")];
    assert_eq!(cluster.alter(ResourceType::Broker, "", cached), Ok(()));
    cluster.create(vec![
        topic("cached", 1, 1),
        configured("asked", &[("flush.messages", Some("1"))]),
        topic("__consumer_offsets", 1, 1),
    ]);
    for (name, expected) in
        [("synced", None), ("cached", Some("1000")), ("asked", Some("1")), ("__consumer_offsets", None)]
    {
        assert_eq!(cluster.topic_config(name).get("flush.messages").map(String::as_str), expected, "{name}");
    }
    for (name, value) in [("synced", "5"), ("cached", "1")] {
        let outcome = cluster.alter(ResourceType::Topic, name, vec![set("flush.messages", value)]);
        refused(outcome, ErrorCode::InvalidConfig, "is fixed when the topic is created");
    }
    let outcome = cluster.alter(ResourceType::Topic, "cached", vec![operation("flush.messages", 1, None)]);
    refused(outcome, ErrorCode::InvalidConfig, "is fixed when the topic is created");
    assert_eq!(cluster.alter(ResourceType::Topic, "cached", vec![set("flush.messages", "7")]), Ok(()));
}

#[test]
fn a_topic_that_syncs_takes_a_flush_interval_and_goes_on_syncing() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![topic("t", 1, 1), configured("cached", &[("flush.ms", Some("5"))])]);
    assert_eq!(cluster.alter(ResourceType::Topic, "t", vec![set("flush.ms", "12345678")]), Ok(()));
    assert_eq!(shown(&cluster, "t"), "flush.messages=1 flush.ms=12345678");
    // What is in force cannot be taken away; without the interval it says what the default says.
    let delete = |name: &str| operation(name, 1, None);
    assert_eq!(cluster.alter(ResourceType::Topic, "t", vec![delete("flush.messages")]), Ok(()));
    assert_eq!(shown(&cluster, "t"), "flush.messages=1 flush.ms=12345678");
    let both = vec![delete("flush.messages"), delete("flush.ms")];
    assert_eq!(cluster.alter(ResourceType::Topic, "t", both), Ok(()));
    assert_eq!(shown(&cluster, "t"), "");
    assert_eq!(cluster.alter(ResourceType::Topic, "cached", vec![set("flush.ms", "6")]), Ok(()));
    assert_eq!(shown(&cluster, "cached"), "flush.ms=6", "the page cache stays the page cache");
}

#[test]
fn configs_are_set_deleted_appended_and_subtracted() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![topic("t", 1, 1)]);
    let policy = "cleanup.policy";
    for (updates, expected) in [
        (vec![set("segment.ms", "5"), set("retention.ms", "-1")], "retention.ms=-1 segment.ms=5"),
        (vec![operation("segment.ms", 1, None), operation("no.such", 1, None)], "retention.ms=-1"),
        (vec![operation("retention.ms", 1, Some("ignored"))], ""),
        (vec![operation(policy, 2, Some("compact"))], "cleanup.policy=delete,compact"),
        (vec![operation(policy, 2, Some("compact"))], "cleanup.policy=delete,compact"),
        (vec![operation(policy, 3, Some("delete"))], "cleanup.policy=compact"),
        (vec![operation(policy, 3, Some("compact"))], "cleanup.policy="),
        (vec![operation(policy, 2, Some("delete,compact"))], "cleanup.policy=delete,compact"),
    ] {
        assert_eq!(cluster.alter(ResourceType::Topic, "t", updates), Ok(()));
        assert_eq!(shown(&cluster, "t"), expected);
    }
}

#[test]
fn brokers_are_configured_one_or_all() {
    let mut cluster = Cluster::with_brokers(1);
    assert_eq!(cluster.alter(ResourceType::Broker, "1", vec![set("max.connections", "5")]), Ok(()));
    assert_eq!(cluster.alter(ResourceType::Broker, "", vec![set("log.retention.ms", "6")]), Ok(()));
    assert_eq!(cluster.alter(ResourceType::Broker, "", vec![set("my.own.key", "7")]), Ok(()));
    assert_eq!(cluster.image().config(ResourceType::Broker, "1")["max.connections"], "5");
    let result = cluster.create(vec![topic("t", 1, 1)]).remove(0);
    let configs = result.configs.expect("they are described");
    let retention = configs.iter().find(|config| config.name == "retention.ms").expect("described");
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("6"), 3));
    let delete = vec![operation("max.connections", 1, None)];
    assert_eq!(cluster.alter(ResourceType::Broker, "1", delete), Ok(()));
    assert_eq!(cluster.image().config(ResourceType::Broker, "1"), &Texts::new());
}

#[test]
fn every_way_not_to_alter_a_config_has_its_error() {
    use ErrorCode::{InvalidConfig, InvalidRequest, InvalidTopicException, UnknownTopicOrPartition};
    use ResourceType::{Broker, ClientMetrics, Topic};
    let mut cluster = Cluster::with_brokers(1);
    cluster.create(vec![topic("t", 1, 1)]);
    let long = "x".repeat(40_000);
    for (kind, name, updates, code, message) in [
        (Topic, "", vec![], InvalidRequest, "Default topic resources"),
        (Topic, "a b", vec![], InvalidTopicException, "other than ASCII"),
        (Topic, "none", vec![], UnknownTopicOrPartition, "does not host"),
        (Topic, "t", vec![set("a", "1"), set("a", "2")], InvalidRequest, "duplicate config keys"),
        (Topic, "t", vec![operation("segment.ms", 0, None)], InvalidRequest, "Null value"),
        (Topic, "t", vec![operation("segment.ms", 4, Some("1"))], InvalidRequest, "operations type 4"),
        (Topic, "t", vec![set("no.such", "1")], InvalidConfig, "Unknown topic config name"),
        (Topic, "t", vec![set("segment.ms", "x")], InvalidConfig, "Not a number of type LONG"),
        (Topic, "t", vec![set("segment.ms", &long)], InvalidConfig, "maximum value size"),
        (Topic, "t", vec![operation("segment.ms", 2, Some("1"))], InvalidConfig, "Can't APPEND"),
        (Topic, "t", vec![operation("no.such", 3, Some("1"))], InvalidConfig, "Can't SUBTRACT"),
        (Topic, "t", vec![operation("cleanup.policy", 2, Some("x"))], InvalidConfig, "one of: compact"),
        (Topic, "t", vec![set("flush.ms", "-1")], InvalidConfig, "flush.ms"),
        (Topic, "t", vec![set("flush.ms", "100"), set("flush.messages", "2")], InvalidConfig, "is fixed"),
        (Broker, "x", vec![], InvalidRequest, "must be an integer"),
        (Broker, "1", vec![set("node.id", "2")], InvalidRequest, "dynamically: [node.id]"),
        (Broker, "", vec![set("cordoned.log.dirs", "d")], InvalidRequest, "broker id must be specified"),
        (Broker, "", vec![set("min.insync.replicas", "0")], InvalidRequest, "must be at least 1"),
        (
            Broker,
            "",
            vec![
                set("log.cleaner.min.compaction.lag.ms", "9"),
                set("log.cleaner.max.compaction.lag.ms", "8"),
            ],
            InvalidConfig,
            "must not be greater than",
        ),
        (ClientMetrics, "m", vec![], InvalidRequest, "not supported yet"),
        (
            Broker,
            "1",
            vec![set("min.insync.replicas", "1")],
            InvalidConfig,
            "Broker-level min.insync.replicas",
        ),
        (
            Broker,
            "",
            vec![operation("min.insync.replicas", 1, None)],
            InvalidConfig,
            "Cluster-level min.insync.replicas cannot be removed",
        ),
    ] {
        refused(cluster.alter(kind, name, updates), code, message);
    }
    assert_eq!(cluster.topic_config("t"), Texts::new(), "none of them left a trace");

    let good = |name: &str| resource(2, name, vec![set("segment.ms", "9")]);
    let resources = vec![good("t"), good("t"), resource(3, "t", vec![])];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    let response = cluster.take(cluster.controller.incremental_alter_configs(&request));
    assert!(response.responses.iter().all(|it| it.error_code == InvalidRequest.code()));

    let request = IncrementalAlterConfigsRequest { resources: vec![good("t")], validate_only: true };
    let decision = cluster.controller.incremental_alter_configs(&request);
    assert_eq!((decision.records.len(), decision.response.responses[0].error_code), (0, 0));
}

#[test]
fn an_elr_is_forgotten_where_a_lower_minimum_lets_the_high_watermark_move() {
    let mut cluster = Cluster::with_brokers(3);
    let own = configured("own", &[("min.insync.replicas", Some("3"))]).configs;
    cluster.create(vec![
        assigned("t", &[(0, &[1, 2])]),
        assigned("sole", &[(0, &[2])]),
        CreatableTopic { configs: own, ..assigned("own", &[(0, &[1, 2, 3])]) },
    ]);
    cluster.pass(10);
    cluster.beat(1);
    cluster.beat(3);
    assert_eq!(cluster.fence_stale(), ids(&[2]));
    assert_eq!(cluster.partition("t", 0).elr, ids(&[2]));
    assert_eq!(cluster.partition("sole", 0).elr, ids(&[2]));
    assert_eq!(cluster.partition("own", 0).elr, ids(&[2]));
    let before = cluster.partition("own", 0).partition_epoch;

    assert_eq!(cluster.alter(ResourceType::Broker, "", vec![set("min.insync.replicas", "1")]), Ok(()));
    assert_eq!(cluster.partition("t", 0).elr, [], "1 is enough now");
    assert_eq!(
        cluster.partition("sole", 0).elr,
        ids(&[2]),
        "without an ISR nothing moves, and 2 is all there is"
    );
    let own = cluster.partition("own", 0);
    assert_eq!((&own.elr, own.partition_epoch), (&ids(&[2]), before), "its minimum is its own");
    assert_eq!(cluster.alter(ResourceType::Topic, "own", vec![set("min.insync.replicas", "2")]), Ok(()));
    assert_eq!(cluster.partition("own", 0).elr, []);
}

#[test]
fn an_unclean_election_is_made_as_soon_as_it_is_allowed() {
    for (kind, allowed) in [(ResourceType::Topic, "t"), (ResourceType::Broker, "")] {
        let mut cluster = Cluster::with_brokers(2);
        cluster.create(vec![assigned("t", &[(0, &[1, 2])]), assigned("there", &[(0, &[2])])]);
        cluster.shrink("t", vec![1]);
        cluster.pass(10);
        cluster.beat(2);
        assert_eq!(cluster.fence_stale(), ids(&[1]));
        assert_eq!(cluster.alter(kind, allowed, vec![set("min.insync.replicas", "1")]), Ok(()));
        assert_eq!(cluster.partition("t", 0).leader, BrokerId::NONE);
        let lax = |value| vec![set("unclean.leader.election.enable", value)];
        assert_eq!(cluster.alter(kind, allowed, lax("false")), Ok(()));
        assert_eq!(cluster.partition("t", 0).leader, BrokerId::NONE);
        assert_eq!(cluster.alter(kind, allowed, lax("true")), Ok(()));
        assert_eq!(cluster.partition("t", 0).leader, BrokerId(2));
        assert_eq!(cluster.partition("there", 0).partition_epoch.0, 0, "nothing else changes");
    }
}
