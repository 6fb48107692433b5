//! Partitions that are left out of Fetches for a while: because of the throttle, or after the leader has refused one.
//!
//! Most often the leader has not heard yet of the leader epoch that this replica knows (UNKNOWN_LEADER_EPOCH), or that
//! it leads. It will within milliseconds, and while one member of the ISR does not fetch, nobody's acks=all is
//! answered. So the first pause is short; what goes on being refused is asked ever less often, up to
//! `replica.fetch.backoff.ms`, which is what Kafka waits at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::{Mono, PartitionKey};

/// The pause after a partition's first refusal. Each further one lasts twice as long.
const FIRST: Duration = Duration::from_millis(10);

/// Who is left out, and until when.
#[derive(Debug, Default)]
pub(super) struct Resting {
    until: BTreeMap<PartitionKey, Mono>,
    /// How often those were refused that were not answered since.
    refusals: BTreeMap<PartitionKey, u32>,
}

impl Resting {
    /// Leaves a partition out: the longer, the more often it was refused; at most for `longest`.
    pub(super) fn leave_out(&mut self, key: PartitionKey, now: Mono, longest: Duration) {
        let refusals = self.refusals.entry(key).or_default();
        let pause = FIRST.saturating_mul(1u32.checked_shl(*refusals).unwrap_or(u32::MAX)).min(longest);
        *refusals = refusals.saturating_add(1);
        self.until.insert(key, now + pause);
    }

    /// Leaves a partition out that was not refused: the throttle keeps it back.
    pub(super) fn keep_back(&mut self, key: PartitionKey, until: Mono) {
        self.until.insert(key, until);
    }

    /// The leader has answered for a partition, or it is another leader's: it begins anew.
    pub(super) fn forget(&mut self, key: PartitionKey) {
        self.until.remove(&key);
        self.refusals.remove(&key);
    }

    /// Those that have rested enough by `now`. They are not told twice.
    pub(super) fn rested(&mut self, now: Mono) -> Vec<PartitionKey> {
        let rested: Vec<PartitionKey> =
            self.until.iter().filter(|(_, until)| **until <= now).map(|(key, _)| *key).collect();
        for key in &rested {
            self.until.remove(key);
        }
        rested
    }

    pub(super) fn contains(&self, key: PartitionKey) -> bool {
        self.until.contains_key(&key)
    }

    /// When the next one has rested.
    pub(super) fn next(&self) -> Option<Mono> {
        self.until.values().copied().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    const KEY: PartitionKey = PartitionKey { topic_id: Uuid(9), index: 3 };

    #[test]
    fn whoever_is_refused_again_and_again_rests_ever_longer() {
        let mut resting = Resting::default();
        let mut now = Mono::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            resting.leave_out(KEY, now, Duration::from_secs(1));
            assert!(resting.contains(KEY));
            assert_eq!(resting.rested(now), []);
            let until = resting.next().expect("it rests");
            pauses.push(until.since(now).as_millis());
            now = until;
            assert_eq!(resting.rested(now), [KEY]);
            assert!(!resting.contains(KEY) && resting.next().is_none());
        }
        assert_eq!(pauses[..9], [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(pauses[9..].iter().all(|pause| *pause == 1000));
    }

    #[test]
    fn an_answer_in_between_begins_anew() {
        let mut resting = Resting::default();
        let now = Mono::default();
        resting.leave_out(KEY, now, Duration::from_secs(1));
        resting.leave_out(KEY, now, Duration::from_secs(1));
        resting.forget(KEY);
        assert!(!resting.contains(KEY));
        resting.leave_out(KEY, now, Duration::from_secs(1));
        assert_eq!(resting.next(), Some(now + FIRST));
        resting.leave_out(KEY, now, Duration::ZERO);
        assert_eq!(resting.next(), Some(now), "never longer than is configured");
    }
}
