//! What clients and followers are told when they are refused: Kafka's codes, by which they go on.

use super::*;

#[test]
fn every_refusal_of_a_read_has_the_code_that_the_reader_acts_on() {
    let (requested, current) = (LeaderEpoch(4), LeaderEpoch(5));
    let (log_start, log_end) = (LogStart(Offset(0)), LogEnd(Offset(9)));
    for (refusal, code) in [
        (ReadRefusal::NotLeader, ErrorCode::NotLeaderOrFollower),
        (ReadRefusal::Storage, ErrorCode::KafkaStorageError),
        (ReadRefusal::FencedLeaderEpoch { requested, current }, ErrorCode::FencedLeaderEpoch),
        (ReadRefusal::UnknownLeaderEpoch { requested, current }, ErrorCode::UnknownLeaderEpoch),
        (ReadRefusal::UnknownReplica(OTHER), ErrorCode::UnknownLeaderEpoch),
        (
            ReadRefusal::OffsetOutOfRange { requested: Offset(10), log_start, log_end },
            ErrorCode::OffsetOutOfRange,
        ),
        (ReadRefusal::OffsetNotAvailable, ErrorCode::OffsetNotAvailable),
    ] {
        assert_eq!(refusal.error_code(), code, "{refusal}");
    }
}

#[test]
fn every_refusal_of_an_append_has_the_code_that_the_producer_acts_on() {
    for (refusal, code) in [
        (AppendRefusal::NotLeader, ErrorCode::NotLeaderOrFollower),
        (AppendRefusal::Storage, ErrorCode::KafkaStorageError),
        (AppendRefusal::Crowded, ErrorCode::RequestTimedOut),
        (AppendRefusal::NotEnoughReplicas { isr: 1, min_isr: 2 }, ErrorCode::NotEnoughReplicas),
        (AppendRefusal::InvalidOffsets(-1), ErrorCode::InvalidRecord),
    ] {
        assert_eq!(refusal.error_code(), code, "{refusal}");
    }
}
