//! `ottla topics`: create, list, describe, delete.

use std::collections::BTreeMap;

use super::table::{counted, table};
use super::terminal::Terminal;
use super::{Failed, Stop};
use crate::client::Admin;
use crate::client::admin::{ConfigEntry, ConfigResource, ConfigSource, CreatedTopic, NewTopic};
use crate::client::config::ClientConfig;
use crate::client::metadata::{Partition, Topic};
use crate::env::Env;
use crate::types::BrokerId;

/// What to do with topics.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum TopicsCommand {
    /// Make a topic.
    Create {
        /// Its name.
        name: String,
        /// How many partitions [default: the cluster's].
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// How many replicas of each partition [default: the cluster's].
        #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A topic option, as in `--config retention.ms=60000`; may be given several times.
        #[arg(long = "config", value_name = "NAME=VALUE", value_parser = parse_config)]
        configs: Vec<(String, String)>,
    },
    /// Show all topics.
    List {
        /// Show the cluster's own topics too.
        #[arg(long)]
        internal: bool,
    },
    /// Show partitions and options of a topic, or of all.
    Describe {
        /// The topic's name.
        name: Option<String>,
    },
    /// Delete a topic, with everything in it.
    Delete {
        /// Its name.
        name: String,
    },
}

pub(super) async fn run<E: Env>(
    env: &E,
    config: ClientConfig,
    command: TopicsCommand,
    terminal: &mut Terminal,
) -> Result<bool, Stop> {
    let mut admin = Admin::new(env, config, 0)?;
    match command {
        TopicsCommand::Create { name, partitions, replication_factor, configs } => {
            let configs = configs.into_iter().collect();
            let assignments = BTreeMap::new();
            let topic = NewTopic { name, partitions, replication_factor, assignments, configs };
            let created = single(admin.create_topics(&[topic], false).await?)?;
            terminal.print(created_text(&created.0, &created.1).as_bytes()).await?;
        }
        TopicsCommand::List { internal } => {
            let topics = admin.list_topics().await?;
            terminal.print(list_text(&topics, internal).as_bytes()).await?;
        }
        TopicsCommand::Describe { name } => {
            let topics = match name {
                Some(name) => vec![single(admin.describe_topics(&[name]).await?)?],
                None => admin.list_topics().await?.into_iter().filter(|(_, topic)| !topic.internal).collect(),
            };
            for (index, (name, topic)) in topics.iter().enumerate() {
                let configs = admin.describe_configs(&ConfigResource::Topic(name.clone())).await?;
                let gap = if index == 0 { "" } else { "\n" };
                let text = format!("{gap}{}", describe_text(name, topic, &configs));
                terminal.print(text.as_bytes()).await?;
            }
        }
        TopicsCommand::Delete { name } => {
            let (name, ()) = single(admin.delete_topics(&[name]).await?)?;
            terminal.print(format!("deleted topic {name}\n").as_bytes()).await?;
        }
    }
    Ok(true)
}

