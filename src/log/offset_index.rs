//! The offset index: `%020d.index`, from offsets to positions in the segment's log file.
//!
//! ```text
//! each entry, 8 bytes, big-endian:
//! +0  4  last offset of a batch, relative to the segment's base offset
//! +4  4  the position at which that batch begins
//! ```
//!
//! Both ascend strictly. A batch gets an entry when more than `index.interval.bytes` lie between its beginning
//! and that of the last batch with an entry, or the beginning of the segment: so a scan of the log file gives
//! the same entries again, byte for byte.
//!
//! Faults: see [`index_file`](super::index_file) for why a wrong entry does no harm.

use super::index_file::{entry_at, last_before};
use crate::env::{DiskError, File};
use crate::types::Offset;

/// The size of an entry in bytes.
pub(super) const ENTRY_LEN: usize = 8;

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    /// The last offset of a batch.
    pub(super) offset: Offset,
    /// Where the batch begins.
    pub(super) position: u64,
}

impl OffsetEntry {
    pub(super) fn encode(self, base: Offset) -> [u8; ENTRY_LEN] {
        let relative = i32::try_from(self.offset - base).expect("a segment spans less than 2^31 offsets");
        let position = i32::try_from(self.position).expect("a segment is smaller than 2 GiB");
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&relative.to_be_bytes());
        bytes[4..].copy_from_slice(&position.to_be_bytes());
        bytes
    }

    pub(super) fn decode(base: Offset, bytes: &[u8; ENTRY_LEN]) -> Self {
        let [relative, position] = [&bytes[..4], &bytes[4..]]
            .map(|half| u32::from_be_bytes(half.try_into().expect("half of 8 is 4")));
        // What is read as unsigned and past any segment's end fails the reader's check like any wrong entry.
        Self { offset: Offset(base.0.saturating_add(i64::from(relative))), position: u64::from(position) }
    }
}

/// The last entry whose batch ends at or before `target`.
pub(super) async fn lookup<F: File>(
    file: &F,
    base: Offset,
    entries: u32,
    target: Offset,
) -> Result<Option<OffsetEntry>, DiskError> {
    let found = last_before(file, entries, |bytes| OffsetEntry::decode(base, bytes).offset <= target).await?;
    Ok(found.map(|(_, bytes)| OffsetEntry::decode(base, &bytes)))
}

/// The number of leading entries that name an offset below `end`.
pub(super) async fn entries_below<F: File>(
    file: &F,
    base: Offset,
    entries: u32,
    end: Offset,
) -> Result<u32, DiskError> {
    let found = last_before(file, entries, |bytes| OffsetEntry::decode(base, bytes).offset < end).await?;
    Ok(found.map_or(0, |(index, _)| index + 1))
}

/// Entry number `index`; `None` if the file is shorter than it should be.
pub(super) async fn read_entry<F: File>(
    file: &F,
    base: Offset,
    index: u32,
) -> Result<Option<OffsetEntry>, DiskError> {
    Ok(entry_at(file, index).await?.map(|bytes| OffsetEntry::decode(base, &bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_kafkas() {
        let entry = OffsetEntry { offset: Offset(1000 + 0x0102_0304), position: 0x7060_5040 };
        let bytes = [1, 2, 3, 4, 0x70, 0x60, 0x50, 0x40];
        assert_eq!(entry.encode(Offset(1000)), bytes);
        assert_eq!(OffsetEntry::decode(Offset(1000), &bytes), entry);
    }

    #[test]
    fn any_bytes_decode() {
        let entry = OffsetEntry::decode(Offset(i64::MAX), &[0xff; 8]);
        assert_eq!(entry, OffsetEntry { offset: Offset(i64::MAX), position: u64::from(u32::MAX) });
    }
}
