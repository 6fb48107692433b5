//! What both indexes have in common: an append-only file of fixed-size entries, ascending, searched in pages.
//!
//! Index files are not allocated ahead: their length is that of their entries. Kafka allocates the active
//! segment's indexes ahead (filled with zeros) and cuts them when it rolls; its tools and its broker take
//! either.
//!
//! An index is a hint. Whoever follows an entry checks that a batch begins where it points and that the batch
//! is not past what was looked for, and scans from the segment's beginning otherwise.

use crate::env::{DiskError, File};

/// Bytes per read of a search: what the page cache holds together.
const PAGE_LEN: usize = 4096;

/// Finds the last of the first `entries` entries for which `is_before` holds. It must hold for a prefix of
/// them. `None` if it holds for none, or if the file is shorter than it should be.
pub(super) async fn last_before<F: File, const N: usize>(
    file: &F,
    entries: u32,
    is_before: impl Fn(&[u8; N]) -> bool,
) -> Result<Option<(u32, [u8; N])>, DiskError> {
    let per_page = u32::try_from(PAGE_LEN / N).expect("a page holds few entries");
    let mut page = Vec::new();
    let mut found = None;
    // Entries below `low` are before, those from `high` on are not.
    let (mut low, mut high) = (0, entries);
    while low < high {
        let middle = low + (high - low) / 2;
        let first = (middle - middle % per_page).max(low);
        let count = (per_page - first % per_page).min(high - first);
        page.clear();
        let length = count as usize * N;
        if file.read_at(u64::from(first) * N as u64, length, &mut page).await? < length {
            return Ok(None);
        }
        let (entries, _) = page.as_chunks::<N>();
        let before = entries.partition_point(&is_before);
        let before_count = u32::try_from(before).expect("at most a page");
        if before > 0 {
            found = Some((first + before_count - 1, entries[before - 1]));
        }
        if before_count < count {
            high = first + before_count;
        }
        // Nothing below the page can be the last one once an entry of the page is before; if none is, the
        // search goes on below it.
        if before > 0 {
            low = first + before_count;
        }
    }
    Ok(found)
}

/// Reads entry number `index`; `None` if the file is shorter than it should be.
pub(super) async fn entry_at<F: File, const N: usize>(
    file: &F,
    index: u32,
) -> Result<Option<[u8; N]>, DiskError> {
    let mut bytes = Vec::with_capacity(N);
    file.read_at(u64::from(index) * N as u64, N, &mut bytes).await?;
    Ok(bytes.as_slice().try_into().ok())
}