fn parse_config(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// The outcome of the one topic asked for.
fn single<T>(mut outcomes: crate::client::admin::PerTopic<T>) -> Result<(String, T), Failed> {
    let (name, outcome) = outcomes
        .pop()
        .ok_or_else(|| Failed { error: "the cluster's answer is empty".to_owned(), hint: None })?;
    match outcome {
        Ok(outcome) => Ok((name, outcome)),
        Err(error) => {
            let failed = Failed::from(error);
            Err(Failed { error: format!("topic {name}: {}", failed.error), ..failed })
        }
    }
}

fn created_text(name: &str, created: &CreatedTopic) -> String {
    let mut text = format!("created topic {name}");
    if created.partitions > 0 {
        let partitions = counted(u64::from(created.partitions.unsigned_abs()), "partition");
        text.push_str(&format!(": {partitions}, replication factor {}", created.replication_factor));
    }
    text.push('\n');
    text
}

fn list_text(topics: &BTreeMap<String, Topic>, internal: bool) -> String {
    let shown = topics.iter().filter(|(_, topic)| internal || !topic.internal);
    let rows: Vec<Vec<String>> = shown
        .map(|(name, topic)| {
            let replicas = topic.partitions.values().map(|partition| partition.replicas.len()).max();
            vec![name.clone(), topic.partitions.len().to_string(), replicas.unwrap_or(0).to_string()]
        })
        .collect();
    if rows.is_empty() {
        return "no topics\n".to_owned();
    }
    table(&["TOPIC", "PARTITIONS", "REPLICATION"], &rows)
}

fn describe_text(name: &str, topic: &Topic, configs: &[ConfigEntry]) -> String {
    let mut text = format!("topic {name}\nid    {}\n", topic.id);
    let own = configs.iter().filter(|entry| entry.source == ConfigSource::Topic);
    let own: Vec<String> =
        own.map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("(secret)"))).collect();
    if !own.is_empty() {
        text.push_str(&format!("set   {}\n", own.join(", ")));
    }
    let row = |(index, partition): (&i32, &Partition)| {
        let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
        vec![
            index.to_string(),
            leader,
            partition.leader_epoch.to_string(),
            ids(&partition.replicas),
            ids(&partition.isr),
            ids(&partition.offline),
        ]
    };
    let rows: Vec<Vec<String>> = topic.partitions.iter().map(row).collect();
    text.push_str(&table(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE"], &rows));
    text
}

fn ids(ids: &[BrokerId]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_code::ErrorCode;
    use crate::types::{LeaderEpoch, Uuid};

    fn partition(leader: Option<i32>, replicas: &[i32], isr: &[i32]) -> Partition {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        Partition {
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(4),
            replicas: ids(replicas),
            isr: ids(isr),
            offline: Vec::new(),
            error: ErrorCode::None,
        }
    }

    fn topic(partitions: Vec<Partition>, internal: bool) -> Topic {
        let partitions = (0..).zip(partitions).collect();
        Topic { id: Uuid(0x0123_4567_89ab_cdef), internal, error: ErrorCode::None, partitions }
    }

    #[test]
    fn a_list_of_topics() {
        let mut topics = BTreeMap::new();
        topics.insert("orders".to_owned(), topic(vec![partition(Some(1), &[1, 2, 3], &[1, 2, 3])], false));
        topics.insert("__consumer_offsets".to_owned(), topic(vec![partition(Some(1), &[1], &[1])], true));
        insta::assert_snapshot!(list_text(&topics, false), @r"
        TOPIC   PARTITIONS  REPLICATION
        orders  1           3
        ");
        insta::assert_snapshot!(list_text(&topics, true), @r"
        TOPIC               PARTITIONS  REPLICATION
        __consumer_offsets  1           1
        orders              1           3
        ");
        assert_eq!(list_text(&BTreeMap::new(), true), "no topics\n");
    }

    #[test]
    fn a_topic_described() {
        let topic =
            topic(vec![partition(Some(1), &[1, 2, 3], &[1, 3]), partition(None, &[2, 3, 1], &[])], false);
        let entry = |name: &str, value: &str, source| ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
            read_only: false,
            sensitive: false,
        };
        let configs = [
            entry("retention.ms", "60000", ConfigSource::Topic),
            entry("segment.bytes", "1073741824", ConfigSource::Default),
        ];
        insta::assert_snapshot!(describe_text("orders", &topic, &configs), @r"
        topic orders
        id    AAAAAAAAAAABI0VniavN7w
        set   retention.ms=60000
        PARTITION  LEADER  EPOCH  REPLICAS  IN SYNC  OFFLINE
        0          1       4      1,2,3     1,3      -
        1          none    4      2,3,1     -        -
        ");
    }

    #[test]
    fn a_topic_created() {
        let told = CreatedTopic { id: Uuid::ZERO, partitions: 1, replication_factor: 3 };
        let untold = CreatedTopic { id: Uuid::ZERO, partitions: -1, replication_factor: -1 };
        assert_eq!(created_text("a", &told), "created topic a: 1 partition, replication factor 3\n");
        assert_eq!(created_text("a", &untold), "created topic a\n");
    }

    #[test]
    fn options_are_name_and_value() {
        assert_eq!(parse_config("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_config("a").is_err());
        assert!(parse_config("=b").is_err());
    }
}
