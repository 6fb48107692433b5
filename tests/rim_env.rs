//! The real environment keeps the contracts of the seam.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::io::IoSlice;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla::env::tokio::TokioEnv;
use ottla::env::{
    Clock, Disk, DiskErrorKind, DiskOperation, Entry, Env, File, Listener, Network, NetworkError, OpenMode,
    Purpose, ReadHalf, Stream, Task, WriteHalf,
};
use ottla::types::Mono;
use rand_core::Rng as _;

fn env() -> TokioEnv {
    TokioEnv::new().expect("the machine has randomness")
}

async fn read(file: &impl File, offset: u64, length: usize) -> Vec<u8> {
    let mut into = Vec::new();
    let count = file.read_at(offset, length, &mut into).await.unwrap();
    assert_eq!(count, into.len());
    into
}

#[tokio::test]
async fn a_relative_path_begins_where_the_process_was_started() {
    let (env, here) = (env(), std::env::current_dir().unwrap());
    assert_eq!(env.disk().absolute(Path::new("data/a")), here.join("data/a"));
    assert_eq!(env.disk().absolute(Path::new("/data/a")), Path::new("/data/a"));
}

#[tokio::test]
async fn a_write_is_read_back_wherever_it_lands() {
    let (env, dir) = (env(), tempfile::tempdir().unwrap());
    let path = dir.path().join("file");
    let file = env.disk().open(&path, OpenMode::CreateNew).await.unwrap();
    let mut buffers = [&b"hello"[..], b"", b", ", b"world"].map(IoSlice::new);
    file.write_at(0, &mut buffers).unwrap();
    file.write_at(20, &mut [IoSlice::new(b"far")]).unwrap();
    file.write_at(3, &mut []).unwrap();
    assert_eq!(read(&file, 0, 12).await, b"hello, world");
    assert_eq!(read(&file, 10, 100).await, b"ld\0\0\0\0\0\0\0\0far", "a hole reads as zeros");
    assert_eq!(read(&file, 23, 1).await, b"", "the end");
    assert_eq!(read(&file, 1000, 1).await, b"", "far behind the end");
    let mut into = b"keep ".to_vec();
    assert_eq!(file.read_at(7, 5, &mut into).await.unwrap(), 5);
    assert_eq!(into, b"keep world");

    let other = env.disk().open(&path, OpenMode::Existing).await.unwrap();
    assert_eq!(other.len().await.unwrap(), 23);
    file.truncate(4).await.unwrap();
    other.sync().await.unwrap();
    assert_eq!(read(&other, 0, 100).await, b"hell");
    other.truncate(6).await.unwrap();
    assert_eq!(read(&file, 0, 100).await, b"hell\0\0");
}

#[tokio::test]
async fn more_slices_than_one_call_takes_and_more_bytes_than_one_piece() {
    let (env, dir) = (env(), tempfile::tempdir().unwrap());
    let file = env.disk().open(&dir.path().join("file"), OpenMode::CreateNew).await.unwrap();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
    let mut slices: Vec<_> = bytes.chunks(300).map(IoSlice::new).collect();
    assert!(slices.len() > 3000);
    file.write_at(17, &mut slices).unwrap();
    assert!(read(&file, 17, 1_000_000).await == bytes);
    assert!(read(&file, 17 + 999_000, 100_000).await == bytes[999_000..]);
}

