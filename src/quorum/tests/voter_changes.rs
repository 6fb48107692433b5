//! AddRaftVoter, RemoveRaftVoter and UpdateRaftVoter.

use super::*;

/// Leader 1 of these, established, with their set committed.
fn leader(ids: &[i32]) -> Node {
    let mut node = Node::start(start_of(1, formatted(ids)));
    if ids.len() > 1 {
        node.establish();
    }
    node.done.clear();
    node.sent.clear();
    node
}

fn add(id: i32) -> Request {
    Request::AddVoter(AddVoterRequest { voter: key(id), endpoints: endpoints(id), ack_when_committed: true })
}

fn remove(id: i32) -> Request {
    Request::RemoveVoter(RemoveVoterRequest { voter: key(id) })
}

fn error(answer: Option<Answer>) -> ErrorCode {
    match answer {
        Some(Answer::AddVoter(response) | Answer::RemoveVoter(response)) => response.error,
        Some(Answer::UpdateVoter(known)) => known.error,
        other => panic!("{other:?}"),
    }
}

fn catch_up(node: &mut Node, id: i32) {
    let end = node.quorum.log().end();
    assert!(node.fetch(id, end, node.quorum.epoch()).is_some());
}

fn supports(node: &mut Node, id: i32, versions: Option<VersionRange>) {
    let Some((request, Request::SupportedVersions)) = node.sent_to(id) else { panic!("{:?}", node.sent) };
    node.respond(request, Response::SupportedVersions(versions));
}

#[test]
fn a_voter_is_added_when_it_has_caught_up_and_acknowledged_when_a_majority_of_the_new_set_has_it() {
    let mut node = leader(&[1]);
    catch_up(&mut node, 2);
    assert_eq!(node.ask(add(2)), None);
    let waiting = RequestToken(node.tokens);
    supports(&mut node, 2, Some(VERSIONS));
    assert!(matches!(node.done[..], [Effect::Append { .. }]));
    assert_eq!(node.quorum.voters().current().len(), 2, "in force when it is appended");
    assert_eq!(node.answer_to(waiting), None);
    assert_eq!(error(node.ask(remove(2))), ErrorCode::RequestTimedOut, "one at a time");
    catch_up(&mut node, 2);
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::None);
    assert_eq!(error(node.ask(add(2))), ErrorCode::DuplicateVoter);
    node.pass(ms(2900));
    assert_eq!(node.quorum.role(), RoleName::Leader, "the new set has its whole time to fetch");
    node.pass(ms(200));
    assert_eq!(node.quorum.role(), RoleName::Resigned);
}

#[test]
fn a_voter_that_lags_or_supports_too_little_is_not_added() {
    for (caught_up, versions, expected) in [
        (false, Some(VERSIONS), ErrorCode::RequestTimedOut),
        (true, Some(VersionRange { min: 0, max: 0 }), ErrorCode::InvalidRequest),
        (true, None, ErrorCode::InvalidRequest),
    ] {
        let mut node = leader(&[1]);
        if caught_up {
            catch_up(&mut node, 2);
        }
        assert_eq!(node.ask(add(2)), None);
        let waiting = RequestToken(node.tokens);
        supports(&mut node, 2, versions);
        assert_eq!(error(node.answer_to(waiting)), expected);
        assert_eq!(node.done, []);
    }
    let mut node = leader(&[1]);
    catch_up(&mut node, 2);
    node.pass(ms(2001));
    assert_eq!(node.ask(add(2)), None);
    let waiting = RequestToken(node.tokens);
    supports(&mut node, 2, Some(VERSIONS));
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::RequestTimedOut, "it was there, and is gone");
}

#[test]
fn a_new_voter_that_cannot_be_asked_is_not_added() {
    let mut node = leader(&[1]);
    catch_up(&mut node, 2);
    assert_eq!(node.ask(add(2)), None);
    let waiting = RequestToken(node.tokens);
    let (id, _) = node.sent_to(2).expect("it is asked");
    node.step(Input::Failed { id, failure: Failure::Unreachable });
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::RequestTimedOut);
    node.pass(ms(20));
    assert_eq!(node.ask(add(2)), None);
    let waiting = RequestToken(node.tokens);
    node.pass(ms(2000));
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::RequestTimedOut);
}

