//! What DescribeConfigs shows: every config with its value, where that comes from, and its synonyms.

use super::broker_keys::{BROKER_KEYS, Update, broker_key, broker_synonyms};
use super::topic::resolve;
use super::topic_keys::TOPIC_KEYS;
use super::value::{Kind, ValueError};
use super::{Layers, Source, Texts};

/// One config as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its value in normal form, if it has one.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Whether it cannot be altered while a broker runs.
    pub read_only: bool,
    /// The type of its value.
    pub kind: Kind,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Everything that gives it a value, strongest first; the first one is in force.
    pub synonyms: Vec<Synonym>,
}

/// One thing that gives a config a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Synonym {
    /// The name of the config that is set, with its own unit.
    pub name: &'static str,
    /// Its text.
    pub value: String,
    /// Where it is set.
    pub source: Source,
}

/// A topic's configuration.
///
/// # Errors
/// A stored text that is no value of its config: nothing that passed validation.
pub fn describe_topic(overrides: &Texts, layers: Layers<'_>) -> Result<Vec<Described>, ValueError> {
    let mut described = Vec::with_capacity(TOPIC_KEYS.len());
    for key in TOPIC_KEYS {
        let own = overrides.get(key.name);
        if key.is_internal() && own.is_none() {
            continue;
        }
        let resolved = resolve(key, overrides, layers)?;
        let mut synonyms = Vec::new();
        if let Some(text) = own {
            synonyms.push(Synonym { name: key.name, value: text.clone(), source: Source::Topic });
        }
        // The durability of a topic does not follow the broker's configs once the topic exists.
        if !matches!(key.name, "flush.messages" | "flush.ms") {
            let names: Vec<&'static str> = key.synonyms.iter().map(|synonym| synonym.name).collect();
            synonyms.extend(set_synonyms(&names, layers));
        }
        described.push(Described {
            name: key.name,
            value: resolved.value.map(|value| value.to_string()),
            source: resolved.source,
            read_only: false,
            kind: key.kind,
            doc: key.doc,
            synonyms,
        });
    }
    Ok(described)
}

/// The configuration of the broker that answers.
///
/// # Errors
/// A stored text that is no value of its config: nothing that passed validation.
pub fn describe_broker(layers: Layers<'_>) -> Result<Vec<Described>, ValueError> {
    let mut described = Vec::with_capacity(BROKER_KEYS.len());
    for key in BROKER_KEYS {
        if key.is_hidden() && layers.get(key.name).is_none() {
            continue;
        }
        let synonyms: Vec<Synonym> = set_synonyms(&broker_synonyms(key.name), layers)
            .into_iter()
            .skip_while(|synonym| synonym.name != key.name)
            .collect();
        let (value, source) = match layers.get(key.name) {
            Some((text, source)) => (Some(key.parse(text)?), source),
            None => (key.default_value(), Source::Default),
        };
        described.push(Described {
            name: key.name,
            value: value.map(|value| value.to_string()),
            source,
            read_only: key.update == Update::ReadOnly,
            kind: key.kind,
            doc: key.doc,
            synonyms,
        });
    }
    Ok(described)
}

/// The dynamic configuration of all brokers, the resource with the empty name: only what is set.
pub fn describe_cluster(cluster: &Texts) -> Vec<Described> {
    let set = cluster.iter().filter_map(|(name, text)| Some((broker_key(name)?, text)));
    set.map(|(key, text)| Described {
        name: key.name,
        value: Some(text.clone()),
        source: Source::DynamicCluster,
        read_only: key.update == Update::ReadOnly,
        kind: key.kind,
        doc: key.doc,
        synonyms: vec![Synonym { name: key.name, value: text.clone(), source: Source::DynamicCluster }],
    })
    .collect()
}

