//! One test per numbered rule of the contract in `ottla::env::Disk`, then a comparison with a naive model.

mod model;

use std::collections::BTreeSet;
use std::future::Future;
use std::io::IoSlice;
use std::path::PathBuf;

use ottla::env::{Disk, Env as _, File, OpenMode};

use super::*;
use crate::engine::Limits;
use crate::trace::Keep;
use crate::world::{World, simulate};

const NODE: NodeId = NodeId(1);

fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    seed: u64,
    body: impl FnOnce(World) -> F + Send,
) -> T {
    simulate(seed, Limits::default(), Keep::Nothing, body).outcome.expect("the run ends by itself")
}

fn disk(world: &World) -> SimDisk {
    world.env(NODE).disk().clone()
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn write(file: &SimFile, offset: u64, bytes: &[u8]) {
    file.write_at(offset, &mut [IoSlice::new(bytes)]).expect("the disk is well");
}

async fn create(disk: &SimDisk, name: &str) -> SimFile {
    disk.open(&path(name), OpenMode::CreateNew).await.expect("it does not exist")
}

async fn open(disk: &SimDisk, name: &str) -> SimFile {
    disk.open(&path(name), OpenMode::Existing).await.expect("it exists")
}

async fn content(file: &SimFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_at(0, 1 << 20, &mut bytes).await.expect("the disk is well");
    bytes
}

/// A file whose name and bytes are durable.
async fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) -> SimFile {
    let file = create(disk, name).await;
    write(&file, 0, bytes);
    file.sync().await.expect("the disk is well");
    disk.sync_dir(&path("/")).await.expect("the disk is well");
    file
}

fn lose_power(world: &World) -> SimDisk {
    world.lose_power(NODE);
    world.power_on(NODE);
    disk(world)
}

async fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    let entries = disk.list(&path(dir)).await.expect("it exists");
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn rule_1_a_write_is_visible_at_once_through_every_handle() {
    run(1, |world| async move {
        let disk = disk(&world);
        let file = create(&disk, "/a").await;
        let other = open(&disk, "/a").await;
        file.write_at(3, &mut [IoSlice::new(b"x"), IoSlice::new(b"yz")]).expect("well");
        assert_eq!(content(&other).await, b"\0\0\0xyz", "a hole reads as zeros");
        assert_eq!(other.len().await.expect("well"), 6);
    });
}

#[test]
fn rule_2_written_bytes_survive_the_process() {
    run(1, |world| async move {
        let file = create(&disk(&world), "/a").await;
        write(&file, 0, b"not synced");
        world.crash(NODE);
        assert_eq!(content(&open(&disk(&world), "/a").await).await, b"not synced");
    });
}

#[test]
fn rule_2_synced_bytes_survive_the_power() {
    for seed in 0..50 {
        run(seed, |world| async move {
            durable(&disk(&world), "/a", &[7; 5_000]).await;
            let after = lose_power(&world);
            assert_eq!(content(&open(&after, "/a").await).await, [7; 5_000]);
        });
    }
}

#[test]
fn rule_2_every_unsynced_sector_is_old_new_or_zero_on_its_own() {
    let mut first_two = BTreeSet::new();
    for seed in 0..300 {
        let found = run(seed, |world| async move {
            let file = durable(&disk(&world), "/a", &[b'o'; 1_024]).await;
            write(&file, 0, &[b'n'; 2_048]);
            content(&open(&lose_power(&world), "/a").await).await
        });
        assert!(found.len() == 1_024 || found.len() == 2_048, "{} is neither length", found.len());
        for (index, sector) in found.chunks(512).enumerate() {
            let allowed: &[u8] = if index < 2 { b"on" } else { b"n\0" };
            assert!(allowed.contains(&sector[0]), "sector {index} holds {}", sector[0]);
            assert!(sector.iter().all(|byte| *byte == sector[0]), "sector {index} is torn inside");
        }
        first_two.insert((found[0], found[512]));
    }
    assert_eq!(first_two.len(), 4, "both sectors take both states: {first_two:?}");
}

