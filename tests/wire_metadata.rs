//! Metadata and control records against bytes derived by hand from the rules of Kafka's schemas: no other
//! codec in reach knows them. Two hexadecimal digits a byte; a line is a field.

use bytes::Bytes;
use ottla::types::Uuid;
use ottla::wire::DecodeError;
use ottla::wire::control::*;
use ottla::wire::metadata::*;

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits are ASCII");
            u8::from_str_radix(pair, 16).expect("the test's own digits")
        })
        .collect()
}

fn id(last: u8) -> Uuid {
    Uuid(0xa0b0_c0d0_0000_4000_8000_0000_0000_0000 | u128::from(last))
}

/// What [`id`] looks like but for its last byte.
const ID: &str = "a0b0c0d0 00004000 80000000 000000";

#[track_caller]
fn is(record: impl Into<MetadataRecord>, bytes: &str) {
    let (record, bytes) = (record.into(), hex(&bytes.replace("ID", ID)));
    assert_eq!(record.encode().as_ref(), Ok(&bytes), "{record:?}");
    assert_eq!(MetadataRecord::decode(&bytes), Ok(record));
}

/// Bytes of a version that is no longer written.
#[track_caller]
fn was(bytes: &str, record: impl Into<MetadataRecord>) {
    assert_eq!(MetadataRecord::decode(&hex(&bytes.replace("ID", ID))), Ok(record.into()));
}

#[test]
fn brokers() {
    let registration = RegisterBrokerRecord {
        broker_id: 3,
        incarnation_id: id(1),
        broker_epoch: 7,
        end_points: vec![BrokerEndpoint {
            name: "PLAIN".into(),
            host: "h".into(),
            port: 0xfffe,
            security_protocol: 0,
        }],
        features: vec![BrokerFeature {
            name: "mv".into(),
            min_supported_version: 7,
            max_supported_version: 30,
        }],
        rack: None,
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: vec![id(9)],
        ..RegisterBrokerRecord::default()
    };
    is(
        registration.clone(),
        "01 00 04
         00000003
         00
         ID01
         0000000000000007
         02  06 504c41494e  02 68  fffe  0000  00
         02  03 6d76  0007  001e  00
         00
         01
         00
         01  00 11  02 ID09",
    );
    let old = RegisterBrokerRecord { log_dirs: vec![], rack: Some("r".into()), ..registration };
    was(
        "01 00 00  00000003  ID01  0000000000000007
         02  06 504c41494e  02 68  fffe  0000  00
         02  03 6d76  0007  001e  00
         02 72  01  00",
        old,
    );
    is(UnregisterBrokerRecord { broker_id: 3, broker_epoch: 7 }, "01 01 00  00000003  0000000000000007  00");
    is(FenceBrokerRecord { id: 3, epoch: 7 }, "01 07 00  00000003  0000000000000007  00");
    is(UnfenceBrokerRecord { id: 3, epoch: 7 }, "01 08 00  00000003  0000000000000007  00");
}

#[test]
fn changes_of_a_registration() {
    let unfenced = BrokerRegistrationChangeRecord {
        broker_id: 3,
        broker_epoch: 7,
        fenced: -1,
        ..BrokerRegistrationChangeRecord::default()
    };
    is(unfenced.clone(), "01 11 03  00000003  0000000000000007  01  00 01 ff");
    was("01 11 00  00000003  0000000000000007  01  00 01 ff", unfenced);
    is(
        BrokerRegistrationChangeRecord {
            broker_id: 3,
            broker_epoch: 7,
            in_controlled_shutdown: 1,
            log_dirs: vec![id(9)],
            cordoned_log_dirs: Some(vec![]),
            ..BrokerRegistrationChangeRecord::default()
        },
        "01 11 03  00000003  0000000000000007  03  01 01 01  02 11 02 ID09  03 01 01",
    );
}

