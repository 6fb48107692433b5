//! Those who wait for a replica: producers for their records to count, consumers for records, and whoever deletes
//! some for the followers to do so, too.

use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use crate::error_code::ErrorCode;
use crate::partition::{Advance, Position, Positions, Wait, WaiterId, Waiters};
use crate::types::{LogStart, Offset, WallMs};

/// The most who may wait for one position of one partition: more than all connections can have in flight.
const WAITERS_MAX: usize = 1 << 20;

/// What whoever waits for an acknowledgement is told.
type AckOutcome = Result<(), AckFailure>;

/// What became of an append.
#[derive(Debug)]
pub struct Receipt {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The time of the append, where the topic goes by that or the batch is a duplicate.
    pub log_append_time: Option<WallMs>,
    /// Where the log starts.
    pub log_start: LogStart,
    /// What the answer waits for; `None` if nothing.
    pub pending: Option<Pending>,
}

/// An acknowledgement that is to come.
#[derive(Debug)]
pub struct Pending {
    waiter: WaiterId,
    wait: Wait,
    outcome: oneshot::Receiver<AckOutcome>,
}

impl Pending {
    /// Waits for the acknowledgement. Dropping the future is no harm: the records stay appended.
    ///
    /// # Errors
    ///
    /// [`AckFailure`].
    pub(super) async fn outcome(&mut self) -> Result<(), AckFailure> {
        (&mut self.outcome).await.unwrap_or(Err(AckFailure::NotLeader))
    }

    /// What it waits for.
    pub(super) fn wait(&self) -> Wait {
        self.wait
    }
}

/// Why records that were appended are not acknowledged. They may survive all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AckFailure {
    /// The log failed before they counted.
    #[error("the log of this replica has failed")]
    Storage,
    /// This replica leads no more.
    #[error("this broker no longer leads the partition")]
    NotLeader,
    /// Too few replicas are in sync (R6).
    #[error("too few replicas are in sync")]
    UnderMinIsr,
    /// The other replicas did not follow in time. They may yet.
    #[error("the replicas in sync have not taken it in time")]
    TimedOut,
}

impl AckFailure {
    /// What the client is told.
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::Storage => ErrorCode::KafkaStorageError,
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::UnderMinIsr => ErrorCode::NotEnoughReplicasAfterAppend,
            Self::TimedOut => ErrorCode::RequestTimedOut,
        }
    }
}

/// Those who wait.
pub(super) struct Waiting {
    /// Producers that wait for their records to count.
    acks: Waiters<oneshot::Sender<AckOutcome>>,
    /// Consumers that wait for records.
    readers: Waiters<Arc<Notify>>,
    /// Who deleted records and waits for the followers to do so. Few at a time, if any.
    deletions: Vec<Deletion>,
}

/// Somebody who waits until all logs start at `until` or later.
struct Deletion {
    until: Offset,
    waiter: oneshot::Sender<DeletionOutcome>,
}

/// The low watermark, once it is where it was wanted.
pub(super) type DeletionOutcome = Result<Offset, AckFailure>;

impl Default for Waiting {
    fn default() -> Self {
        let deletions = Vec::new();
        Self { acks: Waiters::new(WAITERS_MAX), readers: Waiters::new(WAITERS_MAX), deletions }
    }
}

impl Waiting {
    /// Whether one more producer may wait.
    pub(super) fn has_room(&self) -> bool {
        self.acks.has_room()
    }

    /// Registers a producer.
    pub(super) fn add(&mut self, wait: Wait) -> Pending {
        let (sender, outcome) = oneshot::channel();
        let waiter = self.acks.insert(wait, sender).expect("connections bound what is in flight");
        Pending { waiter, wait, outcome }
    }

    /// Has a producer wait for the leader's own copy only. Nothing changes for one whose outcome is on its way.
    pub(super) fn wait_for_leader_alone(&mut self, pending: &mut Pending, positions: &Positions) {
        let Some(sender) = self.acks.cancel(pending.waiter) else { return };
        let wait = Wait { position: Position::CountedEnd, until: pending.wait.until };
        if wait.is_over(positions) {
            // Nobody listens any more if the connection is gone.
            let _ = sender.send(Ok(()));
        } else {
            pending.waiter = self.acks.insert(wait, sender).expect("there is room where one has just left");
        }
    }

    /// Registers a consumer; `None` if too many wait.
    pub(super) fn watch(&mut self, wait: Wait, reader: &Arc<Notify>) -> Option<WaiterId> {
        self.readers.insert(wait, Arc::clone(reader)).ok()
    }

