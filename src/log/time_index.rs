//! The time index: `%020d.timeindex`, from timestamps to offsets.
//!
//! ```text
//! each entry, 12 bytes, big-endian:
//! +0  8  the largest timestamp of the segment so far
//! +8  4  last offset of the first batch that has it, relative to the segment's base offset
//! ```
//!
//! Both ascend strictly. An entry is due together with one of the offset index, and when the segment is rolled
//! or the log is closed; it is left out if the largest timestamp is still that of the last entry. So the last
//! entry of a segment that is not active has the segment's largest timestamp, by which retention goes. A
//! segment without timestamps has an empty time index.
//!
//! Faults: see [`index_file`](super::index_file) for why a wrong entry does no harm to lookups.

use super::index_file::{entry_at, last_before};
use crate::env::{DiskError, File};
use crate::types::Offset;

/// The size of an entry in bytes.
pub(super) const ENTRY_LEN: usize = 12;

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeEntry {
    /// The largest timestamp so far, milliseconds since the Unix epoch.
    pub(super) timestamp: i64,
    /// The last offset of the first batch that has it.
    pub(super) offset: Offset,
}

impl TimeEntry {
    pub(super) fn encode(self, base: Offset) -> [u8; ENTRY_LEN] {
        let relative = i32::try_from(self.offset - base).expect("a segment spans less than 2^31 offsets");
        let mut bytes = [0; ENTRY_LEN];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&relative.to_be_bytes());
        bytes
    }

    pub(super) fn decode(base: Offset, bytes: &[u8; ENTRY_LEN]) -> Self {
        let timestamp = i64::from_be_bytes(bytes[..8].try_into().expect("the first 8 of 12 bytes"));
        let relative = u32::from_be_bytes(bytes[8..].try_into().expect("the last 4 of 12 bytes"));
        Self { timestamp, offset: Offset(base.0.saturating_add(i64::from(relative))) }
    }
}

/// The last entry with a timestamp of at most `target`.
pub(super) async fn lookup<F: File>(
    file: &F,
    base: Offset,
    entries: u32,
    target: i64,
) -> Result<Option<TimeEntry>, DiskError> {
    let found =
        last_before(file, entries, |bytes| TimeEntry::decode(base, bytes).timestamp <= target).await?;
    Ok(found.map(|(_, bytes)| TimeEntry::decode(base, &bytes)))
}

/// The number of leading entries that name an offset below `end`.
pub(super) async fn entries_below<F: File>(
    file: &F,
    base: Offset,
    entries: u32,
    end: Offset,
) -> Result<u32, DiskError> {
    let found = last_before(file, entries, |bytes| TimeEntry::decode(base, bytes).offset < end).await?;
    Ok(found.map_or(0, |(index, _)| index + 1))
}

/// Entry number `index`; `None` if the file is shorter than it should be.
pub(super) async fn read_entry<F: File>(
    file: &F,
    base: Offset,
    index: u32,
) -> Result<Option<TimeEntry>, DiskError> {
    Ok(entry_at(file, index).await?.map(|bytes| TimeEntry::decode(base, &bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_kafkas() {
        let entry = TimeEntry { timestamp: 0x0102_0304_0506_0708, offset: Offset(7 + 0x1112_1314) };
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14];
        assert_eq!(entry.encode(Offset(7)), bytes);
        assert_eq!(TimeEntry::decode(Offset(7), &bytes), entry);
    }
}
