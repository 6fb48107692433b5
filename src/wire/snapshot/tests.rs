//! Snapshots written and read again, and every way in which one can be wrong.

use super::*;
use crate::types::Uuid;
use crate::wire::batch::split;
use crate::wire::control::{LeaderChangeMessage, Voter};
use crate::wire::metadata::{FeatureLevelRecord, NoOpRecord, TopicRecord};

const LIMIT: usize = 1000;

fn options() -> SnapshotOptions {
    SnapshotOptions {
        epoch: LeaderEpoch(7),
        last_contained_log_timestamp: 41,
        now: WallMs(42),
        kraft_version: 1,
        voters: Some(voters()),
        batch_bytes_max: LIMIT,
    }
}

fn voters() -> VotersRecord {
    VotersRecord { version: 0, voters: vec![Voter { voter_id: 3, ..Voter::default() }] }
}

fn topics(count: u128) -> Vec<MetadataRecord> {
    (1..=count).map(|id| TopicRecord { name: "t".repeat(100), topic_id: Uuid(id) }.into()).collect()
}

/// The batches of a snapshot.
fn written(options: SnapshotOptions, records: &[MetadataRecord]) -> Vec<Bytes> {
    let (mut writer, first) = SnapshotWriter::begin(options).unwrap();
    let mut batches = vec![first];
    for record in records {
        batches.extend(writer.add(record).unwrap());
    }
    batches.extend(writer.finish());
    batches
}

/// What is read of a snapshot that comes in pieces of `step` bytes.
fn read(snapshot: &[u8], step: usize) -> Result<Vec<SnapshotBatch>, SnapshotError> {
    let (mut reader, mut scratch, mut batches) = (SnapshotReader::new(LIMIT), Scratch::default(), Vec::new());
    for piece in snapshot.chunks(step) {
        reader.feed(piece);
        while let Some(batch) = reader.next(&mut scratch)? {
            batches.push(batch);
        }
    }
    reader.finish()?;
    Ok(batches)
}

fn refused(batches: &[Bytes]) -> SnapshotError {
    read(&batches.concat(), 100).expect_err("the snapshot is wrong")
}

/// A batch of its own, at an offset.
fn batch(at: i64, control: Option<&ControlRecord>) -> Bytes {
    let key = control.map(|record| record.control_type().key());
    let value = match control {
        Some(record) => record.encode().unwrap(),
        None => MetadataRecord::from(NoOpRecord {}).encode().unwrap(),
    };
    one(at, key.as_ref().map(<[u8; 4]>::as_slice), &value)
}

fn one(at: i64, key: Option<&[u8]>, value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord { timestamp: 42, key, value: Some(value), headers: &[] });
    let options = BatchOptions { base_offset: Offset(at), control: key.is_some(), ..BatchOptions::default() };
    builder.finish(&options, &mut Scratch::default())
}

fn header() -> ControlRecord {
    ControlRecord::SnapshotHeader(SnapshotHeaderRecord { version: 0, last_contained_log_timestamp: 41 })
}

fn footer() -> ControlRecord {
    ControlRecord::SnapshotFooter(SnapshotFooterRecord { version: 0 })
}

#[test]
fn what_was_written_is_read_in_pieces_of_any_size() {
    let records = topics(20);
    let snapshot = written(options(), &records);
    let level = KRaftVersionRecord { version: 0, k_raft_version: 1 };
    for step in [1, 60, 61, 1000, usize::MAX] {
        let batches = read(&snapshot.concat(), step).unwrap();
        assert_eq!(batches.len(), snapshot.len());
        let first =
            [header(), ControlRecord::KRaftVersion(level.clone()), ControlRecord::KRaftVoters(voters())];
        assert_eq!(batches.first(), Some(&SnapshotBatch::Control(first.to_vec())));
        assert_eq!(batches.last(), Some(&SnapshotBatch::Control(vec![footer()])));
        let read: Vec<MetadataRecord> = batches[1..batches.len() - 1]
            .iter()
            .flat_map(|batch| match batch {
                SnapshotBatch::Metadata(records) => records.clone(),
                SnapshotBatch::Control(records) => panic!("{records:?}"),
            })
            .collect();
        assert_eq!(read, records, "in pieces of {step} bytes");
    }
}

#[test]
fn batches_are_full_and_numbered_and_have_one_timestamp() {
    let snapshot = written(options(), &topics(20));
    let sizes: Vec<usize> = snapshot.iter().map(Bytes::len).collect();
    let one_more = sizes[1] + 130;
    assert!(sizes[1] <= LIMIT && one_more > LIMIT, "{sizes:?}");
    let mut next = Offset::ZERO;
    for batch in &snapshot {
        let header = BatchHeader::verify(batch).unwrap();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (next, LeaderEpoch(7)));
        assert_eq!((header.base_timestamp, header.max_timestamp), (42, 42));
        let whole = split(batch).next().unwrap().unwrap();
        let mut scratch = Scratch::default();
        let records = RecordIter::new(&whole, 0, &mut scratch).unwrap();
        assert!(records.map(Result::unwrap).all(|record| record.timestamp == 42));
        next = header.next_offset();
    }
    assert_eq!(next, Offset(3 + 20 + 1));
}

