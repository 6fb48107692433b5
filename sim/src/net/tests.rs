use bytes::{Bytes, BytesMut};
use ottla::env::{Env as _, Listener as _, ReadHalf, Stream as _, WriteHalf};

use super::*;
use crate::engine::Limits;
use crate::env::SimEnv;
use crate::trace::Keep;
use crate::world::{World, simulate};

const CLIENT: NodeId = NodeId(2);
const SERVER: NodeId = NodeId(1);
const PORT: u16 = 9092;

fn run<F: Future<Output = ()> + Send + 'static>(seed: u64, body: impl FnOnce(World) -> F + Send) {
    simulate(seed, Limits::default(), Keep::Nothing, body).outcome.expect("the run ends by itself");
}

fn any() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)
}

/// Two ends of a fresh connection: the client's and the server's, and the listener.
async fn connected(world: &World) -> ((SimRead, SimWrite), (SimRead, SimWrite), SimListener) {
    let mut listener = world.env(SERVER).network().bind(any()).await.expect("the port is free");
    let stream = world.env(CLIENT).network().connect("node-1", PORT).await.expect("it listens");
    let (accepted, _) = listener.accept().await.expect("the client has connected");
    (stream.split(), accepted.split(), listener)
}

async fn read_some(read: &mut SimRead) -> Result<Bytes, NetworkError> {
    let mut into = BytesMut::with_capacity(4096);
    read.read(&mut into).await?;
    Ok(into.freeze())
}

async fn read_all(read: &mut SimRead, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let bytes = read_some(read).await.expect("the stream is open");
        assert!(!bytes.is_empty(), "the stream ended after {} bytes", all.len());
        all.extend_from_slice(&bytes);
    }
    all
}

async fn send(write: &mut SimWrite, bytes: &'static [u8]) {
    write.write(&mut vec![Bytes::from_static(bytes)]).await.expect("the stream is open");
}

/// What a future yields within a virtual second.
async fn within<T: Send>(world: &World, future: impl Future<Output = T> + Send) -> Option<T> {
    let env = world.env(NodeId(9));
    ottla::env::Clock::timeout_at(
        env.clock(),
        ottla::env::Clock::now(env.clock()) + std::time::Duration::from_secs(1),
        future,
    )
    .await
}

#[test]
fn bytes_arrive_in_order_however_they_are_cut() {
    for seed in 0..30 {
        run(seed, |world| async move {
            let ((mut read, mut write), (mut server_read, mut server_write), _listener) =
                connected(&world).await;
            let sent: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
            let mut segments: Vec<Bytes> = sent.chunks(777).map(Bytes::copy_from_slice).collect();
            write.write(&mut segments).await.expect("open");
            assert!(segments.is_empty());
            assert_eq!(read_all(&mut server_read, sent.len()).await, sent);
            send(&mut server_write, b"answer").await;
            assert_eq!(read_all(&mut read, 6).await, b"answer");
        });
    }
}

#[test]
fn two_connections_overtake_each_other() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let (sender, receiver) = std::sync::mpsc::channel();
        run(seed, |world| async move {
            let mut listener = world.env(SERVER).network().bind(any()).await.expect("free");
            let mut ends = Vec::new();
            for _ in 0..2 {
                let stream = world.env(CLIENT).network().connect("10.0.0.1", PORT).await.expect("listens");
                let (accepted, _) = listener.accept().await.expect("connected");
                ends.push((stream.split(), accepted.split()));
            }
            let mut readers = Vec::new();
            let mut kept = Vec::new();
            for (name, ((client_read, mut write), (mut read, server_write))) in ends.into_iter().enumerate() {
                send(&mut write, b"x").await;
                let sender = sender.clone();
                readers.push(world.env(SERVER).spawn("reader", async move {
                    read_all(&mut read, 1).await;
                    sender.send(name).expect("the receiver lives");
                }));
                kept.push((client_read, write, server_write));
            }
            for reader in readers {
                ottla::env::Task::join(reader).await;
            }
        });
        orders.insert(receiver.iter().collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 2, "both orders happen");
}

#[test]
fn a_writer_waits_for_the_reader() {
    run(1, |world| async move {
        let ((_read, mut write), (mut server_read, _server_write), _listener) = connected(&world).await;
        let mut segments = vec![Bytes::from(vec![7; 3 * connection::WINDOW])];
        assert!(within(&world, write.write(&mut segments)).await.is_none(), "nobody reads");
        let reader = world.env(SERVER).spawn("reader", async move {
            read_all(&mut server_read, 3 * connection::WINDOW).await;
        });
        write.write(&mut segments).await.expect("the rest fits once somebody reads");
        ottla::env::Task::join(reader).await;
    });
}

