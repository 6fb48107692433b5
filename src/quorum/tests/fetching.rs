//! Looking for a leader and following it.

use super::*;

/// Voter 1 of three follows leader 2 in epoch 5, with a log, and has sent its first Fetch.
fn follower(batches: &[(i64, i32)]) -> Node {
    let log = log_of(batches);
    let mut node = Node::start(Start { log, ..start_of(1, formatted(&[1, 2, 3])) });
    node.begin_quorum_epoch(2, 5);
    assert_eq!(node.quorum.role(), RoleName::Follower);
    // What it sent while it was looking for a leader is forgotten.
    node.sent.retain(|(_, to, _)| to.peer == Peer::Node(BrokerId(2)));
    node
}

fn fetch(node: &mut Node) -> (RequestId, FetchRequest) {
    match node.sent_to(2) {
        Some((id, Request::Fetch(fetch))) => (id, fetch),
        other => panic!("{other:?}"),
    }
}

fn answer(node: &mut Node, high_watermark: i64, fetched: Fetched<Vec<BatchSpan>>) -> RequestId {
    let (id, _) = fetch(node);
    let high_watermark = Some(Offset(high_watermark));
    let response = FetchResponse { known: from_leader(2, 5), high_watermark, fetched: Some(fetched) };
    node.respond(id, Response::Fetch(response));
    id
}

fn appended(node: &mut Node, spans: &[BatchSpan]) {
    let batches = spans.iter().map(|span| AppendedBatch { span: *span, controls: Vec::new() });
    node.step(Input::Appended(batches.collect()));
}

#[test]
fn kafka_10533_a_voter_fetches_from_what_it_has_made_durable() {
    let mut node = follower(&[(10, 3)]);
    let (_, first) = fetch(&mut follower(&[(10, 3)]));
    assert_eq!((first.offset.0, first.last_epoch.0, first.epoch.0), (10, 3, 5));
    let batches = vec![span(10, 12, 3), span(12, 13, 5)];
    let id = answer(&mut node, 13, Fetched::Records(batches.clone()));
    assert_eq!(node.done, [Effect::AppendFetched(id)]);
    appended(&mut node, &batches);
    assert_eq!(node.sent, [], "not yet durable");
    assert_eq!(node.quorum.committed(), Offset(0), "a high watermark is clipped to what is durable");
    node.step(Input::Durable(Offset(12)));
    assert_eq!((node.quorum.committed(), node.sent.len()), (Offset(12), 0));
    node.step(Input::Durable(Offset(13)));
    let (_, next) = fetch(&mut node);
    assert_eq!((next.offset.0, next.last_epoch.0, next.high_watermark.0), (13, 5, 13));
    assert_eq!(node.done[1..], [Effect::Commit(Offset(12)), Effect::Commit(Offset(13))]);
}

#[test]
fn batches_that_cannot_follow_are_not_appended() {
    for bad in [span(9, 11, 5), span(11, 12, 5), span(10, 10, 5), span(10, 11, 2), span(10, 11, 6)] {
        let mut node = follower(&[(10, 3)]);
        answer(&mut node, 10, Fetched::Records(vec![bad]));
        assert_eq!(node.done, [], "{bad:?}");
        assert_eq!(node.quorum.role(), RoleName::Follower);
    }
}

#[test]
fn a_log_that_diverges_is_truncated_to_what_both_have() {
    let mut node = follower(&[(10, 1), (20, 3)]);
    answer(&mut node, 12, Fetched::Diverging { epoch: LeaderEpoch(2), end: Offset(15) });
    assert_eq!(node.done, [Effect::Truncate(Offset(10))]);
    let (_, next) = fetch(&mut node);
    assert_eq!((next.offset.0, next.last_epoch.0), (10, 1));
}

/// Such a leader was elected by others than these voters, say, or has lost its disk.
#[test]
fn kafka_12460_what_is_committed_is_never_truncated_and_the_leader_that_wants_it_given_up() {
    let diverging = Fetched::Diverging { epoch: LeaderEpoch(1), end: Offset(10) };
    let snapshot = Fetched::Snapshot(SnapshotId { epoch: LeaderEpoch(4), end: Offset(12) });
    for wanted in [diverging, snapshot] {
        let mut node = follower(&[(10, 1), (20, 3)]);
        answer(&mut node, 15, Fetched::Records(Vec::new()));
        assert_eq!(node.quorum.committed(), Offset(15));
        let done = node.done.len();
        for _ in 0..10 {
            node.sent.clear();
            node.pass(ms(1));
            node.quorum.requests.reset();
            node.step(Input::Tick);
            answer(&mut node, 15, wanted.clone());
        }
        assert_eq!(node.done[done..], [], "{wanted:?}");
        assert_eq!(node.quorum.committed(), Offset(15));
        // Its answers are not signs of life.
        node.pass(node.quorum.config.fetch_timeout);
        node.step(Input::Tick);
        assert_eq!(node.quorum.role(), RoleName::Prospective, "{wanted:?}");
    }
}

