use super::*;
use crate::types::LeaderEpoch;
use crate::wire::batch::MAGIC;
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(86_400);

/// The header of a batch of `count` records.
fn batch(producer_id: i64, epoch: i16, sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(base_offset),
        batch_length: 100,
        partition_leader_epoch: LeaderEpoch(0),
        magic: MAGIC,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 1000,
        max_timestamp: 1000 + base_offset,
        producer_id: ProducerId(producer_id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        records_count: count,
    }
}

fn transactional(header: BatchHeader) -> BatchHeader {
    BatchHeader { attributes: 1 << 4, ..header }
}

fn marker(producer_id: i64, epoch: i16, base_offset: i64) -> BatchHeader {
    BatchHeader { attributes: 1 << 4 | 1 << 5, ..batch(producer_id, epoch, -1, 1, base_offset) }
}

fn table(headers: &[BatchHeader]) -> ProducerTable {
    let mut table = ProducerTable::default();
    headers.iter().for_each(|header| table.fold(header));
    table
}

fn expected_sequence(result: Result<Sequence, SequenceError>) -> i32 {
    match result {
        Err(SequenceError::OutOfOrder { expected, .. }) => expected,
        other => panic!("{other:?}"),
    }
}

#[test]
fn idempotence_batches_without_producer_id_are_not_looked_at() {
    let mut table = table(&[]);
    let header = batch(-1, -1, -1, 3, 0);
    assert_eq!(table.check(&header), Ok(Sequence::New));
    table.fold(&header);
    assert!(table.is_empty());
}

#[test]
fn idempotence_kafka_5494_each_of_the_last_five_batches_is_a_duplicate() {
    let sent: Vec<_> = (0..6).map(|n| batch(7, 0, n * 10, 10, 100 + i64::from(n) * 10)).collect();
    let table = table(&sent);
    for header in &sent[1..] {
        let again = BatchHeader { base_offset: Offset(0), ..*header };
        let Ok(Sequence::Duplicate(first)) = table.check(&again) else { panic!("{again:?}") };
        assert_eq!(first.base_offset(), header.base_offset);
        assert_eq!(first.last_offset, header.last_offset());
        assert_eq!(first.timestamp.0, header.max_timestamp);
    }
    assert_eq!(expected_sequence(table.check(&sent[0])), 60, "the sixth is forgotten");
}

#[test]
fn idempotence_only_the_exact_range_is_a_duplicate() {
    let table = table(&[batch(7, 0, 0, 10, 0)]);
    for (sequence, count) in [(0, 9), (0, 11), (1, 9), (5, 5)] {
        assert_eq!(expected_sequence(table.check(&batch(7, 0, sequence, count, 0))), 10);
    }
}

#[test]
fn idempotence_the_next_batch_continues_the_sequence() {
    let table = table(&[batch(7, 0, 0, 10, 0)]);
    assert_eq!(table.check(&batch(7, 0, 10, 1, 0)), Ok(Sequence::New));
    assert_eq!(expected_sequence(table.check(&batch(7, 0, 11, 1, 0))), 10);
}

#[test]
fn idempotence_zero_follows_the_largest_sequence_number() {
    let mut table = table(&[batch(7, 0, i32::MAX - 9, 10, 0)]);
    assert_eq!(table.check(&batch(7, 0, 0, 5, 0)), Ok(Sequence::New));
    // Within a batch too.
    table.fold(&batch(8, 0, i32::MAX - 1, 5, 10));
    let Ok(Sequence::Duplicate(first)) = table.check(&batch(8, 0, i32::MAX - 1, 5, 0)) else { panic!() };
    assert_eq!((first.last_sequence, first.first_sequence()), (2, i32::MAX - 1));
    assert_eq!(first.base_offset(), Offset(10));
    assert_eq!(table.check(&batch(8, 0, 3, 1, 0)), Ok(Sequence::New));
}

#[test]
fn idempotence_a_new_epoch_starts_at_zero_and_remembers_nothing() {
    let mut table = table(&[batch(7, 0, 0, 10, 0)]);
    assert_eq!(expected_sequence(table.check(&batch(7, 1, 10, 1, 0))), 0);
    let fresh = batch(7, 1, 0, 10, 10);
    assert_eq!(table.check(&fresh), Ok(Sequence::New), "same numbers, other records");
    table.fold(&fresh);
    let Ok(Sequence::Duplicate(first)) = table.check(&fresh) else { panic!() };
    assert_eq!(first.base_offset(), Offset(10));
}

