//! The fuzz targets without a fuzzer: every input of the corpus, and seeded mutations of valid messages.
//!
//! Besides what the targets assert themselves, no input may make them allocate more than a small multiple of its
//! own length: the length fields in it are an enemy's.

#[path = "fuzz/generate.rs"]
mod generate;
#[path = "fuzz/targets.rs"]
mod targets;

use allocation_counter::measure;
use bytes::{BufMut, Bytes, BytesMut};
use generate::{Gen, Shape, Theirs, Visitor, visit_all};
use ottla::types::Uuid;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::{Compression, Scratch};
use ottla::wire::messages::delete_topics::DeleteTopicsRequest;
use ottla::wire::messages::{metadata, produce};
use ottla::wire::records::Header;
use ottla::wire::{ApiKey, DecodeError, Message, Reader, Writer};
use std::path::{Path, PathBuf};
use targets::{TARGETS, Target};

/// A target holds a copy of its input, the message decoded from it, its encoding and the message decoded from that;
/// a decoded message takes up to 25 times the bytes it came from (an array of nullable strings, one byte each).
const ALLOCATED_PER_BYTE_MAX: u64 = 100;

/// What assertions, readers and writers take whatever the input.
const ALLOCATED_MAX: u64 = 1024;

/// What the codecs of record batches take for their tables and blocks (those of lz4: up to 4 MiB each way).
const ALLOCATED_BY_CODECS_MAX: u64 = 10 << 20;

/// Mutations of each valid input.
const MUTATIONS: usize = 50;

fn run((name, target): Target, input: &[u8]) {
    let allocated = measure(|| target(input)).bytes_max;
    let has_codecs = ["batch", "snapshot"].contains(&name);
    let constant = if has_codecs { ALLOCATED_BY_CODECS_MAX } else { ALLOCATED_MAX };
    let bound = constant + ALLOCATED_PER_BYTE_MAX * input.len() as u64;
    assert!(
        allocated <= bound,
        "{name} allocated {allocated} bytes for {} of input: {input:02x?}",
        input.len()
    );
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|(known, _)| *known == name).expect("the target exists")
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry of the corpus").path())
        .collect();
    entries.sort();
    entries
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the corpus lies in files")]
fn every_input_of_the_corpus_is_survived() {
    let directories: Vec<String> = entries(&corpus())
        .iter()
        .map(|path| path.file_name().expect("a directory's name").to_string_lossy().into_owned())
        .collect();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(directories, names, "each target has a corpus, and each corpus a target");
    for name in names {
        let inputs = entries(&corpus().join(name));
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in inputs {
            run(target(name), &std::fs::read(&input).expect("an input of the corpus"));
        }
    }
}

/// Changes an input the way a fuzzer would: bits, bytes, lengths, ends.
fn mutate(g: &mut Gen, valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..=g.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = g.below(bytes.len());
        match g.below(7) {
            0 => bytes[at] ^= 1 << g.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][g.below(5)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, g.next() as u8),
            4 => drop(bytes.remove(at)),
            5 => bytes[at..].iter_mut().take(4).zip([0x7f, 0xff, 0xff, 0xff]).for_each(|(b, x)| *b = x),
            _ => bytes[at..].iter_mut().take(5).zip([0xff, 0xff, 0xff, 0xff, 0x0f]).for_each(|(b, x)| *b = x),
        }
    }
    bytes
}

fn run_mutations(name: &str, seed: u64, valid: &[u8]) {
    run(target(name), valid);
    let mut g = Gen::new(seed, Shape::Mixed, 0);
    for _ in 0..MUTATIONS {
        run(target(name), &mutate(&mut g, valid));
    }
}

#[test]
fn mutations_of_valid_messages_are_survived() {
    struct Mutate {
        inputs: usize,
    }
    impl Visitor for Mutate {
        fn visit<O: Message, T: Theirs>(&mut self) {
            let (name, api) = match (O::NAME.strip_suffix("Request"), O::NAME.strip_suffix("Response")) {
                (Some(api), _) => ("request", api),
                (_, Some(api)) => ("response", api),
                _ => return,
            };
            let key = ApiKey::ALL.iter().find(|key| key.name() == api).expect("the API exists");
            for version in T::VERSIONS.min..=T::VERSIONS.max.min(O::VERSIONS.max) {
                for (seed, shape) in
                    Shape::ALL.into_iter().enumerate().filter(|(_, shape)| *shape != Shape::Large)
                {
                    let mut input = BytesMut::new();
                    input.put_i16(key.code());
                    input.put_i16(version);
                    let message = T::any(&mut Gen::new(seed as u64, shape, version));
                    message.encode(&mut input, version).expect("what was generated can be encoded");
                    run_mutations(name, seed as u64, &input);
                    self.inputs += 1 + MUTATIONS;
                }
            }
        }
    }
    let mut mutate = Mutate { inputs: 0 };
    visit_all(&mut mutate);
    assert!(mutate.inputs > 50_000, "only {} inputs", mutate.inputs);
}

