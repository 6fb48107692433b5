//! One partition's records on their way: collected into batches, numbered, sent, resolved in order.
//!
//! A *lane* has a queue of batches that were never numbered, and a *window* of batches that were, in the order
//! of their numbers, each in flight or waiting to be sent again. What the window promises (KIP-98, KIP-360):
//!
//! - A batch is numbered once, when it is first sent, and keeps number, producer id and epoch through all its
//!   attempts: a broker recognises a repetition by them.
//! - While a batch waits to be sent again, nothing but the first of the window is sent: whatever stands behind
//!   a missing batch would be refused, or, from a producer that is not idempotent, be written in its place.
//! - A batch that *may be written* (an attempt went unanswered, or was answered with an error that can follow
//!   an append) is never given another number: it would be a second copy. It is repeated as it is until it is
//!   acknowledged, refused for good or out of time; in the latter cases its outcome is *unknown*.
//! - When a batch leaves the window unacknowledged, the numbers behind it have a *gap* before them. Nothing new
//!   is numbered then. Once nothing is in flight, and nothing that may be written is left, the batches that
//!   certainly are not written go back to the queue, and the lane goes on in the next producer epoch from
//!   number 0. A stray copy of an older batch that arrives later is fenced by its old epoch.
//!
//! The epoch belongs to the lane alone: a broker keeps producer state per partition, and no coordinator watches
//! the epochs of producers without transactions. Other partitions go on undisturbed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::ProducerRecord;
use super::outcome::{Acknowledged, DeliveryError, Failure, Outcome, may_be_written};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, Mono, Offset, ProducerEpoch, ProducerId, WallMs};
use crate::wire::batch::{NO_SEQUENCE, increment_sequence};

/// Names a record until its outcome is known. Later records have greater tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names a batch for as long as it is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId(pub(crate) u64);

/// Under which name batches are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

/// The options that a lane goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) idempotent: bool,
    pub(crate) batch_size: usize,
    pub(crate) linger: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) retries: u32,
    pub(crate) delivery_timeout: Duration,
}

/// A record that waits.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) token: Token,
    pub(crate) record: ProducerRecord,
    pub(crate) timestamp: WallMs,
    pub(crate) size: usize,
    pub(crate) created: Mono,
}

/// Which batch to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The first of the window, again.
    Again,
    /// The first of the queue, to be numbered.
    Fresh,
}

/// How an attempt ended other than well.
#[derive(Debug, Clone)]
pub(crate) enum Setback {
    /// It never left: certainly not written by this attempt.
    NotSent(Failure),
    /// It was sent, and no answer came.
    NoAnswer(Failure),
    /// A broker refused it.
    Refused {
        code: ErrorCode,
        message: Option<String>,
        /// What it said of single records, by index.
        records: Vec<(i32, Option<String>)>,
    },
}

/// What the lane's owner has to do about a setback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// Another producer id is needed before the lane can go on.
    pub(crate) new_identity: bool,
}

/// Resolved records.
pub(crate) type Done = Vec<(Token, Outcome)>;

/// One partition's records on their way.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    partition: i32,
    identity: Option<Identity>,
    next_sequence: i32,
    /// At most `in_flight_max`; base sequences ascend without gaps from the first that was not acknowledged,
    /// except while `gap`.
    window: VecDeque<Numbered>,
    queue: VecDeque<Batch>,
    gap: bool,
    /// Nothing is numbered before; what came back from the window was refused a moment ago.
    not_before: Mono,
}

#[derive(Debug)]
struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
    /// Takes no more records.
    sealed: bool,
    /// An attempt to send it was not refused for certain. Idempotent batches in the queue are never so.
    may_be_written: bool,
}

#[derive(Debug)]
struct Numbered {
    id: BatchId,
    batch: Batch,
    encoded: Bytes,
    state: State,
    attempts: u32,
    last_failure: Option<Failure>,
    /// Too large as one: goes back to the queue in two.
    halve: bool,
    /// Cannot go back to the queue: a later batch may be in the log already.
    fixed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight(BrokerId),
    Waiting { not_before: Mono },
}

