use super::*;
use crate::env::{Purpose, child_rng};
use proptest::prelude::*;

fn cache(sessions_max: usize, partitions_max: usize) -> SessionCache {
    let purpose = Purpose { subsystem: "broker", what: "fetch-session", instance: 0 };
    SessionCache::new(sessions_max, partitions_max, child_rng(7, 1, purpose))
}

fn key(index: i32) -> FetchKey {
    FetchKey { topic: TopicRef::Id(Uuid(1000)), index }
}

fn at(fetch_offset: i64) -> FetchPosition {
    FetchPosition {
        fetch_offset: Offset(fetch_offset),
        max_bytes: 1000,
        current_leader_epoch: LeaderEpoch(0),
        last_fetched_epoch: LeaderEpoch::NONE,
        follower_log_start: Offset(-1),
    }
}

fn request(session_id: i32, session_epoch: i32, partitions: &[i32]) -> SessionRequest {
    SessionRequest {
        session_id,
        session_epoch,
        uses_topic_ids: true,
        from_follower: false,
        partitions: partitions.iter().map(|&index| (key(index), at(0))).collect(),
        forgotten: Vec::new(),
    }
}

const NOTHING_NEW: FetchAnswer = FetchAnswer {
    error: ErrorCode::None,
    high_watermark: Offset(10),
    log_start: Offset(0),
    has_records: false,
    redirects: false,
};

