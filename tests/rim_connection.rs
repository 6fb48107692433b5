//! Connections over loopback: order, limits, bad input, back-pressure, shutdown.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla::buffers::BufferPool;
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _, Purpose};
use ottla::node::budget::{Budget, Permit};
use ottla::node::connection::ConnectionConfig;
use ottla::node::context::{Operation, PermitAll, Resource};
use ottla::node::listener::{Listener, ListenerConfig};
use ottla::node::service::{Answer, IncomingRequest, Reply, Response, Service};
use ottla::wire::api::ApiKey;
use ottla::wire::header::RequestHeader;
use ottla::wire::primitives::Writer;
use rand_core::Rng as _;
use tokio::sync::Semaphore;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Answers with the correlation id and what the body says: its first byte is what to do.
#[derive(Clone)]
struct Echo {
    env: TokioEnv,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Correlation ids in the order of the calls.
    calls: Vec<i32>,
    /// What requests that said [`HOLD`] hold.
    held: VecDeque<Permit>,
    /// Replies that were dropped before they were ready.
    abandoned: Arc<AtomicU64>,
}

/// Answer at once.
const ECHO: u8 = 0;
/// Answer after as many milliseconds as the next two bytes say.
const DELAY: u8 = 1;
/// Answer at once and hold on to the memory.
const HOLD: u8 = 2;
/// Answer nothing.
const SILENCE: u8 = 3;
/// Close.
const CLOSE: u8 = 4;
/// Answer with as many KiB as the next two bytes say.
const LARGE: u8 = 5;
/// Never answer.
const NEVER: u8 = 6;

impl Service for Echo {
    async fn call(&self, request: IncomingRequest) -> Reply {
        let context = &request.context;
        let id = context.correlation_id;
        assert!(context.authorize(Operation::Write, Resource::Topic("t")));
        assert_eq!(context.throttle(), Duration::ZERO);
        assert_eq!((context.api_key, context.client_id.as_deref()), (ApiKey::Metadata, Some("test")));
        assert_eq!(
            (&*context.connection.listener, context.connection.principal.name.as_str()),
            ("T", "ANONYMOUS")
        );
        self.seen.lock().unwrap().calls.push(id);
        let number = || u16::from_be_bytes([request.body[1], request.body[2]]);
        match request.body[0] {
            ECHO => Reply::Now(respond(id, request.body, Some(request.permit))),
            DELAY => {
                let deadline = context.deadline(Duration::from_millis(number().into()));
                let clock = *self.env.clock();
                Reply::later(async move {
                    clock.sleep_until(deadline).await;
                    respond(id, request.body, Some(request.permit))
                })
            }
            HOLD => {
                self.seen.lock().unwrap().held.push_back(request.permit);
                Reply::Now(respond(id, Bytes::new(), None))
            }
            SILENCE => Reply::Now(Answer::Nothing),
            CLOSE => Reply::Now(Answer::Close("the client asked for it".to_owned())),
            LARGE => Reply::Now(respond(id, vec![7; usize::from(number()) * KIB].into(), None)),
            NEVER => {
                let counter = CountDrop(Arc::clone(&self.seen.lock().unwrap().abandoned));
                Reply::later(async move {
                    let _counter = counter;
                    std::future::pending().await
                })
            }
            other => panic!("the test sent {other}"),
        }
    }
}

struct CountDrop(Arc<AtomicU64>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn respond(id: i32, body: Bytes, permit: Option<Permit>) -> Answer {
    let mut writer = Writer::new();
    writer.i32(i32::try_from(body.len() + 4).unwrap());
    writer.i32(id);
    let mut segments = writer.into_segments();
    segments.push(body);
    Answer::Respond(Response { segments, permit })
}

/// A listener under test, with settings that a test may change before it starts.
struct Setup {
    max_request_bytes: usize,
    max_idle: Duration,
    budget: usize,
    max_connections: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_request_bytes: 2 * MIB,
            max_idle: Duration::from_secs(600),
            budget: 64 * MIB,
            max_connections: 100,
        }
    }
}