#[test]
fn an_acknowledgement_at_once_is_given_at_once() {
    let mut node = leader(&[1]);
    catch_up(&mut node, 2);
    let Request::AddVoter(request) = add(2) else { unreachable!() };
    assert_eq!(node.ask(Request::AddVoter(AddVoterRequest { ack_when_committed: false, ..request })), None);
    let waiting = RequestToken(node.tokens);
    supports(&mut node, 2, Some(VERSIONS));
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::None);
    assert_eq!(error(node.ask(remove(2))), ErrorCode::RequestTimedOut, "still not committed");
}

#[test]
fn kafka_16530_a_leader_that_removes_itself_does_not_count_itself_and_resigns_in_the_end() {
    let mut node = leader(&[1, 2, 3]);
    assert_eq!(node.ask(remove(1)), None);
    let waiting = RequestToken(node.tokens);
    let end = node.quorum.log().end();
    catch_up(&mut node, 2);
    assert!(node.quorum.committed() < end, "of two voters both are needed");
    catch_up(&mut node, 3);
    assert_eq!(node.quorum.committed(), end);
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::None);
    assert_eq!(node.quorum.role(), RoleName::Resigned);
    assert_eq!(node.done.last(), Some(&Effect::Lost(LeaderEpoch(1))));
    node.pass(Duration::from_secs(10));
    assert_eq!(node.quorum.role(), RoleName::Unattached, "it looks for the new leader, and is none itself");
}

#[test]
fn only_who_is_a_voter_is_removed_and_never_the_last() {
    let mut node = leader(&[1, 2, 3]);
    assert_eq!(error(node.ask(remove(4))), ErrorCode::VoterNotFound);
    let other = VoterKey { directory: Uuid(7), ..key(2) };
    let request = Request::RemoveVoter(RemoveVoterRequest { voter: other });
    assert_eq!(error(node.ask(request)), ErrorCode::VoterNotFound, "a voter is a node with its directory");
    let nobody = VoterKey { directory: Uuid::ZERO, ..key(2) };
    let request = Request::RemoveVoter(RemoveVoterRequest { voter: nobody });
    assert_eq!(error(node.ask(request)), ErrorCode::InvalidRequest);
    assert_eq!(error(leader(&[1]).ask(remove(1))), ErrorCode::VoterNotFound);
}

#[test]
fn nothing_changes_before_the_leader_has_committed_something_of_its_own() {
    let mut node = Node::of_three();
    assert_eq!(error(node.ask(remove(2))), ErrorCode::NotLeaderOrFollower);
    node.elect();
    assert_eq!(error(node.ask(remove(2))), ErrorCode::RequestTimedOut);
    assert_eq!(node.quorum.voters().current().len(), 3);
}

#[test]
fn a_new_leader_changes_nothing_over_what_its_predecessor_has_committed() {
    // All that the log says of the voters is committed; but what else an earlier leader has begun, who knows.
    let mut start = start_of(1, VoterHistory::new(VoterSet::default()));
    for (offset, record) in (1..).zip(voter_records(&voters(&[1, 2, 3]))) {
        start.voters.record(Offset(offset), &record);
    }
    start.log = log_of(&[(10, 1)]);
    start.log.add_snapshot(SnapshotId { epoch: LeaderEpoch(1), end: Offset(10) });
    let mut node = Node::start(start);
    assert_eq!(node.quorum.committed(), Offset(10));
    node.elect();
    assert_eq!(error(node.ask(remove(2))), ErrorCode::RequestTimedOut);
    let end = node.quorum.log().end();
    assert!(node.fetch(2, end, node.quorum.epoch()).is_some());
    assert_eq!(node.ask(remove(3)), None);
    assert_eq!(node.quorum.voters().current().len(), 2);
}

#[test]
fn the_voters_are_fixed_at_kraft_version_0() {
    let by_id = |id| VoterNode { key: VoterKey { directory: Uuid::ZERO, ..key(id) }, ..voter(id) };
    let fixed = VoterHistory::new([1, 2, 3].map(by_id).into_iter().collect());
    let mut node = Node::start(start_of(1, fixed));
    node.establish();
    assert_eq!(error(node.ask(add(4))), ErrorCode::UnsupportedVersion);
    assert_eq!(error(node.ask(remove(2))), ErrorCode::UnsupportedVersion);
}