impl Lane {
    pub(crate) fn new(partition: i32) -> Self {
        Self { partition, ..Self::default() }
    }

    /// Adds a record. Says whether that closed the batch before.
    pub(crate) fn push(&mut self, entry: Entry, rules: &Rules) -> bool {
        if let Some(last) = self.queue.back_mut()
            && !last.sealed
            && last.bytes + entry.size <= rules.batch_size
        {
            last.bytes += entry.size;
            last.entries.push(entry);
            return false;
        }
        let closed = !self.queue.is_empty();
        self.queue.push_back(Batch {
            bytes: entry.size,
            entries: vec![entry],
            sealed: false,
            may_be_written: false,
        });
        closed
    }

    /// What may be sent to `broker` now; `hurry` does not wait for full batches.
    pub(crate) fn next(&self, now: Mono, broker: BrokerId, hurry: bool, rules: &Rules) -> Option<Next> {
        let head = self.window.front();
        if self.window.iter().any(|numbered| numbered.is_waiting()) {
            let head = head.expect("one waits");
            let due = matches!(head.state, State::Waiting { not_before } if not_before <= now);
            return (due && self.may_repeat(head)).then_some(Next::Again);
        }
        if self.gap || self.window.len() >= rules.in_flight_max {
            return None;
        }
        // Two brokers would race. The one behind would only refuse, but why ask for it.
        if head.is_some_and(|head| head.state != State::InFlight(broker)) {
            return None;
        }
        let ripe = self.ripe_at(hurry, rules)? <= now;
        ripe.then_some(Next::Fresh)
    }

    /// Bytes that [`Lane::next`] would send, before compression for a fresh batch.
    pub(crate) fn next_size(&self, next: Next) -> usize {
        match next {
            Next::Again => self.window.front().map_or(0, |numbered| numbered.encoded.len()),
            Next::Fresh => self.queue.front().map_or(0, |batch| batch.bytes),
        }
    }

    /// The identity to number the next batch with, if the lane has one.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Takes on an identity, numbering from 0.
    pub(crate) fn adopt(&mut self, identity: Identity) {
        assert!(self.identity.is_none() && self.window.is_empty(), "an identity outlives its batches");
        self.identity = Some(identity);
        self.next_sequence = 0;
    }

    /// Sends the first of the window again.
    pub(crate) fn send_again(&mut self, broker: BrokerId) -> (BatchId, Bytes) {
        let head = self.window.front_mut().expect("there is one to send again");
        assert!(head.is_waiting(), "a batch is in flight once at a time");
        head.state = State::InFlight(broker);
        head.attempts = head.attempts.saturating_add(1);
        (head.id, head.encoded.clone())
    }

    /// Numbers the first of the queue and sends it. `encode` gets its records and its first number.
    pub(crate) fn send_fresh(
        &mut self,
        id: BatchId,
        broker: BrokerId,
        rules: &Rules,
        encode: impl FnOnce(&[Entry], Option<Identity>, i32) -> Bytes,
    ) -> Bytes {
        assert_eq!(rules.idempotent, self.identity.is_some(), "idempotent batches are numbered");
        assert!(!self.gap && self.window.len() < rules.in_flight_max, "the window is open");
        let batch = self.queue.pop_front().expect("there is one to send");
        assert!(!rules.idempotent || !batch.may_be_written, "what may be written keeps its number");
        let count = i32::try_from(batch.entries.len()).expect("batch.size bounds the records of a batch");
        let sequence = if rules.idempotent { self.next_sequence } else { NO_SEQUENCE };
        let encoded = encode(&batch.entries, self.identity, sequence);
        if rules.idempotent {
            self.next_sequence = increment_sequence(self.next_sequence, count);
        }
        self.window.push_back(Numbered {
            id,
            batch,
            encoded: encoded.clone(),
            state: State::InFlight(broker),
            attempts: 1,
            last_failure: None,
            halve: false,
            fixed: false,
        });
        encoded
    }

