//! `answers` (KIP-98, KIP-467): a batch that is out of its place, damaged or repeated is answered as Kafka does,
//! whatever happens to the broker in between; unless it cannot say anything now.

use ottla::error_code::ErrorCode;

use super::{Evidence, Violation};
use crate::history::What;

/// What a broker says of itself, not of the batch.
const EXCUSES: [ErrorCode; 8] = [
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::LeaderNotAvailable,
    ErrorCode::UnknownTopicOrPartition,
    ErrorCode::RequestTimedOut,
    ErrorCode::KafkaStorageError,
    ErrorCode::NotEnoughReplicas,
    ErrorCode::NotEnoughReplicasAfterAppend,
];

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    evidence.events.iter().find_map(|event| {
        let What::Answered { key, case, expected, expected_offset, code, offset } = &event.what else {
            return None;
        };
        let is_excused = EXCUSES.iter().any(|excuse| excuse.code() == *code);
        let is_right = code == expected && expected_offset.is_none_or(|expected| expected == *offset);
        (!is_right && !is_excused).then(|| Violation {
            time_ns: event.time_ns,
            message: format!(
                "a batch to {key} that was {case} was answered with {code} and offset {offset}; due were \
                 {expected} and {expected_offset:?}"
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::planted::*;
    use super::*;

    fn answered(code: ErrorCode, offset: i64) -> Evidence {
        let (case, code) = ("sent again".to_owned(), code.code());
        history(vec![(
            9,
            What::Answered { key: KEY, case, expected: 0, expected_offset: Some(4), code, offset },
        )])
    }

    #[test]
    fn only_the_right_answer_will_do() {
        assert_eq!(check(&answered(ErrorCode::None, 4)), None);
        assert!(check(&answered(ErrorCode::None, 5)).is_some(), "appended again");
        assert!(check(&answered(ErrorCode::OutOfOrderSequenceNumber, -1)).is_some(), "forgotten");
        assert_eq!(check(&answered(ErrorCode::KafkaStorageError, -1)), None);
    }
}
