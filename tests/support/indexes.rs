//! Index files against a linear scan of the log files they belong to.

use ottla::types::Offset;
use ottla::wire::batch::{BatchHeader, split};

use super::logs::{DIR, file, small};
use super::memory_disk::MemoryDisk;

/// Checks all segments of the log: that they follow on each other up to `end`, that their offset indexes are
/// what a scan yields, byte for byte, and that their time indexes say nothing wrong and, in segments that were
/// rolled, end with the largest timestamp.
pub(crate) fn check_segments(disk: &MemoryDisk, end: Offset) {
    let names = disk.names(DIR);
    let bases: Vec<i64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".log"))
        .map(|digits| digits.parse().expect("a segment's name is a number"))
        .collect();
    for (index, base) in bases.iter().enumerate() {
        let last_offset = check_segment(disk, *base, index + 1 < bases.len());
        let next = bases.get(index + 1).copied().unwrap_or(end.0);
        assert_eq!(
            last_offset.map_or(*base, |last| last + 1),
            next,
            "segment {base} ends where the next begins"
        );
    }
    for name in &names {
        let base = name.split('.').next().expect("there is a first part");
        let has_log = names.contains(&format!("{base}.log"));
        assert!(has_log || !name.ends_with("index"), "{name} belongs to no segment");
    }
}

fn check_segment(disk: &MemoryDisk, base: i64, rolled: bool) -> Option<i64> {
    let content = |extension| disk.content(file(base, extension)).expect("the segment has all its files");
    let headers: Vec<(u32, BatchHeader)> = scan(content("log"));
    let (mut expected, mut last_indexed) = (Vec::new(), 0);
    for (position, header) in &headers {
        if position - last_indexed > small().index_interval_bytes {
            expected.extend(((header.last_offset().0 - base) as i32).to_be_bytes());
            expected.extend(position.to_be_bytes());
            last_indexed = *position;
        }
    }
    assert_eq!(content("index"), expected, "the offset index of segment {base}");
    check_time_index(base, &content("timeindex"), &headers, rolled);
    headers.last().map(|(_, header)| header.last_offset().0)
}

fn check_time_index(base: i64, content: &[u8], headers: &[(u32, BatchHeader)], rolled: bool) {
    let (entries, rest) = content.as_chunks::<12>();
    assert!(rest.is_empty(), "the time index of segment {base} has whole entries");
    let mut before = -1;
    for entry in entries {
        let timestamp = i64::from_be_bytes(entry[..8].try_into().expect("eight bytes"));
        let offset = base + i64::from(i32::from_be_bytes(entry[8..].try_into().expect("four bytes")));
        assert!(timestamp > before, "the time index of segment {base} ascends");
        before = timestamp;
        let first = headers.iter().find(|(_, header)| header.max_timestamp >= timestamp);
        let named = first.map(|(_, header)| (header.max_timestamp, header.last_offset().0));
        assert_eq!(named, Some((timestamp, offset)), "the first batch of segment {base} with that timestamp");
    }
    let largest = headers.iter().map(|(_, header)| header.max_timestamp).max().unwrap_or(-1);
    assert!(!rolled || before == largest, "the time index of segment {base} ends with the largest timestamp");
}

fn scan(content: Vec<u8>) -> Vec<(u32, BatchHeader)> {
    let mut position = 0;
    let mut headers = Vec::new();
    for batch in split(&content.into()) {
        let batch = batch.expect("the log file has whole batches only");
        let header = BatchHeader::verify(&batch.bytes).expect("the log file has good batches only");
        headers.push((position, header));
        position += u32::try_from(batch.bytes.len()).expect("segments are small here");
    }
    headers
}
