//! `ottla produce`: lines from stdin, one record each.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncBufReadExt as _;

use super::table::{counted, ranges};
use super::terminal::Terminal;
use super::{Failed, PATIENCE, Stop};
use crate::client::admin::AdminError;
use crate::client::config::{Acks, ClientConfig, ProducerConfig};
use crate::client::futures::{Either, race};
use crate::client::producer::{Delivery, DeliveryError, Outcome, Producer, ProducerRecord};
use crate::client::{Admin, producer};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::types::Mono;
use crate::wire::compression::Compression;

/// Outcomes that may be outstanding before reading goes on.
const OUTSTANDING_MAX: usize = 50_000;

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// `ottla produce`.
#[derive(Debug, Clone, clap::Args)]
pub struct ProduceArgs {
    /// The topic to send to.
    pub topic: String,
    /// What stands between key and value; without it, a line is a value.
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// Who must have a record before it counts as acknowledged: 0, 1 or all.
    #[arg(long, default_value = "all", value_parser = parse_acks)]
    pub acks: Acks,
    /// How to compress: none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "none", value_parser = parse_compression)]
    pub compression: Compression,
    /// The partition to send to [default: by key, else any].
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
}

pub(super) async fn run<E: Env>(
    env: &E,
    client: ClientConfig,
    args: &ProduceArgs,
    terminal: &mut Terminal,
) -> Result<bool, Stop> {
    check_topic(env, &client, args, terminal).await?;
    let config = ProducerConfig {
        client,
        acks: args.acks,
        compression_type: args.compression,
        max_block: PATIENCE,
        batch_size: 64 << 10,
        ..ProducerConfig::default()
    };
    let producer =
        Producer::new(env, config, 0).map_err(|error| Failed { error: error.to_string(), hint: None })?;
    let mut progress = Progress::new(env.clock().now());
    let ended = send_lines(env, &producer, args, terminal, &mut progress).await;
    producer.flush().await;
    progress.finish().await;
    producer.close(Duration::ZERO).await;
    terminal.unshow().await;
    terminal.say(&progress.report.to_string()).await;
    ended?;
    Ok(progress.report.all_well())
}

/// Says now what would otherwise come out only when the time for the first record is over.
async fn check_topic<E: Env>(
    env: &E,
    client: &ClientConfig,
    args: &ProduceArgs,
    terminal: &mut Terminal,
) -> Result<(), Stop> {
    let mut admin = Admin::new(env, client.clone(), 1)?;
    let mut described = admin.describe_topics(std::slice::from_ref(&args.topic)).await?;
    match described.pop() {
        Some((_, Ok(topic))) => match args.partition {
            Some(partition) if !topic.partitions.contains_key(&partition) => {
                let count = counted(topic.partitions.len() as u64, "partition");
                let error = format!("topic {} has {count}, none with index {partition}", args.topic);
                Err(Failed { error, hint: Some("partitions are counted from 0".to_owned()) }.into())
            }
            _ => Ok(()),
        },
        Some((_, Err(AdminError::Refused { error: ErrorCode::UnknownTopicOrPartition, .. }))) => {
            terminal
                .say(&format!("topic {} does not exist: asking the cluster to create it", args.topic))
                .await;
            Ok(())
        }
        Some((_, Err(error))) => Err(error.into()),
        None => Ok(()),
    }
}

/// Sends until the input ends or the user has had enough.
async fn send_lines<E: Env>(
    env: &E,
    producer: &Producer<E>,
    args: &ProduceArgs,
    terminal: &mut Terminal,
    progress: &mut Progress,
) -> Result<(), Failed> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let Terminal { stdin, interrupted, .. } = terminal;
        let read = match race(interrupted, stdin.read_until(b'\n', &mut line)).await {
            Either::First(()) => return Ok(()),
            Either::Second(read) => read,
        };
        let read =
            read.map_err(|error| Failed { error: format!("cannot read stdin: {error}"), hint: None })?;
        if read == 0 {
            return Ok(());
        }
        let record = parse_line(&line, args.key_separator.as_deref()).map_err(|text| Failed {
            error: format!("line {number}: {text}"),
            hint: Some("lines before it were sent, this one and the rest were not".to_owned()),
        })?;
        let delivery = producer.send(&args.topic, args.partition, record).await;
        progress.sent(number, delivery).await;
        let now = env.clock().now();
        if terminal.watched && progress.is_due(now) {
            terminal.show(&progress.line()).await;
        }
    }
    Ok(())
}

/// A line without its end, cut into key and value where that is asked for.
fn parse_line(line: &[u8], separator: Option<&str>) -> Result<ProducerRecord, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(separator) = separator else {
        return Ok(ProducerRecord::value(line.to_vec()));
    };
    let bytes = separator.as_bytes();
    let found = line.windows(bytes.len().max(1)).position(|window| window == bytes);
    let Some(found) = found else {
        return Err(format!("no key separator {separator:?}"));
    };
    let (key, value) = (&line[..found], &line[found + bytes.len()..]);
    Ok(ProducerRecord::keyed(key.to_vec(), value.to_vec()))
}

