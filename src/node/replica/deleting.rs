//! Records that a client deletes: the log starts later, here at once and on the followers with their next Fetches.

use std::sync::Arc;

use super::{AckFailure, Replica};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::partition::Isolation;
use crate::types::{LeaderEpoch, Mono, Offset};

/// What DeleteRecords has done at the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Where all logs have to start.
    pub until: Offset,
    /// See [`Partition::low_watermark`](crate::partition::Partition::low_watermark).
    pub low_watermark: Offset,
}

impl Deleted {
    /// Whether the followers have followed already.
    pub fn is_everywhere(&self) -> bool {
        self.low_watermark >= self.until
    }
}

impl<E: Env> Replica<E> {
    /// Raises the log start for DeleteRecords. Whoever acknowledges it makes the checkpoint durable first.
    ///
    /// # Errors
    ///
    /// The code for the client.
    pub fn raise_log_start(&self, to: Option<Offset>) -> Result<Deleted, ErrorCode> {
        let mut state = self.lock();
        let bounds = state.partition.offset_bounds(LeaderEpoch::NONE, Isolation::ReadUncommitted);
        bounds.map_err(|refusal| refusal.error_code())?;
        let until = to.unwrap_or(state.partition.positions().high_watermark.offset());
        let advance = state.partition.raise_log_start(until).map_err(|refusal| refusal.error_code())?;
        state.log.raise_log_start(advance.after.log_start.offset());
        let released = self.settle(&mut state, advance);
        let low_watermark = state.partition.low_watermark().expect("who has bounds leads");
        drop(state);
        released.tell();
        Ok(Deleted { until, low_watermark })
    }

    /// Waits until the low watermark is at `until`, and says where it is. Dropping the future is no harm: what was
    /// deleted stays so.
    ///
    /// # Errors
    ///
    /// [`AckFailure`].
    pub async fn deleted_everywhere(
        self: &Arc<Self>,
        until: Offset,
        deadline: Mono,
    ) -> Result<Offset, AckFailure> {
        self.epoch_durable().await;
        let outcome = {
            let mut state = self.lock();
            let Some(low_watermark) = state.partition.low_watermark() else {
                return Err(match state.log.failure() {
                    Some(_) => AckFailure::Storage,
                    None => AckFailure::NotLeader,
                });
            };
            if low_watermark >= until {
                return Ok(low_watermark);
            }
            state.waiting.await_low_watermark(until)
        };
        match self.env.clock().timeout_at(deadline, outcome).await {
            Some(outcome) => outcome.unwrap_or(Err(AckFailure::NotLeader)),
            None => Err(AckFailure::TimedOut),
        }
    }
}
