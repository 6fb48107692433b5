//! Who votes for whom, and when.

use super::*;

fn request(candidate: i32, epoch: i32, log: (i32, i64), pre_vote: bool) -> VoteRequest {
    VoteRequest {
        epoch: LeaderEpoch(epoch),
        candidate: key(candidate),
        voter: Some(key(1)),
        last_epoch: LeaderEpoch(log.0),
        log_end: Offset(log.1),
        pre_vote,
    }
}

/// Voter 1 of three, with a log.
fn with_log(batches: &[(i64, i32)]) -> Node {
    Node::start(Start { log: log_of(batches), ..start_of(1, formatted(&[1, 2, 3])) })
}

/// Has the node fetch from leader 2 of this epoch, successfully.
fn follow(node: &mut Node, epoch: i32) {
    node.begin_quorum_epoch(2, epoch);
    assert_eq!(node.quorum.role(), RoleName::Follower);
    let (id, _) = node.sent_to(2).expect("it fetches");
    let fetched = Some(Fetched::Records(Vec::new()));
    let response = FetchResponse { known: from_leader(2, epoch), high_watermark: None, fetched };
    node.respond(id, Response::Fetch(response));
}

#[test]
fn a_voter_votes_once_in_an_epoch_for_a_log_that_is_not_behind_its_own() {
    for (log, granted) in
        [((3, 20), true), ((3, 21), true), ((4, 1), true), ((3, 19), false), ((2, 99), false)]
    {
        let mut node = with_log(&[(10, 1), (20, 3)]);
        let response = node.vote(request(2, 5, log, false));
        assert_eq!((response.granted, response.known.epoch), (granted, LeaderEpoch(5)), "{log:?}");
    }
    let mut node = with_log(&[(20, 3)]);
    assert!(node.vote(request(2, 5, (3, 20), false)).granted);
    assert!(!node.vote(request(3, 5, (3, 99), false)).granted, "it has voted");
    assert!(node.vote(request(2, 5, (3, 20), false)).granted, "the first answer may be lost");
    assert!(node.vote(request(3, 6, (3, 20), false)).granted);
    let wiped = VoterKey { directory: Uuid(77), ..key(3) };
    let again = VoteRequest { candidate: wiped, ..request(3, 6, (3, 20), false) };
    assert!(!node.vote(again).granted, "with another directory it is another candidate");
    assert_eq!(node.vote(request(2, 5, (3, 20), false)).known.error, ErrorCode::FencedLeaderEpoch);
}

#[test]
fn nobody_hears_of_a_vote_or_an_epoch_before_it_is_durable() {
    let mut node = with_log(&[(20, 3)]);
    node.disk_is_fast = false;
    assert_eq!(node.ask(Request::Vote(request(2, 5, (3, 20), false))), None);
    assert_eq!(node.ask(Request::Vote(request(3, 6, (3, 20), true))), None, "nor of a later one");
    let states = std::mem::take(&mut node.unpersisted);
    assert_eq!(states.last().map(|state| state.epoch), Some(LeaderEpoch(6)));
    for state in &states[..states.len() - 1] {
        node.step(Input::Persisted(*state));
    }
    assert_eq!(node.answers, [], "what is durable is superseded");
    node.step(Input::Persisted(states[states.len() - 1]));
    assert_eq!(node.answers.len(), 2);
}

#[test]
fn a_vote_survives_a_restart() {
    let voted = ElectionState { epoch: LeaderEpoch(5), leader: None, voted: Some(key(2)) };
    let start = start_of(1, formatted(&[1, 2, 3]));
    let mut node = Node::start(Start { persisted: Some(voted), log: log_of(&[(20, 3)]), ..start });
    assert!(!node.vote(request(3, 5, (3, 20), false)).granted);
    assert!(node.vote(request(2, 5, (3, 20), false)).granted);
}