#[test]
fn a_record_larger_than_a_batch_gets_one_of_its_own() {
    let large = SnapshotOptions { batch_bytes_max: 100, ..options() };
    let snapshot = written(large, &topics(3));
    assert_eq!(snapshot.len(), 5);
    assert!(read(&snapshot.concat(), 100).is_ok());
}

#[test]
fn without_changing_voters_there_is_only_a_header() {
    let fixed = SnapshotOptions { kraft_version: 0, voters: None, ..options() };
    let expected = [SnapshotBatch::Control(vec![header()]), SnapshotBatch::Control(vec![footer()])];
    assert_eq!(read(&written(fixed, &[]).concat(), 100), Ok(expected.to_vec()));
}

#[test]
fn a_snapshot_counts_as_a_whole_only() {
    let snapshot = written(options(), &topics(3)).concat();
    for end in 0..snapshot.len() {
        let error = read(&snapshot[..end], 64).expect_err("it is not whole");
        assert!(matches!(error, SnapshotError::Incomplete { .. }), "{end}: {error}");
    }
    // The leader epochs lie outside of the CRC, and nothing depends on them here.
    let mut epochs = Vec::new();
    let mut start = 0;
    for batch in split(&Bytes::from(snapshot.clone())) {
        epochs.extend(start + 12..start + 16);
        start += batch.unwrap().bytes.len();
    }
    for at in 0..snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 0x10;
        assert_eq!(read(&damaged, 64).is_ok(), epochs.contains(&at), "byte {at}");
    }
}

#[test]
fn batches_follow_each_other() {
    let mut snapshot = written(options(), &topics(20));
    snapshot.remove(1);
    assert!(matches!(refused(&snapshot), SnapshotError::Offset { expected: Offset(3), .. }));
    let twice = [batch(0, Some(&header())), batch(0, Some(&header()))];
    assert_eq!(refused(&twice), SnapshotError::Offset { found: Offset(0), expected: Offset(1) });
}

#[test]
fn records_stand_in_their_place() {
    let misplaced = |at| SnapshotError::Misplaced { offset: Offset(at) };
    let (begin, end) = (batch(0, Some(&header())), batch(1, Some(&footer())));
    assert_eq!(refused(&[batch(0, None)]), misplaced(0));
    assert_eq!(refused(&[batch(0, Some(&footer()))]), misplaced(0));
    assert_eq!(refused(&[begin.clone(), batch(1, Some(&header()))]), misplaced(1));
    assert_eq!(refused(&[begin.clone(), end.clone(), batch(2, None)]), misplaced(2));
    assert_eq!(refused(&[begin.clone(), end.clone(), batch(2, Some(&footer()))]), misplaced(2));
    let elected = ControlRecord::LeaderChange(LeaderChangeMessage::default());
    assert_eq!(refused(&[begin.clone(), batch(1, Some(&elected))]), misplaced(1));
    let unknown = one(1, Some(&[0, 0, 0, 9]), &[0, 0, 0]);
    let skipped = [begin, unknown, batch(2, Some(&footer()))].concat();
    assert_eq!(read(&skipped, 100).map(|batches| batches.len()), Ok(3));
}

#[test]
fn records_that_nobody_knows_are_an_error() {
    let begin = batch(0, Some(&header()));
    let unknown = DecodeError::UnknownRecord { kind: "metadata", code: 99 };
    let error = SnapshotError::Decode { offset: Offset(1), error: unknown };
    assert_eq!(refused(&[begin.clone(), one(1, None, &[1, 99, 0, 0])]), error);
    let marker = DecodeError::UnknownRecord { kind: "control", code: 1 };
    let error = SnapshotError::Decode { offset: Offset(1), error: marker };
    assert_eq!(refused(&[begin, one(1, Some(&[0, 0, 0, 1]), &[0, 0])]), error);
}

#[test]
fn a_batch_beyond_the_limit_is_refused_before_it_is_there() {
    let name = "f".repeat(2000);
    let large = MetadataRecord::from(FeatureLevelRecord { name, feature_level: 1 }).encode().unwrap();
    let large = one(0, None, &large);
    let mut reader = SnapshotReader::new(LIMIT);
    reader.feed(&large[..61]);
    let error = reader.next(&mut Scratch::default()).expect_err("it is too large");
    assert_eq!(error, SnapshotError::TooLarge { size: large.len(), limit: LIMIT });
}
