//! What a leader commits, whom it answers, when it gives up.

use super::*;

/// Leader 1 of three, established in epoch 2 over a log of another's epoch 1.
fn leader() -> Node {
    let mut node = Node::start(Start { log: log_of(&[(10, 1)]), ..start_of(1, formatted(&[1, 2, 3])) });
    node.establish();
    node
}

#[test]
fn kafka_12619_nothing_is_committed_before_the_leaders_own_first_record_is() {
    let mut node = Node::start(Start { log: log_of(&[(10, 1)]), ..start_of(1, formatted(&[1, 2, 3])) });
    node.elect();
    node.done.clear();
    let response = node.fetch(2, Offset(10), LeaderEpoch(1)).expect("there is something new");
    assert_eq!(response.high_watermark, None);
    assert_eq!(node.done, [], "a majority holds the old records, but not the leader's");
    let end = node.quorum.log().end();
    let response = node.fetch(2, end, node.quorum.epoch()).expect("it does not wait");
    assert_eq!(response.high_watermark, Some(end));
    assert_eq!(node.done, [Effect::Commit(end), Effect::Lead(LeaderEpoch(2))]);
}

#[test]
fn kafka_10533_the_leader_counts_what_it_has_made_durable_itself() {
    let mut node = leader();
    let end = node.quorum.log().end();
    node.append(3);
    for id in [2, 3] {
        assert!(node.fetch(id, end + 3, LeaderEpoch(2)).is_some());
    }
    assert_eq!(node.quorum.committed(), end, "nobody takes for committed what it has not durably");
    node.step(Input::Durable(end + 3));
    assert_eq!(node.done, [Effect::Commit(end + 3)]);
    node.append(1);
    node.step(Input::Durable(end + 4));
    assert_eq!(node.quorum.committed(), end + 3, "the leader alone is no majority");
}

#[test]
fn a_fetch_waits_for_something_new() {
    let mut node = leader();
    let end = node.quorum.log().end();
    let request = FetchRequest {
        replica: key(2),
        epoch: LeaderEpoch(2),
        offset: end,
        last_epoch: LeaderEpoch(2),
        high_watermark: end,
        max_wait: ms(500),
    };
    assert_eq!(node.ask(Request::Fetch(request)), None);
    let waiting = RequestToken(node.tokens);
    node.pass(ms(499));
    assert_eq!(node.answer_to(waiting), None);
    node.pass(ms(1));
    let Some(Answer::Fetch(response)) = node.answer_to(waiting) else { panic!("it has waited long enough") };
    assert_eq!(response.fetched, Some(Fetched::Records(ReadRange { from: end, to: end })));

    assert_eq!(node.ask(Request::Fetch(request)), None);
    let waiting = RequestToken(node.tokens);
    node.append(1);
    let Some(Answer::Fetch(response)) = node.answer_to(waiting) else { panic!("there is something new") };
    assert_eq!(response.fetched, Some(Fetched::Records(ReadRange { from: end, to: end + 1 })));
    node.step(Input::Durable(end + 1));

    let request = FetchRequest { offset: end + 1, ..request };
    assert!(node.ask(Request::Fetch(request)).is_some(), "by fetching it has moved the high watermark");
    let request = FetchRequest { high_watermark: end + 1, ..request };
    assert_eq!(node.ask(Request::Fetch(request)), None);
    let waiting = RequestToken(node.tokens);
    node.step(Input::Resign(LeaderEpoch(2)));
    let Some(Answer::Fetch(response)) = node.answer_to(waiting) else { panic!("it no longer leads") };
    assert_eq!(response.known.error, ErrorCode::NotLeaderOrFollower);
    assert_eq!(node.done.last(), Some(&Effect::Lost(LeaderEpoch(2))));
}