#[test]
fn a_candidate_asks_first_whether_it_could_win_and_leads_with_a_majority() {
    let mut node = Node::of_three();
    assert_eq!(node.quorum.role(), RoleName::Unattached);
    let begun = node.now;
    node.pass_until(RoleName::Prospective);
    let waited = node.now.since(begun);
    assert!((ms(1000)..ms(2000)).contains(&waited), "{waited:?}");
    let epoch = node.quorum.epoch();
    let (id, asked) = node.sent_to(2).expect("it asks");
    let Request::Vote(vote) = asked else { panic!("{asked:?}") };
    assert_eq!((vote.pre_vote, vote.epoch, vote.voter), (true, epoch, Some(key(2))));
    let granted = |epoch| {
        let known = Known { error: ErrorCode::None, epoch, leader: None };
        Response::Vote(VoteResponse { known, granted: true })
    };
    node.respond(id, granted(epoch));
    assert_eq!((node.quorum.role(), node.quorum.epoch().0), (RoleName::Candidate, epoch.0 + 1));
    let (late, _) = node.sent_to(3).expect("it asks again");
    let (id, asked) = node.sent_to(2).expect("it asks again");
    assert!(matches!(asked, Request::Vote(VoteRequest { pre_vote: false, .. })));
    node.respond(id, granted(node.quorum.epoch()));
    assert_eq!(node.quorum.role(), RoleName::Leader);
    assert_eq!(leader_change(&node.done).granting_voters.len(), 2);
    assert_eq!(node.quorum.leader(), None, "not before its LeaderChange is committed");
    node.respond(late, granted(node.quorum.epoch()));
    assert!(matches!(node.sent_to(3), Some((_, Request::BeginQuorumEpoch(_)))));
}

#[test]
fn a_candidate_does_not_count_a_vote_of_its_own_that_it_could_forget() {
    let mut node = Node::of_three();
    node.pass_until(RoleName::Prospective);
    node.disk_is_fast = false;
    let (id, _) = node.sent_to(2).expect("it asks");
    node.sent.clear();
    let known = Known { error: ErrorCode::None, epoch: node.quorum.epoch(), leader: None };
    node.respond(id, Response::Vote(VoteResponse { known, granted: true }));
    assert_eq!(node.quorum.role(), RoleName::Candidate);
    assert_eq!(node.sent, [], "it asks nobody yet");
    node.persist();
    assert!(node.sent_to(2).is_some());
}

#[test]
fn kip_996_who_follows_a_living_leader_grants_no_pre_vote() {
    let mut node = with_log(&[(20, 3)]);
    node.begin_quorum_epoch(2, 5);
    assert!(node.vote(request(3, 5, (3, 20), true)).granted, "it has not heard from the leader yet");
    follow(&mut node, 5);
    assert!(!node.vote(request(3, 5, (3, 99), true)).granted);
    assert_eq!(node.quorum.epoch(), LeaderEpoch(5), "a pre-vote raises nothing");
    assert!(!node.vote(request(3, 5, (3, 99), false)).granted, "in this epoch another leads");
    node.pass_until(RoleName::Prospective);
    assert!(node.vote(request(3, 5, (3, 20), true)).granted, "now it misses the leader itself");
    assert!(!node.vote(request(3, 5, (3, 19), true)).granted);
}

#[test]
fn who_cannot_win_goes_back_to_its_leader() {
    let mut node = with_log(&[(20, 3)]);
    follow(&mut node, 5);
    node.pass_until(RoleName::Prospective);
    for id in [2, 3] {
        let (request, _) = node.sent_to(id).expect("it asks");
        let response = VoteResponse { known: from_leader(2, 5), granted: false };
        node.respond(request, Response::Vote(response));
    }
    assert_eq!((node.quorum.role(), node.quorum.epoch().0), (RoleName::Follower, 5));
    node.pass_until(RoleName::Prospective);
    node.begin_quorum_epoch(2, 5);
    assert_eq!(node.quorum.role(), RoleName::Follower, "the leader itself speaks");
}

#[test]
fn a_voter_that_knows_no_pre_vote_is_asked_for_its_vote() {
    let mut node = Node::of_three();
    node.pass_until(RoleName::Prospective);
    let (id, _) = node.sent_to(2).expect("it asks");
    node.step(Input::Failed { id, failure: Failure::UnsupportedVersion });
    assert_eq!(node.quorum.role(), RoleName::Candidate);
}