#[test]
fn truncation_brings_back_the_voters_of_before() {
    let mut node = follower(&[(10, 3)]);
    let batch = span(10, 11, 4);
    let id = answer(&mut node, 0, Fetched::Records(vec![batch]));
    assert_eq!(node.done, [Effect::AppendFetched(id)]);
    let record = ControlRecord::KRaftVoters(voters(&[2, 3]).to_record());
    node.step(Input::Appended(vec![AppendedBatch { span: batch, controls: vec![(Offset(10), record)] }]));
    assert!(!node.quorum.is_voter(), "an uncommitted set counts");
    node.step(Input::Durable(Offset(11)));
    answer(&mut node, 0, Fetched::Diverging { epoch: LeaderEpoch(3), end: Offset(10) });
    assert!(node.quorum.is_voter());
}

#[test]
fn a_snapshot_is_fetched_piece_by_piece_and_replaces_the_log() {
    let mut node = follower(&[(10, 1)]);
    let id = SnapshotId { epoch: LeaderEpoch(4), end: Offset(50) };
    answer(&mut node, 60, Fetched::Snapshot(id));
    for (position, bytes) in [(0, 6), (6, 4)] {
        let Some((request, Request::FetchSnapshot(asked))) = node.sent_to(2) else {
            panic!("{:?}", node.sent)
        };
        assert_eq!((asked.id, asked.position), (id, position));
        let chunk = Some(Chunk { id, position, bytes, size: 10 });
        let response = FetchSnapshotResponse { known: from_leader(2, 5), chunk };
        node.respond(request, Response::FetchSnapshot(response));
        assert_eq!(node.done.remove(0), Effect::WriteSnapshot { response: request, id, position });
    }
    assert_eq!(node.done, [Effect::InstallSnapshot(id)]);
    node.step(Input::SnapshotInstalled(voter_records(&voters(&[1, 2])).to_vec()));
    assert_eq!(node.done[1..], [Effect::Commit(Offset(50))]);
    assert_eq!((node.quorum.voters().current().len(), node.quorum.log().start()), (2, Offset(50)));
    let (_, next) = fetch(&mut node);
    assert_eq!((next.offset.0, next.last_epoch.0), (50, 4));
}

#[test]
fn a_snapshot_brings_its_voters_and_those_of_the_log_before_it_are_forgotten() {
    let mut start = start_of(1, formatted(&[1, 2, 3]));
    // A leader of epoch 1 has removed voter 3, which nobody else has heard of.
    start.voters.record(Offset(59), &ControlRecord::KRaftVoters(voters(&[1, 2]).to_record()));
    start.log = log_of(&[(60, 1)]);
    let mut node = Node::start(start);
    node.begin_quorum_epoch(2, 5);
    node.sent.retain(|(_, to, _)| to.peer == Peer::Node(BrokerId(2)));
    let id = SnapshotId { epoch: LeaderEpoch(4), end: Offset(50) };
    answer(&mut node, 60, Fetched::Snapshot(id));
    let (request, _) = node.sent_to(2).expect("it asks for the snapshot");
    let chunk = Some(Chunk { id, position: 0, bytes: 10, size: 10 });
    let response = FetchSnapshotResponse { known: from_leader(2, 5), chunk };
    node.respond(request, Response::FetchSnapshot(response));
    node.step(Input::SnapshotInstalled(voter_records(&voters(&[1, 2, 3, 4])).to_vec()));
    assert_eq!(node.quorum.voters().current(), &voters(&[1, 2, 3, 4]));
    assert_eq!(node.quorum.voters().current_offset(), Some(Offset(49)));
    assert_eq!(node.quorum.voters().before(Offset(49)).1, None);
}

#[test]
fn a_piece_of_a_snapshot_that_was_not_asked_for_is_not_written() {
    let id = SnapshotId { epoch: LeaderEpoch(4), end: Offset(50) };
    let other = SnapshotId { epoch: LeaderEpoch(4), end: Offset(51) };
    for (id_of_piece, position, bytes, size) in
        [(other, 0, 6, 10), (id, 6, 4, 10), (id, 0, 0, 10), (id, 0, 11, 10), (id, u64::MAX, 1, u64::MAX)]
    {
        let mut node = follower(&[(10, 1)]);
        answer(&mut node, 60, Fetched::Snapshot(id));
        let (request, _) = node.sent_to(2).expect("it asks for the snapshot");
        let chunk = Some(Chunk { id: id_of_piece, position, bytes, size });
        let response = FetchSnapshotResponse { known: from_leader(2, 5), chunk };
        node.respond(request, Response::FetchSnapshot(response));
        assert_eq!(node.done, [], "{id_of_piece} {position} {bytes} {size}");
        node.sent.clear();
        node.quorum.requests.reset();
        node.step(Input::Tick);
        assert_eq!(fetch(&mut node).1.offset, Offset(10), "it begins anew");
    }
}

