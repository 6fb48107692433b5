//! What a leader is asked for, in a fetch session (KIP-227): it remembers, and is told only what changes. A
//! partition that nothing happens to is not looked at, however often there is a Fetch.

use std::collections::{BTreeMap, BTreeSet};

use crate::partition::FollowerFetch;
use crate::types::PartitionKey;
use crate::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

/// The epoch that asks for a new session.
const INITIAL_EPOCH: i32 = 0;

/// "No session".
const NO_SESSION: i32 = 0;

/// The session with one leader.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    /// Asked for of each partition.
    max_bytes: i32,
    /// What is wanted.
    wanted: BTreeMap<PartitionKey, FollowerFetch>,
    /// What the leader remembers partitions of.
    told: BTreeSet<PartitionKey>,
    /// Where it does not remember what is wanted.
    changed: BTreeSet<PartitionKey>,
}

impl Session {
    /// No session yet. `max_bytes` is asked for of each partition.
    pub(super) fn new(max_bytes: i32) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    /// Sets what is wanted of a partition; `None`: nothing now.
    pub(super) fn want(&mut self, key: PartitionKey, fetch: Option<FollowerFetch>) {
        let before = self.wanted.get(&key).copied();
        if before == fetch {
            return;
        }
        match fetch {
            Some(fetch) => self.wanted.insert(key, fetch),
            None => self.wanted.remove(&key),
        };
        self.changed.insert(key);
    }

    /// What is wanted of a partition.
    pub(super) fn wanted(&self, key: PartitionKey) -> Option<FollowerFetch> {
        self.wanted.get(&key).copied()
    }

    /// Whether nothing is wanted.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Fills in what the leader has to be told.
    pub(super) fn fill(&mut self, request: &mut FetchRequest) {
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        let changed = std::mem::take(&mut self.changed);
        if self.epoch == INITIAL_EPOCH {
            self.told = self.wanted.keys().copied().collect();
            self.wanted.iter().for_each(|(key, fetch)| self.ask(&mut request.topics, *key, fetch));
            return;
        }
        for key in changed {
            if let Some(fetch) = self.wanted.get(&key) {
                self.told.insert(key);
                self.ask(&mut request.topics, key, fetch);
            } else if self.told.remove(&key) {
                forget(&mut request.forgotten_topics_data, key);
            }
        }
    }

    /// The leader has answered, with this session id.
    pub(super) fn answered(&mut self, id: i32) {
        if self.epoch == INITIAL_EPOCH {
            // It has no room for a session if there is no id: the next request is whole again.
            self.id = id;
            self.epoch = if id == NO_SESSION { INITIAL_EPOCH } else { 1 };
        } else if id == self.id {
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        } else {
            self.lost();
        }
    }

    /// It is not known what the leader remembers: the next request asks for a new session in place of this one.
    pub(super) fn lost(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.told.clear();
    }

    fn ask(&self, topics: &mut Vec<FetchTopic>, key: PartitionKey, fetch: &FollowerFetch) {
        let partition = FetchPartition {
            partition: key.index,
            current_leader_epoch: fetch.leader_epoch.0,
            fetch_offset: fetch.fetch_offset.0,
            last_fetched_epoch: fetch.last_fetched_epoch.0,
            log_start_offset: fetch.log_start.offset().0,
            partition_max_bytes: self.max_bytes,
            ..FetchPartition::default()
        };
        match topics.last_mut().filter(|last| last.topic_id == key.topic_id) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic_id: key.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }),
        }
    }
}

fn forget(forgotten: &mut Vec<ForgottenTopic>, key: PartitionKey) {
    match forgotten.last_mut().filter(|last| last.topic_id == key.topic_id) {
        Some(last) => last.partitions.push(key.index),
        None => forgotten.push(ForgottenTopic {
            topic_id: key.topic_id,
            partitions: vec![key.index],
            ..ForgottenTopic::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BrokerId, LeaderEpoch, LogStart, Offset, Uuid};

    fn key(index: i32) -> PartitionKey {
        PartitionKey { topic_id: Uuid(9), index }
    }

    fn at(offset: i64) -> Option<FollowerFetch> {
        Some(FollowerFetch {
            leader: BrokerId(1),
            leader_epoch: LeaderEpoch(3),
            fetch_offset: Offset(offset),
            last_fetched_epoch: LeaderEpoch(2),
            log_start: LogStart(Offset(1)),
        })
    }

    /// Session id, epoch, offsets by partition told, partitions forgotten.
    type Told = (i32, i32, Vec<(i32, i64)>, Vec<i32>);

    fn told(session: &mut Session) -> Told {
        let mut request = FetchRequest::default();
        session.fill(&mut request);
        let told = request.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone());
        let told = told.map(|partition| (partition.partition, partition.fetch_offset)).collect();
        (request.session_id, request.session_epoch, told, forgotten.collect())
    }

    #[test]
    fn only_changes_are_told() {
        let mut session = Session::default();
        session.want(key(0), at(5));
        session.want(key(1), at(6));
        assert_eq!(told(&mut session), (0, 0, vec![(0, 5), (1, 6)], vec![]));
        session.answered(77);
        assert_eq!(told(&mut session), (77, 1, vec![], vec![]));
        session.answered(77);
        session.want(key(0), None);
        session.want(key(1), at(7));
        session.want(key(2), at(0));
        assert_eq!(told(&mut session), (77, 2, vec![(1, 7), (2, 0)], vec![0]));
        session.answered(77);
        session.want(key(0), at(9));
        session.want(key(2), None);
        session.want(key(2), at(0));
        session.want(key(3), at(0));
        session.want(key(3), None);
        assert_eq!(told(&mut session), (77, 3, vec![(0, 9), (2, 0)], vec![]), "3 was never told");
    }

    #[test]
    fn a_log_start_that_moves_is_told_though_nothing_else_changes() {
        let mut session = Session::default();
        session.want(key(0), at(5));
        told(&mut session);
        session.answered(77);
        let moved = at(5).map(|fetch| FollowerFetch { log_start: LogStart(Offset(4)), ..fetch });
        session.want(key(0), moved);
        let mut request = FetchRequest::default();
        session.fill(&mut request);
        assert_eq!(request.topics[0].partitions[0].log_start_offset, 4);
    }

    #[test]
    fn a_lost_answer_begins_a_new_session_in_place_of_the_old() {
        let mut session = Session::default();
        session.want(key(0), at(5));
        session.want(key(1), at(5));
        told(&mut session);
        session.answered(77);
        session.lost();
        session.want(key(1), None);
        assert_eq!(told(&mut session), (77, 0, vec![(0, 5)], vec![]));
        session.answered(78);
        session.want(key(1), None);
        assert_eq!(told(&mut session), (78, 1, vec![], vec![]));
        session.answered(0);
        assert_eq!(told(&mut session), (78, 0, vec![(0, 5)], vec![]), "the leader has dropped it");
    }

    #[test]
    fn without_room_for_a_session_every_request_is_whole() {
        let mut session = Session::default();
        session.want(key(0), at(5));
        told(&mut session);
        session.answered(0);
        assert_eq!(told(&mut session), (0, 0, vec![(0, 5)], vec![]));
        assert!(!session.is_idle());
        session.want(key(0), None);
        assert!(session.is_idle());
    }
}