/// Pages that are not in memory take the other way to the disk.
#[tokio::test]
async fn a_read_past_the_page_cache() {
    let (env, dir) = (env(), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let path = dir.path().join("file");
    let file = env.disk().open(&path, OpenMode::CreateNew).await.unwrap();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|index| (index % 241) as u8).collect();
    file.write_at(0, &mut [IoSlice::new(&bytes)]).unwrap();
    file.sync().await.unwrap();
    let raw = std::fs::OpenOptions::new().read(true).open(&path).unwrap();
    rustix::fs::fadvise(&raw, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    // Some of it in memory, some not.
    assert_eq!(read(&file, 500_000, 10).await, bytes[500_000..500_010]);
    assert!(read(&file, 1, 4_000_000).await == bytes[1..]);
}

#[tokio::test]
async fn names_are_created_renamed_listed_and_removed() {
    let (env, dir) = (env(), tempfile::tempdir().unwrap());
    let (disk, dir) = (env.disk(), dir.path());
    disk.create_dir_all(&dir.join("a/b")).await.unwrap();
    disk.create_dir_all(&dir.join("a/b")).await.unwrap();
    let file = disk.open(&dir.join("z"), OpenMode::CreateOrOpen).await.unwrap();
    file.write_at(0, &mut [IoSlice::new(b"four")]).unwrap();
    disk.open(&dir.join("m"), OpenMode::CreateOrTruncate).await.unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join("link")).unwrap();
    use std::os::unix::ffi::OsStrExt;
    std::os::unix::fs::symlink("nowhere", dir.join(std::ffi::OsStr::from_bytes(b"\xff"))).unwrap();
    let entry = |name: &str, is_dir, length| Entry { name: name.to_owned(), is_dir, length };
    let expected = [entry("a", true, 0), entry("link", false, 7), entry("m", false, 0), entry("z", false, 4)];
    assert_eq!(disk.list(dir).await.unwrap(), expected);

    disk.rename(&dir.join("z"), &dir.join("m")).await.unwrap();
    disk.sync_dir(dir).await.unwrap();
    let renamed = disk.open(&dir.join("m"), OpenMode::CreateOrOpen).await.unwrap();
    assert_eq!(read(&renamed, 0, 10).await, b"four", "it replaced the old one and was left as it is");
    disk.remove_file(&dir.join("m")).await.unwrap();
    assert_eq!(read(&renamed, 0, 10).await, b"four", "an open handle stays usable");
    disk.remove_dir(&dir.join("a/b")).await.unwrap();
    assert_eq!(disk.list(&dir.join("a")).await.unwrap(), []);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let (env, dir) = (env(), tempfile::tempdir().unwrap());
    let (disk, dir) = (env.disk(), dir.path());
    let missing = dir.join("missing");
    let error = disk.open(&missing, OpenMode::Existing).await.unwrap_err();
    assert_eq!(
        (error.operation, error.kind, &error.path),
        (DiskOperation::Open, DiskErrorKind::NotFound, &missing)
    );
    assert!(error.to_string().starts_with(&format!("open {}: not found", missing.display())), "{error}");
    let kind = |error: ottla::env::DiskError| (error.operation, error.kind);
    assert_eq!(
        disk.rename(&missing, &dir.join("x")).await.map_err(kind),
        Err((DiskOperation::Rename, DiskErrorKind::NotFound))
    );
    assert_eq!(
        disk.remove_file(&missing).await.map_err(kind),
        Err((DiskOperation::Remove, DiskErrorKind::NotFound))
    );
    assert_eq!(disk.list(&missing).await.map_err(kind), Err((DiskOperation::List, DiskErrorKind::NotFound)));
    assert_eq!(
        disk.sync_dir(&missing).await.map_err(kind),
        Err((DiskOperation::SyncDir, DiskErrorKind::NotFound))
    );
    disk.open(&dir.join("x"), OpenMode::CreateNew).await.unwrap();
    let error = disk.open(&dir.join("x"), OpenMode::CreateNew).await.unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::AlreadyExists);
    disk.create_dir_all(&dir.join("full/er")).await.unwrap();
    let error = disk.remove_dir(&dir.join("full")).await.unwrap_err();
    assert_eq!((error.operation, error.kind), (DiskOperation::Remove, DiskErrorKind::Io));

    let full = disk.open(Path::new("/dev/full"), OpenMode::Existing).await.unwrap();
    let error = full.write_at(0, &mut [IoSlice::new(b"x")]).unwrap_err();
    assert_eq!((error.operation, error.kind), (DiskOperation::Write, DiskErrorKind::NoSpace));
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let (env, dir) = (env(), tempfile::tempdir().unwrap());
    let lock = env.disk().lock_dir(dir.path()).await.unwrap();
    let error = env.disk().lock_dir(dir.path()).await.expect_err("it is taken");
    assert_eq!((error.operation, error.kind), (DiskOperation::Lock, DiskErrorKind::Locked));
    drop(lock);
    env.disk().lock_dir(dir.path()).await.unwrap();
    assert!(dir.path().join(".lock").exists(), "as Kafka names it");
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_end() {
    let env = env();
    for host in ["127.0.0.1", "localhost", "::1", "[::1]"] {
        let address = if host.contains(':') { "[::1]:0" } else { "127.0.0.1:0" };
        let mut listener = match env.network().bind(address.parse().unwrap()).await {
            // Some machines have no IPv6.
            Err(NetworkError::Bind(..)) if host.contains(':') => continue,
            bound => bound.unwrap(),
        };
        let here = listener.local_address();
        let client = env.network().connect(host, here.port()).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!((peer, server.local_address()), (client.local_address(), here));
        let (mut client_read, mut client_write) = client.split();
        let (mut server_read, mut server_write) = server.split();

        // Many segments, more than the socket's buffers hold, some empty.
        let mut segments: Vec<_> = (0..2000).map(|index| Bytes::from(vec![index as u8; index * 7])).collect();
        let expected: Vec<u8> = segments.iter().flat_map(|segment| segment.iter().copied()).collect();
        let writer = env.spawn("writer", async move {
            client_write.write(&mut segments).await.unwrap();
            assert!(segments.is_empty());
            client_write.shutdown().await.unwrap();
        });
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        let mut received = Vec::new();
        while server_read.read(&mut buffer).await.unwrap() > 0 {
            received.extend_from_slice(&buffer);
            buffer.clear();
        }
        assert!(received == expected);
        writer.join().await;

        server_write.write(&mut vec![Bytes::from_static(b"back")]).await.unwrap();
        assert_eq!(client_read.read(&mut buffer).await.unwrap(), 4);
        drop((server_read, server_write));
        assert_eq!(client_read.read(&mut buffer).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn network_failures_have_names() {
    let env = env();
    let listener = env.network().bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let error = env.network().bind(address).await.expect_err("it is taken");
    assert!(matches!(&error, NetworkError::Bind(at, _) if *at == address), "{error}");
    drop(listener);
    let error = env.network().connect("127.0.0.1", address.port()).await.expect_err("nobody listens");
    assert!(matches!(error, NetworkError::Refused(_)), "{error}");
    let error = env.network().connect("no.such.host.invalid", 1).await.expect_err("it has no address");
    assert!(matches!(error, NetworkError::Unresolved(..)), "{error}");
    env.network().bind(address).await.expect("a port that was just left can be taken again");
}

#[tokio::test]
async fn the_clock_goes_forward_and_sleeps_long_enough() {
    let env = env();
    let clock = env.clock();
    let before = clock.now();
    clock.sleep(Duration::from_millis(20)).await;
    assert!(clock.now().since(before) >= Duration::from_millis(20));
    assert_eq!(clock.timeout_at(Mono(0), async { 7 }).await, Some(7), "a future that is ready wins");
    let late = clock.now() + Duration::from_millis(5);
    assert_eq!(clock.timeout_at(late, std::future::pending::<()>()).await, None);
    assert!(clock.now() >= late);
    let ages = clock.timeout_at(clock.now() + Duration::from_millis(5), clock.sleep_until(Mono(u64::MAX)));
    assert_eq!(ages.await, None, "the end of time is far away");
    assert!(clock.wall().0 > 1_600_000_000_000);
}

#[tokio::test]
async fn a_task_ends_with_its_handle() {
    struct Tell(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.take().expect("dropped once").send(());
        }
    }
    let env = env();
    let start = || {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Tell(Some(tell));
        let task = env.spawn("test", async move {
            let _tell = tell;
            std::future::pending::<()>().await;
        });
        (task, told)
    };
    let (task, told) = start();
    drop(task);
    told.await.expect("the future was dropped");
    let (task, mut told) = start();
    task.cancel();
    task.join().await;
    told.try_recv().expect("joined means dropped");
}

#[tokio::test]
async fn randomness_identity_and_limits() {
    let (one, other) = (env(), env());
    let purpose = Purpose { subsystem: "test", what: "draw", instance: 0 };
    assert_eq!(one.rng(purpose).next_u64(), one.clone().rng(purpose).next_u64());
    assert_ne!(one.rng(purpose).next_u64(), other.rng(purpose).next_u64(), "each process has its own seed");
    assert_eq!(one.boot_id(), other.boot_id());
    assert_eq!(one.boot_id().len(), 36, "{}", one.boot_id());
    let limit = TokioEnv::raise_file_limit().unwrap();
    assert_eq!(TokioEnv::raise_file_limit().unwrap(), limit);
}