    /// A batch was acknowledged at `base_offset` (negative: the broker does not know any more), with the
    /// broker's timestamp where the topic has it.
    pub(crate) fn acknowledged(
        &mut self,
        id: BatchId,
        base_offset: i64,
        log_append_time: Option<WallMs>,
        rules: &Rules,
        done: &mut Done,
    ) -> Aftermath {
        let Some(index) = self.position(id) else { return Aftermath::default() };
        let numbered = self.window.remove(index).expect("position found it");
        self.fix(index);
        for (delta, entry) in (0i64..).zip(&numbered.batch.entries) {
            let offset = (base_offset >= 0).then(|| Offset(base_offset.saturating_add(delta)));
            let timestamp = log_append_time.unwrap_or(entry.timestamp);
            done.push((entry.token, Ok(Acknowledged { partition: self.partition, offset, timestamp })));
        }
        Aftermath { new_identity: self.settle(rules, done) }
    }

    /// An attempt failed. It is made again not before `not_before`, unless that is pointless.
    pub(crate) fn set_back(
        &mut self,
        id: BatchId,
        setback: Setback,
        not_before: Mono,
        rules: &Rules,
        done: &mut Done,
    ) -> Aftermath {
        let Some(index) = self.position(id) else { return Aftermath::default() };
        let numbered = &mut self.window[index];
        assert!(!numbered.is_waiting(), "what waits has no attempt to fail");
        numbered.state = State::Waiting { not_before };
        if self.gap || matches!(setback, Setback::Refused { .. }) {
            self.not_before = self.not_before.max(not_before);
        }
        let mut new_identity = false;
        match setback {
            Setback::NotSent(failure) => {
                numbered.last_failure = Some(failure);
                numbered.attempts -= 1;
            }
            Setback::NoAnswer(failure) => {
                numbered.last_failure = Some(failure);
                numbered.batch.may_be_written = true;
            }
            Setback::Refused { code, message, records } => {
                numbered.last_failure = Some(Failure::Refused { code, message });
                numbered.batch.may_be_written |= may_be_written(code);
                new_identity = self.refused(index, code, &records, rules, done);
            }
        }
        if let Some(index) = self.position(id)
            && self.window[index].attempts > rules.retries
        {
            self.give_up(index, rules, done);
        }
        new_identity |= self.settle(rules, done);
        Aftermath { new_identity }
    }

    /// What a refusal means for the batch. Says whether the lane needs another identity.
    fn refused(
        &mut self,
        index: usize,
        code: ErrorCode,
        records: &[(i32, Option<String>)],
        rules: &Rules,
        done: &mut Done,
    ) -> bool {
        match code {
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId if rules.idempotent => {
                // Behind another batch that is only to be expected; it waits for its turn. At the head it is
                // final: the broker has lost what came before, or what it knew of us.
                if index == 0 {
                    self.gap = true;
                    if self.window[0].batch.may_be_written {
                        self.give_up(0, rules, done);
                    }
                }
                false
            }
            ErrorCode::InvalidProducerEpoch
            | ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerIdMapping
                if rules.idempotent =>
            {
                // Somebody else uses our id: no epoch of it is ours any more.
                self.disown(done);
                true
            }
            ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge if self.window[index].can_halve() => {
                self.window[index].halve = true;
                self.gap = true;
                false
            }
            code if code.is_retriable() => false,
            _ => {
                self.refuse(index, records, rules, done);
                false
            }
        }
    }