#[test]
fn a_snapshot_that_is_gone_is_given_up() {
    let mut node = follower(&[(10, 1)]);
    let id = SnapshotId { epoch: LeaderEpoch(4), end: Offset(50) };
    answer(&mut node, 60, Fetched::Snapshot(id));
    let (request, _) = node.sent_to(2).expect("it asks for the snapshot");
    let known = Known { error: ErrorCode::SnapshotNotFound, ..from_leader(2, 5) };
    node.respond(request, Response::FetchSnapshot(FetchSnapshotResponse { known, chunk: None }));
    node.sent.clear();
    node.quorum.requests.reset();
    node.step(Input::Tick);
    assert_eq!(fetch(&mut node).1.offset, Offset(10));
}

#[test]
fn a_voter_whose_leader_is_silent_asks_others_and_then_stands_for_election() {
    let mut node = follower(&[(10, 1)]);
    let begun = node.now;
    let (id, _) = fetch(&mut node);
    node.step(Input::Failed { id, failure: Failure::Unreachable });
    let (id, _) = node.sent_to(3).expect("perhaps voter 3 knows another");
    let known = Known { error: ErrorCode::FencedLeaderEpoch, ..from_leader(3, 6) };
    let nothing = FetchResponse { known, high_watermark: None, fetched: None };
    node.respond(id, Response::Fetch(nothing));
    assert_eq!((node.quorum.leader(), node.quorum.epoch()), (Some(BrokerId(3)), LeaderEpoch(6)));
    assert_eq!(node.quorum.leader_address(), Some(&address(3)));
    node.pass_until(RoleName::Prospective);
    assert_eq!(node.now.since(begun), ms(2000));
}

#[test]
fn a_response_to_what_was_asked_in_an_earlier_role_is_not_heard() {
    let mut node = follower(&[(10, 1)]);
    let (id, _) = fetch(&mut node);
    node.begin_quorum_epoch(3, 6);
    let fetched = Some(Fetched::Records(vec![span(10, 11, 5)]));
    let response = FetchResponse { known: from_leader(2, 5), high_watermark: None, fetched };
    node.respond(id, Response::Fetch(response));
    assert_eq!(node.done, []);
}

#[test]
fn an_observer_without_voters_finds_the_leader_through_the_bootstrap_servers() {
    let mut start = start_of(7, VoterHistory::new(VoterSet::default()));
    start.identity.bootstrap = vec![address(7), address(2)];
    let mut node = Node::start(start);
    let (id, to, _) = node.sent.remove(0);
    assert_eq!((to.peer, &to.address), (Peer::Bootstrap(1), &address(2)), "not itself");
    let known = Known { error: ErrorCode::FencedLeaderEpoch, ..from_leader(2, 5) };
    node.respond(id, Response::Fetch(FetchResponse { known, high_watermark: None, fetched: None }));
    assert_eq!((node.quorum.role(), node.quorum.leader()), (RoleName::Follower, Some(BrokerId(2))));
    node.pass(Duration::from_secs(60));
    assert_eq!(node.quorum.role(), RoleName::Follower, "an observer never stands for election");
}

#[test]
fn a_restarted_follower_goes_on_with_its_leader() {
    let persisted = ElectionState { epoch: LeaderEpoch(5), leader: Some(BrokerId(2)), voted: Some(key(2)) };
    let start = start_of(1, formatted(&[1, 2, 3]));
    let mut node = Node::start(Start { persisted: Some(persisted), log: log_of(&[(10, 5)]), ..start });
    assert_eq!(node.quorum.role(), RoleName::Follower);
    assert_eq!(fetch(&mut node).1.offset, Offset(10));
}

#[test]
fn what_no_leader_says_it_is_from_is_not_appended() {
    let mut node = follower(&[(10, 3)]);
    let (id, _) = fetch(&mut node);
    let known = Known { leader: None, ..from_leader(2, 5) };
    let fetched = Some(Fetched::Records(vec![span(10, 11, 5)]));
    let response = FetchResponse { known, high_watermark: Some(Offset(10)), fetched };
    node.respond(id, Response::Fetch(response));
    assert_eq!((&node.done[..], node.quorum.committed()), (&[][..], Offset(0)));
}
