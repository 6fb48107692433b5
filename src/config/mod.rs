//! Configuration: Kafka's keys, their defaults and limits, and what they mean here.
//!
//! | file | what it knows |
//! |---|---|
//! | [`value`] | types of values, rules they obey, and how a text becomes one |
//! | [`properties`] | the syntax of Java's `.properties` files and of `--override key=value` |
//! | [`topic_keys`], [`broker_keys`] | the tables: all topic configs of Kafka 4.3, broker configs |
//! | [`topic`] | one topic's configuration: overrides over dynamic over static over defaults |
//! | [`listeners`], [`server`] | what `server.properties` says, parsed once into types and cross-checked |
//! | [`describe`] | what DescribeConfigs shows: values, sources, synonyms |
//!
//! Pure: texts in, types out. Values are checked where they enter (a file, a request), so that whatever is
//! stored parses; the typed structs are built from checked texts only.
//!
//! # Where Ottla's defaults differ from Kafka's
//!
//! `flush.messages` is 1 (a record counts once it is synced), `min.insync.replicas` 2,
//! `default.replication.factor` 3.

pub mod broker_keys;
pub mod describe;
pub mod listeners;
pub mod properties;
pub mod server;
pub mod topic;
pub mod topic_keys;
pub mod value;

use std::collections::BTreeMap;

/// Configured texts by key: a topic's overrides, a `server.properties`, a dynamic broker configuration.
pub type Texts = BTreeMap<String, String>;

/// The configurations below a topic's own, strongest first.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Dynamic configuration of this broker.
    pub broker: &'a Texts,
    /// Dynamic configuration of all brokers: the resource with the empty name.
    pub cluster: &'a Texts,
    /// What `server.properties` and `--override` set.
    pub server: &'a Texts,
}

impl<'a> Layers<'a> {
    /// The layers of a broker without dynamic configuration.
    pub fn only_server(server: &'a Texts) -> Self {
        static NONE: Texts = Texts::new();
        Self { broker: &NONE, cluster: &NONE, server }
    }

    /// The strongest text of a broker config, and where it stands; defaults are not consulted.
    pub fn get(&self, name: &str) -> Option<(&'a str, Source)> {
        let find = |texts: &'a Texts, source| Some((texts.get(name)?.as_str(), source));
        find(self.broker, Source::DynamicBroker)
            .or_else(|| find(self.cluster, Source::DynamicCluster))
            .or_else(|| find(self.server, Source::Server))
    }
}

/// Where a value comes from; the numbers are those of DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Source {
    /// The topic's own override.
    Topic = 1,
    /// Dynamic configuration of this broker.
    DynamicBroker = 2,
    /// Dynamic configuration of all brokers.
    DynamicCluster = 3,
    /// `server.properties` or `--override`.
    Server = 4,
    /// The built-in default.
    Default = 5,
}
