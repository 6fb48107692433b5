//! What the clients did and saw: the oracles' evidence.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use ottla::types::Uuid;
use serde::{Deserialize, Serialize};

use crate::digest::fingerprint;
use crate::engine::{Engine, NodeId};
use crate::trace::Kind;

/// One partition of one of the workload's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The number of the topic.
    pub topic: u32,
    /// The partition's index.
    pub partition: i32,
}

impl Key {
    /// Topics of these numbers have the same name: they come one after the other.
    pub const SCRATCH: u32 = 1_000;

    /// The topic's name.
    pub fn topic_name(self) -> String {
        if self.topic < Self::SCRATCH { format!("topic-{}", self.topic) } else { "scratch".to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.topic >= Self::SCRATCH {
            write!(f, "{}#{}", self.topic_name(), self.topic - Self::SCRATCH)?;
        } else {
            write!(f, "{}", self.topic_name())?;
        }
        write!(f, "/{}", self.partition)
    }
}

/// Which acknowledgement a producer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Acks {
    /// None: the producer believes that it worked.
    #[serde(rename = "0")]
    None,
    /// The leader's.
    #[serde(rename = "1")]
    Leader,
    /// All in-sync replicas'.
    #[serde(rename = "all")]
    All,
}

/// A value that a producer wrote; no value is written twice.
pub type Value = u64;

/// One thing that a client did or saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// It called send.
    Send {
        /// To which partition.
        key: Key,
        /// What.
        value: Value,
        /// Asking for which acknowledgement.
        acks: Acks,
    },
    /// Its send succeeded.
    Acked {
        /// To which partition.
        key: Key,
        /// What.
        value: Value,
        /// Where; `None` if nobody says, as with acks 0.
        offset: Option<i64>,
    },
    /// Its send failed.
    Failed {
        /// To which partition.
        key: Key,
        /// What.
        value: Value,
        /// Whether it is certain that nothing was written; else it may appear, now or later.
        certain: bool,
        /// The error's words.
        error: String,
    },
    /// A consumer began to read at an offset of its choice.
    Sought {
        /// In which partition.
        key: Key,
        /// Where.
        offset: i64,
    },
    /// A consumer got records.
    Polled {
        /// From which partition.
        key: Key,
        /// Offsets and values, in the order in which they came.
        records: Vec<(i64, Value)>,
    },
    /// A consumer got a record that no producer can have written.
    Garbled {
        /// From which partition.
        key: Key,
        /// Where.
        offset: i64,
        /// What is wrong with it.
        detail: String,
    },
    /// A consumer was told that an offset up to which it had read is not in the log any more.
    PositionLost {
        /// Of which partition.
        key: Key,
        /// Which.
        offset: i64,
        /// The consumer's words.
        detail: String,
    },
    /// It sent a batch that may be out of its place, or damaged, and was answered.
    Answered {
        /// To which partition.
        key: Key,
        /// What was special about the batch.
        case: String,
        /// The error code that is due.
        expected: i16,
        /// The offset that is due, if one is.
        expected_offset: Option<i64>,
        /// The error code of the answer.
        code: i16,
        /// The offset of the answer.
        offset: i64,
    },
    /// It was told a topic's id.
    Named {
        /// The number of the topic.
        topic: u32,
        /// The id.
        id: u128,
    },
    /// It asked for the records before an offset to be deleted.
    Deleting {
        /// Of which partition.
        key: Key,
        /// Before which offset; `None`: everything that is committed.
        before: Option<i64>,
    },
    /// It was told where a log starts: by the answer to DeleteRecords, or to ListOffsets.
    LogStart {
        /// Of which partition.
        key: Key,
        /// Where.
        offset: i64,
    },
    /// It asked where a log ends, as far as it is committed, and was told.
    Latest {
        /// Of which partition.
        key: Key,
        /// Where.
        offset: i64,
        /// In which leader epoch.
        epoch: i32,
        /// When it asked, in virtual nanoseconds.
        asked_ns: u64,
    },
    /// The last reader of a partition, which began at its log start after everything had healed, has got
    /// everything up to its end.
    Drained {
        /// Which partition.
        key: Key,
        /// Its end.
        end: i64,
    },
    /// Offsets and timestamps of all records that the last reader got, in order.
    Dated {
        /// From which partition.
        key: Key,
        /// Offsets and timestamps, in milliseconds.
        records: Vec<(i64, i64)>,
    },
    /// The last reader asked for the first record of a timestamp or a later one; or for that of the greatest.
    Looked {
        /// In which partition.
        key: Key,
        /// Which timestamp, in milliseconds; `None`: the greatest.
        timestamp: Option<i64>,
        /// The offset and the timestamp that it was told.
        found: Option<(i64, i64)>,
        /// The log start afterwards.
        log_start: i64,
    },
}