fn seconds(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// Both steps of a fetch, with the same answer everywhere.
fn fetch(cache: &mut SessionCache, request: SessionRequest, answer: FetchAnswer, now: Mono) -> Completed {
    let context = cache.begin(request, now).unwrap();
    let answers = vec![answer; context.partitions.len()];
    cache.complete(context, &answers, now)
}

fn open(cache: &mut SessionCache, partitions: &[i32], now: Mono) -> i32 {
    fetch(cache, request(NO_SESSION, INITIAL_EPOCH, partitions), NOTHING_NEW, now).session_id
}

fn open_as_follower(cache: &mut SessionCache, partitions: &[i32], now: Mono) -> i32 {
    let request = SessionRequest { from_follower: true, ..request(NO_SESSION, INITIAL_EPOCH, partitions) };
    fetch(cache, request, NOTHING_NEW, now).session_id
}

fn indexes(context: &FetchContext) -> Vec<i32> {
    context.partitions.iter().map(|(key, _)| key.index).collect()
}

#[test]
fn kip_227_epoch_zero_opens_a_session_with_all_partitions() {
    let mut cache = cache(10, 100);
    let completed =
        fetch(&mut cache, request(NO_SESSION, INITIAL_EPOCH, &[2, 0, 1]), NOTHING_NEW, seconds(0));
    assert_eq!((completed.error, completed.included), (ErrorCode::None, vec![0, 1, 2]));
    assert!(completed.session_id > 0);
    assert_eq!((cache.len(), cache.partition_count()), (1, 3));
    let context = cache.begin(request(completed.session_id, 1, &[]), seconds(0)).unwrap();
    assert_eq!(indexes(&context), [2, 0, 1], "in the order of the request");
}

#[test]
fn kip_227_a_full_request_closes_the_session_it_names() {
    let mut cache = cache(10, 100);
    let first = open(&mut cache, &[0], seconds(0));
    let second =
        fetch(&mut cache, request(first, INITIAL_EPOCH, &[0, 1]), NOTHING_NEW, seconds(0)).session_id;
    assert_ne!(first, second);
    assert_eq!((cache.len(), cache.partition_count()), (1, 2));
    let last = fetch(&mut cache, request(second, FINAL_EPOCH, &[0]), NOTHING_NEW, seconds(0));
    assert_eq!((last.session_id, last.included), (NO_SESSION, vec![0]));
    assert_eq!((cache.len(), cache.partition_count()), (0, 0));
}

#[test]
fn kip_227_session_errors() {
    let mut cache = cache(10, 100);
    let id = open(&mut cache, &[0], seconds(0));
    let mut begin = |request| cache.begin(request, seconds(0)).map(|context| indexes(&context));
    assert_eq!(begin(request(id ^ 1, 1, &[])), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(begin(request(NO_SESSION, 1, &[])), Err(ErrorCode::FetchSessionIdNotFound));
    for wrong in [2, -2, i32::MAX, i32::MIN] {
        assert_eq!(begin(request(id, wrong, &[])), Err(ErrorCode::InvalidFetchSessionEpoch));
    }
    let by_name = SessionRequest { uses_topic_ids: false, ..request(id, 1, &[]) };
    assert_eq!(begin(by_name), Err(ErrorCode::FetchSessionTopicIdError));
    assert_eq!(begin(request(id, 1, &[])), Ok(vec![0]), "none of it harmed the session");
    assert_eq!(begin(request(id, 1, &[])), Err(ErrorCode::InvalidFetchSessionEpoch), "an epoch counts once");
}

#[test]
fn kip_227_partitions_are_added_replaced_and_forgotten() {
    let mut cache = cache(10, 100);
    let id = open(&mut cache, &[0, 1, 2], seconds(0));
    let mut change = request(id, 1, &[3]);
    change.partitions.push((key(0), at(55)));
    change.forgotten = vec![key(1), key(9)];
    let context = cache.begin(change, seconds(0)).unwrap();
    assert_eq!(indexes(&context), [0, 2, 3]);
    assert_eq!(context.partitions[0].1.fetch_offset, Offset(55));
    assert_eq!(cache.partition_count(), 3);
    let completed = cache.complete(context, &[NOTHING_NEW; 3], seconds(0));
    assert_eq!(completed, Completed { error: ErrorCode::None, session_id: id, included: vec![2] });
}

#[test]
fn kip_227_a_session_without_partitions_is_closed() {
    let mut cache = cache(10, 100);
    let id = open(&mut cache, &[0, 1], seconds(0));
    let forget = SessionRequest { forgotten: vec![key(0), key(1)], ..request(id, 1, &[]) };
    assert_eq!(fetch(&mut cache, forget, NOTHING_NEW, seconds(0)).session_id, NO_SESSION);
    assert_eq!((cache.len(), cache.partition_count()), (0, 0));
}

#[test]
fn kip_227_what_an_incremental_response_includes() {
    let mut cache = cache(10, 100);
    let id = open(&mut cache, &[0], seconds(0));
    let unknown = Offset(-1);
    let failed = FetchAnswer {
        error: ErrorCode::NotLeaderOrFollower,
        high_watermark: unknown,
        log_start: unknown,
        ..NOTHING_NEW
    };
    let cases = [
        (NOTHING_NEW, false),
        (FetchAnswer { has_records: true, ..NOTHING_NEW }, true),
        (NOTHING_NEW, false),
        (FetchAnswer { high_watermark: Offset(11), ..NOTHING_NEW }, true),
        (FetchAnswer { high_watermark: Offset(11), ..NOTHING_NEW }, false),
        (FetchAnswer { high_watermark: Offset(11), log_start: Offset(3), ..NOTHING_NEW }, true),
        (FetchAnswer { high_watermark: Offset(11), log_start: Offset(3), ..NOTHING_NEW }, false),
        (
            FetchAnswer { high_watermark: Offset(11), log_start: Offset(3), redirects: true, ..NOTHING_NEW },
            true,
        ),
        (failed, true),
        (failed, true),
        // Even if nothing moved meanwhile the client must hear that the error is over.
        (FetchAnswer { error: ErrorCode::KafkaStorageError, ..NOTHING_NEW }, true),
        (NOTHING_NEW, true),
        (NOTHING_NEW, false),
    ];
    for (epoch, (answer, included)) in (1..).zip(cases) {
        let completed = fetch(&mut cache, request(id, epoch, &[]), answer, seconds(0));
        assert_eq!(completed.included.len(), usize::from(included), "epoch {epoch}: {answer:?}");
        assert_eq!((completed.error, completed.session_id), (ErrorCode::None, id));
    }
}

#[test]
fn kip_227_partitions_sent_with_records_go_to_the_end() {
    let mut cache = cache(10, 100);
    let id = open(&mut cache, &[0, 1, 2, 3], seconds(0));
    let records = FetchAnswer { has_records: true, ..NOTHING_NEW };
    let moved = FetchAnswer { high_watermark: Offset(11), ..NOTHING_NEW };
    let context = cache.begin(request(id, 1, &[]), seconds(0)).unwrap();
    let completed = cache.complete(context, &[records, moved, records, NOTHING_NEW], seconds(0));
    assert_eq!(completed.included, [0, 1, 2]);
    let context = cache.begin(request(id, 2, &[]), seconds(0)).unwrap();
    assert_eq!(indexes(&context), [1, 3, 0, 2]);
}

#[test]
fn the_epoch_after_the_last_is_one() {
    assert_eq!([next_epoch(0), next_epoch(1), next_epoch(i32::MAX)], [1, 2, 1]);
}

#[test]
fn a_repeated_request_invalidates_the_one_still_waiting() {
    let mut cache = cache(10, 100);
    let id = open(&mut cache, &[0], seconds(0));
    let waiting = cache.begin(request(id, 1, &[]), seconds(0)).unwrap();
    let next = cache.begin(request(id, 2, &[]), seconds(0)).unwrap();
    let completed = cache.complete(waiting, &[NOTHING_NEW], seconds(0));
    let error = ErrorCode::InvalidFetchSessionEpoch;
    assert_eq!(completed, Completed { error, session_id: id, included: vec![] });
    assert_eq!(cache.complete(next, &[NOTHING_NEW], seconds(0)).error, ErrorCode::None);
}

#[test]
fn a_fetch_whose_session_was_evicted_is_answered_whole() {
    let mut cache = cache(1, 100);
    let id = open(&mut cache, &[0], seconds(0));
    let context = cache.begin(request(id, 1, &[]), seconds(0)).unwrap();
    let other = open_as_follower(&mut cache, &[0], seconds(0));
    assert_ne!(other, NO_SESSION);
    let completed = cache.complete(context, &[NOTHING_NEW], seconds(0));
    assert_eq!(completed, Completed { error: ErrorCode::None, session_id: NO_SESSION, included: vec![0] });
}

#[test]
fn a_later_session_of_the_same_id_is_another_one() {
    let mut cache = cache(1, 100);
    let id = open(&mut cache, &[0], seconds(0));
    let context = cache.begin(request(id, 1, &[]), seconds(0)).unwrap();
    let other = open_as_follower(&mut cache, &[0], seconds(0));
    let mut session = cache.sessions.remove(&other).unwrap();
    session.epoch = 2;
    cache.sessions.insert(id, session);
    let completed = cache.complete(context, &[NOTHING_NEW], seconds(0));
    assert_eq!(completed, Completed { error: ErrorCode::None, session_id: NO_SESSION, included: vec![0] });
}

#[test]
fn eviction_takes_the_longest_idle_if_that_is_stale() {
    let mut cache = cache(2, 100);
    let idle = open(&mut cache, &[0, 1, 2, 3], seconds(0));
    let used = open(&mut cache, &[0], seconds(0));
    fetch(&mut cache, request(used, 1, &[]), NOTHING_NEW, seconds(60));
    assert_eq!(open(&mut cache, &[0], seconds(120)), NO_SESSION, "120 seconds are not more than 120");
    assert_ne!(open(&mut cache, &[0], seconds(121)), NO_SESSION);
    assert_eq!(cache.begin(request(idle, 1, &[]), seconds(121)), Err(ErrorCode::FetchSessionIdNotFound));
    assert!(cache.begin(request(used, 2, &[]), seconds(121)).is_ok());
}

#[test]
fn eviction_of_a_used_session_takes_one_of_more_partitions_and_time() {
    let mut cache = cache(1, 100);
    let id = open(&mut cache, &[0, 1], seconds(0));
    assert_eq!(open(&mut cache, &[0, 1, 2], seconds(1)), NO_SESSION, "too young to go");
    fetch(&mut cache, request(id, 1, &[]), NOTHING_NEW, seconds(100));
    assert_eq!(open(&mut cache, &[0, 1], seconds(130)), NO_SESSION, "worth no more");
    assert_ne!(open(&mut cache, &[0, 1, 2], seconds(130)), NO_SESSION);
    assert_eq!(cache.begin(request(id, 2, &[]), seconds(130)), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!((cache.len(), cache.partition_count()), (1, 3));
}

#[test]
fn eviction_prefers_followers() {
    let mut cache = cache(1, 100);
    let consumer = open(&mut cache, &[0, 1, 2], seconds(0));
    let follower = open_as_follower(&mut cache, &[0], seconds(0));
    assert_ne!(follower, NO_SESSION);
    assert_eq!(cache.begin(request(consumer, 1, &[]), seconds(0)), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(open_as_follower(&mut cache, &[0, 1, 2], seconds(0)), NO_SESSION, "not among themselves");
    fetch(&mut cache, request(follower, 1, &[]), NOTHING_NEW, seconds(100));
    assert_eq!(open(&mut cache, &[0, 1, 2], seconds(130)), NO_SESSION, "never for a consumer");
    assert_ne!(open_as_follower(&mut cache, &[0, 1, 2], seconds(130)), NO_SESSION);
}

#[test]
fn partitions_are_bounded_over_all_sessions() {
    let mut cache = cache(10, 5);
    assert_eq!(open(&mut cache, &[0, 1, 2, 3, 4, 5], seconds(0)), NO_SESSION);
    let first = open(&mut cache, &[0, 1, 2], seconds(0));
    assert_eq!(open(&mut cache, &[0, 1, 2], seconds(0)), NO_SESSION);
    let second = open(&mut cache, &[0, 1], seconds(0));
    assert_eq!((cache.len(), cache.partition_count()), (2, 5));
    // One partition too many: the fetch is answered whole, and without its session.
    let completed = fetch(&mut cache, request(second, 1, &[2]), NOTHING_NEW, seconds(0));
    assert_eq!((completed.session_id, completed.included), (NO_SESSION, vec![0, 1, 2]));
    assert_eq!((cache.len(), cache.partition_count()), (1, 3));
    assert!(cache.begin(request(first, 1, &[]), seconds(0)).is_ok());
}

#[test]
fn a_partition_named_twice_is_read_once() {
    let mut cache = cache(10, 100);
    for epoch in [INITIAL_EPOCH, FINAL_EPOCH] {
        let mut request = request(NO_SESSION, epoch, &[1, 0]);
        request.partitions.push((key(1), at(9)));
        let context = cache.begin(request, seconds(0)).unwrap();
        assert_eq!(context.partitions, [(key(1), at(9)), (key(0), at(0))]);
    }
}

#[test]
fn a_session_may_go_by_names() {
    let mut cache = cache(10, 100);
    let named = |name: &str| FetchKey { topic: TopicRef::Name(name.into()), index: 0 };
    let by_name = |session_id, session_epoch, names: &[&str]| SessionRequest {
        uses_topic_ids: false,
        partitions: names.iter().map(|name| (named(name), at(0))).collect(),
        ..request(session_id, session_epoch, &[])
    };
    let opening = by_name(NO_SESSION, INITIAL_EPOCH, &["b", "a"]);
    let id = fetch(&mut cache, opening, NOTHING_NEW, seconds(0)).session_id;
    let context = cache.begin(by_name(id, 1, &["c"]), seconds(0)).unwrap();
    assert_eq!(context.partitions, ["b", "a", "c"].map(|name| (named(name), at(0))));
    let by_id = cache.begin(request(id, 2, &[]), seconds(0));
    assert_eq!(by_id, Err(ErrorCode::FetchSessionTopicIdError));
}

#[derive(Debug, Clone)]
enum Step {
    /// A partition gets records, or its log start rises, or it fails, or it is well again.
    Produce(i32),
    Trim(i32),
    Fail(i32),
    Heal(i32),
    /// The client wants this partition, or wants it no more.
    Want(i32),
    Drop(i32),
    /// The client fetches; the response has room for so many partitions with records.
    Fetch(usize),
    /// The client's response is lost; it starts over.
    Lose,
    /// Others open sessions, until this one is evicted.
    Crowd,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..6i32).prop_map(Step::Produce),
        1 => (0..6i32).prop_map(Step::Trim),
        1 => (0..6i32).prop_map(Step::Fail),
        2 => (0..6i32).prop_map(Step::Heal),
        2 => (0..6i32).prop_map(Step::Want),
        1 => (0..6i32).prop_map(Step::Drop),
        8 => (1..4usize).prop_map(Step::Fetch),
        1 => Just(Step::Lose),
        1 => Just(Step::Crowd),
    ]
}

/// What a broker knows of a partition, and what a client has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    high_watermark: i64,
    log_start: i64,
    failed: bool,
}

/// A consumer as Kafka's: it sends what changed, and believes what it is told.
struct Client {
    session_id: i32,
    epoch: i32,
    /// Where it is in each partition that it wants.
    wanted: BTreeMap<i32, i64>,
    /// As the session has it.
    sent: BTreeMap<i32, i64>,
    told: BTreeMap<i32, State>,
    /// Fetches in a row in which a partition had records and got none.
    starved: BTreeMap<i32, usize>,
}

impl Client {
    fn request(&mut self) -> SessionRequest {
        if self.epoch == INITIAL_EPOCH {
            self.sent.clear();
        }
        let changed = self.wanted.iter().filter(|(index, offset)| self.sent.get(index) != Some(offset));
        let partitions = changed.map(|(&index, &offset)| (key(index), at(offset))).collect();
        let forgotten = self.sent.keys().filter(|index| !self.wanted.contains_key(index));
        let forgotten = forgotten.map(|&index| key(index)).collect();
        // A partition left and wanted again between two fetches has never left the session.
        self.told.retain(|index, _| self.wanted.contains_key(index));
        self.sent = self.wanted.clone();
        SessionRequest { partitions, forgotten, ..request(self.session_id, self.epoch, &[]) }
    }

    fn start_over(&mut self) {
        self.epoch = INITIAL_EPOCH;
    }
}

/// What the broker finds, reading in order while there is room.
fn answer(world: &BTreeMap<i32, State>, context: &FetchContext, mut room: usize) -> Vec<FetchAnswer> {
    let one = |(key, position): &(FetchKey, FetchPosition)| {
        let state = world[&key.index];
        if state.failed {
            let (high_watermark, log_start) = (Offset(-1), Offset(-1));
            let error = ErrorCode::NotLeaderOrFollower;
            return FetchAnswer { error, high_watermark, log_start, ..NOTHING_NEW };
        }
        let has_records = position.fetch_offset.0 < state.high_watermark && room > 0;
        room -= usize::from(has_records);
        let (high_watermark, log_start) = (Offset(state.high_watermark), Offset(state.log_start));
        FetchAnswer { high_watermark, log_start, has_records, ..NOTHING_NEW }
    };
    context.partitions.iter().map(one).collect()
}

fn client_fetches(cache: &mut SessionCache, client: &mut Client, world: &BTreeMap<i32, State>, room: usize) {
    let request = client.request();
    let context = match cache.begin(request, seconds(0)) {
        Ok(context) => context,
        Err(error) => {
            assert_eq!(error, ErrorCode::FetchSessionIdNotFound);
            client.start_over();
            return;
        }
    };
    let asked = context.partitions.clone();
    let wanted: BTreeMap<i32, i64> =
        asked.iter().map(|(key, position)| (key.index, position.fetch_offset.0)).collect();
    assert_eq!(wanted, client.wanted, "the session reads what a full fetch would");
    let answers = answer(world, &context, room);
    let completed = cache.complete(context, &answers, seconds(0));
    assert_eq!(completed.error, ErrorCode::None);
    for &index in &completed.included {
        let (partition, answer) = (asked[index].0.index, answers[index]);
        client.told.insert(partition, world[&partition]);
        if answer.has_records {
            client.wanted.insert(partition, world[&partition].high_watermark);
            client.starved.remove(&partition);
        }
    }
    for (&partition, &offset) in &client.wanted {
        assert_eq!(client.told[&partition], world[&partition], "the client's view is what a full fetch says");
        let state = world[&partition];
        if !state.failed && offset < state.high_watermark {
            let rounds = client.starved.entry(partition).or_insert(0);
            *rounds += 1;
            assert!(*rounds <= 6, "partition {partition} starves");
        }
    }
    client.session_id = completed.session_id;
    client.epoch = if completed.session_id == NO_SESSION { INITIAL_EPOCH } else { next_epoch(client.epoch) };
}

proptest! {
    /// After each fetch the client knows of every partition what a full fetch would have told it; and nobody
    /// starves behind others that always have records.
    #[test]
    fn incremental_fetches_tell_what_full_ones_would(steps in prop::collection::vec(step(), 1..150)) {
        let mut cache = cache(1, 100);
        let start = State { high_watermark: 0, log_start: 0, failed: false };
        let mut world: BTreeMap<i32, State> = (0..6).map(|index| (index, start)).collect();
        let mut client = Client {
            session_id: NO_SESSION,
            epoch: INITIAL_EPOCH,
            wanted: BTreeMap::new(),
            sent: BTreeMap::new(),
            told: BTreeMap::new(),
            starved: BTreeMap::new(),
        };
        for step in steps {
            match step {
                Step::Produce(index) => world.get_mut(&index).unwrap().high_watermark += 1,
                Step::Trim(index) => {
                    let state = world.get_mut(&index).unwrap();
                    state.log_start = state.high_watermark;
                }
                Step::Fail(index) => world.get_mut(&index).unwrap().failed = true,
                Step::Heal(index) => world.get_mut(&index).unwrap().failed = false,
                Step::Want(index) => {
                    client.wanted.entry(index).or_insert(0);
                }
                Step::Drop(index) => {
                    client.wanted.remove(&index);
                    client.starved.remove(&index);
                }
                Step::Fetch(room) => client_fetches(&mut cache, &mut client, &world, room),
                Step::Lose => {
                    let _ = cache.begin(client.request(), seconds(0));
                    client.start_over();
                    client.starved.clear();
                }
                Step::Crowd => {
                    let id = open_as_follower(&mut cache, &[0], seconds(0));
                    // Make room for the client again.
                    cache.remove(id);
                    client.starved.clear();
                }
            }
            prop_assert!(cache.len() <= 1);
            let held: usize = cache.sessions.values().map(|session| session.partitions.len()).sum();
            prop_assert_eq!(cache.partition_count(), held);
        }
    }
}

#[test]
fn a_session_is_quiet_until_the_client_wants_something_else() {
    let quiet = Some(Quiet { activity: 5, at: seconds(1) });
    let mut cache = cache(10, 100);
    let id = open_as_follower(&mut cache, &[0, 1], seconds(1));
    let next =
        |epoch, partitions: &[i32]| SessionRequest { from_follower: true, ..request(id, epoch, partitions) };
    let mut epoch = 0;
    let mut step = |partitions: &[i32], forgotten: &[i32]| {
        epoch += 1;
        let mut request = next(epoch, partitions);
        request.forgotten = forgotten.iter().map(|&index| key(index)).collect();
        let context = cache.begin(request, seconds(2)).unwrap();
        let (before, answers) = (context.quiet, vec![NOTHING_NEW; context.partitions.len()]);
        let completed = cache.complete(context, &answers, seconds(2));
        cache.set_quiet(&completed, quiet);
        before
    };
    assert_eq!(step(&[], &[]), None, "nobody has said so yet");
    assert_eq!(step(&[], &[]), quiet);
    assert_eq!(step(&[0], &[]), None, "it wants another position");
    assert_eq!(step(&[], &[]), quiet);
    assert_eq!(step(&[], &[1]), None, "it wants less");
    assert_eq!(step(&[], &[]), quiet);
}

#[test]
fn a_session_at_rest_answers_nothing_and_stays() {
    let mut cache = cache(10, 100);
    let id = open_as_follower(&mut cache, &[0, 1], seconds(1));
    let mut context = cache.begin(request(id, 1, &[]), seconds(2)).unwrap();
    context.partitions.clear();
    let completed = cache.complete(context, &[], seconds(3));
    assert_eq!(completed, Completed { error: ErrorCode::None, session_id: id, included: vec![] });
    assert_eq!(cache.begin(request(id, 2, &[]), seconds(3)).unwrap().partitions.len(), 2);
}

#[test]
fn a_refused_request_makes_no_session_quiet() {
    let mut cache = cache(10, 100);
    let id = open_as_follower(&mut cache, &[0], seconds(1));
    let overtaken = cache.begin(request(id, 1, &[]), seconds(2)).unwrap();
    cache.begin(request(id, 2, &[0]), seconds(2)).unwrap();
    let completed = cache.complete(overtaken, &[NOTHING_NEW], seconds(2));
    cache.set_quiet(&completed, Some(Quiet { activity: 5, at: seconds(1) }));
    assert_eq!(cache.begin(request(id, 3, &[]), seconds(3)).unwrap().quiet, None);
}