struct Running {
    env: TokioEnv,
    listener: Listener<TokioEnv>,
    budget: Budget,
    buffers: BufferPool,
    seen: Arc<Mutex<Seen>>,
}

impl Setup {
    async fn start(self) -> Running {
        let env = TokioEnv::new().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let budget = Budget::new("clients", self.budget);
        let buffers = BufferPool::new(16 * MIB);
        let config = ListenerConfig {
            name: "T".to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            slots: Arc::new(Semaphore::new(self.max_connections)),
            ids: Arc::default(),
            authorizer: Arc::new(PermitAll),
            connection: ConnectionConfig {
                max_request_bytes: self.max_request_bytes,
                max_idle: self.max_idle,
                budget: budget.clone(),
                buffers: buffers.clone(),
            },
        };
        let service = Echo { env: env.clone(), seen: Arc::clone(&seen) };
        let listener = Listener::start(&env, service, config).await.unwrap();
        Running { env, listener, budget, buffers, seen }
    }
}

impl Running {
    fn connect(&self) -> Client {
        Client::connect(self.listener.address())
    }

    /// Waits until `done`, for 10 seconds at most.
    async fn eventually(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if done(self) {
                return;
            }
            self.env.clock().sleep(Duration::from_millis(5)).await;
        }
        panic!("{what} did not happen");
    }

    fn calls(&self) -> Vec<i32> {
        self.seen.lock().unwrap().calls.clone()
    }
}

/// A plain blocking client: none of the code under test.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next response's correlation id and body; none at the end of the stream.
    fn receive(&mut self) -> Option<(i32, Vec<u8>)> {
        let mut prefix = [0; 8];
        match self.stream.read_exact(&mut prefix) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            result => result.unwrap(),
        }
        let number = |index: usize| i32::from_be_bytes(prefix[index..index + 4].try_into().unwrap());
        let mut body = vec![0; usize::try_from(number(0)).unwrap() - 4];
        self.stream.read_exact(&mut body).unwrap();
        Some((number(4), body))
    }

    fn receive_ids(&mut self) -> Vec<i32> {
        std::iter::from_fn(|| self.receive()).map(|(id, _)| id).collect()
    }
}

fn request(id: i32, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    let header =
        RequestHeader { api_key: 3, api_version: 1, correlation_id: id, client_id: Some("test".to_owned()) };
    header.encode(&mut writer).unwrap();
    let header = writer.into_bytes();
    let length = i32::try_from(header.len() + body.len()).unwrap();
    [&length.to_be_bytes()[..], &header, body].concat()
}

fn sized(kind: u8, number: u16) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes()].concat()
}

