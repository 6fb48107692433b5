//! The producer: records in, one honest [`Outcome`] each out.
//!
//! ```text
//!  Producer::send ---> command ---> ProducerCore::send      [core, pure]
//!                                   place -> Lane (one a partition) -> batches, numbers, retries
//!  Connection  <------------------- next_request(broker)
//!      answer  -------------------> on_response / on_unanswered
//!  Delivery    <------------------- take_done
//! ```
//!
//! [`core`] (with `topic` and `batch`) and [`lane`] decide; [`driver`](Producer) owns the connections. The
//! producer is idempotent unless the options say otherwise.

mod batch;
pub mod core;
mod driver;
pub mod lane;
mod outcome;
mod topic;

pub use self::core::ProducerCore;
pub use driver::{Delivery, Producer, ProducerError};
pub use outcome::{Acknowledged, DeliveryError, Failure, Outcome};

pub use super::config::{Acks, ProducerConfig};

use bytes::Bytes;

use crate::types::WallMs;
use crate::wire::records::Header;

/// A record to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProducerRecord {
    /// Decides about the partition, if there is one.
    pub key: Option<Bytes>,
    /// What is to be told; none is a tombstone where the topic is compacted.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// When it happened; `None`: when it is sent.
    pub timestamp: Option<WallMs>,
}

impl ProducerRecord {
    /// A record with a value only.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record with a key and a value.
    pub fn keyed(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