#[test]
fn shutdown_ends_one_direction_alone() {
    run(1, |world| async move {
        let ((mut read, mut write), (mut server_read, mut server_write), _listener) = connected(&world).await;
        send(&mut write, b"last").await;
        write.shutdown().await.expect("open");
        assert_eq!(read_all(&mut server_read, 4).await, b"last");
        assert!(read_some(&mut server_read).await.expect("an orderly end").is_empty());
        send(&mut server_write, b"answer").await;
        assert_eq!(read_all(&mut read, 6).await, b"answer");
    });
}

#[test]
fn nobody_listening_is_a_refusal_and_an_unknown_name_an_error() {
    run(1, |world| async move {
        let network = world.env(CLIENT).network().clone();
        let refused = network.connect("node-1", PORT).await.err().expect("nobody listens");
        assert!(matches!(refused, NetworkError::Refused(_)), "{refused}");
        let unresolved = network.connect("nowhere", PORT).await.err().expect("no such host");
        assert!(matches!(unresolved, NetworkError::Unresolved(..)), "{unresolved}");
        let listener = network.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).await.expect("free");
        assert_ne!(listener.local_address().port(), 0);
        let taken = network.bind(listener.local_address()).await.err().expect("taken");
        assert!(matches!(taken, NetworkError::Bind(..)), "{taken}");
    });
}

#[test]
fn a_connect_over_a_cut_link_hangs_until_it_heals() {
    run(1, |world| async move {
        let _listener = world.env(SERVER).network().bind(any()).await.expect("free");
        for (from, to) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            world.net().cut(from, to);
            let network = world.env(CLIENT).network().clone();
            let mut connecting = Box::pin(async move { network.connect("node-1", PORT).await });
            assert!(within(&world, connecting.as_mut()).await.is_none(), "the way {from}-{to} is cut");
            world.net().heal(from, to);
            connecting.await.expect("the link is whole");
        }
        assert!(world.net().counts().cut_syns > 0);
    });
}

#[test]
fn a_cut_holds_bytes_back_and_heals_without_loss() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let ((mut read, mut write), (mut server_read, mut server_write), _listener) =
                connected(&world).await;
            world.net().cut(CLIENT, SERVER);
            send(&mut write, b"held").await;
            assert!(within(&world, read_some(&mut server_read)).await.is_none());
            // The other way is open.
            send(&mut server_write, b"through").await;
            assert_eq!(read_all(&mut read, 7).await, b"through");
            world.net().heal(CLIENT, SERVER);
            assert_eq!(read_all(&mut server_read, 4).await, b"held");
            assert_eq!(world.net().counts().held, 1);
        });
    }
}

#[test]
fn acknowledgements_travel_the_way_back() {
    run(1, |world| async move {
        let ((mut read, _write), (_server_read, mut server_write), _listener) = connected(&world).await;
        world.net().cut(CLIENT, SERVER);
        let mut segments = vec![Bytes::from(vec![7; connection::WINDOW])];
        server_write.write(&mut segments).await.expect("the window is empty");
        read_all(&mut read, connection::WINDOW).await;
        // The client has read everything, but cannot say so.
        let mut more = vec![Bytes::from_static(b"more")];
        assert!(within(&world, server_write.write(&mut more)).await.is_none());
        world.net().heal_all();
        server_write.write(&mut more).await.expect("the window is open again");
    });
}

#[test]
fn a_killed_process_ends_its_streams() {
    run(1, |world| async move {
        let ((mut read, mut write), (_server_read, mut server_write), _listener) = connected(&world).await;
        send(&mut server_write, b"said before").await;
        world.crash(SERVER);
        assert_eq!(read_all(&mut read, 11).await, b"said before");
        assert!(read_some(&mut read).await.expect("FIN").is_empty());
        // The socket is closed: what is sent now is answered by RST.
        send(&mut write, b"too late").await;
        world.engine().sleep(1_000_000_000).await;
        let failed = write.write(&mut vec![Bytes::from_static(b"again")]).await;
        assert!(matches!(failed, Err(NetworkError::Reset)), "{failed:?}");
        let refused =
            world.env(CLIENT).network().connect("node-1", PORT).await.err().expect("nobody listens");
        assert!(matches!(refused, NetworkError::Refused(_)), "{refused}");
    });
}

