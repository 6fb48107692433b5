//! Producer snapshots: `%020d.snapshot`, the state of all idempotent producers of a partition *before* the
//! offset in the name.
//!
//! ```text
//! at  bytes  field                     each entry, 46 bytes:
//!  0    2    version, 1                +0   8  producer id
//!  2    4    CRC-32C of all from 6     +8   2  producer epoch
//!  6    4    number of entries         +10  4  last sequence, -1 if none
//! 10         entries                   +14  8  last offset, -1 if none
//!                                      +22  4  offset delta of the last batch
//!                                      +26  8  timestamp
//!                                      +34  4  coordinator epoch, -1 if none
//!                                      +38  8  first offset of the open transaction, -1 if none
//! ```
//!
//! All numbers are big-endian.
//!
//! Faults: a snapshot is a shortcut, never the truth. One that does not check out is
//! [`SnapshotError::Malformed`]; the state is then folded from the log, or from an older snapshot. Snapshots
//! past the end of the log are removed by recovery and truncation, before anything can be appended under
//! them.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::checkpoint::{read_file, replace_file};
use super::directory::{FileKind, FileName, file_name};
use crate::env::{Disk, DiskError};
use crate::types::{Offset, ProducerEpoch, ProducerId};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;
const HEADER_LEN: usize = 10;
const ENTRY_LEN: usize = 46;

/// What is known of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSnapshotEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its newest incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The last sequence number of its last batch, -1 if it wrote none in this epoch.
    pub last_sequence: i32,
    /// The offset of the last record of its last batch, -1 if there is none.
    pub last_offset: i64,
    /// The last batch's number of records, less one.
    pub offset_delta: i32,
    /// The largest timestamp of its last batch or marker, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The epoch of the coordinator that wrote the last transaction marker, -1 if there is none.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction, -1 if there is none.
    pub current_transaction_first_offset: i64,
}

/// Why a snapshot could not be read.
#[derive(Debug, Clone, Error)]
pub enum SnapshotError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bytes are not a snapshot.
    #[error("producer snapshot {} is unusable: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Writes the snapshot of the state before `offset` into the partition directory `dir`, durably.
/// As for every small file, the future must not be dropped (see [`replace_file`]).
///
/// # Errors
///
/// Those of the disk; the old snapshot of that offset, if any, is then still whole.
pub async fn write_producer_snapshot<D: Disk>(
    disk: &D,
    dir: &Path,
    offset: Offset,
    entries: &[ProducerSnapshotEntry],
) -> Result<(), DiskError> {
    replace_file(disk, dir, &file_name(offset, FileKind::ProducerSnapshot), &encode(entries)).await
}

/// Reads the snapshot of the state before `offset` from the partition directory `dir`.
///
/// # Errors
///
/// [`SnapshotError::Malformed`] if it is missing or does not check out, else those of the disk.
pub async fn read_producer_snapshot<D: Disk>(
    disk: &D,
    dir: &Path,
    offset: Offset,
) -> Result<Vec<ProducerSnapshotEntry>, SnapshotError> {
    let path = dir.join(file_name(offset, FileKind::ProducerSnapshot));
    let bytes = read_file(disk, &path).await?;
    let malformed = |reason: String| SnapshotError::Malformed { path: path.clone(), reason };
    let bytes = bytes.ok_or_else(|| malformed("it does not exist".to_owned()))?;
    decode(&bytes).map_err(malformed)
}

/// The offsets of the snapshots in the partition directory `dir`, ascending.
///
/// # Errors
///
/// Those of the disk.
pub async fn list_producer_snapshots<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<Offset>, DiskError> {
    let mut offsets: Vec<Offset> = Vec::new();
    for entry in disk.list(dir).await? {
        if let FileName::Named(offset, FileKind::ProducerSnapshot) = FileName::parse(&entry.name) {
            offsets.push(offset);
        }
    }
    offsets.sort();
    Ok(offsets)
}