#[test]
fn rule_2_a_sync_covers_only_what_was_written_before_it_started() {
    let mut lost = 0;
    for seed in 0..60 {
        let found = run(seed, |world| async move {
            let file = durable(&disk(&world), "/a", &[b'o'; 1_024]).await;
            write(&file, 0, &[b'n'; 512]);
            let mut sync = Box::pin(file.sync());
            std::future::poll_fn(|context| {
                assert!(sync.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            write(&file, 512, &[b'n'; 512]);
            sync.await.expect("well");
            content(&open(&lose_power(&world), "/a").await).await
        });
        assert_eq!(found[0], b'n', "the write came before the sync");
        lost += i32::from(found[512] == b'o');
    }
    // Like any unsynced sector it is old every other time.
    assert!((20..40).contains(&lost), "the later write was lost {lost} times of 60");
}

#[test]
fn rule_3_lengths_and_truncations_are_durable_by_sync_alone() {
    let mut lengths = BTreeSet::new();
    for seed in 0..60 {
        let (unsynced, synced) = run(seed, |world| async move {
            let file = durable(&disk(&world), "/a", &[1; 1_000]).await;
            file.truncate(100).await.expect("well");
            let after = lose_power(&world);
            let unsynced = open(&after, "/a").await.len().await.expect("well");
            let file = open(&after, "/a").await;
            file.truncate(50).await.expect("well");
            file.sync().await.expect("well");
            let after = lose_power(&world);
            (unsynced, open(&after, "/a").await.len().await.expect("well"))
        });
        assert_eq!(synced, 50);
        lengths.insert(unsynced);
    }
    assert_eq!(lengths, BTreeSet::from([100, 1_000]));
}

#[test]
fn rule_3_truncate_extends_with_zeros() {
    run(1, |world| async move {
        let file = create(&disk(&world), "/a").await;
        write(&file, 0, b"abc");
        file.truncate(1).await.expect("well");
        file.truncate(4).await.expect("well");
        assert_eq!(content(&file).await, b"a\0\0\0");
    });
}

#[test]
fn rule_4_names_survive_the_process_and_need_their_directory_synced_against_the_power() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let found = run(seed, |world| async move {
            let before = disk(&world);
            durable(&before, "/old", b"").await;
            before.remove_file(&path("/old")).await.expect("well");
            // Syncing a file does not make its name durable.
            create(&before, "/a").await.sync().await.expect("well");
            create(&before, "/b").await;
            world.crash(NODE);
            assert_eq!(names(&disk(&world), "/").await, ["a", "b"]);
            let after = lose_power(&world);
            let found = names(&after, "/").await;
            create(&after, "/c").await;
            after.sync_dir(&path("/")).await.expect("well");
            assert!(names(&lose_power(&world), "/").await.contains(&"c".to_owned()));
            found
        });
        seen.insert(found);
    }
    assert_eq!(seen.len(), 8, "each of the three names on its own: {seen:?}");
}

#[test]
fn rule_4_a_directory_takes_its_content_along() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        seen.insert(run(seed, |world| async move {
            let before = disk(&world);
            before.create_dir_all(&path("/topic/part")).await.expect("well");
            create(&before, "/topic/part/file").await;
            before.sync_dir(&path("/topic/part")).await.expect("well");
            before.sync_dir(&path("/topic")).await.expect("well");
            let after = lose_power(&world);
            after.list(&path("/topic/part")).await.map(|entries| entries.len()).ok()
        }));
    }
    assert_eq!(seen, BTreeSet::from([None, Some(1)]), "the whole branch or nothing");
}

#[test]
fn rule_5_a_rename_is_atomic() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let (found, left) = run(seed, |world| async move {
            let before = disk(&world);
            durable(&before, "/file", b"old").await;
            durable(&before, "/file.tmp", b"new").await;
            before.rename(&path("/file.tmp"), &path("/file")).await.expect("well");
            assert_eq!(content(&open(&before, "/file").await).await, b"new");
            let after = lose_power(&world);
            (content(&open(&after, "/file").await).await, names(&after, "/").await.len())
        });
        assert!((found == b"old" && left == 2) || (found == b"new" && left == 1), "{found:?}, {left}");
        seen.insert(found);
    }
    assert_eq!(seen.len(), 2, "done and not done both happen");
}

