//! `ottla consume`: records to stdout.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::counted;
use super::terminal::Terminal;
use super::time::{format_timestamp, parse_timestamp};
use super::{Failed, PATIENCE, Stop, code_hint};
use crate::client::Consumer;
use crate::client::config::{ClientConfig, ConsumerConfig, IsolationLevel, OffsetReset};
use crate::client::consumer::{ConsumerError, ConsumerRecord, Start, TopicPartition};
use crate::client::futures::{Either, race};
use crate::env::Env;
use crate::types::{Offset, WallMs};

/// How long one poll waits. Troubles are told as often at most.
const POLL: Duration = Duration::from_secs(1);

/// `ottla consume`.
#[derive(Debug, Clone, clap::Args)]
pub struct ConsumeArgs {
    /// The topic to read.
    pub topic: String,
    /// Begin with the oldest record [default: with the next new one].
    #[arg(long, conflicts_with_all = ["offset", "from_timestamp"])]
    pub from_beginning: bool,
    /// Begin with this offset; needs --partition.
    #[arg(long, requires = "partition", conflicts_with = "from_timestamp")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: Option<i64>,
    /// Begin with the first record as late as this: milliseconds since 1970, or a date in UTC like
    /// 2026-01-31T12:00:00.
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    pub from_timestamp: Option<WallMs>,
    /// Read this partition only.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// End after so many records.
    #[arg(long, short = 'n', value_name = "N")]
    pub max_messages: Option<u64>,
    /// End where the topic ended when the command began.
    #[arg(long, short = 'e')]
    pub exit_at_end: bool,
    /// Leave out records of transactions that did not commit.
    #[arg(long)]
    pub read_committed: bool,
    /// Print the key before the value.
    #[arg(long)]
    pub print_key: bool,
    /// Print partition and offset before the value.
    #[arg(long)]
    pub print_offset: bool,
    /// Print the timestamp before the value.
    #[arg(long)]
    pub print_timestamp: bool,
    /// Print the headers before the value.
    #[arg(long)]
    pub print_headers: bool,
    /// What to print between all these.
    #[arg(long, value_name = "TEXT", default_value = "\t")]
    pub separator: String,
}

pub(super) async fn run<E: Env>(
    env: &E,
    client: ClientConfig,
    args: &ConsumeArgs,
    terminal: &mut Terminal,
) -> Result<bool, Stop> {
    let mut consumer = Consumer::new(env, consumer_config(client, args), 0).map_err(failed)?;
    let indexes = consumer.partitions(&args.topic, PATIENCE).await.map_err(failed)?;
    let partitions = chosen(args, &indexes)?;
    let mut ends = BTreeMap::new();
    if args.exit_at_end {
        ends = consumer.end_offsets(&partitions, PATIENCE).await.map_err(failed)?;
        // What begins where it ends has nothing to give: asking where that is now might find it moved.
        for (partition, &end) in &ends {
            let start = start(args);
            let start = if start == Start::Latest { Start::Offset(end) } else { start };
            consumer.assign(partition.clone(), start);
        }
    } else {
        partitions.iter().for_each(|partition| consumer.assign(partition.clone(), start(args)));
    }
    let mut printed = 0;
    let outcome = print_records(&mut consumer, args, &ends, &mut printed, terminal).await;
    terminal.unshow().await;
    if terminal.watched {
        // Results first, then what is said about them.
        terminal.flush().await?;
        terminal.say(&counted(printed, "record")).await;
    }
    outcome.map(|()| true)
}

fn consumer_config(client: ClientConfig, args: &ConsumeArgs) -> ConsumerConfig {
    ConsumerConfig {
        client,
        // An offset that is not there (any more) is an error if a person named it, not otherwise.
        auto_offset_reset: if args.offset.is_some() { OffsetReset::None } else { OffsetReset::Earliest },
        isolation_level: if args.read_committed {
            IsolationLevel::ReadCommitted
        } else {
            IsolationLevel::ReadUncommitted
        },
        allow_auto_create_topics: false,
        ..ConsumerConfig::default()
    }
}

fn start(args: &ConsumeArgs) -> Start {
    match (args.offset, args.from_timestamp) {
        (Some(offset), _) => Start::Offset(Offset(offset)),
        (None, Some(timestamp)) => Start::Timestamp(timestamp),
        (None, None) if args.from_beginning => Start::Earliest,
        (None, None) => Start::Latest,
    }
}

fn chosen(args: &ConsumeArgs, indexes: &[i32]) -> Result<Vec<TopicPartition>, Failed> {
    let partition = |&index: &i32| TopicPartition::new(&args.topic, index);
    match args.partition {
        Some(index) if indexes.contains(&index) => Ok(vec![partition(&index)]),
        Some(index) => Err(Failed {
            error: format!(
                "topic {} has {}, none with index {index}",
                args.topic,
                counted(indexes.len() as u64, "partition")
            ),
            hint: Some("partitions are counted from 0".to_owned()),
        }),
        None => Ok(indexes.iter().map(partition).collect()),
    }
}