fn encode(entries: &[ProducerSnapshotEntry]) -> Vec<u8> {
    let count = i32::try_from(entries.len()).expect("fewer producers than 2^31");
    let mut bytes = Vec::with_capacity(HEADER_LEN + entries.len() * ENTRY_LEN);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        bytes.extend_from_slice(&entry.producer_id.0.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.0.to_be_bytes());
        bytes.extend_from_slice(&entry.last_sequence.to_be_bytes());
        bytes.extend_from_slice(&entry.last_offset.to_be_bytes());
        bytes.extend_from_slice(&entry.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.current_transaction_first_offset.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    bytes[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Vec<ProducerSnapshotEntry>, String> {
    if bytes.len() < HEADER_LEN {
        return Err(format!("it has {} bytes, less than its header", bytes.len()));
    }
    let version = i16::from_be_bytes(field(bytes, 0));
    if version != VERSION {
        return Err(format!("version {version} is not known, only {VERSION} is"));
    }
    let stored = u32::from_be_bytes(field(bytes, CRC_AT));
    let computed = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    if stored != computed {
        return Err(format!("its CRC is {stored:#010x}, its bytes have {computed:#010x}"));
    }
    let count = i32::from_be_bytes(field(bytes, ENTRIES_AT));
    let entries = bytes[HEADER_LEN..].chunks_exact(ENTRY_LEN);
    if usize::try_from(count) != Ok(entries.len()) || !entries.remainder().is_empty() {
        return Err(format!("it claims {count} entries in {} bytes", bytes.len() - HEADER_LEN));
    }
    Ok(entries.map(decode_entry).collect())
}

fn decode_entry(entry: &[u8]) -> ProducerSnapshotEntry {
    ProducerSnapshotEntry {
        producer_id: ProducerId(i64::from_be_bytes(field(entry, 0))),
        producer_epoch: ProducerEpoch(i16::from_be_bytes(field(entry, 8))),
        last_sequence: i32::from_be_bytes(field(entry, 10)),
        last_offset: i64::from_be_bytes(field(entry, 14)),
        offset_delta: i32::from_be_bytes(field(entry, 22)),
        timestamp: i64::from_be_bytes(field(entry, 26)),
        coordinator_epoch: i32::from_be_bytes(field(entry, 34)),
        current_transaction_first_offset: i64::from_be_bytes(field(entry, 38)),
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> ProducerSnapshotEntry {
        ProducerSnapshotEntry {
            producer_id: ProducerId(0x0102_0304_0506_0708),
            producer_epoch: ProducerEpoch(0x1112),
            last_sequence: 0x2122_2324,
            last_offset: 0x3132_3334_3536_3738,
            offset_delta: 0x4142_4344,
            timestamp: 0x5152_5354_5556_5758,
            coordinator_epoch: -1,
            current_transaction_first_offset: -1,
        }
    }

    /// Written out by hand from Kafka's ProducerSnapshot schema; the CRC is computed bit by bit below.
    fn golden() -> Vec<u8> {
        let mut body = vec![0, 0, 0, 1];
        body.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        body.extend_from_slice(&[0x11, 0x12]);
        body.extend_from_slice(&[0x21, 0x22, 0x23, 0x24]);
        body.extend_from_slice(&[0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38]);
        body.extend_from_slice(&[0x41, 0x42, 0x43, 0x44]);
        body.extend_from_slice(&[0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58]);
        body.extend_from_slice(&[0xff; 4]);
        body.extend_from_slice(&[0xff; 8]);
        let mut bytes = vec![0, 1];
        bytes.extend_from_slice(&castagnoli(&body).to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// CRC-32C from its definition: reflected polynomial 0x82F63B78, all ones before and after.
    fn castagnoli(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn the_bytes_are_kafkas() {
        assert_eq!(golden().len(), HEADER_LEN + ENTRY_LEN);
        assert_eq!(encode(&[entry()]), golden());
        assert_eq!(decode(&golden()), Ok(vec![entry()]));
        assert_eq!(decode(&encode(&[])), Ok(vec![]));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let golden = golden();
        for bit in 0..golden.len() * 8 {
            let mut damaged = golden.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            decode(&damaged).expect_err("a flipped bit");
        }
        for length in 0..golden.len() {
            decode(&golden[..length]).expect_err("a cut");
        }
    }

    #[test]
    fn a_count_that_does_not_fit_the_bytes_is_refused() {
        for count in [-1i32, 0, 2, i32::MAX] {
            let mut bytes = golden();
            bytes[ENTRIES_AT..HEADER_LEN].copy_from_slice(&count.to_be_bytes());
            let crc = castagnoli(&bytes[ENTRIES_AT..]);
            bytes[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
            assert!(decode(&bytes).is_err_and(|reason| reason.contains("entries")), "{count}");
        }
    }
}
