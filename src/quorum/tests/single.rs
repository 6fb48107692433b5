//! A quorum of one voter.

use super::*;

fn alone() -> VoterHistory {
    let by_id = VoterNode { key: VoterKey { directory: Uuid::ZERO, ..key(1) }, ..voter(1) };
    VoterHistory::new([by_id].into_iter().collect())
}

#[test]
fn the_only_voter_leads_at_once_and_what_it_has_durable_is_committed() {
    let mut node = Node::start(start_of(1, alone()));
    assert_eq!(node.quorum.leads(), Some(LeaderEpoch(1)));
    let change = leader_change(&node.done);
    assert_eq!((change.version, change.leader_id, change.voters.len()), (0, 1, 1));
    assert_eq!(node.done[1..], [Effect::Commit(Offset(1)), Effect::Lead(LeaderEpoch(1))]);
    node.done.clear();
    node.append(2);
    assert_eq!(node.done, []);
    node.step(Input::Durable(Offset(3)));
    assert_eq!(node.done, [Effect::Commit(Offset(3))]);
    assert!(node.sent.is_empty(), "there is nobody to talk to");
}

#[test]
fn a_vote_is_durable_before_the_leader_appends_and_that_before_anybody_hears_of_it() {
    let start = Start { persisted: Some(state(3, None)), log: log_of(&[(5, 3)]), ..start_of(1, alone()) };
    let now = Mono(1);
    let (mut quorum, effects) = Quorum::start(now, start).expect("there are epochs left");
    let vote = ElectionState { epoch: LeaderEpoch(4), leader: None, voted: Some(key(1)) };
    assert_eq!(effects, [Effect::Persist(vote)]);
    assert_eq!(quorum.role(), RoleName::Candidate);
    assert_eq!(quorum.step(now, Input::Persisted(state(3, None))), [], "an earlier state elects nobody");

    let elected = ElectionState { leader: Some(BrokerId(1)), ..vote };
    assert_eq!(quorum.step(now, Input::Persisted(vote)), [Effect::Persist(elected)]);
    let effects = quorum.step(now, Input::Persisted(elected));
    assert_eq!(effects.len(), 1);
    assert_eq!(leader_change(&effects).leader_id, 1);
    let batch = AppendedBatch { span: span(5, 6, 4), controls: Vec::new() };
    assert_eq!(quorum.step(now, Input::Appended(vec![batch])), []);
    assert_eq!((quorum.leader(), quorum.leads()), (None, None));
    assert_eq!(quorum.step(now, Input::Durable(Offset(5))), [], "nothing of an old epoch before the new");
    let effects = quorum.step(now, Input::Durable(Offset(6)));
    assert_eq!(effects, [Effect::Commit(Offset(6)), Effect::Lead(LeaderEpoch(4))]);
    assert_eq!((quorum.leader(), quorum.committed()), (Some(BrokerId(1)), Offset(6)));
}

fn state(epoch: i32, leader: Option<i32>) -> ElectionState {
    ElectionState { epoch: LeaderEpoch(epoch), leader: leader.map(BrokerId), voted: None }
}

#[test]
fn kafka_10527_a_restarted_leader_does_not_resume_its_epoch() {
    for (persisted, log_epoch, expected) in [
        (Some(state(4, Some(1))), 4, 5),
        (Some(state(4, Some(1))), 2, 5),
        (Some(state(4, Some(1))), 6, 7),
        (None, 4, 5),
    ] {
        let node = Node::start(Start { persisted, log: log_of(&[(10, log_epoch)]), ..start_of(1, alone()) });
        assert_eq!(node.quorum.leads(), Some(LeaderEpoch(expected)));
    }
}

#[test]
fn kafka_16144_the_only_voter_never_resigns_for_want_of_others() {
    let mut node = Node::start(start_of(1, alone()));
    node.pass(Duration::from_secs(3600));
    assert_eq!(node.quorum.leads(), Some(LeaderEpoch(1)));
}

#[test]
fn the_voters_of_the_formatting_are_written_into_the_log() {
    let node = Node::start(start_of(1, formatted(&[1])));
    let Effect::Append { records, .. } = &node.done[0] else { panic!("{:?}", node.done) };
    assert_eq!(records[1..], voter_records(&voters(&[1])));
    assert_eq!(node.quorum.voters().current_offset(), Some(Offset(2)));
    assert_eq!(node.quorum.committed(), Offset(3));
}

#[test]
fn a_leader_that_moved_says_so_in_its_first_batch() {
    let mut start = start_of(1, VoterHistory::new(VoterSet::default()));
    for (offset, record) in (1..).zip(voter_records(&voters(&[1]))) {
        start.voters.record(Offset(offset), &record);
    }
    start.log = log_of(&[(3, 1)]);
    let again = start.clone();
    start.identity.endpoints = endpoints(7);
    let node = Node::start(start);
    assert_eq!(node.quorum.voters().current().address(BrokerId(1), LISTENER), Some(address(7)));
    let node = Node::start(again);
    assert_eq!(node.quorum.log().end(), Offset(4), "where nothing has changed, a LeaderChange is all");
}

#[test]
fn epochs_do_not_wrap() {
    let start = Start { log: log_of(&[(1, i32::MAX)]), ..start_of(1, alone()) };
    assert_eq!(Quorum::start(Mono(0), start).err(), Some(EpochsExhausted(LeaderEpoch(i32::MAX))));
    // In a larger quorum others may lead in it; but nobody raises it.
    let log = log_of(&[(1, i32::MAX)]);
    let mut node = Node::start(Start { log, ..start_of(1, formatted(&[1, 2, 3])) });
    node.pass(Duration::from_secs(60));
    assert_eq!((node.quorum.role(), node.quorum.epoch().0), (RoleName::Unattached, i32::MAX));
}

#[test]
fn the_history_of_the_voters_follows_truncation_and_snapshots() {
    let mut history = formatted(&[1]);
    history.record(Offset(10), &ControlRecord::KRaftVoters(voters(&[1, 2]).to_record()));
    history.record(Offset(20), &ControlRecord::KRaftVoters(voters(&[1, 2, 3]).to_record()));
    let ids =
        |set: Option<&VoterSet>| set.map(|set| set.iter().map(|voter| voter.key.id.0).collect::<Vec<_>>());
    assert_eq!(ids(history.before(Offset(20)).1), Some(vec![1, 2]));
    assert_eq!(ids(history.before(Offset(21)).1), Some(vec![1, 2, 3]));
    let mut truncated = history.clone();
    truncated.truncate_from_end(Offset(20));
    assert_eq!((ids(Some(truncated.current())), truncated.version()), (Some(vec![1, 2]), 1));
    history.truncate_from_start(Offset(15));
    assert_eq!((history.before(Offset(10)).1, history.before(Offset(10)).0), (None, 1));
    assert_eq!(ids(history.before(Offset(15)).1), Some(vec![1, 2]));
}
