//! `ottla topics`: create, list, describe, delete.

mod describe;

use std::collections::BTreeMap;

use super::brokers::Brokers;
use super::table::{counted, table};
use super::terminal::Terminal;
use super::{Failed, Stop};
use crate::client::Admin;
use crate::client::admin::{ConfigResource, CreatedTopic, NewTopic, TopicDescription};
use crate::client::config::ClientConfig;
use crate::client::metadata::Topic;
use crate::env::Env;

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
    /// Show partitions, replicas and options of a topic, or of all.
    ///
    /// AR are the replicas of a partition that there shall be, ISR those in sync, OSR the others, ELR those of
    /// them that may lead nevertheless. Every replica is asked where its log begins and ends, and up to where it
    /// knows it to be committed.
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
    let mut admin = Admin::new(env, config.clone(), 0)?;
    match command {
        TopicsCommand::Create { name, partitions, replication_factor, configs } => {
            let configs = configs.into_iter().collect();
            let assignments = BTreeMap::new();
            let topic = NewTopic { name, partitions, replication_factor, assignments, configs };
            let created = single(admin.create_topics(&[topic], false).await?)?;
            terminal.print(created_text(&created.0, &created.1).as_bytes()).await?;
            if replication_factor.is_some() {
                point_out_few_replicas(env, &config, &mut admin, &created.1, terminal).await?;
            }
        }
        TopicsCommand::List { internal } => {
            let topics = admin.list_topics().await?;
            terminal.print(list_text(&topics, internal).as_bytes()).await?;
        }
        TopicsCommand::Describe { name } => {
            let described = Box::pin(describe(env, &config, &mut admin, name, terminal)).await;
            terminal.unshow().await;
            described?;
        }
        TopicsCommand::Delete { name } => {
            let (name, ()) = single(admin.delete_topics(&[name]).await?)?;
            terminal.print(format!("deleted topic {name}\n").as_bytes()).await?;
        }
    }
    Ok(true)
}

/// Says so if a topic was made with fewer replicas than is the default. If that cannot be known, the topic is made
/// all the same.
async fn point_out_few_replicas<E: Env>(
    env: &E,
    config: &ClientConfig,
    admin: &mut Admin<E>,
    created: &CreatedTopic,
    terminal: &mut Terminal,
) -> Result<(), Stop> {
    let Ok(replicas) = usize::try_from(created.replication_factor) else { return Ok(()) };
    let Ok(cluster) = admin.describe_cluster().await else { return Ok(()) };
    let brokers = Brokers::look_for(env, config, &cluster).await;
    let default = brokers.default_replicas(admin).await;
    if let Some(note) = describe::fewer_than_default(replicas, default) {
        // Results first, then what is said about them.
        terminal.flush().await?;
        terminal.say(&format!("note: {note}")).await;
    }
    Ok(())
}

async fn describe<E: Env>(
    env: &E,
    config: &ClientConfig,
    admin: &mut Admin<E>,
    name: Option<String>,
    terminal: &mut Terminal,
) -> Result<(), Stop> {
    let topics: Vec<(String, TopicDescription)> = match name {
        Some(name) => vec![single(admin.describe_partitions(Some(&[name])).await?)?],
        None => {
            let all = admin.describe_partitions(None).await?.into_iter();
            let all = all.filter_map(|(name, topic)| Some((name, topic.ok()?)));
            all.filter(|(_, topic)| !topic.internal).collect()
        }
    };
    terminal.show("looking for the brokers").await;
    let cluster = admin.describe_cluster().await?;
    let mut brokers = Brokers::look_for(env, config, &cluster).await;
    let default = brokers.default_replicas(admin).await;
    for (index, (name, topic)) in topics.iter().enumerate() {
        terminal.show(&format!("asking the replicas of {name}")).await;
        let configs = admin.describe_configs(&ConfigResource::Topic(name.clone())).await?;
        let positions = describe::ask_replicas(admin, &mut brokers, name, topic).await;
        let gap = if index == 0 { "" } else { "\n" };
        let text = format!("{gap}{}", describe::text(name, topic, &configs, default, &positions));
        terminal.unshow().await;
        terminal.print(text.as_bytes()).await?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::metadata::Partition;
    use crate::error_code::ErrorCode;
    use crate::types::{BrokerId, LeaderEpoch, Uuid};

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
