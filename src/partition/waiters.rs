//! Who waits for which position of a partition.
//!
//! A Produce waits until its last record is counted (acks=1) or committed (acks=all), a Fetch until there is
//! more to read. All of them say which position they wait for and which offset it must reach, and are
//! released when a step has moved it there. What is released is the shell's own payload: it answers or wakes
//! whoever stands behind it.
//!
//! Nothing is missed if the wait was drawn up (by [`Partition::wait_for`] or from a [`ReadPlan`]) under the
//! lock under which it is inserted, or if the shell releases once more after inserting.
//!
//! Every waiter leaves in one of three ways: reached, cancelled by its id (time is up, the connection is
//! gone), or taken together with others because what they wait for will not come.
//!
//! [`Partition::wait_for`]: super::Partition::wait_for
//! [`ReadPlan`]: super::ReadPlan

use std::collections::BTreeMap;

use super::Positions;
use crate::types::Offset;

/// A position that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// See [`CountedEnd`](crate::types::CountedEnd).
    CountedEnd,
    /// See [`HighWatermark`](crate::types::HighWatermark).
    HighWatermark,
    /// See [`LastStable`](crate::types::LastStable).
    LastStable,
    /// See [`LogEnd`](crate::types::LogEnd): what a follower's Fetch waits for.
    LogEnd,
}

impl Position {
    const ALL: [Self; 4] = [Self::CountedEnd, Self::HighWatermark, Self::LastStable, Self::LogEnd];
}

/// What a waiter waits for: that `position` is at `until` or beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// Which position.
    pub position: Position,
    /// The end that it must reach.
    pub until: Offset,
}

impl Wait {
    /// Whether there is nothing left to wait for.
    pub fn is_over(self, positions: &Positions) -> bool {
        positions.get(self.position) >= self.until
    }
}

/// Names a waiter, to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaiterId {
    wait: Wait,
    serial: u64,
}

/// The bounded set of those who wait, each with a payload `T`.
#[derive(Debug)]
pub struct Waiters<T> {
    /// In the order of the ids: by position, then offset, then arrival.
    waiting: BTreeMap<WaiterId, T>,
    next_serial: u64,
    limit: usize,
}

impl<T> Waiters<T> {
    /// An empty set that takes up to `limit` waiters.
    pub fn new(limit: usize) -> Self {
        Self { waiting: BTreeMap::new(), next_serial: 0, limit }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether one more fits. Asked before an append, whose answer will have to wait.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.limit
    }

    /// Adds a waiter.
    ///
    /// # Errors
    ///
    /// Gives the payload back if there is no room.
    pub fn insert(&mut self, wait: Wait, payload: T) -> Result<WaiterId, T> {
        if !self.has_room() {
            return Err(payload);
        }
        let id = WaiterId { wait, serial: self.next_serial };
        self.next_serial += 1;
        let before = self.waiting.insert(id, payload);
        assert!(before.is_none(), "a serial number is given once");
        Ok(id)
    }

    /// Removes those whose wait is over: by position, then offset, then arrival.
    pub fn release(&mut self, positions: &Positions) -> Vec<T> {
        let mut released = Vec::new();
        for position in Position::ALL {
            while let Some(id) = self.first_of(position).filter(|id| id.wait.is_over(positions)) {
                released.extend(self.waiting.remove(&id));
            }
        }
        released
    }

    /// Removes one waiter; `None` if it has left already.
    pub fn cancel(&mut self, id: WaiterId) -> Option<T> {
        self.waiting.remove(&id)
    }

    /// Removes all who wait for `position`, because it stands still.
    pub fn take_position(&mut self, position: Position) -> Vec<T> {
        let mut taken = Vec::new();
        while let Some(id) = self.first_of(position) {
            taken.extend(self.waiting.remove(&id));
        }
        taken
    }