    /// Gives up what has waited longer than `delivery.timeout.ms`, wherever it stands. Says whether the lane
    /// needs another identity.
    pub(crate) fn expire(&mut self, now: Mono, rules: &Rules, done: &mut Done) -> bool {
        let overdue = |batch: &Batch| batch.created() + rules.delivery_timeout <= now;
        while self.window.front().is_some_and(|head| overdue(&head.batch)) {
            let head = &mut self.window[0];
            let before = head.last_failure.take().map(|failure| failure.to_string());
            head.last_failure = Some(Failure::TimedOut(before));
            self.give_up(0, rules, done);
        }
        while self.queue.front().is_some_and(overdue) {
            let batch = self.queue.pop_front().expect("it is there");
            fail(&batch.entries, &batch.error(Failure::TimedOut(None)), done);
        }
        self.settle(rules, done)
    }

    /// Gives up everything: the lane is not used again.
    pub(crate) fn abort(&mut self, failure: &Failure, rules: &Rules, done: &mut Done) {
        while let Some(head) = self.window.front_mut() {
            head.last_failure = Some(failure.clone());
            self.give_up(0, rules, done);
        }
        self.abort_queued(failure, done);
    }

    /// Gives up what was never numbered.
    pub(crate) fn abort_queued(&mut self, failure: &Failure, done: &mut Done) {
        for batch in self.queue.drain(..) {
            fail(&batch.entries, &batch.error(failure.clone()), done);
        }
    }

    /// How often a batch was sent; 0 if it is gone.
    pub(crate) fn attempts(&self, id: BatchId) -> u32 {
        self.position(id).map_or(0, |index| self.window[index].attempts)
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.window.is_empty() && self.queue.is_empty()
    }

    /// The moments at which time alone gives the lane something to do; some may have passed.
    pub(crate) fn deadlines(&self, hurry: bool, rules: &Rules) -> impl Iterator<Item = Mono> {
        let head = self.window.front();
        let oldest = head.map(|head| &head.batch).or(self.queue.front());
        let expiry = oldest.map(|batch| batch.created() + rules.delivery_timeout);
        let again = head.filter(|head| self.may_repeat(head)).and_then(|head| match head.state {
            State::Waiting { not_before } => Some(not_before),
            State::InFlight(_) => None,
        });
        let open = !self.gap && self.window.len() < rules.in_flight_max;
        let ripe = if open { self.ripe_at(hurry, rules) } else { None };
        [again, ripe, expiry].into_iter().flatten()
    }

    #[cfg(test)]
    pub(crate) fn set_epoch_for_test(&mut self, epoch: i16) {
        self.identity.as_mut().expect("it has sent").epoch = ProducerEpoch(epoch);
    }

    /// When the first of the queue need not wait for more records.
    fn ripe_at(&self, hurry: bool, rules: &Rules) -> Option<Mono> {
        let front = self.queue.front()?;
        let full = front.sealed || self.queue.len() > 1 || front.bytes >= rules.batch_size;
        let ripe = if full || hurry { front.created() } else { front.created() + rules.linger };
        Some(ripe.max(self.not_before))
    }

    /// Behind a gap only what may be written is repeated, to learn its fate: everything else is refused.
    fn may_repeat(&self, head: &Numbered) -> bool {
        !self.gap || head.batch.may_be_written
    }

    fn position(&self, id: BatchId) -> Option<usize> {
        self.window.iter().position(|numbered| numbered.id == id)
    }

    /// Takes a batch out of the window with its last failure as outcome.
    fn give_up(&mut self, index: usize, rules: &Rules, done: &mut Done) {
        let numbered = self.window.remove(index).expect("the caller found it");
        let error = numbered.error();
        fail(&numbered.batch.entries, &error, done);
        self.gap |= rules.idempotent;
        if matches!(error, DeliveryError::Unknown(_)) {
            self.fix(index);
        }
    }

    /// A batch that leaves the window at `index` may be in the log: those before must not end up behind it.
    fn fix(&mut self, index: usize) {
        self.window.range_mut(..index).for_each(|earlier| earlier.fixed = true);
    }