#[test]
fn who_is_of_another_epoch_or_log_is_told_so() {
    let mut node = leader();
    let end = node.quorum.log().end();
    let fetch = |epoch: i32, offset: i64, last_epoch: i32| {
        Request::Fetch(FetchRequest {
            replica: key(2),
            epoch: LeaderEpoch(epoch),
            offset: Offset(offset),
            last_epoch: LeaderEpoch(last_epoch),
            high_watermark: Offset(0),
            max_wait: Duration::ZERO,
        })
    };
    for (epoch, offset, last_epoch, error) in [
        (1, 10, 1, ErrorCode::FencedLeaderEpoch),
        (3, 10, 1, ErrorCode::UnknownLeaderEpoch),
        (2, -1, 1, ErrorCode::InvalidRequest),
        (2, 10, -1, ErrorCode::InvalidRequest),
        (2, 10, 3, ErrorCode::InvalidRequest),
    ] {
        let Some(Answer::Fetch(response)) = node.ask(fetch(epoch, offset, last_epoch)) else { panic!() };
        assert_eq!(response.known.error, error, "{epoch} {offset} {last_epoch}");
        assert_eq!(response.known.leader.map(|leader| leader.id.0), Some(1));
    }
    let Some(Answer::Fetch(response)) = node.ask(fetch(2, 12, 1)) else { panic!() };
    let diverging = Fetched::Diverging { epoch: LeaderEpoch(1), end: Offset(10) };
    assert_eq!(response.fetched, Some(diverging));
    let id = SnapshotId { epoch: LeaderEpoch(2), end };
    assert_eq!(node.quorum.snapshot_id(end), Some(id));
    assert_eq!(node.quorum.snapshot_id(end + 1), None, "it is not committed");
    node.step(Input::SnapshotTaken(id));
    node.step(Input::LogStartRaised(end));
    let Some(Answer::Fetch(response)) = node.ask(fetch(2, 10, 1)) else { panic!() };
    assert_eq!(response.fetched, Some(Fetched::Snapshot(id)));
}

#[test]
fn kafka_15489_a_leader_that_the_majority_does_not_fetch_from_resigns() {
    let mut node = leader();
    let epoch = node.quorum.epoch();
    for _ in 0..10 {
        node.pass(ms(2900));
        node.append(1);
        let end = node.quorum.log().end();
        node.step(Input::Durable(end));
        assert!(node.fetch(3, end, epoch).is_some());
    }
    assert_eq!(node.quorum.role(), RoleName::Leader, "one of two others is enough");
    node.pass(ms(2900));
    let end = node.quorum.log().end();
    assert!(node.fetch(9, end, epoch).is_some());
    node.pass(ms(100));
    assert_eq!(node.quorum.role(), RoleName::Resigned, "an observer is not");
    let Some((_, Request::EndQuorumEpoch(end))) = node.sent_to(2) else { panic!("it tells the voters") };
    assert_eq!(end.successors, [key(3), key(2)], "who holds most comes first");
    node.pass_until(RoleName::Unattached);
    assert_eq!(node.quorum.epoch().0, epoch.0 + 1, "it never leads the same epoch again");
}

#[test]
fn a_snapshot_request_keeps_the_leader_in_office() {
    let mut node = leader();
    for _ in 0..5 {
        node.pass(ms(2900));
        let answer = node.ask(Request::FetchSnapshot(FetchSnapshotRequest {
            replica: key(2),
            epoch: LeaderEpoch(2),
            id: SnapshotId { epoch: LeaderEpoch(1), end: Offset(10) },
            position: 3,
            max_bytes: 9,
        }));
        let Some(Answer::FetchSnapshot(response)) = answer else { panic!("{answer:?}") };
        assert_eq!(response.chunk.map(|chunk| (chunk.position, chunk.max_bytes)), Some((3, 9)));
    }
    assert_eq!(node.quorum.role(), RoleName::Leader);
}

#[test]
fn a_leader_makes_itself_known_to_voters_that_do_not_fetch() {
    let mut node = Node::of_three();
    node.elect();
    let Some((id, Request::BeginQuorumEpoch(begin))) = node.sent_to(3) else { panic!("{:?}", node.sent) };
    assert_eq!((begin.leader, begin.address, begin.voter), (BrokerId(1), Some(address(1)), Some(key(3))));
    node.respond(id, Response::BeginQuorumEpoch(from_leader(1, 1)));
    node.sent.clear();
    node.pass(ms(999));
    assert_eq!(node.sent, []);
    node.pass(ms(1));
    assert!(matches!(node.sent_to(3), Some((_, Request::BeginQuorumEpoch(_)))));
    node.sent.clear();
    let end = node.quorum.log().end();
    for id in [2, 3] {
        assert!(node.fetch(id, end, LeaderEpoch(1)).is_some());
    }
    node.pass(ms(999));
    assert_eq!(node.sent, []);
}

#[test]
fn a_higher_epoch_ends_the_leadership_at_once() {
    let mut node = leader();
    node.begin_quorum_epoch(2, 7);
    assert_eq!(node.quorum.role(), RoleName::Follower);
    assert_eq!(node.done, [Effect::Lost(LeaderEpoch(2))]);
    node.step(Input::Resign(LeaderEpoch(2)));
    assert_eq!(node.quorum.role(), RoleName::Follower, "there is nothing to resign from");
}