#[test]
fn topics_and_their_configuration() {
    is(TopicRecord { name: "t".into(), topic_id: id(2) }, "01 02 00  02 74  ID02  00");
    is(RemoveTopicRecord { topic_id: id(2) }, "01 09 00  ID02  00");
    let config = ConfigRecord {
        resource_type: 2,
        resource_name: "t".into(),
        name: "k".into(),
        value: Some("v".into()),
    };
    is(config.clone(), "01 04 00  02  02 74  02 6b  02 76  00");
    is(ConfigRecord { value: None, ..config }, "01 04 00  02  02 74  02 6b  00  00");
}

#[test]
fn partitions() {
    let partition = PartitionRecord {
        partition_id: 1,
        topic_id: id(2),
        replicas: vec![3, 4],
        isr: vec![3],
        leader: 3,
        leader_epoch: 5,
        partition_epoch: 6,
        directories: vec![id(7), id(8)],
        ..PartitionRecord::default()
    };
    is(
        partition.clone(),
        "01 03 02  00000001  ID02
         03 00000003 00000004
         02 00000003
         01
         01
         00000003
         00000005
         00000006
         03 ID07 ID08
         00",
    );
    is(
        PartitionRecord {
            leader_recovery_state: 1,
            eligible_leader_replicas: Some(vec![4]),
            last_known_elr: Some(vec![]),
            ..partition.clone()
        },
        "01 03 02  00000001  ID02  03 00000003 00000004  02 00000003  01  01
         00000003  00000005  00000006  03 ID07 ID08
         03  00 01 01  01 05 02 00000004  02 01 01",
    );
    was(
        "01 03 00  00000001  ID02  03 00000003 00000004  02 00000003  01  01
         00000003  00000005  00000006  00",
        PartitionRecord { directories: vec![], ..partition },
    );
}

#[test]
fn changes_of_a_partition() {
    let nothing =
        PartitionChangeRecord { partition_id: 1, topic_id: id(2), ..PartitionChangeRecord::default() };
    is(nothing.clone(), "01 05 02  00000001  ID02  00");
    let change = PartitionChangeRecord {
        isr: Some(vec![3]),
        leader: -1,
        replicas: Some(vec![3, 4]),
        removing_replicas: Some(vec![]),
        adding_replicas: Some(vec![4]),
        leader_recovery_state: 0,
        eligible_leader_replicas: Some(vec![4]),
        last_known_elr: Some(vec![]),
        directories: Some(vec![id(7)]),
        ..nothing
    };
    is(
        change.clone(),
        "01 05 02  00000001  ID02
         09
         00 05  02 00000003
         01 04  ffffffff
         02 09  03 00000003 00000004
         03 01  01
         04 05  02 00000004
         05 01  00
         06 05  02 00000004
         07 01  01
         08 11  02 ID07",
    );
    was(
        "01 05 01  00000001  ID02  02  00 05 02 00000003  01 04 00000004",
        PartitionChangeRecord {
            isr: Some(vec![3]),
            leader: 4,
            ..PartitionChangeRecord { partition_id: 1, topic_id: id(2), ..PartitionChangeRecord::default() }
        },
    );
}

#[test]
fn the_cluster() {
    is(FeatureLevelRecord { name: "mv".into(), feature_level: 30 }, "01 0c 00  03 6d76  001e  00");
    is(
        ProducerIdsRecord { broker_id: 3, broker_epoch: 7, next_producer_id: 1000 },
        "01 0f 00  00000003  0000000000000007  00000000000003e8  00",
    );
    is(NoOpRecord {}, "01 14 00  00");
    is(BeginTransactionRecord { name: Some("n".into()) }, "01 17 00  01  00 02  02 6e");
    is(BeginTransactionRecord { name: None }, "01 17 00  00");
    is(EndTransactionRecord {}, "01 18 00  00");
    is(AbortTransactionRecord { reason: Some("".into()) }, "01 19 00  01  00 01  01");
    is(
        RegisterControllerRecord {
            controller_id: 3,
            incarnation_id: id(1),
            zk_migration_ready: false,
            end_points: vec![ControllerEndpoint {
                name: "C".into(),
                host: "h".into(),
                port: 9093,
                security_protocol: 0,
            }],
            features: vec![ControllerFeature {
                name: "mv".into(),
                min_supported_version: 7,
                max_supported_version: 30,
            }],
        },
        "01 1b 00  00000003  ID01  00
         02  02 43  02 68  2385  0000  00
         02  03 6d76  0007  001e  00
         00",
    );
}