    /// Like [`Lane::give_up`], with what the broker said of single records.
    fn refuse(&mut self, index: usize, records: &[(i32, Option<String>)], rules: &Rules, done: &mut Done) {
        let numbered = &self.window[index];
        if let Some(Failure::Refused { code, message }) = &numbered.last_failure
            && !numbered.batch.may_be_written
            && !records.is_empty()
        {
            let (code, message) = (*code, message.clone());
            let numbered = self.window.remove(index).expect("the caller found it");
            for (position, entry) in (0i32..).zip(&numbered.batch.entries) {
                let own = records.iter().find(|(index, _)| *index == position);
                let message = match own {
                    Some((_, text)) => text.clone().or_else(|| message.clone()),
                    None => Some("another record of the same batch was refused".to_owned()),
                };
                let error = DeliveryError::NotWritten(Failure::Refused { code, message });
                done.push((entry.token, Err(error)));
            }
            self.gap |= rules.idempotent;
            return;
        }
        self.give_up(index, rules, done);
    }

    /// The identity is lost: nothing of the window can be sent again, and the lane goes on without it.
    fn disown(&mut self, done: &mut Done) {
        for numbered in self.window.drain(..) {
            fail(&numbered.batch.entries, &numbered.error(), done);
        }
        self.identity = None;
        self.gap = false;
    }

    /// Closes a gap, if that is safe by now. Says whether the lane needs another identity for it.
    fn settle(&mut self, rules: &Rules, done: &mut Done) -> bool {
        if !self.gap || self.window.iter().any(|numbered| !numbered.is_waiting()) {
            return false;
        }
        if rules.idempotent {
            while self.window.iter().any(|numbered| numbered.batch.may_be_written || numbered.fixed) {
                if self.window[0].batch.may_be_written {
                    return false;
                }
                // A later batch may be written (a broker that knows nothing of a producer begins anywhere):
                // this one must not be put behind it.
                self.give_up(0, rules, done);
            }
        }
        while let Some(numbered) = self.window.pop_back() {
            self.requeue(numbered);
        }
        self.gap = false;
        match self.identity {
            Some(identity) if identity.epoch.0 == i16::MAX => {
                self.identity = None;
                true
            }
            Some(identity) => {
                let epoch = ProducerEpoch(identity.epoch.0 + 1);
                self.identity = Some(Identity { epoch, ..identity });
                self.next_sequence = 0;
                false
            }
            None => false,
        }
    }

    fn requeue(&mut self, numbered: Numbered) {
        let Numbered { mut batch, halve, .. } = numbered;
        if halve {
            let second = batch.entries.split_off(batch.entries.len() / 2);
            self.queue.push_front(Batch::sealed(second, batch.may_be_written));
        }
        self.queue.push_front(Batch::sealed(batch.entries, batch.may_be_written));
    }
}

impl Batch {
    fn sealed(entries: Vec<Entry>, may_be_written: bool) -> Self {
        let bytes = entries.iter().map(|entry| entry.size).sum();
        Self { entries, bytes, sealed: true, may_be_written }
    }

    fn error(&self, failure: Failure) -> DeliveryError {
        if self.may_be_written { DeliveryError::Unknown(failure) } else { DeliveryError::NotWritten(failure) }
    }

    fn created(&self) -> Mono {
        self.entries.first().expect("a batch has a record").created
    }
}

impl Numbered {
    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    fn can_halve(&self) -> bool {
        !self.batch.may_be_written && self.batch.entries.len() > 1
    }

    fn error(&self) -> DeliveryError {
        let failure = self.last_failure.clone().unwrap_or(Failure::TimedOut(None));
        // What is in flight may be written whatever became of it before.
        if self.is_waiting() { self.batch.error(failure) } else { DeliveryError::Unknown(failure) }
    }
}

fn fail(entries: &[Entry], error: &DeliveryError, done: &mut Done) {
    for entry in entries {
        done.push((entry.token, Err(error.clone())));
    }
}
