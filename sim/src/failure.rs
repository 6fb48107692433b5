//! Failure files: a plan that failed, and how, so that it can be played again.

use std::path::Path;

use bincode::Options as _;
use serde::{Deserialize, Serialize};

use crate::faults::Schedule;
use crate::run::{Failure, Plan, Report};
use crate::scenario::Scenario;

/// Which layout a file has; raised when that changes.
const FORMAT: u32 = 2;
/// No failure file is longer.
const LIMIT: u64 = 16 << 20;

/// A failure, with all that is needed to see it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureFile {
    format: u32,
    scenario: Scenario,
    seed: u64,
    schedule: Schedule,
    /// How it failed.
    pub failure: Failure,
    /// The hash of the run.
    pub digest: String,
}

impl FailureFile {
    /// The file for a run that failed; `None` if it passed.
    pub fn of(plan: &Plan, report: &Report) -> Option<Self> {
        Some(Self {
            format: FORMAT,
            scenario: plan.scenario.clone(),
            seed: plan.seed,
            schedule: plan.schedule.clone(),
            failure: report.failure.clone()?,
            digest: report.digest.clone(),
        })
    }

    /// The plan to play again.
    pub fn plan(&self) -> Plan {
        Plan { scenario: self.scenario.clone(), seed: self.seed, schedule: self.schedule.clone() }
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, String> {
        #[expect(clippy::disallowed_methods, reason = "failure files lie on the real disk")]
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::decode(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes a file, and the directory above it.
    #[expect(clippy::disallowed_methods, reason = "failure files lie on the real disk")]
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(told)?;
        }
        std::fs::write(path, self.encode()).map_err(told)
    }

    fn encode(&self) -> Vec<u8> {
        options().serialize(self).expect("a failure is far smaller than the limit")
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let format = bytes.first_chunk().map(|first| u32::from_le_bytes(*first));
        if format != Some(FORMAT) {
            return Err(format!("not a failure file of format {FORMAT}"));
        }
        options().deserialize(bytes).map_err(|error| format!("damaged: {error}"))
    }
}

fn options() -> impl bincode::Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultKind;
    use crate::run::FailureKind;

    fn file() -> FailureFile {
        let text = r#"
            name = "x"
            claim = "Something holds."
            expect = { fail = ["unseen"] }
            row = { acks = "all", flush = "off" }
            faults.weights = { crash = 1, power-loss = 2 }
        "#;
        let scenario = Scenario::parse("x.toml", text).expect("it is right");
        let plan = Plan::draw(&scenario, 7);
        assert!(plan.schedule.0.iter().any(|step| step.fault.kind() == FaultKind::PowerLoss));
        FailureFile {
            format: FORMAT,
            scenario: plan.scenario,
            seed: 7,
            schedule: plan.schedule,
            failure: Failure {
                kind: FailureKind::Safety,
                invariant: "unseen".to_owned(),
                time_ns: 5,
                message: "gone".to_owned(),
            },
            digest: "00".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(FailureFile::decode(&file().encode()), Ok(file()));
    }

    #[test]
    fn other_files_and_damaged_ones_are_refused() {
        assert!(FailureFile::decode(b"").is_err());
        assert_eq!(FailureFile::decode(b"hello"), Err("not a failure file of format 2".to_owned()));
        let bytes = file().encode();
        let error = FailureFile::decode(&bytes[..bytes.len() - 1]).expect_err("cut short");
        assert!(error.starts_with("damaged"), "{error}");
    }
}
