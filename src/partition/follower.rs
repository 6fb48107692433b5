//! The follower's side: what to fetch, and what to make of the answer.
//!
//! A fetch offset is a promise: everything before it counts here. So there is one Fetch at a time, from the
//! counted end, and none while that is behind the log end: what an answer brought is synced first. In between
//! the shell leaves the partition out of its fetch session.
//!
//! An answer belongs to the Fetch that the partition would send now, or it is dropped (KAFKA-18991): whatever a
//! leader says of an epoch, an offset and the epoch before it stays true for as long as it leads, so an answer
//! that was long under way does no harm if those three still fit, and is of no use if they do not.
//!
//! | answer | what happens (F2) |
//! |---|---|
//! | batches, or none | appended as they are, up to the first of a later epoch than the Fetch named (KAFKA-18723) |
//! | the logs part | truncation, and nothing else: the high watermark beside it is ignored (KAFKA-14704) |
//! | OFFSET_OUT_OF_RANGE | the leader is asked for its log's ends; see [`Partition::fetch_out_of_range`] |
//! | FENCED_LEADER_EPOCH | no Fetch until metadata name a later epoch |
//! | any other error | the same Fetch after `replica.fetch.backoff.ms` |
//!
//! The leader's log may start within a batch, which it sends as a whole. Then an empty log begins where that batch
//! does, and yet the next Fetch names the offset of before: the leader has nothing at the batch's own.
//!
//! The high watermark is the leader's, as far as it is counted here; what goes beyond follows with the next
//! syncs. The log start follows the leader's, as far as the high watermark.

use thiserror::Error;

use super::{Advance, Counting, EpochEnd, Partition, Role, Truncation};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, CountedEnd, HighWatermark, LeaderEpoch, LogEnd, LogStart, Offset};
use crate::wire::batch::BatchHeader;

/// What a replica knows while it follows.
#[derive(Debug)]
pub(super) struct Following {
    leader: BrokerId,
    /// What the leader said last, for the parts that cannot be taken over yet. It goes with the epoch.
    leader_high_watermark: HighWatermark,
    pub(super) leader_log_start: LogStart,
    /// The leader is ahead of the metadata here: they will name a later epoch.
    fenced: bool,
    /// The leader's log starts here, within the batch with which this empty log is about to begin.
    pub(super) within_batch: Option<Offset>,
}

impl Following {
    pub(super) fn new(leader: BrokerId) -> Self {
        Self {
            leader,
            leader_high_watermark: HighWatermark::default(),
            leader_log_start: LogStart::default(),
            fenced: false,
            within_batch: None,
        }
    }

    /// What the leader said went with the log that it was said of.
    pub(super) fn forget_positions(&mut self) {
        *self = Self { within_batch: self.within_batch, ..Self::new(self.leader) };
    }

    pub(super) fn leader_high_watermark(&self) -> HighWatermark {
        self.leader_high_watermark
    }
}

/// What a follower's Fetch says of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    /// Who is asked.
    pub leader: BrokerId,
    /// The epoch in which it leads.
    pub leader_epoch: LeaderEpoch,
    /// The counted end, which is the log end; or where the leader's log starts, if that is within the first batch.
    pub fetch_offset: Offset,
    /// The latest epoch of the log, [`LeaderEpoch::NONE`] if it is empty. An idle partition names it, too
    /// (KAFKA-15510).
    pub last_fetched_epoch: LeaderEpoch,
    /// The log start as it is, durable or not, as in Kafka: no promise is made by it.
    pub log_start: LogStart,
}

/// A leader's answer without error.
#[derive(Debug, Clone, Copy)]
pub struct FetchAnswer<'a> {
    /// Where the logs part.
    pub diverging: Option<EpochEnd>,
    /// The leader's high watermark.
    pub high_watermark: HighWatermark,
    /// The leader's log start.
    pub log_start: LogStart,
    /// The headers of the batches, whose CRCs were checked.
    pub batches: &'a [BatchHeader],
}

