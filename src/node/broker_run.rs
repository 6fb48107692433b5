//! How the last run of this broker ended, as far as the broker can tell (E3).
//!
//! The controller believes a broker that names the epoch of its last registration: then nothing that counted was
//! lost. After a clean stop the directories say so with Kafka's own mark. After a crash of the process alone,
//! which Kafka takes for the worst, the page cache is still there: the machine has not booted since, and all
//! directories are those of before. Each directory keeps a small file for that, of our own format since Kafka
//! has none: `{"version":0,"brokerEpoch":7,"bootId":"...","directories":["<id> <path>"]}`. The path, from the root,
//! tells the directory from a copy of it, whose original may be in use.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::directories::{FoundDirectory, LogDirectory};
use crate::env::{Disk as _, DiskError, Env};
use crate::log::checkpoint::{read_file, replace_file};
use crate::types::BrokerEpoch;

const NAME: &str = "broker-run";
const VERSION: i16 = 0;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    version: i16,
    broker_epoch: i64,
    boot_id: String,
    directories: Vec<String>,
}

/// The epoch that the broker's next registration names: that of its last, if nothing was lost since, else none.
pub(super) async fn previous_epoch<E: Env>(
    env: &E,
    found: &[FoundDirectory],
    data: &[Arc<LogDirectory>],
) -> Result<BrokerEpoch, DiskError> {
    let is_data = |it: &&FoundDirectory| data.iter().any(|dir| Arc::ptr_eq(dir, &it.directory));
    let mut epochs = Vec::new();
    for one in found.iter().filter(is_data) {
        epochs.push(match one.clean {
            Some(epoch) => Some(epoch),
            None => after_crash(env, one.directory.path(), data).await?,
        });
    }
    let first = epochs.first().copied().flatten();
    let agree = epochs.iter().all(|epoch| *epoch == first);
    Ok(first.filter(|_| agree).unwrap_or(BrokerEpoch::NONE))
}

async fn after_crash<E: Env>(
    env: &E,
    path: &Path,
    data: &[Arc<LogDirectory>],
) -> Result<Option<BrokerEpoch>, DiskError> {
    let Some(bytes) = read_file(env.disk(), &path.join(NAME)).await? else { return Ok(None) };
    let run: Option<Run> = serde_json::from_slice(&bytes).ok();
    let same = |run: &Run| {
        run.version == VERSION && run.boot_id == env.boot_id() && run.directories == places_of(env, data)
    };
    Ok(run.filter(same).map(|run| BrokerEpoch(run.broker_epoch)))
}

/// Writes down with which epoch the broker was registered, in each of its directories. A directory that fails at
/// it goes offline.
pub(super) async fn keep<E: Env>(env: &E, data: &[Arc<LogDirectory>], epoch: BrokerEpoch) {
    // With a directory missing, the next start must not pass for that of a process that merely crashed.
    if data.iter().any(|directory| !directory.is_online()) {
        return forget(env, data).await;
    }
    let (boot_id, directories) = (env.boot_id(), places_of(env, data));
    let run = Run { version: VERSION, broker_epoch: epoch.0, boot_id, directories };
    let content = serde_json::to_vec(&run).expect("plain data can be written");
    for directory in data {
        if let Err(error) = replace_file(env.disk(), directory.path(), NAME, &content).await {
            directory.report_failure(&error.to_string());
        }
    }
}

/// Takes that back: a directory has failed, and nobody knows what is in it. Its own note goes, too, if it still can
/// be written: what the failure took from the page cache must not count as there at the next start.
pub(super) async fn forget<E: Env>(env: &E, data: &[Arc<LogDirectory>]) {
    for directory in data {
        let forgotten = replace_file(env.disk(), directory.path(), NAME, b"").await;
        if let (Err(error), true) = (forgotten, directory.is_online()) {
            directory.report_failure(&error.to_string());
        }
    }
}

fn places_of<E: Env>(env: &E, data: &[Arc<LogDirectory>]) -> Vec<String> {
    let place = |directory: &Arc<LogDirectory>| {
        format!("{} {}", directory.id(), env.disk().absolute(directory.path()).display())
    };
    let mut places: Vec<String> = data.iter().map(place).collect();
    places.sort();
    places
}

#[cfg(test)]
mod tests;