/// Which of these broker configs are set, the stronger layer first, and their defaults last.
fn set_synonyms(names: &[&'static str], layers: Layers<'_>) -> Vec<Synonym> {
    let sources = [
        (layers.broker, Source::DynamicBroker),
        (layers.cluster, Source::DynamicCluster),
        (layers.server, Source::Server),
    ];
    let mut synonyms = Vec::new();
    for (texts, source) in sources {
        for &name in names {
            if let Some(text) = texts.get(name) {
                synonyms.push(Synonym { name, value: text.clone(), source });
            }
        }
    }
    for &name in names {
        if let Some(text) = broker_key(name).and_then(|key| key.default) {
            synonyms.push(Synonym { name, value: text.to_owned(), source: Source::Default });
        }
    }
    synonyms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn line(described: &Described) -> String {
        let synonyms: Vec<String> = described
            .synonyms
            .iter()
            .map(|synonym| format!("{:?}:{}={}", synonym.source, synonym.name, synonym.value))
            .collect();
        let value = described.value.as_deref().unwrap_or("null");
        format!("{}={value} {:?} [{}]", described.name, described.source, synonyms.join(", "))
    }

    fn find(described: &[Described], name: &str) -> String {
        line(described.iter().find(|config| config.name == name).expect("it is described"))
    }

    #[test]
    fn a_topic_shows_overrides_synonyms_and_sources() {
        let server = texts(&[("log.retention.hours", "1"), ("log.flush.interval.messages", "7")]);
        let overrides = texts(&[("segment.bytes", "2097152")]);
        let described = describe_topic(&overrides, Layers::only_server(&server)).expect("all are valid");
        assert_eq!(
            find(&described, "segment.bytes"),
            "segment.bytes=2097152 Topic [Topic:segment.bytes=2097152, Default:log.segment.bytes=1073741824]"
        );
        assert_eq!(
            find(&described, "retention.ms"),
            "retention.ms=3600000 Server [Server:log.retention.hours=1, Default:log.retention.hours=168]"
        );
        assert_eq!(find(&described, "flush.messages"), "flush.messages=1 Default []");
        assert_eq!(described.len(), TOPIC_KEYS.len() - 1, "internal configs show only where they are set");
    }

    #[test]
    fn a_broker_shows_static_and_dynamic_values() {
        let server = texts(&[("node.id", "1"), ("log.retention.hours", "2")]);
        let cluster = texts(&[("min.insync.replicas", "1")]);
        let broker = Texts::new();
        let described = describe_broker(Layers { broker: &broker, cluster: &cluster, server: &server })
            .expect("all are valid");
        assert_eq!(find(&described, "node.id"), "node.id=1 Server [Server:node.id=1]");
        assert_eq!(
            find(&described, "min.insync.replicas"),
            "min.insync.replicas=1 DynamicCluster [DynamicCluster:min.insync.replicas=1, \
             Default:min.insync.replicas=2]"
        );
        assert_eq!(find(&described, "log.retention.ms"), "log.retention.ms=null Default []");
        let hidden = BROKER_KEYS.iter().filter(|key| key.is_hidden()).count();
        assert_eq!(
            (described.len(), hidden),
            (BROKER_KEYS.len() - 3, 3),
            "they show only where they are set"
        );
        let by_name = |name: &str| described.iter().find(|config| config.name == name).expect("described");
        assert!(by_name("node.id").read_only && !by_name("min.insync.replicas").read_only);
    }

    #[test]
    fn a_throttle_shows_where_it_is_set() {
        let (name, none) = ("leader.replication.throttled.rate", Texts::new());
        let broker = texts(&[(name, "1000")]);
        let described = describe_broker(Layers { broker: &broker, cluster: &none, server: &none })
            .expect("all are valid");
        assert_eq!(
            find(&described, name),
            format!(
                "{name}=1000 DynamicBroker [DynamicBroker:{name}=1000, Default:{name}=9223372036854775807]"
            )
        );
    }

    #[test]
    fn the_cluster_shows_only_what_is_set() {
        let cluster = texts(&[("min.insync.replicas", "1")]);
        let described = describe_cluster(&cluster);
        assert_eq!(described.len(), 1);
        assert_eq!(described[0].source, Source::DynamicCluster);
    }
}
