//! The consumer of assigned partitions: records out, in order, each once.
//!
//! [`core`] decides: where to read from, what to ask for, what to deliver. [`Consumer`] owns the connections;
//! it acts while it is polled, and fetches ahead between polls.

pub mod core;
mod driver;
mod fetched;
mod session;

pub use self::core::ConsumerCore;
pub use driver::{Consumer, ConsumerError, FoundOffset};

pub use super::config::{ConsumerConfig, IsolationLevel, OffsetReset};

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::types::{LeaderEpoch, Offset, WallMs};
use crate::wire::records::Header;

/// A partition by its topic's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of this index.
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record.
    Earliest,
    /// With the next new record.
    Latest,
    /// With this offset.
    Offset(Offset),
    /// With the first record that is as late as this, else with the next new one.
    Timestamp(WallMs),
}

impl Start {
    /// The timestamp that ListOffsets takes for it.
    fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Timestamp(timestamp) => timestamp.0,
            Self::Offset(offset) => unreachable!("offset {offset} need not be asked for"),
        }
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Where it stands there.
    pub offset: Offset,
    /// Its timestamp; -1 if it has none.
    pub timestamp: WallMs,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone where the topic is compacted.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// What a consumer cannot get over by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// The position is not in the log (any more, or yet), and `auto.offset.reset` is `none`.
    #[error("offset {offset} of {partition} is out of range, and auto.offset.reset=none")]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// Which.
        offset: Offset,
    },
    /// The log was cut below the position, and `auto.offset.reset` is `none`.
    #[error("{partition} was truncated to offset {offset}: records already delivered are gone")]
    LogTruncated {
        /// Where.
        partition: TopicPartition,
        /// The end of what is left of what was delivered.
        offset: Offset,
    },
    /// Bytes are damaged.
    #[error("{partition} is damaged at offset {offset}: {reason}")]
    Corrupt {
        /// Where.
        partition: TopicPartition,
        /// From which offset on.
        offset: Offset,
        /// How.
        reason: String,
    },
    /// The broker refuses.
    #[error("cannot read {partition}: {error}")]
    Refused {
        /// What.
        partition: TopicPartition,
        /// Why.
        error: ErrorCode,
    },
}

#[cfg(test)]
mod tests;