/// One event of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientEvent {
    /// When, in virtual nanoseconds.
    pub time_ns: u64,
    /// Which client. A client does one thing after the other, except that its sends overlap.
    pub client: u32,
    /// What.
    pub what: What,
}

/// How much the clients of a run have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Records acknowledged to producers.
    pub acked: u64,
    /// Records that consumers got.
    pub read: u64,
    /// Offsets below the logs' starts in the end.
    pub deleted: u64,
    /// Batches out of their place, damaged or repeated that were answered.
    pub answered: u64,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { key, value, acks } => write!(f, "send {value} to {key}, acks {}", acks.label()),
            Self::Acked { key, value, offset: Some(offset) } => {
                write!(f, "acked {value} in {key} at {offset}")
            }
            Self::Acked { key, value, offset: None } => write!(f, "sent {value} to {key}, unacknowledged"),
            Self::Failed { key, value, certain, error } => {
                let outcome = if *certain { "not written" } else { "outcome unknown" };
                write!(f, "failed {value} to {key} ({outcome}): {error}")
            }
            Self::Sought { key, offset } => write!(f, "reads {key} from {offset}"),
            Self::Polled { key, records } => {
                write!(f, "polled {key}:")?;
                records.iter().try_for_each(|(offset, value)| write!(f, " {offset}={value}"))
            }
            Self::Garbled { key, offset, detail } => write!(f, "garbled record {key} at {offset}: {detail}"),
            Self::PositionLost { key, offset, detail } => {
                write!(f, "position {offset} of {key} is lost: {detail}")
            }
            Self::Answered { key, case, expected, code, offset, .. } => {
                write!(f, "{case} to {key}: answered with {code} and offset {offset}, {expected} was due")
            }
            Self::Named { topic, id } => write!(f, "topic-{topic} is {}", Uuid(*id)),
            Self::Deleting { key, before: Some(before) } => write!(f, "deletes {key} before {before}"),
            Self::Deleting { key, before: None } => write!(f, "deletes all of {key}"),
            Self::LogStart { key, offset } => write!(f, "hears that {key} starts at {offset}"),
            Self::Latest { key, offset, epoch, asked_ns } => {
                write!(f, "hears that {key} ends at {offset} in epoch {epoch}, having asked at {asked_ns} ns")
            }
            Self::Drained { key, end } => write!(f, "drained {key} up to {end}"),
            Self::Dated { key, records } => {
                write!(f, "{} timestamps of {key}:", records.len())?;
                records.iter().try_for_each(|(offset, timestamp)| write!(f, " {offset}={timestamp}"))
            }
            Self::Looked { key, timestamp, found, log_start } => {
                let wanted = timestamp.map_or_else(|| "the greatest time".to_owned(), |ms| ms.to_string());
                write!(f, "looked for {wanted} in {key} from {log_start} on: {found:?}")
            }
        }
    }
}

impl Acks {
    /// As Kafka's configuration spells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        }
    }
}

/// Where the clients of one run write down what they did. Clones share it.
#[derive(Clone)]
pub struct History {
    engine: Engine,
    events: Arc<Mutex<Vec<ClientEvent>>>,
}

impl History {
    /// An empty history.
    pub fn new(engine: Engine) -> Self {
        Self { engine, events: Arc::default() }
    }

    /// Writes down what a client did or saw, now.
    pub fn record(&self, client: NodeId, what: What) {
        let text = what.to_string();
        self.engine.note(client, Kind::Client, (fingerprint(text.as_bytes()), 0), || text.into());
        let time_ns = self.engine.now_ns();
        self.events().push(ClientEvent { time_ns, client: client.0, what });
    }

    /// Everything written down.
    pub fn take(&self) -> Vec<ClientEvent> {
        std::mem::take(&mut self.events())
    }

    /// How much was done.
    pub fn tally(events: &[ClientEvent]) -> Tally {
        let mut tally = Tally::default();
        let mut starts: BTreeMap<Key, i64> = BTreeMap::new();
        for event in events {
            match &event.what {
                What::Acked { .. } => tally.acked += 1,
                What::Polled { records, .. } => tally.read += records.len() as u64,
                What::Answered { .. } => tally.answered += 1,
                What::LogStart { key, offset } => {
                    starts.insert(*key, *offset);
                }
                _ => {}
            }
        }
        tally.deleted = starts.values().map(|start| (*start).max(0) as u64).sum();
        tally
    }

    fn events(&self) -> MutexGuard<'_, Vec<ClientEvent>> {
        self.events.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }
}
