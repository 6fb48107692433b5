//! The log on the operating system's files.

mod support;

use ottla::env::tokio::TokioDisk;
use ottla::log::{Log, LogConfig, OpenHints, StampedBatch};
use ottla::types::{Offset, WallMs};
use support::batches::Spec;
use support::logs::{all, bases, hints, pool, small};

#[tokio::test]
async fn the_log_works_on_real_files() {
    let root = tempfile::tempdir().expect("there is room for temporary files");
    let dir = root.path().join("orders-0");
    let config = LogConfig { segment_bytes: 64 * 1024, index_interval_bytes: 1000, ..small() };
    let (mut log, _) = Log::open(&TokioDisk, &dir, config, hints()).await.expect("the disk works");
    for index in 0..100 {
        let spec = Spec::new(index * 10, 10, 1_000_000 + index).sized(200);
        let batch: StampedBatch = spec.stamped();
        if index > 0 && index % 25 == 0 {
            let ticket = log.begin_roll().expect("it is ready").run().await;
            log.finish_roll(ticket, WallMs(0)).expect("the disk works");
        }
        log.append(&[batch]).expect("the disk works");
    }
    let plan = log.sync_plan().expect("it is ready");
    plan.run().await.expect("the disk works");
    assert_eq!(log.synced(&plan), Offset(1000));
    let plan = log.begin_truncate(Offset(905)).expect("it is ready").expect("there is something to cut");
    let outcome = plan.run().await;
    let retired = log.finish_truncate(outcome).expect("the disk works");
    retired.delete().await.expect("the disk works");
    log.raise_log_start(Offset(300));
    let retirement = log.retire(WallMs(0), Offset(900)).expect("it is ready").expect("a segment goes");
    retirement.run().await.expect("the disk works").delete().await.expect("the disk works");
    check(&log).await;

    // The process ends without a word; the next one finds a batch that was cut off.
    drop(log);
    let path = dir.join(format!("{:020}.log", 750));
    let mut content = tokio::fs::read(&path).await.expect("it is there");
    content.extend_from_slice(&Spec::new(900, 10, 0).bytes()[..100]);
    tokio::fs::write(&path, content).await.expect("there is room");
    let unclean = OpenHints { clean: false, log_start: Offset(300), recovery_point: Offset(900), ..hints() };
    let (mut log, recovery) = Log::open(&TokioDisk, &dir, config, unclean).await.expect("nothing is lost");
    assert_eq!(recovery.truncated_bytes, 100);
    check(&log).await;
    log.close().expect("it is ready").run().await.expect("the disk works");
    let clean = OpenHints { clean: true, ..unclean };
    let (log, recovery) = Log::open(&TokioDisk, &dir, config, clean).await.expect("nothing is lost");
    assert_eq!(recovery.scanned_bytes, 0);
    check(&log).await;
}

async fn check(log: &Log<TokioDisk>) {
    assert_eq!((log.log_start(), log.log_end()), (Offset(300), Offset(900)));
    let pool = pool();
    let view = log.view();
    let mut next = view.log_start();
    let mut found = Vec::new();
    while next < view.log_end() {
        let batches = view.read(next, ottla::log::ReadLimits { max_bytes: 10_000, ..all() }, &pool).await;
        let batches = batches.expect("it is in range");
        found.extend(bases(&batches.bytes));
        next = batches.next_offset;
    }
    assert_eq!(found, (30..90).map(|index| index * 10).collect::<Vec<_>>());
}
