//! A replica that follows: what it fetches, and what becomes of the answers.

use std::sync::Arc;

use super::waiting::Released;
use super::{Replica, State};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::log::{Incoming, StampedBatch};
use crate::partition::{AfterError, BadAnswer, EpochEnd, FetchAnswer, FollowerFetch, Replication};
use crate::types::{BrokerId, HighWatermark, LeaderEpoch, LogEnd, LogStart, Offset};
use crate::wire::batch::{BatchError, BatchHeader, HEADER_LEN, split};
use crate::wire::messages::fetch::PartitionData;

/// Why a leader's answer is not followed. The next Fetch comes after a pause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No leader answers like this.
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    /// The first batch is damaged.
    #[error("the leader's answer is damaged: {0}")]
    Batch(#[from] BatchError),
    /// The next batch is more than 2^31 offsets away.
    #[error("a batch that ends at offset {0} is too far from the end of the log")]
    TooFar(Offset),
}

impl<E: Env> Replica<E> {
    /// What to fetch, and from whom; `None` until something moves, of which the fetcher is told.
    pub(in crate::node) fn next_fetch(&self) -> Option<FollowerFetch> {
        let state = self.lock();
        // An answer could not be appended before the preparation has ended.
        if state.prepares { None } else { state.partition.next_fetch() }
    }

    /// Whether the throttle concerns this follower: its topic's configuration names it, and it is not in sync.
    pub(in crate::node) fn is_throttled_follower(&self) -> bool {
        let state = self.lock();
        let own = state.partition.broker_id();
        state.config.follower_throttled.contains(self.key.index, own) && !state.partition.follows_in_sync()
    }

    /// Whether what this broker fetches of the partition counts for the throttle, in sync or not.
    pub(in crate::node) fn has_throttled_follower(&self, own: BrokerId) -> bool {
        self.lock().config.follower_throttled.contains(self.key.index, own)
    }

    /// Takes in an answer without error.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub(in crate::node) fn fetch_answered(
        self: &Arc<Self>,
        request: &FollowerFetch,
        data: &PartitionData,
    ) -> Result<(), Refused> {
        // What is not looked at before the lock is taken is looked at while others wait.
        let fetched = Fetched::parse(data);
        let end = &data.diverging_epoch;
        let answer = FetchAnswer {
            diverging: (end.epoch >= 0)
                .then_some(EpochEnd { epoch: LeaderEpoch(end.epoch), end_offset: Offset(end.end_offset) }),
            high_watermark: HighWatermark(Offset(data.high_watermark)),
            log_start: LogStart(Offset(data.log_start_offset)),
            batches: &fetched.headers,
        };
        let mut state = self.lock();
        let replication = state.partition.fetch_answered(request, &answer)?;
        let released = match replication {
            Replication::Append { batches } => self.replicate(&mut state, &answer, &fetched, batches)?,
            other => self.carry_out(&mut state, other),
        };
        drop(state);
        released.tell();
        match fetched.damage {
            Some(damage) if fetched.headers.is_empty() => Err(damage.into()),
            _ => Ok(()),
        }
    }

    /// Appends as many of the batches as go into the active segment. The rest is fetched again: a roll is rare, and
    /// nothing is held in memory meanwhile.
    fn replicate(
        self: &Arc<Self>,
        state: &mut State<E>,
        answer: &FetchAnswer<'_>,
        fetched: &Fetched,
        batches: usize,
    ) -> Result<Released, Refused> {
        let incoming: Vec<Incoming> = fetched.headers[..batches].iter().map(incoming).collect();
        let fitting = state.log.fitting(&incoming, self.env.clock().wall());
        if fitting == 0
            && let Some(first) = incoming.first()
            && state.log.active_is_empty()
        {
            return Err(Refused::TooFar(first.last_offset));
        }
        if batches > 0 && (fitting == 0 || state.prepares || state.needs_preparation()) {
            state.roll_wanted |= fitting == 0;
            drop(self.prepare(state, None));
            return Ok(Released::default());
        }
        // Without records the answer counts all the same, and a log that is being rolled, by retention say, takes none.
        if fitting > 0
            && let Err(error) = state.log.append(&fetched.batches[..fitting])
        {
            return Ok(self.fail(state, &error.to_string()));
        }
        fetched.headers[..fitting].iter().for_each(|header| self.observe_appended(header));
        let advance = state.partition.replicated(answer, fitting);
        let released = self.settle(state, advance);
        self.want_flush(state);
        Ok(released)
    }

    /// Takes in an error that the leader has answered.
    pub(in crate::node) fn fetch_refused(&self, request: &FollowerFetch, code: ErrorCode) -> AfterError {
        self.lock().partition.fetch_refused(request, code)
    }

    /// Takes in where the log of the leader starts and ends, that has found the offset of `request` out of range.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub(in crate::node) fn fetch_out_of_range(
        self: &Arc<Self>,
        request: &FollowerFetch,
        leader_log_start: LogStart,
        leader_log_end: LogEnd,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        let replication = state.partition.fetch_out_of_range(request, leader_log_start, leader_log_end)?;
        let released = self.carry_out(&mut state, replication);
        drop(state);
        released.tell();
        Ok(())
    }

    /// Has the log cut, where that was decided.
    fn carry_out(self: &Arc<Self>, state: &mut State<E>, replication: Replication) -> Released {
        if let Replication::Truncate { truncation, below_high_watermark } = replication {
            let high_watermark = state.partition.positions().high_watermark;
            if below_high_watermark {
                tracing::warn!(
                    partition = %self.name, ?truncation, %high_watermark,
                    "what was committed here is not in the leader's log and goes"
                );
            } else {
                tracing::info!(partition = %self.name, ?truncation, "the log has parted from the leader's");
            }
            drop(self.prepare(state, None));
        }
        Released::default()
    }
}

/// The batches of an answer, each of them checked.
struct Fetched {
    headers: Vec<BatchHeader>,
    batches: Vec<StampedBatch>,
    /// What is wrong with the first one that is not here.
    damage: Option<BatchError>,
}

impl Fetched {
    fn parse(data: &PartitionData) -> Self {
        let mut fetched = Self { headers: Vec::new(), batches: Vec::new(), damage: None };
        for batch in data.records.iter().flat_map(split) {
            let checked = batch.and_then(|batch| Ok((BatchHeader::verify(&batch.bytes)?, batch.bytes)));
            match checked {
                Ok((header, bytes)) => {
                    let head = *bytes.first_chunk::<HEADER_LEN>().expect("a verified batch has a header");
                    fetched.headers.push(header);
                    fetched.batches.push(StampedBatch { header: head, payload: bytes.slice(HEADER_LEN..) });
                }
                Err(damage) => {
                    fetched.damage = Some(damage);
                    break;
                }
            }
        }
        fetched
    }
}

fn incoming(header: &BatchHeader) -> Incoming {
    Incoming {
        bytes: header.size_in_bytes() as u64,
        last_offset: header.last_offset(),
        max_timestamp: header.max_timestamp,
    }
}