/// What is to be done about an answer.
#[must_use = "the log follows"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Nothing: it is not an answer to the present Fetch, or another Fetch will do.
    Nothing,
    /// The first so many batches are appended to the log, under the same lock; then, be they none, comes
    /// [`Partition::replicated`]. If the log has to be prepared first, the lock may be released, and the answer
    /// judged anew.
    Append {
        /// How many.
        batches: usize,
    },
    /// The log is cut. From now on until [`Partition::truncated`] the partition neither fetches nor is read, and
    /// takes no registration.
    Truncate {
        /// Where.
        truncation: Truncation,
        /// What was committed here goes, see the module's text: worth a warning, and a finding where the faults
        /// are known.
        below_high_watermark: bool,
    },
}

/// What follows on an error of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterError {
    /// It was not about the present Fetch.
    Nothing,
    /// The same Fetch again, after a pause.
    Retry,
    /// No Fetch before a later leader epoch: [`Partition::next_fetch`] says so.
    AwaitMetadata,
    /// The leader is asked where its log starts and ends, for [`Partition::fetch_out_of_range`].
    AskForEnds,
}

/// No leader answers like this. Nothing changed, and the Fetch is sent again after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAnswer {
    /// A batch that cannot stand there.
    #[error("a batch of epoch {epoch} from offset {base_offset} cannot follow offset {log_end}")]
    Batch {
        /// Its epoch.
        epoch: LeaderEpoch,
        /// Its first offset.
        base_offset: Offset,
        /// The end of what comes before it.
        log_end: LogEnd,
    },
    /// A point of divergence at which nothing diverges.
    #[error("no log parts from one that ends with epoch {last_fetched_epoch} at {fetch_offset} in {end:?}")]
    Divergence {
        /// The epoch that was fetched with.
        last_fetched_epoch: LeaderEpoch,
        /// The offset that was fetched from.
        fetch_offset: Offset,
        /// What the leader said.
        end: EpochEnd,
    },
    /// A log that would have to begin at a negative offset.
    #[error("no log starts at {0}")]
    LogStart(LogStart),
}

impl Partition {
    /// What to fetch; `None` while this replica does not follow, has something to sync, is being cut, or waits
    /// for metadata.
    pub fn next_fetch(&self) -> Option<FollowerFetch> {
        let Role::Follower(following) = &self.role else { return None };
        let counted_end = self.positions.counted_end.offset();
        let all_counted = counted_end == self.positions.log_end.offset();
        let at_rest = all_counted && self.truncating.is_none() && !following.fenced;
        at_rest.then(|| FollowerFetch {
            leader: following.leader,
            leader_epoch: self.leader_epoch(),
            fetch_offset: following.within_batch.map_or(counted_end, |start| start.max(counted_end)),
            last_fetched_epoch: self.epochs.latest().map_or(LeaderEpoch::NONE, |latest| latest.epoch),
            log_start: self.positions.log_start,
        })
    }

    /// Whether this follower is in sync, as far as it knows: in the ISR, or at the leader's high watermark.
    pub fn follows_in_sync(&self) -> bool {
        let Role::Follower(following) = &self.role else { return false };
        let leaders = following.leader_high_watermark;
        let caught_up =
            leaders > HighWatermark::default() && leaders.offset() <= self.positions.log_end.offset();
        caught_up || self.isr().contains(&self.config.broker_id)
    }

    /// Decides about the answer to `request`. Only the decision to truncate changes anything at once.
    ///
    /// # Errors
    ///
    /// [`BadAnswer`].
    pub fn fetch_answered(
        &mut self,
        request: &FollowerFetch,
        answer: &FetchAnswer<'_>,
    ) -> Result<Replication, BadAnswer> {
        if !self.is_present(request) {
            return Ok(Replication::Nothing);
        }
        match answer.diverging {
            Some(end) => self.truncate_where_parted(request, end, answer.log_start),
            None => self.judge(request, answer.batches),
        }
    }

    /// The log has appended the first `batches` of `answer`, about which [`Self::fetch_answered`] has decided.
    pub fn replicated(&mut self, answer: &FetchAnswer<'_>, batches: usize) -> Advance {
        let before = self.positions;
        assert!(self.truncating.is_none(), "appended to a log that is being cut");
        for header in &answer.batches[..batches] {
            assert!(header.base_offset >= self.positions.log_end.offset(), "appended out of order");
            self.epochs_revision += u64::from(self.epochs.fold(header));
            self.producers.fold(header);
            self.positions.log_end = LogEnd(header.next_offset());
        }
        if self.config.counting == Counting::WhenAppended {
            self.positions.counted_end = CountedEnd(self.positions.log_end.offset());
        }
        let Role::Follower(following) = &mut self.role else { panic!("replicated as {:?}", self.role) };
        following.leader_high_watermark = following.leader_high_watermark.max(answer.high_watermark);
        following.leader_log_start = following.leader_log_start.max(answer.log_start);
        self.finish_step(before)
    }

