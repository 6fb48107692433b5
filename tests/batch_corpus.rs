//! The corpus of the batch fuzz target, replayed, bent in every place, and read for what it says.
//!
//! `<client>-<codec>.bin` are log files that Kafka 4.3.1 wrote of what the Java client, librdkafka 2.16 and
//! kafka-python 3.0 sent it: twenty records each, see [`expected`].

#[path = "fuzz/batch_target.rs"]
mod batch_target;

use std::path::Path;

use batch_target::{batch_reader, signed};
use bytes::Bytes;
use ottla::wire::batch::{HEADER_LEN, split, verify_crc};
use ottla::wire::compression::{Compression, Scratch};
use ottla::wire::records::{Record, RecordIter};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/batch");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is part of the repository")
        .map(|entry| entry.expect("the folder can be listed"))
        .map(|entry| {
            let name = entry.file_name().into_string().expect("corpus names are ASCII");
            (name, read(&entry.path()))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 15, "the corpus has the files of three clients");
    files
}

#[expect(clippy::disallowed_methods, reason = "test data, read outside of any node")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the corpus can be read")
}

/// The nth record that each client sent.
fn expected(client: &str, n: i64) -> Record {
    let header = |key: &'static [u8], value: Option<&'static [u8]>| ottla::wire::records::Header {
        key: Bytes::from_static(key),
        value: value.map(Bytes::from_static),
    };
    let mut headers = Vec::new();
    if n % 7 == 0 {
        headers.push(header(b"h", Some(b"v")));
        if client != "kafka-python" {
            headers.push(header(b"n", None));
        }
    }
    Record {
        offset: ottla::types::Offset(n),
        timestamp: 1_700_000_000_000 + n,
        key: Some(Bytes::from(format!("key-{}", n % 3))),
        value: (n != 5).then(|| Bytes::from(format!("value of record {n} ").repeat(4))),
        headers,
    }
}

#[test]
fn batches_of_other_clients_are_read_to_the_last_field() {
    let mut scratch = Scratch::default();
    for client in ["java", "librdkafka", "kafka-python"] {
        for codec in Compression::ALL {
            let name = format!("{client}-{codec}.bin");
            let (_, bytes) = corpus().into_iter().find(|(found, _)| *found == name).expect("all are there");
            let mut found = Vec::new();
            for batch in split(&Bytes::from(bytes)) {
                let batch = batch.expect("Kafka wrote whole batches");
                assert_eq!(verify_crc(&batch.bytes), Ok(()), "{name}");
                assert_eq!(batch.header.compression(), Ok(codec), "{name}");
                let records = RecordIter::new(&batch, 1 << 20, &mut scratch).expect("the batch begins well");
                found.extend(records.sequential().map(|record| record.expect("every record is well")));
            }
            let sent: Vec<Record> = (0..20).map(|n| expected(client, n)).collect();
            assert_eq!(found, sent, "{name}");
        }
    }
}

#[test]
fn the_corpus_is_read_without_a_panic() {
    corpus().iter().for_each(|(_, bytes)| batch_reader(bytes));
}

#[test]
fn every_cut_of_the_corpus_is_read_without_a_panic() {
    for (_, bytes) in corpus() {
        for end in (0..bytes.len().min(600)).chain([bytes.len() - 1]) {
            batch_reader(&bytes[..end]);
        }
    }
}

#[test]
fn every_bent_byte_of_the_corpus_is_read_without_a_panic() {
    for (_, bytes) in corpus() {
        for at in 0..bytes.len().min(400) {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 0x10] {
                let mut bent = bytes.clone();
                bent[at] = value;
                batch_reader(&bent);
            }
        }
    }
}

#[test]
fn signing_makes_a_whole_batch_of_anything() {
    assert_eq!(verify_crc(&signed(&[0xee; HEADER_LEN + 5])), Ok(()));
}
