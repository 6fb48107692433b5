//! Those who wait for a replica: producers for their records to count, consumers for records.

use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use crate::error_code::ErrorCode;
use crate::partition::{Advance, Position, Wait, WaiterId, Waiters};
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
    outcome: oneshot::Receiver<AckOutcome>,
}

impl Pending {
    /// Waits for the acknowledgement. Dropping the future is no harm: the records stay appended.
    ///
    /// # Errors
    ///
    /// [`AckFailure`].
    pub async fn outcome(&mut self) -> Result<(), AckFailure> {
        (&mut self.outcome).await.unwrap_or(Err(AckFailure::NotLeader))
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
}

impl AckFailure {
    /// What the client is told.
    pub fn error_code(self) -> ErrorCode {
        match self {
            Self::Storage => ErrorCode::KafkaStorageError,
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::UnderMinIsr => ErrorCode::NotEnoughReplicasAfterAppend,
        }
    }
}

/// Those who wait.
pub(super) struct Waiting {
    /// Producers that wait for their records to count.
    acks: Waiters<oneshot::Sender<AckOutcome>>,
    /// Consumers that wait for records.
    readers: Waiters<Arc<Notify>>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { acks: Waiters::new(WAITERS_MAX), readers: Waiters::new(WAITERS_MAX) }
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
        Pending { waiter, outcome }
    }

    /// Forgets a producer.
    pub(super) fn cancel(&mut self, pending: &Pending) {
        self.acks.cancel(pending.waiter);
    }

    /// Registers a consumer; `None` if too many wait.
    pub(super) fn watch(&mut self, wait: Wait, reader: &Arc<Notify>) -> Option<WaiterId> {
        self.readers.insert(wait, Arc::clone(reader)).ok()
    }

    /// Forgets a consumer.
    pub(super) fn unwatch(&mut self, waiter: WaiterId) {
        self.readers.cancel(waiter);
    }

    /// Takes out those whose wait is over.
    pub(super) fn release(&mut self, advance: &Advance) -> Released {
        let mut released = Released::default();
        released.acks.extend(self.acks.release(&advance.after).into_iter().map(|ack| (ack, Ok(()))));
        if advance.under_min_isr {
            let stuck = self.acks.take_position(Position::HighWatermark);
            released.acks.extend(stuck.into_iter().map(|ack| (ack, Err(AckFailure::UnderMinIsr))));
        }
        released.readers = self.readers.release(&advance.after);
        released
    }

    /// Takes out all, who wait for nothing any more.
    pub(super) fn fail_all(&mut self, failure: AckFailure) -> Released {
        let acks = self.acks.take_all().into_iter().map(|ack| (ack, Err(failure))).collect();
        Released { acks, readers: self.readers.take_all() }
    }
}

/// Those whom a step releases; told once the lock is free.
#[must_use = "they wait"]
#[derive(Default)]
pub(super) struct Released {
    acks: Vec<(oneshot::Sender<AckOutcome>, AckOutcome)>,
    readers: Vec<Arc<Notify>>,
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
    }
}