#[test]
fn a_vote_for_another_directory_is_refused() {
    let mut node = Node::of_three();
    for (directory, error) in
        [(Uuid(1001), ErrorCode::None), (Uuid::ZERO, ErrorCode::None), (Uuid(7), ErrorCode::InvalidVoterKey)]
    {
        let voter = Some(VoterKey { id: BrokerId(1), directory });
        let response = node.vote(VoteRequest { voter, ..request(2, 9, (0, 0), false) });
        assert_eq!((response.known.error, response.granted), (error, error == ErrorCode::None));
    }
}

#[test]
fn a_leader_that_is_deposed_before_it_could_append_never_does() {
    let mut node = Node::of_three();
    node.pass_until(RoleName::Prospective);
    let (id, _) = node.sent_to(2).expect("it asks whether it could win");
    let granted = |epoch| {
        let known = Known { error: ErrorCode::None, epoch, leader: None };
        Response::Vote(VoteResponse { known, granted: true })
    };
    node.respond(id, granted(node.quorum.epoch()));
    node.disk_is_fast = false;
    let (id, _) = node.sent_to(2).expect("it asks for the vote");
    node.respond(id, granted(node.quorum.epoch()));
    assert_eq!((node.quorum.role(), node.done.len()), (RoleName::Leader, 0), "that it leads is not durable");
    let begin = BeginQuorumEpochRequest {
        epoch: LeaderEpoch(7),
        leader: BrokerId(3),
        address: Some(address(3)),
        voter: Some(key(1)),
    };
    assert_eq!(node.ask(Request::BeginQuorumEpoch(begin)), None, "nor is the later epoch");
    node.persist();
    assert_eq!((node.quorum.role(), node.done.len()), (RoleName::Follower, 0));
}

#[test]
fn kafka_17067_an_observer_or_a_wiped_voter_never_stands_for_election() {
    let mut wiped = start_of(1, formatted(&[1, 2, 3]));
    wiped.identity.key.directory = Uuid(77);
    for start in [wiped, start_of(4, formatted(&[1, 2, 3]))] {
        let mut node = Node::start(start);
        assert!(!node.quorum.is_voter());
        node.pass(Duration::from_secs(60));
        assert_eq!((node.quorum.role(), node.quorum.epoch()), (RoleName::Unattached, LeaderEpoch(0)));
        assert!(node.sent.iter().all(|(_, _, request)| matches!(request, Request::Fetch(_))));
    }
}

#[test]
fn malformed_votes_are_refused_and_raise_no_epoch() {
    let mut node = with_log(&[(20, 3)]);
    for bad in [
        request(2, 5, (5, 20), false),
        request(2, 5, (6, 20), true),
        request(2, 5, (-1, 20), true),
        request(2, 5, (3, -1), true),
        request(-1, 5, (3, 20), true),
        request(1, 5, (3, 20), true),
    ] {
        assert_eq!(node.vote(bad).known.error, ErrorCode::InvalidRequest, "{bad:?}");
    }
    assert_eq!(node.quorum.epoch(), LeaderEpoch(3));
}

#[test]
fn the_first_successor_stands_at_once_and_the_pauses_of_the_others_are_drawn() {
    let resign = |node: &mut Node, successors: &[i32]| {
        node.step(Input::Request {
            token: RequestToken(900),
            request: Request::EndQuorumEpoch(EndQuorumEpochRequest {
                epoch: LeaderEpoch(5),
                leader: BrokerId(2),
                address: None,
                successors: successors.iter().map(|id| key(*id)).collect(),
            }),
        });
    };
    let mut node = with_log(&[(20, 3)]);
    follow(&mut node, 5);
    resign(&mut node, &[1, 3]);
    assert_eq!(node.quorum.role(), RoleName::Prospective);

    // KAFKA-18345: nodes that wait the longest do not all wait alike.
    let mut pauses = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut start = Start { log: log_of(&[(20, 3)]), ..start_of(1, formatted(&[1, 2, 3])) };
        start.rng = Rng::seed_from_u64(seed);
        let mut node = Node::start(start);
        follow(&mut node, 5);
        let begun = node.now;
        resign(&mut node, &[3]);
        assert!(node.vote(request(3, 5, (3, 20), true)).granted, "its leader itself has given up");
        node.pass_until(RoleName::Prospective);
        let pause = node.now.since(begun);
        assert!((ms(1000)..ms(1500)).contains(&pause), "{pause:?}");
        pauses.insert(pause);
    }
    assert!(pauses.len() > 15, "{pauses:?}");
}