#[test]
fn a_voter_that_moved_says_so_and_the_leader_writes_it_down() {
    let mut node = leader(&[1, 2, 3]);
    let update = |endpoints: Vec<Endpoint>, versions| UpdateVoterRequest {
        epoch: LeaderEpoch(1),
        voter: key(2),
        endpoints,
        versions,
    };
    for (request, expected) in [
        (update(Vec::new(), VERSIONS), ErrorCode::InvalidRequest),
        (update(endpoints(2), VersionRange { min: 0, max: 0 }), ErrorCode::InvalidRequest),
        (UpdateVoterRequest { voter: key(4), ..update(endpoints(4), VERSIONS) }, ErrorCode::VoterNotFound),
        (
            UpdateVoterRequest { epoch: LeaderEpoch(0), ..update(endpoints(2), VERSIONS) },
            ErrorCode::FencedLeaderEpoch,
        ),
        (update(endpoints(2), VERSIONS), ErrorCode::None),
    ] {
        assert_eq!(error(node.ask(Request::UpdateVoter(request.clone()))), expected, "{request:?}");
        assert_eq!(node.done, []);
    }
    assert_eq!(error(node.ask(Request::UpdateVoter(update(endpoints(8), VERSIONS)))), ErrorCode::None);
    assert_eq!(node.quorum.voters().current().address(BrokerId(2), LISTENER), Some(address(8)));

    let mut start = start_of(1, formatted(&[1, 2, 3]));
    start.identity.endpoints = endpoints(9);
    let mut follower = Node::start(start);
    follower.begin_quorum_epoch(2, 5);
    for _ in 0..4 {
        let (id, request) = follower.sent_to(2).expect("it talks to the leader");
        let response = match request {
            Request::UpdateVoter(update) => {
                assert_eq!(update.endpoints, endpoints(9));
                return;
            }
            _ => FetchResponse {
                known: from_leader(2, 5),
                high_watermark: None,
                fetched: Some(Fetched::Records(Vec::new())),
            },
        };
        follower.pass(ms(700));
        follower.respond(id, Response::Fetch(response));
    }
    panic!("it never tells where it listens");
}

#[test]
fn a_change_whose_leader_is_gone_is_answered() {
    let mut node = leader(&[1, 2, 3]);
    assert_eq!(node.ask(remove(3)), None);
    let waiting = RequestToken(node.tokens);
    node.begin_quorum_epoch(2, 7);
    assert_eq!(error(node.answer_to(waiting)), ErrorCode::NotLeaderOrFollower);
    assert_eq!(node.quorum.voters().current().len(), 2, "it may yet be committed by another leader");
}

#[test]
fn who_has_alone_the_record_of_its_removal_sees_it_through() {
    // Leader 1 of two has removed itself, and crashed before voter 2 had the record.
    let mut start = start_of(1, formatted(&[1, 2]));
    start.voters.record(Offset(10), &ControlRecord::KRaftVoters(voters(&[2]).to_record()));
    start.log = log_of(&[(10, 1), (11, 1)]);
    let mut node = Node::start(start);
    assert!(!node.quorum.is_voter());
    node.elect();
    assert_eq!(node.quorum.voters().current().len(), 1);
    node.done.clear();
    catch_up(&mut node, 2);
    let committed = Effect::Commit(node.quorum.log().end());
    assert_eq!(node.done, [committed], "nobody is told to use this leader");
    node.pass(Duration::from_secs(60));
    assert_eq!(node.quorum.role(), RoleName::Unattached, "now it knows");
}

#[test]
fn kafka_16531_a_leader_that_removes_itself_does_not_keep_itself_in_office() {
    let mut node = leader(&[1, 2, 3]);
    assert_eq!(node.ask(remove(1)), None);
    node.pass(ms(2900));
    catch_up(&mut node, 2);
    node.pass(ms(100));
    assert_eq!(node.quorum.role(), RoleName::Resigned, "of two voters one does not fetch");
}