#[test]
fn malformed_values_are_refused() {
    let refused = |text: &str| MetadataRecord::decode(&hex(text)).expect_err("the value is malformed");
    assert_eq!(refused(""), DecodeError::Truncated { needed: 1, remaining: 0 });
    assert_eq!(refused("00 14 00 00"), DecodeError::UnknownFrameVersion(0));
    assert_eq!(refused("01 7f 00 00"), DecodeError::UnknownRecord { kind: "metadata", code: 127 });
    assert_eq!(refused("01 14 01 00"), DecodeError::UnsupportedVersion { message: "NoOpRecord", version: 1 });
    assert_eq!(
        refused("01 14 ffffffff0f 00"),
        DecodeError::UnsupportedVersion { message: "NoOpRecord", version: i16::MAX }
    );
    assert_eq!(refused("01 14 00 00 00"), DecodeError::TrailingBytes(1));
    assert_eq!(
        refused("01 09 00 0000"),
        DecodeError::Truncated { needed: 16, remaining: 2 },
        "RemoveTopic without its id"
    );
}

#[track_caller]
fn is_control(record: ControlRecord, key: &str, value: &str) {
    let (key, value) = (hex(key), hex(&value.replace("ID", ID)));
    assert_eq!((record.control_type().key().to_vec(), record.encode()), (key.to_vec(), Ok(value.clone())));
    assert_eq!(ControlRecord::decode(&key, &value), Ok(Some(record)));
}

#[test]
fn control_records() {
    let voter = |voter_id| LeaderChangeVoter { voter_id, voter_directory_id: Uuid::ZERO };
    is_control(
        ControlRecord::LeaderChange(LeaderChangeMessage {
            version: 0,
            leader_id: 2,
            voters: vec![voter(1), voter(2)],
            granting_voters: vec![voter(2)],
        }),
        "0000 0002",
        "0000  00000002  03 00000001 00 00000002 00  02 00000002 00  00",
    );
    is_control(
        ControlRecord::SnapshotHeader(SnapshotHeaderRecord { version: 0, last_contained_log_timestamp: 258 }),
        "0000 0003",
        "0000  0000000000000102  00",
    );
    is_control(ControlRecord::SnapshotFooter(SnapshotFooterRecord { version: 0 }), "0000 0004", "0000  00");
    is_control(
        ControlRecord::KRaftVersion(KRaftVersionRecord { version: 0, k_raft_version: 1 }),
        "0000 0005",
        "0000  0001  00",
    );
    is_control(
        ControlRecord::KRaftVoters(VotersRecord {
            version: 0,
            voters: vec![Voter {
                voter_id: 1,
                voter_directory_id: id(4),
                endpoints: vec![Endpoint { name: "C".into(), host: "h".into(), port: 9093 }],
                k_raft_version_feature: KRaftVersionFeature {
                    min_supported_version: 0,
                    max_supported_version: 1,
                },
            }],
        }),
        "0000 0006",
        "0000  02  00000001  ID04  02 02 43 02 68 2385 00  0000 0001 00  00  00",
    );
}

#[test]
fn control_records_of_a_later_version_are_read_as_the_highest_known() {
    assert_eq!(
        ControlRecord::decode(&hex("0000 0004"), &hex("0005 00")),
        Ok(Some(ControlRecord::SnapshotFooter(SnapshotFooterRecord { version: 5 })))
    );
}

#[test]
fn control_records_of_another_kind_are_told_apart() {
    let decoded = |key| ControlRecord::decode(&hex(key), &hex("0000 00"));
    assert_eq!(decoded("0000 0001"), Err(DecodeError::UnknownRecord { kind: "control", code: 1 }));
    assert_eq!(decoded("0000 0007"), Ok(None), "a type of a later Kafka is skipped");
    assert_eq!(decoded("ffff 0004"), Err(DecodeError::ControlKey));
    assert_eq!(decoded("0000 00"), Err(DecodeError::ControlKey));
}
