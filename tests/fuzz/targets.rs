//! What is fuzzed: plain functions of bytes, for `cargo test` (fuzz_corpus.rs) and cargo-fuzz (bins/) alike.
//!
//! No input may panic. Whatever decodes must encode again, to bytes that decode to the same.

use bytes::{Bytes, BytesMut};
use ottla::wire::compression::Scratch;
use ottla::wire::control::ControlRecord;
use ottla::wire::frame::FrameDecoder;
use ottla::wire::header::RequestHeader;
use ottla::wire::messages::*;
use ottla::wire::metadata::MetadataRecord;
use ottla::wire::records::RecordIter;
use ottla::wire::snapshot::{SnapshotBatch, SnapshotError, SnapshotReader};
use ottla::wire::{ApiKey, DecodeError, Message, Reader, Request, Writer, batch};

/// A target's name, as its corpus directory is called, and the function.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const TARGETS: &[Target] = &[
    ("batch", batch),
    ("control_record", control_record),
    ("frame", frame),
    ("metadata_record", metadata_record),
    ("request", request),
    ("response", response),
    ("snapshot", snapshot),
];

/// The largest frame that [`frame`] accepts, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 16;

/// What the batches in [`batch`] may expand to, in bytes each.
const EXPANDED_BYTES_MAX: u64 = 1 << 18;

/// What a connection sends: the first byte says in how large pieces the rest arrives.
pub(crate) fn frame(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else { return };
    let (mut decoder, mut buffer) = (FrameDecoder::new(FRAME_BYTES_MAX), BytesMut::new());
    for piece in stream.chunks(usize::from(step).max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(body)) => framed_request(&body),
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(decoder.announced().is_none(), "a frame that came is no longer announced");
        }
        assert!(decoder.announced().is_none_or(|length| length <= FRAME_BYTES_MAX), "the limit holds");
    }
}

/// A request, header included.
fn framed_request(body: &Bytes) {
    let mut reader = Reader::new(body);
    let Ok(header) = RequestHeader::decode(&mut reader) else { return };
    let mut writer = Writer::new();
    header.encode(&mut writer).expect("a header that was decoded can be encoded");
    let again = writer.into_bytes();
    assert_eq!(RequestHeader::decode(&mut Reader::new(&again)), Ok(header.clone()));
    let rest = reader.bytes(reader.remaining()).expect("what remains can be read");
    dispatch(Side::Request, header.api_key, header.api_version, &rest);
}

/// A request's body, after two bytes of API key and two of version.
pub(crate) fn request(input: &[u8]) {
    message(Side::Request, input);
}

/// A response's body, after two bytes of API key and two of version.
pub(crate) fn response(input: &[u8]) {
    message(Side::Response, input);
}

/// The value of a metadata record.
pub(crate) fn metadata_record(input: &[u8]) {
    let value = Bytes::copy_from_slice(input);
    let Ok(record) = MetadataRecord::decode(&value) else { return };
    let again = record.encode().expect("a record that was decoded can be encoded");
    let same = MetadataRecord::decode(&again).expect("what was encoded can be decoded");
    // Not the records: a quota may be NaN, which does not equal itself.
    assert_eq!(same.encode(), Ok(again));
}

/// The key of a control record, four bytes, and its value.
pub(crate) fn control_record(input: &[u8]) {
    let Some((key, value)) = input.split_at_checked(4) else { return };
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    let Ok(Some(record)) = ControlRecord::decode(&key, &value) else { return };
    // A version that is not known yet was read as the highest known, and cannot be written.
    let Ok(again) = record.encode() else { return };
    let key = Bytes::copy_from_slice(&record.control_type().key());
    assert_eq!(ControlRecord::decode(&key, &again), Ok(Some(record)));
}

/// Record batches, one after the other. A wrong CRC stops nobody here: an enemy's is right.
pub(crate) fn batch(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let (mut scratch, mut covered) = (Scratch::default(), 0);
    for batch in batch::split(&bytes) {
        let Ok(batch) = batch else { return };
        covered += batch.bytes.len();
        assert!(covered <= bytes.len(), "batches lie within the bytes");
        assert_eq!(batch.header.size_in_bytes(), batch.bytes.len());
        if batch.header.check_values().is_err() {
            continue;
        }
        let Ok(records) = RecordIter::new(&batch, EXPANDED_BYTES_MAX, &mut scratch) else { continue };
        let read = records.map_while(Result::ok).count();
        assert!(read <= batch.header.records_count as usize, "no more records than the header says");
    }
}

/// A snapshot of the metadata log: as it is, and with the CRCs that its batches should have.
pub(crate) fn snapshot(input: &[u8]) {
    let (bytes, mut signed) = (Bytes::copy_from_slice(input), input.to_vec());
    let mut start = 0;
    for batch in batch::split(&bytes).map_while(Result::ok) {
        let end = start + batch.bytes.len();
        let crc = crc32c::crc32c(&signed[start + 21..end]);
        signed[start + 17..start + 21].copy_from_slice(&crc.to_be_bytes());
        start = end;
    }
    for input in [input, &signed] {
        let _ = read_snapshot(input);
    }
}