#[test]
fn a_leader_that_never_got_its_first_record_through_has_nothing_to_lose() {
    let mut node = Node::of_three();
    node.elect();
    node.begin_quorum_epoch(3, 7);
    assert!(node.done.iter().all(|effect| !matches!(effect, Effect::Lead(_) | Effect::Lost(_))));
}

#[test]
fn the_quorum_describes_itself() {
    let mut node = leader();
    let end = node.quorum.log().end();
    node.pass(ms(10));
    assert!(node.fetch(9, Offset(10), LeaderEpoch(1)).is_some());
    let description = node.quorum.describe(node.now).expect("it leads");
    assert_eq!((description.leader.0, description.epoch.0, description.high_watermark), (1, 2, Some(end)));
    let ends: Vec<_> = description.voters.iter().map(|voter| (voter.key.id.0, voter.log_end)).collect();
    assert_eq!(ends, [(1, Some(end)), (2, Some(end)), (3, None)]);
    assert_eq!(description.observers.len(), 1);
    assert_eq!(description.observers[0].last_fetch, Some(node.now));
    assert_eq!(description.observers[0].last_caught_up, None);
    node.step(Input::Resign(LeaderEpoch(2)));
    assert_eq!(node.quorum.describe(node.now), None);
}

#[test]
fn a_node_that_stops_and_is_elected_all_the_same_hands_over_at_once() {
    let mut node = Node::of_three();
    node.pass_until(RoleName::Prospective);
    let (id, _) = node.sent_to(2).expect("it asks whether it could win");
    let granted = |epoch| {
        let known = Known { error: ErrorCode::None, epoch, leader: None };
        Response::Vote(VoteResponse { known, granted: true })
    };
    node.respond(id, granted(node.quorum.epoch()));
    let (id, _) = node.sent_to(2).expect("it asks for the vote");
    node.step(Input::Shutdown);
    node.respond(id, granted(node.quorum.epoch()));
    assert_eq!(node.quorum.role(), RoleName::Resigned);
    assert!(matches!(node.sent_to(3), Some((_, Request::EndQuorumEpoch(_)))), "{:?}", node.sent);

    let mut node = Node::of_three();
    node.pass_until(RoleName::Prospective);
    let (id, _) = node.sent_to(2).expect("it asks whether it could win");
    node.step(Input::Shutdown);
    node.step(Input::Failed { id, failure: Failure::UnsupportedVersion });
    assert_eq!(node.quorum.role(), RoleName::Prospective, "it stands for no election");
}

#[test]
fn a_node_that_stops_hands_over_and_stands_for_no_election() {
    let mut node = leader();
    node.step(Input::Shutdown);
    assert_eq!(node.quorum.role(), RoleName::Resigned);
    assert!(!node.quorum.may_stop());
    node.pass(Duration::from_secs(10));
    assert_eq!(node.quorum.role(), RoleName::Resigned);
    node.begin_quorum_epoch(2, 3);
    assert!(node.quorum.may_stop());
    node.pass(Duration::from_secs(10));
    assert_eq!(node.quorum.role(), RoleName::Follower);
}

#[test]
fn kafka_15489_so_many_must_fetch_as_make_a_majority_with_the_leader() {
    for (ids, needed) in [(&[1, 2][..], 1), (&[1, 2, 3], 1), (&[1, 2, 3, 4], 2), (&[1, 2, 3, 4, 5], 2)] {
        for fetching in 0..=needed {
            let mut node = Node::start(start_of(1, formatted(ids)));
            node.pass_until(RoleName::Prospective);
            [2, 3, 2].into_iter().for_each(|id| node.grant_from(id));
            let (end, epoch) = (node.quorum.log().end(), node.quorum.epoch());
            let fetch_from = |node: &mut Node, count: usize| {
                ids[1..=count].iter().for_each(|id| assert!(node.fetch(*id, end, epoch).is_some()));
            };
            fetch_from(&mut node, needed);
            assert!(node.quorum.leads().is_some());
            node.pass(ms(2900));
            fetch_from(&mut node, fetching);
            node.pass(ms(100));
            let stays = node.quorum.role() == RoleName::Leader;
            assert_eq!(stays, fetching == needed, "{fetching} others of {ids:?} fetch");
        }
    }
}
