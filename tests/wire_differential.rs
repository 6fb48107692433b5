//! Our codec against kafka-protocol's, a second opinion generated from the same schemas by others.
//!
//! Every message, every version that both know, several shapes of content: encoded there, decoded here,
//! encoded here, decoded there. The bytes must be the same and so must the content, field by field, name by
//! name.

#[path = "support/content.rs"]
mod content;
#[path = "fuzz/generate.rs"]
mod generate;

use bytes::{Bytes, BytesMut};
use generate::{Gen, Shape, Theirs, Visitor, visit_all};
use ottla::wire::header::{RequestHeader, ResponseHeader};
use ottla::wire::{ApiKey, Message, Reader, Writer};
use std::fmt::Debug;

/// How many messages of one shape are compared in one version.
fn seeds(shape: Shape) -> u64 {
    match shape {
        Shape::Default => 1,
        Shape::Large => 2,
        Shape::Mixed => 20,
        _ => 5,
    }
}

/// Versions that Kafka 4.3 has and kafka-protocol's schemas (4.1) lack. Where one equals the version before in
/// form, or differs in a tagged field, it is compared with that; wire_golden.rs has them all.
const ONLY_OURS: &[(&str, i16)] = &[
    ("AddRaftVoterRequest", 1),
    ("AddRaftVoterResponse", 1),
    ("BrokerHeartbeatRequest", 2),
    ("BrokerHeartbeatResponse", 2),
    ("DescribeLogDirsRequest", 5),
    ("DescribeLogDirsResponse", 5),
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
];

/// Those of them whose form is new.
const NEW_FORMS: &[(&str, i16)] = &[("AddRaftVoterRequest", 1), ("DescribeLogDirsResponse", 5)];

/// The fields of those versions, as they stand in versions that lack them.
const FIELDS_ONLY_OURS: &[&str] =
    &[", ack_when_committed: true", ", cordoned_log_dirs: None", ", is_cordoned: false"];

/// Versions that kafka-protocol has and we do not: InitProducerId 6 is not stable in Kafka 4.3.
const ONLY_THEIRS: &[(&str, i16)] = &[("InitProducerIdRequest", 6), ("InitProducerIdResponse", 6)];

/// The fields of those versions, as they stand in versions that lack them.
const FIELDS_ONLY_THEIRS: &[&str] = &[
    ", enable_2_pc: false, keep_prepared_txn: false",
    ", ongoing_txn_producer_id: -1, ongoing_txn_producer_epoch: -1",
];

fn encode_theirs<T: Theirs>(message: &T, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap_or_else(|error| panic!("{error}: {message:?}"));
    bytes.freeze()
}

fn encode_ours<O: Message>(message: &O, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap_or_else(|error| panic!("{error}: {message:?}"));
    let length = writer.len();
    let bytes = writer.into_bytes();
    assert_eq!(bytes.len(), length, "a writer knows how much it holds");
    bytes
}

fn decode_ours<O: Message>(bytes: &Bytes, version: i16) -> O {
    let mut reader = Reader::new(bytes);
    let message = O::decode(&mut reader, version)
        .unwrap_or_else(|error| panic!("{} {version}: {error}: {bytes:02x?}", O::NAME));
    assert_eq!(reader.remaining(), 0, "{} {version} reads all of {bytes:02x?}", O::NAME);
    message
}

/// Ours and theirs as text, in one form: theirs keep unknown tagged fields and write uuids with hyphens.
fn content_ours(message: &impl Debug) -> String {
    let mut text = format!("{message:?}");
    for field in FIELDS_ONLY_OURS {
        text = text.replace(field, "");
    }
    let mut parts = text.split("Uuid(");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(')').expect("the debug form of a uuid closes");
        let number: u128 = number.parse().expect("the debug form of a uuid is a number");
        plain.push_str(&uuid::Uuid::from_u128(number).to_string());
        plain.push_str(rest);
    }
    content::without_names(&plain)
}

fn content_theirs(message: &impl Debug) -> String {
    let mut text = format!("{message:?}").replace(", unknown_tagged_fields: {}", "");
    for field in FIELDS_ONLY_THEIRS {
        text = text.replace(field, "");
    }
    content::without_names(&text)
}

struct Compare {
    compared: u32,
}