    /// Decides about an error that the leader answered to `request`.
    pub fn fetch_refused(&mut self, request: &FollowerFetch, code: ErrorCode) -> AfterError {
        if !self.is_present(request) {
            return AfterError::Nothing;
        }
        let Role::Follower(following) = &mut self.role else { panic!("it follows") };
        match code {
            ErrorCode::FencedLeaderEpoch => {
                following.fenced = true;
                AfterError::AwaitMetadata
            }
            ErrorCode::OffsetOutOfRange => AfterError::AskForEnds,
            _ => AfterError::Retry,
        }
    }

    /// Decides what to do where the leader found the offset of `request` out of range, given its log's ends.
    ///
    /// All that the leader has lies behind this log: the leader has deleted what this replica still has, which
    /// was committed and goes here, too; it starts anew. Or the leader's log ends before: it was elected
    /// uncleanly, and what it lacks goes. Else its log has moved on meanwhile, and another Fetch will do.
    ///
    /// # Errors
    ///
    /// [`BadAnswer`].
    pub fn fetch_out_of_range(
        &mut self,
        request: &FollowerFetch,
        leader_log_start: LogStart,
        leader_log_end: LogEnd,
    ) -> Result<Replication, BadAnswer> {
        if !self.is_present(request) {
            return Ok(Replication::Nothing);
        }
        let log_end = self.positions.log_end.offset();
        if log_end < leader_log_start.offset() {
            return self.start_at(leader_log_start);
        }
        if leader_log_end.offset() < log_end {
            return self.truncate_to(leader_log_end.offset(), leader_log_start);
        }
        Ok(Replication::Nothing)
    }

    fn is_present(&self, request: &FollowerFetch) -> bool {
        let present = self.next_fetch();
        present.is_some_and(|present| FollowerFetch { log_start: request.log_start, ..present } == *request)
    }

    /// How many of the batches are appended: those that the leader of this epoch can have had when it was
    /// asked. Compaction leaves gaps between batches, never overlaps; epochs never fall.
    fn judge(&mut self, request: &FollowerFetch, batches: &[BatchHeader]) -> Result<Replication, BadAnswer> {
        let empty = self.positions.log_start.offset() == self.positions.log_end.offset();
        if let Some(first) = batches.first()
            && empty
            && first.base_offset < self.positions.log_end.offset()
            && first.last_offset() >= request.fetch_offset
        {
            let begins = self.start_at(LogStart(first.base_offset))?;
            let Role::Follower(following) = &mut self.role else { panic!("it follows") };
            following.within_batch = Some(request.fetch_offset);
            return Ok(begins);
        }
        let mut log_end = self.positions.log_end;
        let mut epoch = self.last_record_epoch().max(LeaderEpoch(0));
        for (index, header) in batches.iter().enumerate() {
            if header.partition_leader_epoch > request.leader_epoch {
                return Ok(Replication::Append { batches: index });
            }
            let (base_offset, delta) = (header.base_offset, i64::from(header.last_offset_delta));
            let fits = base_offset >= log_end.offset()
                && (0..i64::MAX - base_offset.0 - 1).contains(&delta)
                && header.partition_leader_epoch >= epoch;
            if !fits {
                return Err(BadAnswer::Batch { epoch: header.partition_leader_epoch, base_offset, log_end });
            }
            log_end = LogEnd(header.next_offset());
            epoch = header.partition_leader_epoch;
        }
        Ok(Replication::Append { batches: batches.len() })
    }

    fn last_record_epoch(&self) -> LeaderEpoch {
        let last = self.positions.log_end.offset() + -1;
        let known = (last >= self.positions.log_start.offset()).then(|| self.epochs.epoch_of(last)).flatten();
        known.unwrap_or(LeaderEpoch::NONE)
    }

    /// What the leader has said is committed, as far as it counts here.
    pub(super) fn committed_here(&self) -> Option<Offset> {
        let Role::Follower(following) = &self.role else { return None };
        Some(following.leader_high_watermark.offset().min(self.positions.counted_end.offset()))
    }
}