#[test]
fn idempotence_an_older_epoch_is_fenced_even_for_a_batch_it_wrote() {
    let old = batch(7, 0, 0, 10, 0);
    let table = table(&[old, batch(7, 1, 0, 1, 10)]);
    let error = table.check(&old).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn idempotence_an_unknown_producer_starts_anywhere() {
    assert_eq!(table(&[]).check(&batch(7, 3, 123, 1, 0)), Ok(Sequence::New));
}

#[test]
fn a_producer_id_without_epoch_or_sequence_is_an_invalid_record() {
    for header in [batch(7, -1, 0, 1, 0), batch(7, 0, -1, 1, 0), batch(7, 0, i32::MIN, 1, 0)] {
        assert_eq!(table(&[]).check(&header).unwrap_err().error_code(), ErrorCode::InvalidRecord);
    }
}

#[test]
fn kafka_9144_expiry_goes_by_the_last_thing_written_marker_or_data() {
    let mut table = table(&[
        BatchHeader { max_timestamp: 0, ..transactional(batch(1, 0, 0, 1, 0)) },
        BatchHeader { max_timestamp: 500, ..marker(1, 0, 1) },
        BatchHeader { max_timestamp: 0, ..batch(2, 0, 0, 1, 2) },
        BatchHeader { max_timestamp: 0, ..transactional(batch(3, 0, 0, 1, 3)) },
    ]);
    let day = 86_400_000;
    assert_eq!(table.expire(WallMs(day - 1), DAY), 0);
    assert_eq!(table.expire(WallMs(day), DAY), 1, "producer 2");
    assert_eq!(table.expire(WallMs(day + 499), DAY), 0);
    assert_eq!(table.expire(WallMs(day + 500), DAY), 1, "producer 1");
    assert_eq!(table.expire(WallMs(i64::MAX), DAY), 0, "producer 3 has a transaction open");
    assert_eq!(table.len(), 1);
}

#[test]
fn a_marker_ends_the_transaction_and_keeps_the_sequence() {
    let mut table = table(&[transactional(batch(1, 0, 0, 2, 10)), transactional(batch(2, 0, 0, 2, 12))]);
    assert_eq!(table.first_undecided(), Some(Offset(10)));
    table.fold(&transactional(batch(1, 0, 2, 2, 14)));
    assert_eq!(table.first_undecided(), Some(Offset(10)), "where it began");
    table.fold(&BatchHeader { records_count: 0, ..marker(1, 0, 16) });
    assert_eq!(table.first_undecided(), Some(Offset(10)), "compaction emptied that marker");
    table.fold(&marker(1, 0, 17));
    assert_eq!(table.first_undecided(), Some(Offset(12)));
    assert_eq!(table.check(&batch(1, 0, 4, 1, 0)), Ok(Sequence::New));
    // A marker of a later epoch (KIP-890) opens that epoch.
    table.fold(&marker(2, 1, 18));
    assert_eq!(table.first_undecided(), None);
    assert_eq!(expected_sequence(table.check(&batch(2, 1, 2, 1, 0))), 0);
}

#[test]
fn a_snapshot_names_the_last_batch_last_with_kafkas_fields() {
    let table = table(&[batch(7, 2, 0, 3, 10), transactional(batch(7, 2, 3, 2, 13)), marker(9, 4, 15)]);
    let first = SnapshotEntry {
        producer_id: ProducerId(7),
        epoch: ProducerEpoch(2),
        last_sequence: 2,
        last_offset: Offset(12),
        offset_delta: 2,
        timestamp: WallMs(1010),
        coordinator_epoch: -1,
        current_txn_first_offset: Offset(13),
    };
    let last = SnapshotEntry {
        last_sequence: 4,
        last_offset: Offset(14),
        offset_delta: 1,
        timestamp: WallMs(1013),
        ..first
    };
    let without_batch = SnapshotEntry {
        producer_id: ProducerId(9),
        epoch: ProducerEpoch(4),
        last_sequence: -1,
        last_offset: Offset(-1),
        offset_delta: 0,
        timestamp: WallMs(1015),
        coordinator_epoch: -1,
        current_txn_first_offset: Offset(-1),
    };
    assert_eq!(table.snapshot(), [first, last, without_batch]);
    // As Kafka writes it: the last batch alone, and a coordinator's epoch.
    let of_kafka = SnapshotEntry { coordinator_epoch: 6, ..last };
    let restored = ProducerTable::restore([of_kafka]).unwrap();
    assert_eq!(restored.snapshot(), [of_kafka]);
    assert_eq!(restored.first_undecided(), Some(Offset(13)));
}

#[test]
fn a_snapshot_of_impossible_entries_is_refused() {
    let good = table(&[batch(7, 0, 0, 3, 10)]).snapshot()[0];
    for bad in [
        SnapshotEntry { producer_id: ProducerId(-1), ..good },
        SnapshotEntry { epoch: ProducerEpoch(-1), ..good },
        SnapshotEntry { last_sequence: -2, ..good },
        SnapshotEntry { offset_delta: -1, ..good },
        SnapshotEntry { offset_delta: 13, ..good },
        SnapshotEntry { last_offset: Offset(i64::MAX), ..good },
    ] {
        assert_eq!(ProducerTable::restore([bad]), Err(InvalidSnapshot { entry: bad }));
    }
    assert!(ProducerTable::restore([good, good]).is_err(), "one batch cannot stand there twice");
}

#[derive(Debug, Clone)]
enum Step {
    /// The next batch in sequence, of so many records.
    Next(i32),
    /// One of the batches sent before, the latest being number 0.
    Again(usize),
    /// A batch that leaves so many sequence numbers out.
    Gap(i32),
    /// A new epoch, from 0.
    NewEpoch(i32),
    /// A batch of the epoch before.
    OldEpoch,
    /// The next batch in sequence, in a transaction.
    Transactional,
    /// The end of the transaction, or one without data.
    Marker,
    /// The process restarts from a snapshot.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6i32).prop_map(Step::Next),
        5 => (0..8usize).prop_map(Step::Again),
        2 => (1..5i32).prop_map(Step::Gap),
        1 => (1..6i32).prop_map(Step::NewEpoch),
        1 => Just(Step::OldEpoch),
        1 => Just(Step::Transactional),
        1 => Just(Step::Marker),
        1 => Just(Step::Restart),
    ]
}

