//! What a configuration must say, must not say, and what contradicts itself in it.

use super::{Given, Roles};
use crate::config::broker_keys::{Effect, ONLY_DYNAMIC, broker_key, later_family};
use crate::config::{Layers, Texts, topic};

/// The only class that there is for `replica.selector.class`.
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// Times that Kafka lets be zero or less, where they leave no time at all.
const AT_LEAST_ONE: &[&str] = &[
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "controller.quorum.election.timeout.ms",
    "controller.quorum.fetch.timeout.ms",
    "controller.quorum.request.timeout.ms",
    "initial.broker.registration.timeout.ms",
    "replica.lag.time.max.ms",
    "replica.socket.timeout.ms",
];

pub(super) fn required(given: &Given<'_>, problems: &mut Vec<String>) {
    match given.node_id() {
        None => problems.push("node.id is not set: give this node a number of its own, node.id=1".to_owned()),
        Some(id) if id.0 < 0 => problems.push(format!("node.id is {id}: it must be 0 or more")),
        Some(_) => {}
    }
    if given.is_set("node.id")
        && given.is_set("broker.id")
        && given.number("broker.id") != given.number("node.id")
    {
        problems.push("broker.id and node.id differ: keep node.id only".to_owned());
    }
    if !given.is_set("process.roles") {
        problems.push(
            "process.roles is not set: set process.roles=broker,controller for a node that is both, or one of \
             the two"
                .to_owned(),
        );
    }
    if !given.is_set("log.dirs") && !given.is_set("log.dir") {
        problems.push(
            "log.dirs is not set: name the directory for the data (Kafka's default lies under /tmp, which \
             systems empty)"
                .to_owned(),
        );
    }
}

pub(super) fn unsafe_settings(given: &Given<'_>, problems: &mut Vec<String>) {
    if given.boolean("unclean.leader.election.enable") {
        problems.push(
            "unclean.leader.election.enable=true lets every topic lose acknowledged records: set it on the \
             topics that may, and remove it here"
                .to_owned(),
        );
    }
    if !given.get("authorizer.class.name").expect("it has a default").text().is_empty() {
        problems.push(
            "authorizer.class.name asks for access control, which this version does not have: remove it, and \
             let only trusted clients reach the listeners"
                .to_owned(),
        );
    }
    let tiered = given.texts.get("remote.log.storage.system.enable");
    if tiered.is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
        problems.push(
            "remote.log.storage.system.enable=true asks for tiered storage, which this version does not \
             have: remove it"
                .to_owned(),
        );
    }
    let selector = given.text("replica.selector.class").unwrap_or_default();
    if !selector.is_empty() && selector != RACK_AWARE {
        problems.push(format!(
            "replica.selector.class={selector} is a class that cannot be loaded: set {RACK_AWARE}, or remove \
             it to have consumers read from leaders"
        ));
    }
}

pub(super) fn contradictions(given: &Given<'_>, roles: Roles, problems: &mut Vec<String>) {
    let (replicas, minimum) =
        (given.number("default.replication.factor"), given.number("min.insync.replicas"));
    if given.is_set("min.insync.replicas") && minimum > replicas {
        problems.push(format!(
            "min.insync.replicas={minimum} asks for more replicas than default.replication.factor={replicas} \
             makes: lower the one or raise the other"
        ));
    }
    let (queued, largest) =
        (given.number("queued.max.request.bytes"), given.number("socket.request.max.bytes"));
    if queued > 0 && queued < largest {
        problems.push(format!(
            "queued.max.request.bytes={queued} has no room for one request of \
             socket.request.max.bytes={largest}: raise the one or lower the other"
        ));
    }
    if roles.only_broker() && given.boolean("controller.quorum.auto.join.enable") {
        problems.push(
            "controller.quorum.auto.join.enable=true is for controllers, and process.roles=broker is none: \
             remove it"
                .to_owned(),
        );
    }
    times(given, problems);
    if let Err(error) = topic::validate(None, &Texts::new(), Layers::only_server(given.texts)) {
        problems.push(format!("no topic could have these defaults: {error}"));
    }
    let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    if let Some(name) = retention.into_iter().find(|name| given.is_set(name))
        && given.number(name) == 0
    {
        problems.push(format!("{name}=0 would delete records at once: set -1 for no limit, or 1 and more"));
    }
}

fn times(given: &Given<'_>, problems: &mut Vec<String>) {
    for name in AT_LEAST_ONE {
        let value = given.number(name);
        if value < 1 {
            problems.push(format!("{name}={value} leaves no time at all: set it to 1 or more"));
        }
    }
    let wait = given.number("replica.fetch.wait.max.ms");
    for limit in ["replica.lag.time.max.ms", "replica.socket.timeout.ms"] {
        if wait > given.number(limit) {
            problems
                .push(format!("replica.fetch.wait.max.ms={wait} must not be more than {limit}: lower it"));
        }
    }
    let (interval, session) =
        (given.number("broker.heartbeat.interval.ms"), given.number("broker.session.timeout.ms"));
    if interval >= session {
        problems.push(format!(
            "broker.heartbeat.interval.ms={interval} must be less than broker.session.timeout.ms={session}, or \
             every broker is fenced between two heartbeats: lower the one or raise the other"
        ));
    }
}

/// What was set and does nothing, or does what one may not expect.
pub(super) fn warnings(given: &Given<'_>, roles: Roles) -> Vec<String> {
    let mut warnings: Vec<String> =
        given.texts.keys().filter_map(|name| without_effect(name.as_str())).collect();
    let mut flush = Texts::new();
    let pinned = topic::pin_durability(&mut flush, Layers::only_server(given.texts));
    if pinned.is_ok() && !flush.is_empty() {
        warnings.push(
            "log.flush.* lets new topics acknowledge records that are only in the page cache: a loss of \
             power on min.insync.replicas machines can lose them"
                .to_owned(),
        );
    }
    let (interval, session) =
        (given.number("broker.heartbeat.interval.ms"), given.number("broker.session.timeout.ms"));
    if interval.saturating_mul(2) > session {
        warnings.push(format!(
            "broker.heartbeat.interval.ms={interval} is more than half of broker.session.timeout.ms={session}: \
             one heartbeat that is lost gets a broker fenced"
        ));
    }
    let names = given.list("controller.listener.names");
    if roles.only_broker() && names.len() > 1 {
        warnings.push(format!(
            "controller.listener.names has several names: a broker calls controllers on the first, {}",
            names[0]
        ));
    }
    warnings
}

fn without_effect(name: &str) -> Option<String> {
    if ONLY_DYNAMIC.contains(&name) {
        return Some(format!(
            "{name} has no effect in a file: set it while the cluster runs, with kafka-configs --entity-type \
             brokers"
        ));
    }
    match broker_key(name) {
        Some(key) if key.effect == Effect::InForce => None,
        Some(key) => Some(format!("{name} has no effect: {}", key.doc)),
        None => Some(match later_family(name) {
            Some(reason) => format!("{name} has no effect: {reason}"),
            None => format!("{name} is not a configuration that is known: it is ignored"),
        }),
    }
}
