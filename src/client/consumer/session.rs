//! Fetch sessions (KIP-227): a broker remembers what it was asked for, so that the next request tells changes
//! only; pure.

use std::collections::BTreeMap;

use super::TopicPartition;
use crate::error_code::ErrorCode;
use crate::types::{LeaderEpoch, Offset, Uuid};
use crate::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

/// The epoch that asks for a new session.
const INITIAL_EPOCH: i32 = 0;

/// The epoch of requests outside of any session.
const NO_SESSION_EPOCH: i32 = -1;

/// What one partition is asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) topic_id: Uuid,
    pub(crate) offset: Offset,
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) last_fetched_epoch: LeaderEpoch,
    pub(crate) max_bytes: i32,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(crate) struct Session {
    id: i32,
    epoch: i32,
    /// What the broker remembers.
    partitions: BTreeMap<TopicPartition, Asked>,
}

impl Session {
    /// Fills in what of `wanted` the broker must be told, and remembers it as told.
    pub(crate) fn fill(&mut self, request: &mut FetchRequest, wanted: BTreeMap<TopicPartition, Asked>) {
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        let known = std::mem::replace(&mut self.partitions, wanted);
        if self.epoch == INITIAL_EPOCH {
            request.topics = topics(self.partitions.iter());
            return;
        }
        let changed = self.partitions.iter().filter(|(key, asked)| known.get(key) != Some(asked));
        request.topics = topics(changed);
        for (key, asked) in &known {
            // A topic that was created anew under the same name is another one to the broker.
            if self.partitions.get(key).is_none_or(|now| now.topic_id != asked.topic_id) {
                forget(&mut request.forgotten_topics_data, key, asked.topic_id);
            }
        }
    }

    /// Fills in everything, without a session: for brokers that know none (before version 7).
    pub(crate) fn fill_without(request: &mut FetchRequest, wanted: &BTreeMap<TopicPartition, Asked>) {
        (request.session_id, request.session_epoch) = (0, NO_SESSION_EPOCH);
        request.topics = topics(wanted.iter());
    }

    /// The broker answered, with this session id.
    pub(crate) fn answered(&mut self, id: i32) {
        if self.epoch == INITIAL_EPOCH {
            // It has no room for a session if the id is 0: the next request is whole again.
            self.id = id;
            self.epoch = if id == 0 { INITIAL_EPOCH } else { 1 };
        } else if id == self.id {
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        } else {
            self.lost();
        }
    }

    /// The broker refused the request as a whole.
    pub(crate) fn refused(&mut self, error: ErrorCode) {
        if error == ErrorCode::FetchSessionIdNotFound {
            self.id = 0;
        }
        self.lost();
    }

    /// No answer came: it is not known what the broker remembers. The next request asks for a new session in
    /// place of this one.
    pub(crate) fn lost(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.partitions.clear();
    }
}

fn topics<'a>(partitions: impl Iterator<Item = (&'a TopicPartition, &'a Asked)>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (key, asked) in partitions {
        let partition = FetchPartition {
            partition: key.partition,
            current_leader_epoch: asked.current_leader_epoch.0,
            fetch_offset: asked.offset.0,
            last_fetched_epoch: asked.last_fetched_epoch.0,
            partition_max_bytes: asked.max_bytes,
            ..Default::default()
        };
        match topics.last_mut() {
            Some(last) if *last.topic == *key.topic && last.topic_id == asked.topic_id => {
                last.partitions.push(partition);
            }
            _ => topics.push(FetchTopic {
                topic: key.topic.to_string(),
                topic_id: asked.topic_id,
                partitions: vec![partition],
            }),
        }
    }
    topics
}

fn forget(forgotten: &mut Vec<ForgottenTopic>, key: &TopicPartition, topic_id: Uuid) {
    match forgotten.last_mut() {
        Some(last) if *last.topic == *key.topic && last.topic_id == topic_id => {
            last.partitions.push(key.partition);
        }
        _ => forgotten.push(ForgottenTopic {
            topic: key.topic.to_string(),
            topic_id,
            partitions: vec![key.partition],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(offsets: &[(i32, i64)]) -> BTreeMap<TopicPartition, Asked> {
        let asked = |offset| Asked {
            topic_id: Uuid(9),
            offset: Offset(offset),
            current_leader_epoch: LeaderEpoch(1),
            last_fetched_epoch: LeaderEpoch::NONE,
            max_bytes: 100,
        };
        offsets.iter().map(|&(index, offset)| (TopicPartition::new("t", index), asked(offset))).collect()
    }

    /// Session id, epoch, partitions told, partitions forgotten.
    fn told(session: &mut Session, offsets: &[(i32, i64)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let mut request = FetchRequest::default();
        session.fill(&mut request, wanted(offsets));
        let told = request.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone());
        let told = told.map(|partition| partition.partition).collect();
        (request.session_id, request.session_epoch, told, forgotten.collect())
    }

    #[test]
    fn only_changes_are_told() {
        let mut session = Session::default();
        assert_eq!(told(&mut session, &[(0, 5), (1, 5)]), (0, 0, vec![0, 1], vec![]));
        session.answered(77);
        assert_eq!(told(&mut session, &[(0, 5), (1, 6)]), (77, 1, vec![1], vec![]));
        session.answered(77);
        assert_eq!(told(&mut session, &[(1, 6), (2, 0)]), (77, 2, vec![2], vec![0]));
        session.answered(77);
        assert_eq!(told(&mut session, &[(1, 6), (2, 0)]), (77, 3, vec![], vec![]));
    }

    #[test]
    fn a_lost_answer_begins_a_new_session_in_place_of_the_old() {
        let mut session = Session::default();
        told(&mut session, &[(0, 5)]);
        session.answered(77);
        session.lost();
        assert_eq!(told(&mut session, &[(0, 5)]), (77, 0, vec![0], vec![]));
        session.answered(78);
        session.refused(ErrorCode::FetchSessionIdNotFound);
        assert_eq!(told(&mut session, &[(0, 5)]), (0, 0, vec![0], vec![]));
    }

    #[test]
    fn without_room_for_a_session_every_request_is_whole() {
        let mut session = Session::default();
        told(&mut session, &[(0, 5)]);
        session.answered(0);
        assert_eq!(told(&mut session, &[(0, 5)]), (0, 0, vec![0], vec![]));
    }
}