/// What was sent, and what became of it so far.
struct Progress {
    outstanding: VecDeque<(u64, Delivery)>,
    report: Report,
    shown: Mono,
}

impl Progress {
    fn new(now: Mono) -> Self {
        Self { outstanding: VecDeque::new(), report: Report::default(), shown: now }
    }

    /// Takes in a delivery, and those outcomes that have come; waits for some if too many have not.
    async fn sent(&mut self, line: u64, delivery: Delivery) {
        self.outstanding.push_back((line, delivery));
        loop {
            let full = self.outstanding.len() > OUTSTANDING_MAX;
            let Some((line, delivery)) = self.outstanding.front_mut() else { break };
            let line = *line;
            let outcome = poll_fn(|context| match Pin::new(&mut *delivery).poll(context) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if full => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            });
            let Some(outcome) = outcome.await else { break };
            self.outstanding.pop_front();
            self.report.add(line, &outcome);
        }
    }

    async fn finish(&mut self) {
        while let Some((line, delivery)) = self.outstanding.pop_front() {
            let outcome = delivery.await;
            self.report.add(line, &outcome);
        }
    }

    fn is_due(&mut self, now: Mono) -> bool {
        let due = now.since(self.shown) >= PROGRESS_EVERY;
        if due {
            self.shown = now;
        }
        due
    }

    fn line(&self) -> String {
        format!("{} acknowledged, {} on their way", self.report.acknowledged, self.outstanding.len())
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Report {
    acknowledged: u64,
    /// Lines by reason.
    not_written: BTreeMap<String, Vec<u64>>,
    unknown: BTreeMap<String, Vec<u64>>,
}

impl Report {
    fn add(&mut self, line: u64, outcome: &Outcome) {
        match outcome {
            Ok(_) => self.acknowledged += 1,
            Err(error) => {
                let kind = match error {
                    DeliveryError::NotWritten(_) => &mut self.not_written,
                    DeliveryError::Unknown(_) => &mut self.unknown,
                };
                kind.entry(error.failure().to_string()).or_default().push(line);
            }
        }
    }

    fn all_well(&self) -> bool {
        self.not_written.is_empty() && self.unknown.is_empty()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} acknowledged", counted(self.acknowledged, "record"))?;
        for (reason, lines) in &self.not_written {
            let count = counted(lines.len() as u64, "record");
            write!(f, "\n{count} not written (lines {}): {reason}", ranges(lines))?;
        }
        for (reason, lines) in &self.unknown {
            let count = counted(lines.len() as u64, "record");
            write!(f, "\n{count} unknown, written or not (lines {}): {reason}", ranges(lines))?;
        }
        Ok(())
    }
}

fn parse_acks(text: &str) -> Result<Acks, String> {
    producer::Acks::parse(text).ok_or_else(|| "expected 0, 1 or all".to_owned())
}

fn parse_compression(text: &str) -> Result<Compression, String> {
    let known = Compression::ALL.into_iter().find(|codec| codec.name() == text);
    known.ok_or_else(|| "expected none, gzip, snappy, lz4 or zstd".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::producer::{Acknowledged, Failure};
    use crate::types::WallMs;

    #[test]
    fn lines_become_records() {
        let record = |line: &str, separator| parse_line(line.as_bytes(), separator);
        assert_eq!(record("a\n", None), Ok(ProducerRecord::value("a")));
        assert_eq!(record("a\r\n", None), Ok(ProducerRecord::value("a")));
        assert_eq!(record("", None), Ok(ProducerRecord::value("")));
        assert_eq!(record("k::v::w\n", Some("::")), Ok(ProducerRecord::keyed("k", "v::w")));
        assert_eq!(record("no key\n", Some("::")), Err("no key separator \"::\"".to_owned()));
        assert_eq!(record("x", Some("long")), Err("no key separator \"long\"".to_owned()));
    }

    #[test]
    fn the_report_says_which_lines_failed_how() {
        let mut report = Report::default();
        let well = Acknowledged { partition: 0, offset: None, timestamp: WallMs(0) };
        report.add(1, &Ok(well));
        insta::assert_snapshot!(report, @"1 record acknowledged");
        assert!(report.all_well());
        let late = Failure::TimedOut(None);
        let large = Failure::TooLarge { size: 9, limit: 5 };
        for line in 2..5 {
            report.add(line, &Err(DeliveryError::Unknown(late.clone())));
        }
        report.add(5, &Err(DeliveryError::NotWritten(large)));
        report.add(6, &Ok(well));
        report.add(7, &Err(DeliveryError::NotWritten(late)));
        insta::assert_snapshot!(report, @r"
        2 records acknowledged
        1 record not written (lines 5): the record takes 9 bytes, more than max.request.size=5
        1 record not written (lines 7): timed out
        3 records unknown, written or not (lines 2-4): timed out
        ");
        assert!(!report.all_well());
    }
}
