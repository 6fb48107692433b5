//! The log as it was at one moment, for reads that wait.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::read::ReadError;
use super::scan::{HeaderScan, SCAN_CHUNK, ScanError, Window};
use super::segment::Segment;
use super::{Damage, Shared};
use crate::env::Disk;
use crate::types::Offset;
use crate::wire::batch::BatchHeader;

/// The log as it was at one moment. Cheap to make; it keeps files open that have left the log since.
///
/// What it was taken before does not show: neither later appends nor a raised log start. A truncation makes
/// it useless: every operation then ends with [`ReadError::Stale`], whatever it has read.
#[derive(Debug)]
pub struct LogView<D: Disk> {
    pub(super) dir: Arc<Path>,
    pub(super) shared: Arc<Shared>,
    pub(super) generation: u64,
    pub(super) sealed: Arc<Vec<Segment<D>>>,
    pub(super) active: Segment<D>,
    pub(super) log_start: Offset,
}

impl<D: Disk> Clone for LogView<D> {
    fn clone(&self) -> Self {
        Self {
            dir: Arc::clone(&self.dir),
            shared: Arc::clone(&self.shared),
            generation: self.generation,
            sealed: Arc::clone(&self.sealed),
            active: self.active.clone(),
            log_start: self.log_start,
        }
    }
}

impl<D: Disk> LogView<D> {
    /// The first offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The end of what was appended.
    pub fn log_end(&self) -> Offset {
        self.active.bounds.next_offset
    }

    /// The truncation generation that the view belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Calls `visit` for the header of every batch from the one that contains `from` (or the next) up to the
    /// log end, in order: to build from the log what follows from it. Every batch's CRC is checked first. What
    /// lies outside the CRC is the visitor's to doubt: his error is the reason of a [`ReadError::Corrupt`].
    ///
    /// # Errors
    ///
    /// [`ReadError`]; an offset before the first segment is not an error, the walk begins where the log does.
    pub async fn for_each_header(
        &self,
        from: Offset,
        mut visit: impl FnMut(&BatchHeader) -> Result<(), String> + Send,
    ) -> Result<(), ReadError> {
        let outcome = self.walk(from, &mut visit).await;
        self.check_current()?;
        outcome
    }

    async fn walk(
        &self,
        from: Offset,
        visit: &mut (impl FnMut(&BatchHeader) -> Result<(), String> + Send),
    ) -> Result<(), ReadError> {
        self.check_current()?;
        let mut window = Window::new(Vec::new(), SCAN_CHUNK);
        let first = self.segment_index(from);
        for segment in (first..=self.sealed.len()).map(|index| self.segment(index)) {
            let bad = |error| self.read_error(segment, error);
            let (position, due) = if segment.base() >= from {
                window.reset();
                (0, segment.base())
            } else {
                let found = segment.locate(from, &mut window).await.map_err(bad)?;
                let Some(found) = found else { continue };
                (found.position, found.due)
            };
            let (log, bounds) = (&segment.files.log, &segment.bounds);
            let mut scan = HeaderScan::new(log, &mut window, position, bounds.size, due);
            while let Some((position, header)) = scan.next_verified().await.map_err(bad)? {
                let visited = if header.next_offset() <= bounds.next_offset {
                    visit(&header)
                } else {
                    Err(format!("the batch ends at offset {}, past the segment", header.last_offset()))
                };
                visited.map_err(|reason| self.corrupt(segment, position, header.base_offset, reason))?;
            }
        }
        Ok(())
    }

    /// The number of the segment that contains `offset`: the last one that begins at or before it, else the
    /// first.
    pub(super) fn segment_index(&self, offset: Offset) -> usize {
        if self.active.base() <= offset {
            return self.sealed.len();
        }
        self.sealed.partition_point(|segment| segment.base() <= offset).saturating_sub(1)
    }

    /// Segment number `index`; the active one is the last.
    pub(super) fn segment(&self, index: usize) -> &Segment<D> {
        self.sealed.get(index).unwrap_or(&self.active)
    }

    /// That no truncation has begun since the view was taken and the log has not failed.
    pub(super) fn check_current(&self) -> Result<(), ReadError> {
        if self.shared.failed.load(Ordering::SeqCst) {
            return Err(ReadError::Failed);
        }
        // An odd generation is one in which the files are being cut.
        if self.generation % 2 == 1 || self.shared.generation() != self.generation {
            return Err(ReadError::Stale);
        }
        Ok(())
    }

    pub(super) fn read_error(&self, segment: &Segment<D>, error: ScanError) -> ReadError {
        match error {
            ScanError::Disk(error) => ReadError::Disk(error),
            ScanError::Bad { position, offset, reason } => {
                ReadError::Corrupt(segment.damage(&self.dir, position, offset, reason))
            }
        }
    }

    pub(super) fn corrupt(
        &self,
        segment: &Segment<D>,
        position: u64,
        offset: Offset,
        reason: impl ToString,
    ) -> ReadError {
        let damage: Damage = segment.damage(&self.dir, position, offset, reason.to_string());
        ReadError::Corrupt(damage)
    }
}
