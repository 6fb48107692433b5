//! E3: what the next run of a broker may say of how the last one ended.

use tokio::sync::mpsc;

use super::super::directories::{DirectoryFailure, open_all};
use super::super::format;
use super::*;
use crate::config::server::{ServerConfig, single_broker};
use crate::env::tokio::TokioEnv;
use crate::log::checkpoint::write_clean_shutdown;

/// A broker with two directories.
struct Setup {
    env: TokioEnv,
    config: ServerConfig,
    failures: mpsc::UnboundedSender<DirectoryFailure>,
    _failed: mpsc::UnboundedReceiver<DirectoryFailure>,
    _dir: tempfile::TempDir,
}

impl Setup {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_str().expect("it is UTF-8").to_owned();
        Self::at(dir, &path).await
    }

    /// In a directory that is called by this path.
    async fn at(dir: tempfile::TempDir, path: &str) -> Self {
        let texts = single_broker("127.0.0.1:0", 0, &format!("{path}/a,{path}/b"));
        let config = ServerConfig::parse(texts).expect("it is right").0;
        let env = TokioEnv::new().expect("a world");
        format(&env, &config, "test-cluster-id-000000").await.expect("the disk works");
        let (failures, _failed) = mpsc::unbounded_channel();
        Self { env, config, failures, _failed, _dir: dir }
    }

    async fn found(&self) -> Vec<FoundDirectory> {
        let dirs = &self.config.log_dirs;
        open_all(self.env.disk(), dirs, self.config.node_id, &self.failures)
            .await
            .expect("they are its own")
            .0
    }

    /// A run that is registered with this epoch, and says no more.
    async fn run(&self, epoch: i64) {
        keep(&self.env, &data(&self.found().await), BrokerEpoch(epoch)).await;
    }

    async fn previous(&self) -> BrokerEpoch {
        let found = self.found().await;
        previous_epoch(&self.env, &found, &data(&found)).await.expect("the disk works")
    }

    /// Replaces what stands in the note of one directory.
    async fn edit(&self, nth: usize, from: &str, to: &str) {
        let (disk, dir) = (self.env.disk(), &self.config.log_dirs[nth]);
        let bytes = read_file(disk, &dir.join(NAME)).await.expect("the disk works").expect("it is there");
        let text = String::from_utf8(bytes.to_vec()).expect("it is text");
        assert!(text.contains(from), "{text}");
        replace_file(disk, dir, NAME, text.replace(from, to).as_bytes()).await.expect("the disk works");
    }
}

fn data(found: &[FoundDirectory]) -> Vec<Arc<LogDirectory>> {
    found.iter().map(|one| Arc::clone(&one.directory)).collect()
}

#[tokio::test]
async fn e3_a_process_that_merely_crashed_names_its_epoch() {
    let setup = Setup::new().await;
    assert_eq!(setup.previous().await, BrokerEpoch::NONE, "there was no run yet");
    setup.run(7).await;
    assert_eq!(setup.previous().await, BrokerEpoch(7));
    setup.run(9).await;
    assert_eq!(setup.previous().await, BrokerEpoch(9));
}

#[tokio::test]
async fn e3_after_a_boot_of_the_machine_no_epoch_is_named() {
    let setup = Setup::new().await;
    setup.run(7).await;
    for nth in [0, 1] {
        setup.edit(nth, &setup.env.boot_id(), "another boot").await;
    }
    assert_eq!(setup.previous().await, BrokerEpoch::NONE, "what was only in the page cache is gone");
}

#[tokio::test]
async fn e3_a_clean_stop_is_believed_whatever_the_boot() {
    let setup = Setup::new().await;
    setup.run(7).await;
    setup.edit(0, &setup.env.boot_id(), "another boot").await;
    let paths = &setup.config.log_dirs;
    write_clean_shutdown(setup.env.disk(), &paths[0], BrokerEpoch(7)).await.expect("the disk works");
    assert_eq!(setup.previous().await, BrokerEpoch(7), "one directory was left cleanly, one by the crash");
    write_clean_shutdown(setup.env.disk(), &paths[1], BrokerEpoch(5)).await.expect("the disk works");
    assert_eq!(setup.previous().await, BrokerEpoch::NONE, "the directories were left by different runs");
}

#[tokio::test]
async fn e3_a_directory_that_is_new_or_missing_makes_a_crash_unclean() {
    let setup = Setup::new().await;
    setup.run(7).await;
    let found = setup.found().await;
    let one = [Arc::clone(&found[0].directory)];
    let previous = previous_epoch(&setup.env, &found, &one).await.expect("the disk works");
    assert_eq!(previous, BrokerEpoch::NONE, "the other one is missing");
    keep(&setup.env, &one, BrokerEpoch(7)).await;
    drop(found);
    assert_eq!(setup.previous().await, BrokerEpoch::NONE, "the other one is new");
}

#[tokio::test]
async fn e3_who_has_lost_a_directory_does_not_pass_for_a_process_that_crashed() {
    let setup = Setup::new().await;
    setup.run(7).await;
    let data = data(&setup.found().await);
    data[1].report_failure("it is broken");
    keep(&setup.env, &data, BrokerEpoch(7)).await;
    assert_eq!(setup.previous().await, BrokerEpoch::NONE);
}

#[tokio::test]
async fn e3_a_directory_that_failed_does_not_keep_its_own_note() {
    let setup = Setup::new().await;
    setup.run(7).await;
    let found = setup.found().await;
    for one in &found {
        one.directory.report_failure("a sync failed");
    }
    forget(&setup.env, &data(&found)).await;
    drop(found);
    assert_eq!(setup.previous().await, BrokerEpoch::NONE, "what it had not synced may be gone");
}

#[tokio::test]
async fn e3_a_directory_is_told_from_its_copy_by_its_path_from_the_root() {
    let here = std::env::current_dir().expect("there is one");
    let dir = tempfile::tempdir().expect("a directory");
    let up = "../".repeat(here.components().count() - 1);
    let path = format!("{up}{}", dir.path().strip_prefix("/").expect("it is absolute").display());
    let setup = Setup::at(dir, &path).await;
    setup.run(7).await;
    // A copy whose node is started elsewhere has the same relative path.
    setup.edit(0, &here.display().to_string(), "/elsewhere").await;
    assert_eq!(setup.previous().await, BrokerEpoch::NONE);
}

#[tokio::test]
async fn e3_a_note_that_cannot_be_read_names_nothing() {
    let setup = Setup::new().await;
    for (from, to) in [("\"version\":0", "\"version\":1"), ("{", "")] {
        setup.run(7).await;
        setup.edit(1, from, to).await;
        assert_eq!(setup.previous().await, BrokerEpoch::NONE, "{to}");
    }
}