#[test]
fn a_wiped_leader_does_not_vote_in_the_epoch_that_it_led() {
    let mut node = Node::start(start_of(1, formatted(&[1, 2, 3])));
    node.begin_quorum_epoch(1, 8);
    assert_eq!((node.quorum.role(), node.quorum.epoch().0), (RoleName::Unattached, 8));
    assert!(!node.vote(request(2, 8, (3, 20), false)).granted);
    assert!(node.vote(request(2, 9, (3, 20), false)).granted);
}

#[test]
fn a_second_leader_of_the_same_epoch_is_not_believed() {
    let mut node = Node::of_three();
    assert_eq!(node.begin_quorum_epoch(2, 5).error, ErrorCode::None);
    let known = node.begin_quorum_epoch(3, 5);
    assert_eq!((known.error, known.leader.map(|leader| leader.id.0)), (ErrorCode::InvalidRequest, Some(2)));
    assert_eq!(node.begin_quorum_epoch(3, 4).error, ErrorCode::FencedLeaderEpoch);
    assert_eq!(node.quorum.leader(), Some(BrokerId(2)));
}

#[test]
fn kafka_10527_a_leader_that_restarts_votes_for_nobody_in_the_epoch_that_it_led() {
    let led = ElectionState { epoch: LeaderEpoch(5), leader: Some(BrokerId(1)), voted: Some(key(1)) };
    let start = start_of(1, formatted(&[1, 2, 3]));
    let mut node = Node::start(Start { persisted: Some(led), log: log_of(&[(20, 3)]), ..start });
    assert_eq!(node.quorum.role(), RoleName::Resigned);
    assert!(!node.vote(request(3, 5, (3, 99), false)).granted, "though its log has lost what it wrote");
    assert!(node.vote(request(3, 6, (3, 99), false)).granted);
}

#[test]
fn a_vote_is_of_its_epoch_alone() {
    let mut node = with_log(&[(20, 3)]);
    assert!(node.vote(request(2, 5, (3, 20), false)).granted);
    node.pass_until(RoleName::Prospective);
    let (id, _) = node.sent_to(2).expect("it asks");
    let known = Known { error: ErrorCode::None, epoch: LeaderEpoch(6), leader: None };
    node.respond(id, Response::Vote(VoteResponse { known, granted: false }));
    let expected = ElectionState { epoch: LeaderEpoch(6), leader: None, voted: None };
    assert_eq!(node.quorum.election(), expected);
    assert!(node.vote(request(3, 6, (3, 20), false)).granted);
}

#[test]
fn who_can_get_no_majority_any_more_gives_up_at_once() {
    for (ids, refusals) in [(&[1, 2][..], 1), (&[1, 2, 3], 2), (&[1, 2, 3, 4], 2)] {
        let mut node = Node::start(Start { log: log_of(&[(20, 3)]), ..start_of(1, formatted(ids)) });
        follow(&mut node, 5);
        node.pass_until(RoleName::Prospective);
        for id in &ids[1..=refusals] {
            assert_eq!(node.quorum.role(), RoleName::Prospective, "{ids:?}");
            let (request, _) = node.sent_to(*id).expect("it asks");
            let response = VoteResponse { known: from_leader(2, 5), granted: false };
            node.respond(request, Response::Vote(response));
        }
        assert_eq!(node.quorum.role(), RoleName::Follower, "{ids:?}");
    }
}