#[test]
fn bytes_left_unread_turn_the_end_into_a_reset() {
    run(1, |world| async move {
        let ((mut read, mut write), (_server_read, _server_write), _listener) = connected(&world).await;
        send(&mut write, b"never read").await;
        world.engine().sleep(1_000_000_000).await;
        world.crash(SERVER);
        assert!(matches!(read_some(&mut read).await, Err(NetworkError::Reset)));
    });
}

#[test]
fn the_end_of_a_process_does_not_pass_a_cut() {
    run(1, |world| async move {
        let ((mut read, _write), _server, _listener) = connected(&world).await;
        world.net().cut(SERVER, CLIENT);
        world.crash(SERVER);
        assert!(within(&world, read_some(&mut read)).await.is_none(), "FIN went through the cut");
        world.net().heal(SERVER, CLIENT);
        assert!(read_some(&mut read).await.expect("FIN is sent again").is_empty());
    });
}

#[test]
fn a_reset_that_a_cut_swallows_is_never_sent_again() {
    run(1, |world| async move {
        let ((mut read, mut write), (_server_read, _server_write), _listener) = connected(&world).await;
        send(&mut write, b"never read").await;
        world.engine().sleep(1_000_000_000).await;
        world.net().cut(SERVER, CLIENT);
        world.crash(SERVER);
        world.engine().sleep(1_000_000_000).await;
        world.net().heal(SERVER, CLIENT);
        assert!(within(&world, read_some(&mut read)).await.is_none(), "the reset is lost");
        assert_eq!(world.net().counts().lost_resets, 1);
        send(&mut write, b"hello?").await;
        assert!(matches!(read_some(&mut read).await, Err(NetworkError::Reset)), "what is sent is answered");
    });
}

#[test]
fn power_loss_leaves_the_peer_half_open_until_it_speaks() {
    run(1, |world| async move {
        let ((mut read, mut write), _server, _listener) = connected(&world).await;
        world.lose_power(SERVER);
        assert!(within(&world, read_some(&mut read)).await.is_none(), "no FIN without power");
        send(&mut write, b"hello?").await;
        assert!(within(&world, read_some(&mut read)).await.is_none(), "nobody answers without power");
        world.power_on(SERVER);
        assert!(matches!(read_some(&mut read).await, Err(NetworkError::Reset)), "the new boot answers RST");
        assert_eq!(world.net().counts().half_open, 1);
    });
}

#[test]
fn an_idle_reader_never_learns_of_a_power_loss() {
    run(1, |world| async move {
        let ((mut read, _write), _server, _listener) = connected(&world).await;
        world.lose_power(SERVER);
        world.power_on(SERVER);
        let hour = world.engine().sleep(3_600_000_000_000);
        let mut hour = std::pin::pin!(hour);
        let mut reading = std::pin::pin!(read_some(&mut read));
        std::future::poll_fn(|context| {
            assert!(reading.as_mut().poll(context).is_pending(), "somebody told it");
            hour.as_mut().poll(context)
        })
        .await;
    });
}

#[test]
fn a_slow_link_is_slow() {
    run(1, |world| async move {
        let ((_read, mut write), (mut server_read, _server_write), _listener) = connected(&world).await;
        world.net().slow(CLIENT, SERVER, 0, 10_000);
        let start = world.engine().now_ns();
        write.write(&mut vec![Bytes::from(vec![1; 50_000])]).await.expect("it fits the window");
        read_all(&mut server_read, 50_000).await;
        let took = world.engine().now_ns() - start;
        assert!(took >= 4_900_000_000, "{took} ns for 50,000 bytes at 10,000 a second");
    });
}

#[test]
fn a_process_that_is_gone_does_not_run_in_circles() {
    run(1, |world| async move {
        let mut listener = world.env(SERVER).network().bind(any()).await.expect("free");
        let fencing = world.clone();
        world
            .env(SERVER)
            .spawn("accepts for ever", async move {
                fencing.fence(SERVER);
                while listener.accept().await.is_err() {}
            })
            .detach();
        world.engine().sleep(1_000).await;
        world.crash(SERVER);
    });
}

#[test]
fn a_process_that_is_gone_sends_nothing() {
    run(1, |world| async move {
        let env: SimEnv = world.env(CLIENT);
        let ((_read, mut write), (mut server_read, _server_write), _listener) = connected(&world).await;
        world.crash(CLIENT);
        write.write(&mut vec![Bytes::from_static(b"ghost")]).await.expect_err("the process is gone");
        assert!(env.network().bind(any()).await.is_err());
        drop(write);
        assert!(read_some(&mut server_read).await.expect("FIN of the kernel").is_empty());
    });
}