/// Runs a blocking client on a thread of its own, from now on.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    #[expect(clippy::disallowed_methods, reason = "the test's own client is no part of a node")]
    let task = tokio::task::spawn_blocking(work);
    async move { task.await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_leave_in_order_however_long_each_takes() {
    let server = Setup::default().start().await;
    let mut rng = server.env.rng(Purpose { subsystem: "test", what: "delays", instance: 0 });
    let mut bytes = Vec::new();
    for id in 0..1000 {
        match rng.next_u32() % 4 {
            0 => bytes.extend(request(id, &sized(DELAY, (rng.next_u32() % 30) as u16))),
            1 => bytes.extend(request(id, &[&[ECHO][..], &vec![1; rng.next_u32() as usize % 3000]].concat())),
            2 => bytes.extend(request(id, &sized(LARGE, (rng.next_u32() % 20) as u16))),
            _ => bytes.extend(request(id, &[ECHO])),
        }
    }
    let mut client = server.connect();
    let ids = blocking(move || {
        client.send(&bytes);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        client.receive_ids()
    })
    .await;
    assert_eq!(ids, (0..1000).collect::<Vec<_>>(), "all are answered, although the client stopped sending");
    assert_eq!(server.calls(), ids);
    server.eventually("the return of all memory", |server| server.budget.available() == 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_come_back_as_they_were_sent() {
    let server = Setup::default().start().await;
    let mut client = server.connect();
    blocking(move || {
        for (id, size) in (0..).zip([1, 100, 60_000, 65_536, 65_537, 200_000, MIB, 2 * MIB - 100, 10, MIB]) {
            let mut body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            body[0] = ECHO;
            // In pieces that respect no boundary.
            for piece in request(id, &body).chunks(77_777) {
                client.send(piece);
            }
            assert!(client.receive() == Some((id, body)), "{size} bytes");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_closes_the_connection_after_what_was_owed() {
    let server = Setup::default().start().await;
    let unknown_key = [0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let cut_header = [0, 0, 0, 5, 0, 3, 0, 1, 0];
    let long_client_id = [0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff];
    let bad: [&[u8]; 8] = [
        &(-1i32).to_be_bytes(),
        &i32::MIN.to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &(2 * MIB as i32 + 1).to_be_bytes(),
        &0i32.to_be_bytes(),
        &unknown_key,
        &cut_header,
        &long_client_id,
    ];
    for bad in bad {
        let bytes = [&request(1, &sized(DELAY, 30)), bad, &request(2, &[ECHO])].concat();
        let mut client = server.connect();
        let ids = blocking(move || {
            client.send(&bytes);
            client.receive_ids()
        });
        assert_eq!(ids.await, [1], "{bad:?}");
    }
    let mut truncated = server.connect();
    truncated.send(&request(1, &[ECHO; 100])[..50]);
    truncated.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(blocking(move || truncated.receive()).await, None);

    let mut good = server.connect();
    good.send(&request(5, &[ECHO]));
    assert_eq!(blocking(move || good.receive()).await, Some((5, vec![ECHO])), "others go on");
    server.eventually("the return of all memory", |server| server.budget.available() == 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_and_close_are_answers() {
    let server = Setup::default().start().await;
    let mut client = server.connect();
    let bytes: Vec<u8> = [&[SILENCE][..], &[ECHO], &[SILENCE], &sized(DELAY, 20), &[CLOSE], &[ECHO]]
        .iter()
        .zip(1..)
        .flat_map(|(body, id)| request(id, body))
        .collect();
    client.send(&bytes);
    assert_eq!(blocking(move || client.receive_ids()).await, [2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_connection_but_a_long_request_does_not() {
    let server = Setup { max_idle: Duration::from_millis(200), ..Setup::default() }.start().await;
    let clock = *server.env.clock();
    let mut idle = server.connect();
    let mut half_a_length = server.connect();
    half_a_length.send(&[0, 0]);
    let mut trickle = server.connect();
    let mut busy = server.connect();
    busy.send(&request(1, &sized(DELAY, 700)));

    let start = clock.now();
    assert_eq!(blocking(move || idle.receive()).await, None);
    assert!(clock.now().since(start) >= Duration::from_millis(150));
    assert_eq!(blocking(move || half_a_length.receive()).await, None);
    blocking(move || {
        // A byte now and then does not keep a frame alive for ever.
        for byte in request(1, &[ECHO; 1000]) {
            if trickle.stream.write_all(&[byte]).is_err() {
                return;
            }
            trickle.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            if matches!(trickle.stream.read(&mut [0]), Ok(0)) {
                return;
            }
        }
        panic!("the frame arrived after all");
    })
    .await;
    let (answer, end) = blocking(move || (busy.receive(), busy.receive())).await;
    assert_eq!((answer.map(|(id, _)| id), end), (Some(1), None));
    assert!(clock.now().since(start) >= Duration::from_millis(850), "idle counts from the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_is_closed() {
    let server = Setup { max_idle: Duration::from_millis(300), ..Setup::default() }.start().await;
    let mut client = server.connect();
    client.send(&request(1, &sized(LARGE, 60_000)));
    client.send(&request(2, &[NEVER]));
    server
        .eventually("the close", |server| server.seen.lock().unwrap().abandoned.load(Ordering::Relaxed) == 1)
        .await;
    assert_eq!(server.calls(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_budget_delays_and_refuses_nothing() {
    let frame = request(0, &[HOLD; 1000]).len() - 4;
    let server = Setup { budget: 3 * frame, ..Setup::default() }.start().await;
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for (id, client) in (0..).zip(&mut clients) {
        client.send(&request(id, &[HOLD; 1000]));
        server.eventually("a call", |server| server.calls().len() >= (id as usize + 1).min(3)).await;
    }
    server.env.clock().sleep(Duration::from_millis(50)).await;
    assert_eq!(server.calls(), [0, 1, 2], "the budget is three requests");
    assert_eq!(server.budget.available(), 0);
    for count in 4..=5 {
        drop(server.seen.lock().unwrap().held.pop_front());
        server.eventually("a call", |server| server.calls().len() == count).await;
        server.env.clock().sleep(Duration::from_millis(20)).await;
        assert_eq!(server.calls().len(), count);
    }
    for (id, mut client) in (0..).zip(clients) {
        assert_eq!(blocking(move || client.receive()).await, Some((id, Vec::new())));
    }
    let mut client = server.connect();
    client.send(&request(9, &[ECHO; 5000]));
    assert_eq!(blocking(move || client.receive()).await, None, "beyond the whole budget");
    server.seen.lock().unwrap().held.clear();
    server.eventually("the return of all memory", |server| server.budget.available() == 3 * frame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_and_not_sent_takes_nothing_from_neighbours() {
    let server = Setup { budget: 4 * MIB, ..Setup::default() }.start().await;
    let clock = *server.env.clock();
    let large = Arc::new(request(1, &vec![ECHO; 2 * MIB - 100]));
    let ask = |id| {
        let mut client = server.connect();
        client.send(&request(id, &[ECHO; 2000]));
        async move { assert_eq!(blocking(move || client.receive()).await.unwrap().0, id) }
    };
    // Ten peers announce five times the budget.
    let mut silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
    silent.iter_mut().for_each(|client| client.send(&large[..1000]));
    let begun = clock.now();
    ask(1).await;
    assert!(clock.now() < begun + Duration::from_secs(2));
    assert!(server.budget.available() > 4 * MIB - 3000, "{:?}", server.budget);
    // Two of them hold it all, and stop.
    for client in &mut silent[..2] {
        client.send(&large[1000..100_000]);
    }
    server.eventually("their permits", |server| server.budget.available() < 1000).await;
    ask(2).await;
    let waited = clock.now().since(begun);
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(9), "{waited:?}");
    // Nobody wants what is left: the others may take their time.
    let mut patient = silent.pop().unwrap();
    let rest = Arc::clone(&large);
    let answer = blocking(move || {
        patient.send(&rest[1000..]);
        patient.receive()
    });
    assert_eq!(answer.await.unwrap().0, 1);
    drop(silent);
    server.eventually("the return of all memory", |server| server.budget.available() == 4 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_requests_at_once_are_all_served() {
    let server = Setup { budget: 4 * MIB, ..Setup::default() }.start().await;
    let large = Arc::new(request(1, &vec![ECHO; 2 * MIB - 100]));
    let answers: Vec<_> = (0..12)
        .map(|_| {
            let (mut client, large) = (server.connect(), Arc::clone(&large));
            blocking(move || {
                large.chunks(50_000).for_each(|part| client.send(part));
                client.receive().unwrap().1.len()
            })
        })
        .collect();
    for answer in answers {
        assert_eq!(answer.await, 2 * MIB - 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_waits_for_a_free_slot() {
    let server = Setup { max_connections: 2, ..Setup::default() }.start().await;
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for (id, client) in (0..).zip(&mut clients) {
        client.send(&request(id, &[ECHO]));
    }
    server.eventually("two calls", |server| server.calls().len() == 2).await;
    server.env.clock().sleep(Duration::from_millis(50)).await;
    assert_eq!(server.calls().len(), 2);
    let mut last = clients.pop().expect("there are three");
    drop(clients);
    assert_eq!(blocking(move || last.receive()).await, Some((2, vec![ECHO])));
    // Slots come back however often.
    for id in 0..50 {
        let mut client = server.connect();
        client.send(&request(id, &[ECHO]));
        assert_eq!(blocking(move || client.receive()).await, Some((id, vec![ECHO])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_writes_what_is_owed_until_its_deadline() {
    let server = Setup::default().start().await;
    let mut answered = server.connect();
    answered.send(&request(1, &sized(DELAY, 200)));
    let mut unanswered = server.connect();
    unanswered.send(&request(2, &[ECHO]));
    unanswered.send(&request(3, &[NEVER]));
    let mut idle = server.connect();
    let mut in_a_frame = server.connect();
    in_a_frame.send(&request(4, &[ECHO; 100])[..20]);
    server.eventually("three calls", |server| server.calls().len() == 3).await;
    let address = server.listener.address();
    let clock = *server.env.clock();
    let start = clock.now();
    server.listener.shutdown(start + Duration::from_millis(500)).await;
    let took = clock.now().since(start);
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(answered.receive_ids(), [1]);
    assert_eq!(unanswered.receive_ids(), [2]);
    assert_eq!(idle.receive(), None);
    assert_eq!(in_a_frame.receive(), None);
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_listener_takes_everything_with_it() {
    let server = Setup::default().start().await;
    let mut client = server.connect();
    client.send(&request(1, &[NEVER]));
    server.eventually("the call", |server| server.calls() == [1]).await;
    let Running { listener, seen, env, budget, buffers: _ } = server;
    drop(listener);
    assert_eq!(blocking(move || client.receive()).await, None);
    for _ in 0..1000 {
        if seen.lock().unwrap().abandoned.load(Ordering::Relaxed) == 1 && budget.available() == budget.total()
        {
            return;
        }
        env.clock().sleep(Duration::from_millis(5)).await;
    }
    panic!("something survived");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_in_one_breath() {
    let server = Setup::default().start().await;
    let mut client = server.connect();
    let mut sender = Client { stream: client.stream.try_clone().unwrap() };
    let (clock, count) = (*server.env.clock(), 10_000);
    let start = clock.now();
    let bytes: Vec<u8> = (0..count).flat_map(|id| request(id, &[ECHO; 100])).collect();
    let sent = blocking(move || sender.send(&bytes));
    let received = blocking(move || (0..count).map(|_| client.receive().unwrap().0).collect::<Vec<_>>());
    assert_eq!(received.await, (0..count).collect::<Vec<_>>());
    sent.await;
    println!("10,000 pipelined requests of 100 bytes: {:?}", clock.now().since(start));
}

/// The figure is for whoever looks (`--nocapture`); it depends on the machine too much to be asserted.
#[tokio::test(flavor = "multi_thread")]
async fn large_requests_pass_through_the_same_memory() {
    let server = Setup::default().start().await;
    let mut client = server.connect();
    let clock = *server.env.clock();
    let rounds = 200;
    let start = clock.now();
    blocking(move || {
        let mut body = vec![3; MIB];
        body[0] = LARGE;
        body[1..3].copy_from_slice(&[0, 1]);
        for id in 0..rounds {
            client.send(&request(id, &body));
            assert_eq!(client.receive().map(|(id, body)| (id, body.len())), Some((id, KIB)));
        }
    })
    .await;
    println!("{rounds} requests of 1 MiB, one at a time: {:?}", clock.now().since(start));
    assert_eq!(server.calls().len(), usize::try_from(rounds).unwrap());
    let kept = server.buffers.kept_bytes();
    assert!((MIB..4 * MIB).contains(&kept), "one buffer, and what it grew from: {kept}");
}