/// Every record that Kafka can write, in every version.
#[test]
fn mutations_of_valid_records_are_survived() {
    let lines = include_str!("wire_golden/records.txt").lines();
    let records = lines.map(|line| unhex(line.split(' ').nth(2).expect("the third part is the record")));
    for (valid, seed) in records.zip(0..) {
        for round in 0..5 {
            run_mutations("metadata_record", seed + 1000 * round, &valid);
        }
    }
    let voters = b"\0\0\0\x06\0\0\x02\0\0\0\x01aaaaaaaaaaaaaaaa\x02\x02C\x02h\x23\x85\0\0\0\0\x01\0\0\0";
    for round in 0..50 {
        run_mutations("control_record", round, voters);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits a byte");
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn mutations_of_a_valid_snapshot_are_survived() {
    let valid = include_bytes!("fuzz/corpus/snapshot/java.checkpoint");
    for round in 0..100 {
        run_mutations("snapshot", round, valid);
    }
}

#[test]
fn mutations_of_valid_batches_are_survived() {
    use Compression::{Gzip, Lz4, None, Snappy, Zstd};
    for (codec, seed) in [None, Gzip, Snappy, Lz4, Zstd].into_iter().zip(0..) {
        let batch = batch_of_three(codec);
        let mut read = 0;
        for batch in ottla::wire::batch::split(&batch) {
            read += batch.expect("the batch is valid").header.records_count;
        }
        assert_eq!(read, 3);
        for round in 0..50 {
            run_mutations("batch", seed + 100 * round, &batch);
        }
    }
}

fn batch_of_three(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    let header = Header { key: Bytes::from_static(b"h"), value: Some(Bytes::from_static(b"v")) };
    for timestamp in 0..3 {
        let value = [b'v'; 100];
        builder.add(&NewRecord {
            timestamp,
            key: Some(b"key"),
            value: Some(&value),
            headers: std::slice::from_ref(&header),
        });
    }
    let options = BatchOptions { encoding: codec.into(), ..BatchOptions::default() };
    builder.finish(&options, &mut Scratch::default())
}

/// A length that claims two billion elements must fail before anything is allocated for them. Four bytes of it abort
/// a process that trusts them.
#[test]
fn length_bombs_allocate_nothing() {
    let bombs: [(i16, &[u8]); 4] = [
        (1, &[0x7f, 0xff, 0xff, 0xff]),
        (9, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (9, &[0xff, 0xff, 0xff, 0xff, 0x07]),
        (12, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (version, body) in bombs {
        let body = Bytes::from_static(body);
        let mut decoded = Ok(metadata::MetadataRequest::default());
        let allocated = measure(|| {
            decoded = metadata::MetadataRequest::decode(&mut Reader::new(&body), version);
        });
        assert!(matches!(decoded, Err(DecodeError::ArrayTooLong { .. })), "{version}: {decoded:?}");
        assert_eq!(allocated.bytes_total, 0, "{version}");
    }
}

/// The most that an honest length can cost: the shortest elements there are, one byte each, that become `String`s.
#[test]
fn the_worst_array_allocates_25_times_its_bytes() {
    const NAMES: usize = 60_000;
    let mut body = BytesMut::new();
    body.put_slice(&[0xe1, 0xd4, 0x03]);
    body.put_bytes(1, NAMES);
    body.put_slice(&[0; 5]);
    let body = body.freeze();
    let mut decoded = Ok(DeleteTopicsRequest::default());
    let allocated = measure(|| {
        decoded = DeleteTopicsRequest::decode(&mut Reader::new(&body), 5);
    });
    assert_eq!(decoded.map(|request| request.topic_names.len()), Ok(NAMES));
    assert!(allocated.bytes_total <= 25 * body.len() as u64, "{} bytes", allocated.bytes_total);
}

/// The hot path: a produce request of one batch takes three allocations (the topic's name and two arrays), none of
/// them for the records.
#[test]
fn a_produce_request_is_decoded_in_three_allocations() {
    for version in 3..=13 {
        let request = produce::ProduceRequest {
            topic_data: vec![produce::TopicProduceData {
                name: "topic".into(),
                topic_id: Uuid(7),
                partition_data: vec![produce::PartitionProduceData {
                    index: 0,
                    records: Some(vec![1; 10_000].into()),
                }],
            }],
            ..produce::ProduceRequest::default()
        };
        let mut writer = Writer::new();
        request.encode(&mut writer, version).expect("the request is valid");
        let bytes = writer.into_bytes();
        // The first slice of a buffer allocates its reference count; a connection's buffer has it already.
        drop(bytes.clone());
        let mut decoded = None;
        let allocated = measure(|| {
            decoded = produce::ProduceRequest::decode(&mut Reader::new(&bytes), version).ok();
        });
        let records = decoded.and_then(|request| request.topic_data[0].partition_data[0].records.clone());
        assert_eq!(records.map(|records| records.len()), Some(10_000));
        assert!(allocated.count_total <= 3, "{version}: {} allocations", allocated.count_total);
        assert!(allocated.bytes_total < 1000, "{version}: {} bytes", allocated.bytes_total);
    }
}