    /// Forgets a consumer.
    pub(super) fn unwatch(&mut self, waiter: WaiterId) {
        self.readers.cancel(waiter);
    }

    /// Registers who waits for the low watermark.
    pub(super) fn await_low_watermark(&mut self, until: Offset) -> oneshot::Receiver<DeletionOutcome> {
        let (waiter, outcome) = oneshot::channel();
        self.deletions.push(Deletion { until, waiter });
        outcome
    }

    /// Takes out those whose wait is over. The low watermark is worked out only if somebody waits for it.
    pub(super) fn release(
        &mut self,
        advance: &Advance,
        low_watermark: impl FnOnce() -> Option<Offset>,
    ) -> Released {
        let mut released = Released::default();
        released.acks.extend(self.acks.release(&advance.after).into_iter().map(|ack| (ack, Ok(()))));
        if advance.under_min_isr {
            let stuck = self.acks.take_position(Position::HighWatermark);
            released.acks.extend(stuck.into_iter().map(|ack| (ack, Err(AckFailure::UnderMinIsr))));
        }
        released.readers = self.readers.release(&advance.after);
        if !self.deletions.is_empty()
            && let Some(low_watermark) = low_watermark()
        {
            let is_over =
                |deletion: &mut Deletion| deletion.until <= low_watermark || deletion.waiter.is_closed();
            let over = self.deletions.extract_if(.., is_over);
            released.deletions = over.map(|deletion| (deletion.waiter, Ok(low_watermark))).collect();
        }
        released
    }

    /// Takes out all, who wait for nothing any more.
    pub(super) fn fail_all(&mut self, failure: AckFailure) -> Released {
        let acks = self.acks.take_all().into_iter().map(|ack| (ack, Err(failure))).collect();
        let deletions = self.deletions.drain(..).map(|deletion| (deletion.waiter, Err(failure))).collect();
        Released { acks, readers: self.readers.take_all(), deletions }
    }
}

/// Those whom a step releases; told once the lock is free.
#[must_use = "they wait"]
#[derive(Default)]
pub(super) struct Released {
    acks: Vec<(oneshot::Sender<AckOutcome>, AckOutcome)>,
    readers: Vec<Arc<Notify>>,
    deletions: Vec<(oneshot::Sender<DeletionOutcome>, DeletionOutcome)>,
}

impl Released {
    pub(super) fn tell(self) {
        for (ack, outcome) in self.acks {
            // Nobody listens any more if the connection is gone or the time is up.
            let _ = ack.send(outcome);
        }
        for reader in self.readers {
            reader.notify_one();
        }
        for (waiter, outcome) in self.deletions {
            let _ = waiter.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CountedEnd, HighWatermark, LastStable, LeaderEpoch, LogEnd};

    fn step() -> Advance {
        let positions = Positions {
            log_start: LogStart(Offset(0)),
            last_stable: LastStable(Offset(0)),
            high_watermark: HighWatermark(Offset(0)),
            counted_end: CountedEnd(Offset(0)),
            log_end: LogEnd(Offset(0)),
        };
        let leader_epoch = LeaderEpoch(1);
        Advance { leader_epoch, before: positions, after: positions, under_min_isr: false }
    }

    #[test]
    fn whoever_deletes_is_told_when_the_low_watermark_is_there() {
        let mut waiting = Waiting::default();
        waiting.release(&step(), || panic!("nobody waits for it")).tell();
        let mut outcomes: Vec<_> = [3, 5, 9].map(|until| waiting.await_low_watermark(Offset(until))).into();
        waiting.release(&step(), || None).tell();
        waiting.release(&step(), || Some(Offset(2))).tell();
        assert!(outcomes.iter_mut().all(|outcome| outcome.try_recv().is_err()), "not there yet");
        waiting.release(&step(), || Some(Offset(6))).tell();
        assert_eq!(outcomes[0].try_recv().unwrap(), Ok(Offset(6)));
        assert_eq!(outcomes[1].try_recv().unwrap(), Ok(Offset(6)));
        waiting.fail_all(AckFailure::NotLeader).tell();
        assert_eq!(outcomes[2].try_recv().unwrap(), Err(AckFailure::NotLeader));
    }

    #[test]
    fn whoever_does_not_wait_any_more_is_forgotten() {
        let mut waiting = Waiting::default();
        drop(waiting.await_low_watermark(Offset(3)));
        waiting.release(&step(), || Some(Offset(0))).tell();
        assert!(waiting.deletions.is_empty());
    }
}