fn read_snapshot(input: &[u8]) -> Result<(), SnapshotError> {
    let (mut reader, mut scratch) = (SnapshotReader::new(EXPANDED_BYTES_MAX as usize), Scratch::default());
    for piece in input.chunks(100) {
        reader.feed(piece);
        while let Some(batch) = reader.next(&mut scratch)? {
            if let SnapshotBatch::Metadata(records) = batch {
                let encoded = records.iter().all(|record| record.encode().is_ok());
                assert!(encoded, "records that were decoded can be encoded");
            }
        }
    }
    reader.finish()
}

#[derive(Clone, Copy)]
enum Side {
    Request,
    Response,
}

fn message(side: Side, input: &[u8]) {
    let Some(([k0, k1, v0, v1], body)) = input.split_first_chunk() else { return };
    let body = Bytes::copy_from_slice(body);
    dispatch(side, i16::from_be_bytes([*k0, *k1]), i16::from_be_bytes([*v0, *v1]), &body);
}

macro_rules! dispatch {
    ($($key:ident = $request:ty;)*) => {
        fn dispatch(side: Side, key: i16, version: i16, body: &Bytes) {
            match (ApiKey::from_code(key), side) {
                $(
                    (Some(ApiKey::$key), Side::Request) => round_trip::<$request>(version, body),
                    (Some(ApiKey::$key), Side::Response) => {
                        round_trip::<<$request as Request>::Response>(version, body);
                    }
                )*
                _ => {}
            }
        }
    };
}

dispatch! {
    Produce = produce::ProduceRequest;
    Fetch = fetch::FetchRequest;
    ListOffsets = list_offsets::ListOffsetsRequest;
    Metadata = metadata::MetadataRequest;
    ApiVersions = api_versions::ApiVersionsRequest;
    CreateTopics = create_topics::CreateTopicsRequest;
    DeleteTopics = delete_topics::DeleteTopicsRequest;
    DeleteRecords = delete_records::DeleteRecordsRequest;
    InitProducerId = init_producer_id::InitProducerIdRequest;
    OffsetForLeaderEpoch = offset_for_leader_epoch::OffsetForLeaderEpochRequest;
    DescribeConfigs = describe_configs::DescribeConfigsRequest;
    AlterReplicaLogDirs = alter_replica_log_dirs::AlterReplicaLogDirsRequest;
    DescribeLogDirs = describe_log_dirs::DescribeLogDirsRequest;
    CreatePartitions = create_partitions::CreatePartitionsRequest;
    ElectLeaders = elect_leaders::ElectLeadersRequest;
    IncrementalAlterConfigs = incremental_alter_configs::IncrementalAlterConfigsRequest;
    AlterPartitionReassignments = alter_partition_reassignments::AlterPartitionReassignmentsRequest;
    ListPartitionReassignments = list_partition_reassignments::ListPartitionReassignmentsRequest;
    Vote = vote::VoteRequest;
    BeginQuorumEpoch = begin_quorum_epoch::BeginQuorumEpochRequest;
    EndQuorumEpoch = end_quorum_epoch::EndQuorumEpochRequest;
    DescribeQuorum = describe_quorum::DescribeQuorumRequest;
    AlterPartition = alter_partition::AlterPartitionRequest;
    UpdateFeatures = update_features::UpdateFeaturesRequest;
    Envelope = envelope::EnvelopeRequest;
    FetchSnapshot = fetch_snapshot::FetchSnapshotRequest;
    DescribeCluster = describe_cluster::DescribeClusterRequest;
    BrokerRegistration = broker_registration::BrokerRegistrationRequest;
    BrokerHeartbeat = broker_heartbeat::BrokerHeartbeatRequest;
    UnregisterBroker = unregister_broker::UnregisterBrokerRequest;
    AllocateProducerIds = allocate_producer_ids::AllocateProducerIdsRequest;
    ControllerRegistration = controller_registration::ControllerRegistrationRequest;
    AssignReplicasToDirs = assign_replicas_to_dirs::AssignReplicasToDirsRequest;
    DescribeTopicPartitions = describe_topic_partitions::DescribeTopicPartitionsRequest;
    AddRaftVoter = add_raft_voter::AddRaftVoterRequest;
    RemoveRaftVoter = remove_raft_voter::RemoveRaftVoterRequest;
    UpdateRaftVoter = update_raft_voter::UpdateRaftVoterRequest;
}

fn round_trip<M: Message>(version: i16, body: &Bytes) {
    let decoded: Result<M, DecodeError> = M::decode(&mut Reader::new(body), version);
    let Ok(message) = decoded else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("a message that was decoded can be encoded");
    let again = writer.into_bytes();
    let mut reader = Reader::new(&again);
    assert_eq!(M::decode(&mut reader, version).as_ref(), Ok(&message), "{} {version}", M::NAME);
    assert_eq!(reader.remaining(), 0, "{} {version} reads what it wrote", M::NAME);
}