/// What a producer believes about itself; and everything it wrote in its epoch.
#[derive(Debug, Clone)]
struct Sender {
    producer: i64,
    epoch: i16,
    next: i32,
    written: Vec<BatchHeader>,
}

impl Sender {
    /// Sends a batch again, `back` before the last.
    fn send_again(&self, table: &ProducerTable, back: usize) {
        let Some(header) = self.written.iter().rev().nth(back) else { return };
        match table.check(header) {
            Ok(Sequence::Duplicate(first)) => {
                assert!(back < REMEMBERED_BATCHES);
                assert_eq!(first.base_offset(), header.base_offset);
                assert_eq!(first.last_offset, header.last_offset());
            }
            other => {
                assert!(back >= REMEMBERED_BATCHES, "{other:?}");
                assert_eq!(expected_sequence(other), self.next);
            }
        }
    }

    /// Skips `gap` sequence numbers.
    fn send_with_gap(&self, table: &ProducerTable, gap: i32) {
        if !self.written.is_empty() {
            let header = batch(self.producer, self.epoch, increment_sequence(self.next, gap), 1, 0);
            assert_eq!(expected_sequence(table.check(&header)), self.next);
        }
    }

    fn send_in_older_epoch(&self, table: &ProducerTable) {
        if !self.written.is_empty() && self.epoch > 0 {
            let error = table.check(&batch(self.producer, self.epoch - 1, 0, 1, 0)).unwrap_err();
            assert_eq!(error.error_code(), ErrorCode::InvalidProducerEpoch);
        }
    }

    /// Appends a batch, unless a marker has opened the epoch before any data: then only 0 will do.
    fn append(&mut self, header: BatchHeader, table: &mut ProducerTable, log: &mut Vec<BatchHeader>) {
        if let Err(error) = table.check(&header) {
            assert!(self.written.is_empty() && header.base_sequence != 0, "{error}");
            return;
        }
        table.fold(&header);
        log.push(header);
        self.next = increment_sequence(header.last_sequence(), 1);
        self.written.push(header);
    }

    fn step(&mut self, step: &Step, table: &mut ProducerTable, log: &mut Vec<BatchHeader>) {
        let end = log.last().map_or(0, |last| last.next_offset().0);
        match *step {
            Step::Next(count) => {
                self.append(batch(self.producer, self.epoch, self.next, count, end), table, log)
            }
            Step::NewEpoch(count) => {
                self.epoch += 1;
                self.written.clear();
                self.append(batch(self.producer, self.epoch, 0, count, end), table, log);
            }
            Step::Transactional => {
                let header = transactional(batch(self.producer, self.epoch, self.next, 2, end));
                self.append(header, table, log);
            }
            Step::Marker => {
                let header = marker(self.producer, self.epoch, end);
                table.fold(&header);
                log.push(header);
            }
            Step::Again(back) => self.send_again(table, back),
            Step::Gap(gap) => self.send_with_gap(table, gap),
            Step::OldEpoch => self.send_in_older_epoch(table),
            Step::Restart => {
                let restored = ProducerTable::restore(table.snapshot()).unwrap();
                assert_eq!(&restored, table);
                *table = restored;
            }
        }
    }
}

proptest! {
    /// Live state equals a fold over the appended headers, restarts at any point change nothing, and each of
    /// the last five batches is answered with its first offset.
    #[test]
    fn live_state_is_a_fold_over_the_log(
        start in prop_oneof![Just(0), Just(i32::MAX - 7), 0..i32::MAX],
        steps in prop::collection::vec((0..3usize, step()), 1..100),
    ) {
        let sender = |producer| Sender { producer, epoch: 0, next: start, written: Vec::new() };
        let mut senders = [0, 1, 2].map(sender);
        let (mut live, mut log) = (ProducerTable::default(), Vec::new());
        for (sender, step) in &steps {
            senders[*sender].step(step, &mut live, &mut log);
        }
        prop_assert_eq!(&table(&log), &live);
        for cut in 0..=log.len() {
            let mut recovered = ProducerTable::restore(table(&log[..cut]).snapshot()).unwrap();
            log[cut..].iter().for_each(|header| recovered.fold(header));
            prop_assert_eq!(&recovered, &live);
        }
    }
}