impl Visitor for Compare {
    fn visit<O: Message, T: Theirs>(&mut self) {
        let (ours, theirs) = (O::VERSIONS, T::VERSIONS);
        for version in ours.min.min(theirs.min)..=ours.max.max(theirs.max) {
            let only_ours = !(theirs.min..=theirs.max).contains(&version);
            assert_eq!(only_ours, ONLY_OURS.contains(&(O::NAME, version)), "{} {version}", O::NAME);
            let only_theirs = !ours.contains(version);
            assert_eq!(only_theirs, ONLY_THEIRS.contains(&(O::NAME, version)), "{} {version}", O::NAME);
            if only_theirs || NEW_FORMS.contains(&(O::NAME, version)) {
                continue;
            }
            for shape in Shape::ALL {
                for seed in 0..seeds(shape) {
                    let schema_version = if only_ours { version - 1 } else { version };
                    compare::<O, T>(
                        &T::any(&mut Gen::new(seed, shape, schema_version)),
                        version,
                        schema_version,
                    );
                    self.compared += 1;
                }
            }
        }
    }
}

fn compare<O: Message, T: Theirs>(message: &T, version: i16, schema_version: i16) {
    let theirs = encode_theirs(message, schema_version);
    let ours: O = decode_ours(&theirs, version);
    let reencoded = encode_ours(&ours, version);
    assert_eq!(reencoded, theirs, "{} {version}: {message:?}", O::NAME);
    let back = T::decode(&mut reencoded.clone(), schema_version)
        .unwrap_or_else(|error| panic!("{} {version} there: {error}: {message:?}", O::NAME));
    assert_eq!(content_ours(&ours), content_theirs(&back), "{} {version}", O::NAME);
    assert_eq!(decode_ours::<O>(&reencoded, version), ours, "{} {version}", O::NAME);
}

#[test]
fn both_codecs_agree_on_every_message_in_every_version() {
    let mut compare = Compare { compared: 0 };
    visit_all(&mut compare);
    assert!(compare.compared > 5_000, "only {} messages were compared", compare.compared);
}

/// Where a default differs, it differs on purpose.
#[test]
fn both_codecs_have_the_same_defaults() {
    struct Defaults;
    impl Visitor for Defaults {
        fn visit<O: Message, T: Theirs>(&mut self) {
            assert_eq!(content_ours(&O::default()), content_theirs(&T::default()), "{}", O::NAME);
        }
    }
    visit_all(&mut Defaults);
}

#[test]
fn both_codecs_agree_on_headers_and_ranges() {
    for &key in ApiKey::ALL {
        let Ok(theirs) = kafka_protocol::messages::ApiKey::try_from(key.code()) else {
            let streams = [ApiKey::StreamsGroupHeartbeat, ApiKey::StreamsGroupDescribe];
            assert!(streams.contains(&key), "kafka-protocol knows {key}");
            continue;
        };
        for version in key.versions().min..=key.versions().max {
            let request_is_flexible = theirs.request_header_version(version) >= 2;
            assert_eq!(key.request_is_flexible(version), request_is_flexible, "{key} {version}");
            let response_is_flexible = theirs.response_header_version(version) >= 1;
            assert_eq!(key.response_header_is_flexible(version), response_is_flexible, "{key} {version}");
        }
    }
}

#[test]
fn both_codecs_agree_on_header_bytes() {
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
    for (key, api_version) in [(1i16, 11i16), (1, 12), (18, 0), (18, 4), (17, 1)] {
        for client_id in [None, Some(""), Some("client \u{e4}")] {
            let ours = RequestHeader {
                api_key: key,
                api_version,
                correlation_id: -77,
                client_id: client_id.map(str::to_owned),
            };
            let mut writer = Writer::new();
            ours.encode(&mut writer).unwrap();
            let bytes = writer.into_bytes();
            let theirs = kafka_protocol::messages::ApiKey::try_from(key).unwrap();
            let header_version = theirs.request_header_version(api_version);
            let expected = kafka_protocol::messages::RequestHeader::default()
                .with_request_api_key(key)
                .with_request_api_version(api_version)
                .with_correlation_id(-77)
                .with_client_id(client_id.map(StrBytes::from_static_str));
            let mut expected_bytes = BytesMut::new();
            expected.encode(&mut expected_bytes, header_version).unwrap();
            assert_eq!(bytes, expected_bytes);
            assert_eq!(RequestHeader::decode(&mut Reader::new(&bytes)), Ok(ours));

            let mut writer = Writer::new();
            let known = ApiKey::from_code(key).unwrap();
            ResponseHeader { correlation_id: 5 }.encode(&mut writer, known, api_version);
            let header = kafka_protocol::messages::ResponseHeader::decode(
                &mut writer.into_bytes(),
                theirs.response_header_version(api_version),
            );
            assert_eq!(header.unwrap().correlation_id, 5);
        }
    }
}