    /// Removes all, because the replica leads no more or its log failed.
    pub fn take_all(&mut self) -> Vec<T> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    fn first_of(&self, position: Position) -> Option<WaiterId> {
        let first = WaiterId { wait: Wait { position, until: Offset(i64::MIN) }, serial: 0 };
        let last = WaiterId { wait: Wait { position, until: Offset(i64::MAX) }, serial: u64::MAX };
        self.waiting.range(first..=last).next().map(|(&id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CountedEnd, HighWatermark, LastStable, LogEnd, LogStart};
    use proptest::prelude::*;

    fn positions(last_stable: i64, high_watermark: i64, counted_end: i64) -> Positions {
        Positions {
            log_start: LogStart(Offset(0)),
            last_stable: LastStable(Offset(last_stable)),
            high_watermark: HighWatermark(Offset(high_watermark)),
            counted_end: CountedEnd(Offset(counted_end)),
            log_end: LogEnd(Offset(1000)),
        }
    }

    fn wait(position: Position, until: i64) -> Wait {
        Wait { position, until: Offset(until) }
    }

    #[test]
    fn a_waiter_is_released_by_its_own_position_only() {
        let mut waiters = Waiters::new(10);
        for (position, name) in
            [(Position::LastStable, 's'), (Position::HighWatermark, 'h'), (Position::CountedEnd, 'c')]
        {
            waiters.insert(wait(position, 5), name).unwrap();
        }
        assert_eq!(waiters.release(&positions(4, 4, 4)), []);
        assert_eq!(waiters.release(&positions(4, 4, 5)), ['c']);
        assert_eq!(waiters.release(&positions(4, 5, 5)), ['h']);
        assert_eq!(waiters.release(&positions(5, 5, 5)), ['s']);
        assert!(waiters.is_empty());
    }

    #[test]
    fn no_more_wait_than_the_limit() {
        let mut waiters = Waiters::new(1);
        let id = waiters.insert(wait(Position::CountedEnd, 1), "first").unwrap();
        assert!(!waiters.has_room());
        assert_eq!(waiters.insert(wait(Position::CountedEnd, 1), "second"), Err("second"));
        assert_eq!(waiters.cancel(id), Some("first"));
        assert_eq!(waiters.cancel(id), None, "a waiter leaves once");
        assert!(waiters.insert(wait(Position::CountedEnd, 1), "third").is_ok());
    }

    #[test]
    fn all_waiters_of_a_position_can_be_taken() {
        let mut waiters = Waiters::new(10);
        waiters.insert(wait(Position::HighWatermark, 9), "all").unwrap();
        waiters.insert(wait(Position::CountedEnd, 9), "one").unwrap();
        waiters.insert(wait(Position::HighWatermark, 3), "all, earlier").unwrap();
        assert_eq!(waiters.take_position(Position::HighWatermark), ["all, earlier", "all"]);
        assert_eq!(waiters.take_all(), ["one"]);
        assert!(waiters.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(Position, i64),
        Cancel(usize),
        Move(i64, i64, i64),
        Take(Position),
        TakeAll,
    }

    /// Whether a waiter is among those a step removes.
    type Leaves = dyn Fn(&(Wait, usize)) -> bool;

    fn step() -> impl Strategy<Value = Step> {
        let position = prop::sample::select(Position::ALL.to_vec());
        prop_oneof![
            6 => (position.clone(), 0..60i64).prop_map(|(position, until)| Step::Insert(position, until)),
            2 => any::<prop::sample::Index>().prop_map(|index| Step::Cancel(index.index(64))),
            4 => (0..4i64, 0..4i64, 0..4i64).prop_map(|(a, b, c)| Step::Move(a, b, c)),
            1 => position.prop_map(Step::Take),
            1 => Just(Step::TakeAll),
        ]
    }

    proptest! {
        /// The model is a plain list in order of arrival.
        #[test]
        fn waiters_do_as_a_naive_list(steps in prop::collection::vec(step(), 1..120)) {
            const LIMIT: usize = 12;
            let mut waiters = Waiters::new(LIMIT);
            let mut model: Vec<(Wait, usize)> = Vec::new();
            let mut ids = Vec::new();
            let mut now = positions(0, 0, 0);
            for (payload, step) in steps.into_iter().enumerate() {
                let leaves: Box<Leaves> = match step {
                    Step::Insert(position, until) => {
                        let inserted = waiters.insert(wait(position, until), payload);
                        prop_assert_eq!(inserted.is_ok(), model.len() < LIMIT);
                        if let Ok(id) = inserted {
                            model.push((wait(position, until), payload));
                            ids.push((id, payload));
                        }
                        continue;
                    }
                    Step::Cancel(index) => {
                        let Some(&(id, payload)) = ids.get(index) else { continue };
                        let present = model.iter().any(|waiter| waiter.1 == payload);
                        prop_assert_eq!(waiters.cancel(id), present.then_some(payload));
                        model.retain(|waiter| waiter.1 != payload);
                        continue;
                    }
                    Step::Move(a, b, c) => {
                        let stable = now.last_stable.offset().0 + a;
                        let committed = (now.high_watermark.offset().0 + b).max(stable);
                        now = positions(stable, committed, (now.counted_end.offset().0 + c).max(committed));
                        Box::new(move |waiter| waiter.0.is_over(&now))
                    }
                    Step::Take(position) => Box::new(move |waiter| waiter.0.position == position),
                    Step::TakeAll => Box::new(|_| true),
                };
                let mut expected: Vec<_> = model.iter().copied().filter(|waiter| leaves(waiter)).collect();
                expected.sort();
                model.retain(|waiter| !leaves(waiter));
                let left = match step {
                    Step::Take(position) => waiters.take_position(position),
                    Step::TakeAll => waiters.take_all(),
                    _ => waiters.release(&now),
                };
                prop_assert_eq!(left, expected.into_iter().map(|waiter| waiter.1).collect::<Vec<_>>());
                prop_assert_eq!(waiters.len(), model.len());
            }
        }
    }
}
