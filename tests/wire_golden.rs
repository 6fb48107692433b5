//! Our codec against bytes that Kafka 4.3.1's own serializers wrote: every record of the metadata log in every
//! version, the messages that kafka-protocol lacks, and a snapshot. `wire_golden/Golden.java` says how they were
//! made.

#[path = "support/content.rs"]
mod content;
#[path = "fuzz/generate.rs"]
#[expect(dead_code, reason = "only the list of messages is needed")]
mod generate;

use bytes::Bytes;
use content::without_names;
use generate::{Theirs, Visitor, visit_all};
use ottla::wire::compression::Scratch;
use ottla::wire::metadata::*;
use ottla::wire::snapshot::{SnapshotBatch, SnapshotReader};
use ottla::wire::{Message, Reader, VersionRange, Writer};
use std::collections::BTreeMap;
use std::fmt::Debug;

const RECORDS: &str = include_str!("wire_golden/records.txt");
const MESSAGES: &str = include_str!("wire_golden/messages.txt");
const SNAPSHOT: &[u8] = include_bytes!("fuzz/corpus/snapshot/java.checkpoint");

/// A line of those files.
struct Golden {
    version: i16,
    bytes: Bytes,
    content: &'static str,
}

/// The lines by the message's name.
fn read(lines: &'static str) -> BTreeMap<&'static str, Vec<Golden>> {
    let mut by_name: BTreeMap<&str, Vec<Golden>> = BTreeMap::new();
    for line in lines.lines() {
        let mut parts = line.splitn(4, ' ');
        let mut part = || parts.next().expect("a line has four parts");
        let (name, version, hex, content) = (part(), part(), part(), part());
        let version = version.parse().expect("a version is a number");
        by_name.entry(name).or_default().push(Golden { version, bytes: unhex(hex), content });
    }
    by_name
}

fn unhex(text: &str) -> Bytes {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits a byte");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// In the form of the files: without the names of structures and variants.
fn content(message: &impl Debug) -> String {
    let mut text = without_names(&format!("{message:?}")).replace(')', "");
    for variant in ["Some(", "Uuid(", "SnapshotHeader(", "SnapshotFooter(", "KRaftVersion(", "KRaftVoters("] {
        text = text.replace(variant, "");
    }
    // A structure without fields shows nothing but its name.
    if text.starts_with('{') { text } else { "{}".to_owned() }
}

fn check<M: Message>(golden: &Golden, bytes: &Bytes) {
    let (name, version) = (M::NAME, golden.version);
    let mut reader = Reader::new(bytes);
    let message = M::decode(&mut reader, version).unwrap_or_else(|error| panic!("{name} {version}: {error}"));
    assert_eq!(reader.remaining(), 0, "{name} {version}");
    assert_eq!(content(&message), golden.content, "{name} {version}");
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap_or_else(|error| panic!("{name} {version}: {error}"));
    assert_eq!(writer.into_bytes(), bytes, "{name} {version}");
}

#[test]
fn messages_that_only_kafka_itself_knows() {
    struct Check(BTreeMap<&'static str, Vec<Golden>>);
    impl Visitor for Check {
        fn visit<O: Message, T: Theirs>(&mut self) {
            for golden in self.0.remove(O::NAME).unwrap_or_default() {
                check::<O>(&golden, &golden.bytes);
            }
        }
    }
    let mut left = Check(read(MESSAGES));
    assert_eq!(left.0.len(), 8);
    visit_all(&mut left);
    assert!(left.0.is_empty(), "not declared here: {:?}", left.0.keys());
}

/// A record in the frame that it has in the log.
fn check_record<M: Message>(golden: &Golden) {
    let record = MetadataRecord::decode(&golden.bytes).expect("Kafka wrote it");
    assert_eq!(record.name(), M::NAME);
    if golden.version == M::VERSIONS.max {
        assert_eq!(
            record.encode().as_ref(),
            Ok(&golden.bytes),
            "{} is written in its highest version",
            M::NAME
        );
    }
    // Frame version, type and version: all below 128, so that each takes one byte.
    check::<M>(golden, &golden.bytes.slice(3..));
}

macro_rules! check_records {
    ($($record:ident)*) => {
        #[test]
        fn every_record_of_the_metadata_log_in_every_version() {
            let mut left = read(RECORDS);
            $(
                let lines = left.remove(stringify!($record)).expect("Kafka has the record");
                let versions: Vec<i16> = lines.iter().map(|golden| golden.version).step_by(3).collect();
                let VersionRange { min, max } = $record::VERSIONS;
                assert_eq!(versions, (min..=max).collect::<Vec<_>>(), stringify!($record));
                lines.iter().for_each(check_record::<$record>);
            )*
            assert!(left.is_empty(), "not declared here: {:?}", left.keys());
        }
    };
}

check_records! {
    RegisterBrokerRecord UnregisterBrokerRecord TopicRecord PartitionRecord ConfigRecord PartitionChangeRecord
    FenceBrokerRecord UnfenceBrokerRecord RemoveTopicRecord DelegationTokenRecord UserScramCredentialRecord
    FeatureLevelRecord ClientQuotaRecord ProducerIdsRecord BrokerRegistrationChangeRecord
    AccessControlEntryRecord RemoveAccessControlEntryRecord NoOpRecord ZkMigrationStateRecord
    RemoveUserScramCredentialRecord BeginTransactionRecord EndTransactionRecord AbortTransactionRecord
    RemoveDelegationTokenRecord RegisterControllerRecord ClearElrRecord
}

/// The snapshot holds the second of each record's lines of the highest version, in the same order, between
/// control records about the quorum.
#[test]
fn a_snapshot() {
    let (mut reader, mut scratch) = (SnapshotReader::new(1 << 20), Scratch::default());
    reader.feed(SNAPSHOT);
    let (mut control, mut metadata) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next(&mut scratch).expect("Kafka wrote it") {
        match batch {
            SnapshotBatch::Control(records) => control.extend(records.iter().map(content)),
            SnapshotBatch::Metadata(records) => metadata.extend(records),
        }
    }
    assert_eq!(reader.finish(), Ok(()));
    let voter = "{ voter_id: 3, voter_directory_id: 129127208515966861320, \
                 endpoints: [{ name: \"CONTROLLER\", host: \"h\", port: 9093 }], \
                 k_raft_version_feature: { min_supported_version: 0, max_supported_version: 1 } }";
    let expected = [
        "{ version: 0, last_contained_log_timestamp: 1700000000000 }",
        "{ version: 0, k_raft_version: 1 }",
        &format!("{{ version: 0, voters: [{voter}] }}"),
        "{ version: 0 }",
    ];
    assert_eq!(control, expected);
    let mut newest: Vec<Golden> =
        read(RECORDS).into_values().map(|mut lines| lines.swap_remove(lines.len() - 2)).collect();
    newest.sort_by_key(|golden| golden.bytes[1]);
    let newest: Vec<_> = newest.iter().map(|golden| MetadataRecord::decode(&golden.bytes)).collect();
    assert_eq!(metadata.into_iter().map(Ok).collect::<Vec<_>>(), newest);
}