#[test]
fn rule_6_a_failed_write_may_have_written_any_part() {
    let mut lengths = BTreeSet::new();
    for seed in 0..60 {
        lengths.insert(run(seed, |world| async move {
            let file = create(&disk(&world), "/a").await;
            world.disk(NODE).set_faults(|faults| faults.write_error = 1_000_000);
            let error = file.write_at(0, &mut [IoSlice::new(b"abc")]).expect_err("told to fail");
            assert_eq!(error.kind, DiskErrorKind::Io);
            world.disk(NODE).set_faults(|faults| *faults = DiskFaults::NONE);
            let bytes = content(&file).await;
            assert!(b"abc".starts_with(&bytes));
            bytes.len()
        }));
    }
    assert_eq!(lengths, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn rule_6_what_a_failed_sync_lost_no_later_sync_brings_back() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let found = run(seed, |world| async move {
            let file = durable(&disk(&world), "/a", &[b'o'; 1_024]).await;
            write(&file, 0, &[b'n'; 1_024]);
            world.disk(NODE).set_faults(|faults| faults.sync_error = 1_000_000);
            file.sync().await.expect_err("told to fail");
            world.disk(NODE).set_faults(|faults| *faults = DiskFaults::NONE);
            file.sync().await.expect("the next one claims success");
            assert_eq!(content(&file).await, [b'n'; 1_024], "the page cache still shows it");
            content(&open(&lose_power(&world), "/a").await).await
        });
        seen.insert((found[0], found[512]));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn rule_7_reads_fail_and_rot() {
    run(1, |world| async move {
        let file = create(&disk(&world), "/a").await;
        write(&file, 0, &[0; 100]);
        world.disk(NODE).set_faults(|faults| faults.rot = 1_000_000);
        let wrong: u32 = content(&file).await.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(wrong, 1);
        world.disk(NODE).set_faults(|faults| faults.read_error = 1_000_000);
        let error = file.read_at(0, 10, &mut Vec::new()).await.expect_err("told to fail");
        assert_eq!(error.kind, DiskErrorKind::Io);
        assert_eq!(world.disk(NODE).counts().rotted, 1);
    });
}

#[test]
fn rule_8_handles_of_a_dead_process_are_stale() {
    run(1, |world| async move {
        let before = disk(&world);
        let file = create(&before, "/a").await;
        let lock = before.lock_dir(&path("/")).await.expect("nobody holds it");
        world.crash(NODE);
        let stale = |error: DiskError| assert_eq!(error.kind, DiskErrorKind::Stale);
        stale(file.write_at(0, &mut [IoSlice::new(b"ghost")]).expect_err("dead"));
        stale(file.read_at(0, 1, &mut Vec::new()).await.expect_err("dead"));
        stale(file.len().await.expect_err("dead"));
        stale(file.truncate(0).await.expect_err("dead"));
        stale(file.sync().await.expect_err("dead"));
        stale(before.open(&path("/b"), OpenMode::CreateNew).await.err().expect("dead"));
        stale(before.rename(&path("/a"), &path("/b")).await.expect_err("dead"));
        stale(before.list(&path("/")).await.expect_err("dead"));
        let after = disk(&world);
        let held = after.lock_dir(&path("/")).await.expect("a crash releases the lock");
        // The dead process lets go of what is no longer its own.
        drop(lock);
        assert_eq!(after.lock_dir(&path("/")).await.err().expect("held").kind, DiskErrorKind::Locked);
        drop(held);
        after.lock_dir(&path("/")).await.expect("free again");
        assert_eq!(content(&open(&after, "/a").await).await, b"");
    });
}

#[test]
fn rule_9_an_operation_that_nobody_waits_for_happens_all_the_same() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let before = disk(&world);
            create(&before, "/a").await;
            let (a, b) = (path("/a"), path("/b"));
            let mut rename = Box::pin(before.rename(&a, &b));
            std::future::poll_fn(|context| {
                assert!(rename.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(rename);
            world.engine().sleep(1_000_000_000).await;
            assert_eq!(names(&before, "/").await, ["b"]);
        });
    }
}

#[test]
fn a_lying_sync_says_done_and_does_nothing() {
    let mut seen = BTreeSet::new();
    for seed in 0..30 {
        seen.insert(run(seed, |world| async move {
            let file = durable(&disk(&world), "/a", b"old").await;
            world.disk(NODE).set_faults(|faults| faults.lying_sync = true);
            write(&file, 0, b"new");
            file.sync().await.expect("it lies");
            assert_eq!(world.disk(NODE).counts().lies, 1);
            content(&open(&lose_power(&world), "/a").await).await
        }));
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_full_disk_takes_what_fits() {
    run(1, |world| async move {
        let file = create(&disk(&world), "/a").await;
        world.disk(NODE).set_faults(|faults| faults.capacity = Some(10));
        write(&file, 0, b"12345678");
        let error = file.write_at(8, &mut [IoSlice::new(b"9abc")]).expect_err("two bytes fit");
        assert_eq!(error.kind, DiskErrorKind::NoSpace);
        assert_eq!(content(&file).await, b"123456789a");
        write(&file, 0, b"overwriting needs no room"[..8].as_ref());
        assert_eq!(world.disk(NODE).used_bytes(), 10);
    });
}

#[test]
fn a_slow_disk_takes_longer_and_stalls_its_process() {
    run(1, |world| async move {
        let file = create(&disk(&world), "/a").await;
        let sync = |file: SimFile, world: World| async move {
            let start = world.engine().now_ns();
            for _ in 0..20 {
                write(&file, 0, b"x");
                file.sync().await.expect("well");
            }
            world.engine().now_ns() - start
        };
        let usual = sync(file.clone(), world.clone()).await;
        world.disk(NODE).set_faults(|faults| faults.slowness = 50);
        let slow = sync(file, world.clone()).await;
        assert!(slow > 20 * usual, "{usual} ns, then {slow} ns");
        assert!(world.disk(NODE).counts().stalls > 0);
    });
}

#[test]
fn a_trap_springs_just_before_its_operation() {
    run(1, |world| async move {
        let file = create(&disk(&world), "/a").await;
        let fencing = world.clone();
        world.disk(NODE).set_trap(2, move || fencing.fence(NODE));
        write(&file, 0, b"first");
        let error = file.write_at(5, &mut [IoSlice::new(b"second")]).expect_err("fenced in between");
        assert_eq!(error.kind, DiskErrorKind::Stale);
        world.crash(NODE);
        assert_eq!(content(&open(&disk(&world), "/a").await).await, b"first");
    });
}

#[test]
fn the_modes_of_opening_differ() {
    run(1, |world| async move {
        let disk = disk(&world);
        let kind = |error: DiskError| error.kind;
        let missing = disk.open(&path("/a"), OpenMode::Existing).await.err().map(kind);
        assert_eq!(missing, Some(DiskErrorKind::NotFound));
        write(&disk.open(&path("/a"), OpenMode::CreateOrOpen).await.expect("well"), 0, b"abc");
        let exists = disk.open(&path("/a"), OpenMode::CreateNew).await.err().map(kind);
        assert_eq!(exists, Some(DiskErrorKind::AlreadyExists));
        let kept = disk.open(&path("/a"), OpenMode::CreateOrOpen).await.expect("well");
        assert_eq!(content(&kept).await, b"abc");
        let emptied = disk.open(&path("/a"), OpenMode::CreateOrTruncate).await.expect("well");
        assert_eq!(content(&emptied).await, b"");
        let above = disk.open(&path("/no/such"), OpenMode::CreateNew).await.err().map(kind);
        assert_eq!(above, Some(DiskErrorKind::NotFound));
    });
}

#[test]
fn a_directory_is_removed_only_when_empty() {
    run(1, |world| async move {
        let disk = disk(&world);
        disk.create_dir_all(&path("/d")).await.expect("well");
        let file = create(&disk, "/d/a").await;
        disk.remove_dir(&path("/d")).await.expect_err("it is not empty");
        disk.remove_file(&path("/d/a")).await.expect("well");
        write(&file, 0, b"an open handle stays usable");
        assert_eq!(content(&file).await.len(), 27);
        disk.remove_dir(&path("/d")).await.expect("it is empty");
        assert!(names(&disk, "/").await.is_empty());
    });
}

#[test]
fn a_disk_that_is_replaced_is_empty_and_its_neighbour_is_not() {
    run(1, |world| async move {
        let disk = disk(&world);
        for name in ["/data/a", "/metadata"] {
            disk.create_dir_all(&path(name)).await.expect("the disk is well");
        }
        durable(&disk, "/data/a/log", b"gone").await;
        durable(&disk, "/metadata/log", b"kept").await;
        for name in ["/data/a", "/data", "/metadata", "/"] {
            disk.sync_dir(&path(name)).await.expect("the disk is well");
        }
        world.lose_power(NODE);
        world.disk(NODE).replace("data");
        world.power_on(NODE);
        let disk = self::disk(&world);
        assert_eq!(content(&open(&disk, "/metadata/log").await).await, b"kept");
        let names: Vec<String> =
            disk.list(&path("/")).await.expect("it is there").into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["metadata"]);
        disk.create_dir_all(&path("/data")).await.expect("it can be made again");
    });
}