/// Prints until the end asked for, or until the user has had enough.
async fn print_records<E: Env>(
    consumer: &mut Consumer<E>,
    args: &ConsumeArgs,
    ends: &BTreeMap<TopicPartition, Offset>,
    printed: &mut u64,
    terminal: &mut Terminal,
) -> Result<(), Stop> {
    let limit = args.max_messages.unwrap_or(u64::MAX);
    let mut troubled = false;
    while *printed < limit && !(args.exit_at_end && is_at_end(consumer, ends)) {
        let records = match race(&mut terminal.interrupted, consumer.poll(POLL)).await {
            Either::First(()) => return Ok(()),
            Either::Second(records) => records,
        };
        let records = records.map_err(|error| Failed { error: error.to_string(), hint: None })?;
        for record in &records {
            let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            let beyond = ends.get(&partition).is_some_and(|&end| record.offset >= end);
            if *printed < limit && !beyond {
                terminal.print(&format_record(record, args)).await?;
                *printed += 1;
            }
        }
        // A reader on the other side of a pipe wants records when they come.
        terminal.flush().await?;
        match consumer.trouble() {
            Some(trouble) if !troubled => terminal.say(&format!("waiting: {trouble}")).await,
            _ => {}
        }
        troubled = consumer.trouble().is_some();
    }
    Ok(())
}

fn is_at_end<E: Env>(consumer: &Consumer<E>, ends: &BTreeMap<TopicPartition, Offset>) -> bool {
    ends.iter().all(|(partition, &end)| consumer.position(partition).is_some_and(|position| position >= end))
}

/// A record's line.
fn format_record(record: &ConsumerRecord, args: &ConsumeArgs) -> Vec<u8> {
    const NULL: &[u8] = b"null";
    let mut line = Vec::new();
    let mut field = |bytes: &[u8]| {
        line.extend_from_slice(bytes);
        line.extend_from_slice(args.separator.as_bytes());
    };
    if args.print_timestamp {
        field(format_timestamp(record.timestamp).as_bytes());
    }
    if args.print_offset {
        field(record.partition.to_string().as_bytes());
        field(record.offset.to_string().as_bytes());
    }
    if args.print_headers {
        let mut headers = Vec::new();
        for (index, header) in record.headers.iter().enumerate() {
            headers.extend_from_slice(if index == 0 { b"" } else { b"," });
            headers.extend_from_slice(&header.key);
            headers.push(b'=');
            headers.extend_from_slice(header.value.as_deref().unwrap_or(NULL));
        }
        field(&headers);
    }
    if args.print_key {
        field(record.key.as_deref().unwrap_or(NULL));
    }
    line.extend_from_slice(record.value.as_deref().unwrap_or(NULL));
    line.push(b'\n');
    line
}

fn failed(error: ConsumerError) -> Failed {
    let hint = match &error {
        ConsumerError::Topic { error, .. } | ConsumerError::Partition { error, .. } => code_hint(*error),
        _ => None,
    };
    Failed { error: error.to_string(), hint: hint.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use clap::Parser as _;

    use super::*;
    use crate::types::LeaderEpoch;
    use crate::wire::records::Header;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ConsumeArgs,
    }

    fn args(line: &str) -> Result<ConsumeArgs, clap::Error> {
        Line::try_parse_from(std::iter::once("consume").chain(line.split_whitespace())).map(|line| line.args)
    }

    fn record(key: Option<&'static str>, value: Option<&'static str>) -> ConsumerRecord {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        ConsumerRecord {
            topic: "t".into(),
            partition: 2,
            offset: Offset(7),
            timestamp: WallMs(1_700_000_000_000),
            leader_epoch: LeaderEpoch(0),
            key: key.map(bytes),
            value: value.map(bytes),
            headers: vec![
                Header { key: bytes("h"), value: Some(bytes("1")) },
                Header { key: bytes("g"), value: None },
            ],
        }
    }

    #[test]
    fn a_record_is_its_value_and_what_is_asked_for() {
        let lines = [
            ("t", record(Some("k"), Some("v"))),
            ("t --print-key", record(Some("k"), Some("v"))),
            ("t --print-key", record(None, None)),
            ("t --print-offset --print-timestamp --separator |", record(None, Some("v"))),
            ("t --print-headers --separator |", record(None, Some("v"))),
        ];
        let text = lines.map(|(line, record)| {
            String::from_utf8(format_record(&record, &args(line).unwrap())).unwrap().replace('\t', "<tab>")
        });
        insta::assert_snapshot!(text.concat(), @r"
        v
        k<tab>v
        null<tab>null
        2023-11-14T22:13:20.000Z|2|7|v
        h=1,g=null|v
        ");
    }

    #[test]
    fn beginnings_exclude_each_other() {
        assert_eq!(start(&args("t").unwrap()), Start::Latest);
        assert_eq!(start(&args("t --from-beginning").unwrap()), Start::Earliest);
        assert_eq!(start(&args("t --offset 5 --partition 0").unwrap()), Start::Offset(Offset(5)));
        assert_eq!(
            start(&args("t --from-timestamp 1970-01-02").unwrap()),
            Start::Timestamp(WallMs(86_400_000))
        );
        for wrong in ["t --offset 5", "t --from-beginning --offset 5 --partition 0", "t --offset -1", ""] {
            assert!(args(wrong).is_err(), "{wrong}");
        }
    }
}
