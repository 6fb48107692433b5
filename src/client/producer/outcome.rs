//! What became of a record: exactly one of three honest answers.

use crate::error_code::ErrorCode;
use crate::types::{Offset, WallMs};

/// A record's outcome.
pub type Outcome = Result<Acknowledged, DeliveryError>;

/// A record was written, as firmly as `acks` asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// In which partition.
    pub partition: i32,
    /// Where; `None` if the broker did not say (`acks=0`, or a repetition that it recognised but whose
    /// offset it had forgotten).
    pub offset: Option<Offset>,
    /// Its timestamp: the producer's, or the broker's for topics with LogAppendTime.
    pub timestamp: WallMs,
}

/// A record was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It is not in the log and will not appear there.
    #[error("not written: {0}")]
    NotWritten(Failure),
    /// It may be in the log, or may still appear there; once at most, if the producer is idempotent.
    #[error("unknown whether written: {0}")]
    Unknown(Failure),
}

impl DeliveryError {
    /// The reason, whatever is known of the record.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::NotWritten(failure) | Self::Unknown(failure) => failure,
        }
    }
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A broker said so, perhaps with words of its own.
    #[error("{code}{}", .message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// The error.
        code: ErrorCode,
        /// The broker's words.
        message: Option<String>,
    },
    /// The time was over (`delivery.timeout.ms`, `max.block.ms`); the last thing that went wrong before.
    #[error("timed out{}", .0.as_deref().map(|text| format!(" after: {text}")).unwrap_or_default())]
    TimedOut(Option<String>),
    /// The connection was lost, or the answer was.
    #[error("{0}")]
    Connection(String),
    /// The record exceeds `max.request.size`.
    #[error("the record takes {size} bytes, more than max.request.size={limit}")]
    TooLarge {
        /// What it takes.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The producer was closed first.
    #[error("the producer was closed")]
    Closed,
}

impl Failure {
    /// A refusal without words.
    pub(crate) fn code(code: ErrorCode) -> Self {
        Self::Refused { code, message: None }
    }
}

/// Whether a batch answered with this error may be in the log all the same.
///
/// A broker checks before it appends, and these errors come from the checks alone. Every other error can
/// also be the answer to a batch that *was* appended, while it waited for its replicas: the leader resigned
/// (NOT_LEADER_OR_FOLLOWER), the topic was deleted, the in-sync set shrank, the disk failed.
pub(crate) fn may_be_written(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::CorruptMessage
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::InvalidTopicException
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::InvalidTimestamp
            | ErrorCode::InvalidRecord
            | ErrorCode::UnsupportedVersion
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::UnsupportedCompressionType
            | ErrorCode::PolicyViolation
            | ErrorCode::InvalidRequest
            | ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::UnknownTopicId
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_what_is_known_and_why() {
        let failure = Failure::Refused { code: ErrorCode::InvalidRecord, message: Some("no key".to_owned()) };
        let texts = [
            DeliveryError::NotWritten(failure).to_string(),
            DeliveryError::NotWritten(Failure::TooLarge { size: 9, limit: 5 }).to_string(),
            DeliveryError::Unknown(Failure::TimedOut(Some("connection reset".to_owned()))).to_string(),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r"
        not written: INVALID_RECORD (87): no key
        not written: the record takes 9 bytes, more than max.request.size=5
        unknown whether written: timed out after: connection reset
        ");
    }
}
