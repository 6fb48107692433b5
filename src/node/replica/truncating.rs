//! Cutting a follower's log where it has parted from its leader's, or beginning it anew.
//!
//! 1. The log lowers its durable end. From then on the checkpoints say no more than what will be left.
//! 2. The checkpoints are written.
//! 3. The files are cut, durably, and the producers folded over what is left.
//! 4. The partition takes note, and the latest registration is applied that came meanwhile.
//!
//! A crash in between leaves a log that is as good as the old one: the leader will say again where the two part.
//! Until all is done the partition neither fetches nor is read, and takes no registration.

use std::sync::Arc;

use super::Replica;
use super::waiting::AckFailure;
use crate::env::{Clock, Env, Event};
use crate::log::{AnewPlan, LogError, LogFailure, ReadError, Retired, TruncatePlan};
use crate::node::fold::fold_producers;
use crate::partition::{ProducerTable, TruncatedLog, Truncation};
use crate::types::{LogEnd, Offset};

/// What has to be done to the files.
enum Cut<E: Env> {
    /// The log ends there already: only epochs without records go.
    Nothing,
    At(TruncatePlan<E::Disk>),
    Whole(AnewPlan<E::Disk>),
}

impl<E: Env> Replica<E> {
    /// Where the log starts as far as the checkpoint is concerned: where it will start, while it begins anew.
    pub(in crate::node) fn log_start_to_save(&self) -> Offset {
        let state = self.lock();
        match state.partition.truncating() {
            Some(Truncation::StartAt(start)) => start,
            _ => state.partition.positions().log_start.offset(),
        }
    }

    /// Carries out the truncation that was decided, if there is one.
    pub(in crate::node) async fn truncate(self: &Arc<Self>) -> Result<(), LogFailure> {
        // A log that has failed or is closed is not cut.
        let Some(cut) = self.begin_truncation() else { return Ok(()) };
        if matches!(cut, Cut::Nothing) {
            let producers = self.lock().partition.producers().clone();
            self.truncated(producers);
            return Ok(());
        }
        if !self.queues.housekeeping.checkpoint().await.contains(&self.directory.id()) {
            // The directory has failed, or the node is stopping: the next start finds the log as it is.
            return Ok(());
        }
        let Some(retired) = self.cut(cut).await? else { return Ok(()) };
        let Some(producers) = self.fold_again().await? else { return Ok(()) };
        self.truncated(producers);
        if let Err(error) = retired.delete().await {
            tracing::warn!(%error, "files that were cut off cannot be removed now");
        }
        Ok(())
    }

    fn begin_truncation(&self) -> Option<Cut<E>> {
        let mut state = self.lock();
        let cut = match state.partition.truncating()? {
            Truncation::To(to) => state.log.begin_truncate(to).map(|plan| plan.map_or(Cut::Nothing, Cut::At)),
            Truncation::StartAt(start) => state.log.begin_anew(start).map(Cut::Whole),
        };
        cut.ok()
    }

    /// Cuts the files. `None` if the log has failed meanwhile.
    async fn cut(&self, cut: Cut<E>) -> Result<Option<Retired<E::Disk>>, LogFailure> {
        let cut = match cut {
            Cut::Nothing => return Ok(None),
            Cut::At(plan) => {
                let outcome = plan.run().await;
                self.lock().log.finish_truncate(outcome)
            }
            Cut::Whole(plan) => {
                let outcome = plan.run().await;
                self.lock().log.finish_anew(outcome, self.env.clock().wall())
            }
        };
        match cut {
            Ok(retired) => Ok(Some(retired)),
            Err(LogError::Failed(failure)) => Err(failure),
            Err(LogError::Busy | LogError::Closed) => unreachable!("a log that is being cut is neither"),
        }
    }

    /// The producers of what is left. `None` if the log has failed meanwhile.
    async fn fold_again(&self) -> Result<Option<ProducerTable>, LogFailure> {
        let (view, newest) = {
            let state = self.lock();
            (state.log.view(), state.partition.leader_epoch())
        };
        match fold_producers(self.env.disk(), &self.path, &view, newest, |_| ()).await {
            Ok(producers) => Ok(Some(producers)),
            Err(ReadError::Disk(error)) => Err(error.into()),
            Err(ReadError::Corrupt(damage)) => Err(damage.into()),
            Err(ReadError::Failed) => Ok(None),
            Err(ReadError::Stale | ReadError::OffsetOutOfRange { .. }) => {
                unreachable!("nobody else cuts the log, and the whole of it is read")
            }
        }
    }

    fn truncated(self: &Arc<Self>, producers: ProducerTable) {
        let mut state = self.lock();
        if state.log.failure().is_some() {
            return;
        }
        let from = state.partition.positions().log_end;
        let log_end = LogEnd(state.log.log_end());
        let cut = TruncatedLog { log_end, generation: state.log.generation(), producers };
        let advance = state.partition.truncated(cut);
        state.epochs_needed = Some(state.partition.epochs_revision());
        self.env.observe(Event::LogTruncated { partition: self.key, from, to: log_end });
        let released = self.settle(&mut state, advance);
        // What readers wait for may be gone: each looks again.
        let woken = state.waiting.fail_all(AckFailure::NotLeader);
        let changed = state.after_truncation.take();
        let applied = changed
            .map(|(registration, brokers)| self.take_registration(&mut state, &registration, &brokers));
        drop(state);
        released.tell();
        woken.tell();
        applied.into_iter().for_each(super::Released::tell);
    }
}
