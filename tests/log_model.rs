//! The log against a model that is a vector of batches.

mod support;

use bytes::Bytes;
use ottla::log::{Log, OpenHints, ReadLimits};
use ottla::types::Offset;
use ottla::wire::batch::{Batch, BatchHeader, split};
use ottla::wire::compression::{Compression, Scratch};
use ottla::wire::records::RecordIter;
use proptest::prelude::*;
use support::batches::Spec;
use support::block_on;
use support::logs::*;
use support::memory_disk::MemoryDisk;

#[derive(Debug, Clone)]
enum Step {
    /// Records with these timestamps and sizes, after a gap.
    Append {
        gap: i64,
        records: Vec<(i64, usize)>,
        codec: Compression,
    },
    Roll,
    Sync,
    Truncate {
        back: i64,
    },
    RaiseStart {
        share: u8,
    },
    Retire,
    Reopen {
        clean: bool,
    },
    Check {
        from: u8,
        max_bytes: usize,
        upper: u8,
        at_least_one: bool,
        timestamp: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let record = (prop_oneof![9 => 0i64..200, 1 => Just(-1)], 0usize..300);
    let codec = prop_oneof![4 => Just(Compression::None), 1 => Just(Compression::Lz4)];
    let append = (prop_oneof![9 => Just(0i64), 1 => 0i64..5], prop::collection::vec(record, 1..5), codec)
        .prop_map(|(gap, records, codec)| Step::Append { gap, records, codec });
    let limits = (any::<u8>(), 0usize..4000, any::<u8>(), any::<bool>(), -5i64..220);
    let check = limits.prop_map(|(from, max_bytes, upper, at_least_one, timestamp)| Step::Check {
        from,
        max_bytes,
        upper,
        at_least_one,
        timestamp,
    });
    prop_oneof![
        12 => append,
        1 => Just(Step::Roll),
        2 => Just(Step::Sync),
        1 => (0i64..30).prop_map(|back| Step::Truncate { back }),
        1 => any::<u8>().prop_map(|share| Step::RaiseStart { share }),
        1 => Just(Step::Retire),
        1 => any::<bool>().prop_map(|clean| Step::Reopen { clean }),
        6 => check,
    ]
}

/// All that a log promises, without files.
struct Model {
    batches: Vec<Batch>,
    log_start: i64,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(self.log_start, |batch| batch.header.next_offset().0)
    }

    /// An offset in the log, by its share of 255.
    fn at(&self, share: u8) -> i64 {
        self.log_start + (self.end() - self.log_start) * i64::from(share) / 255
    }

    fn read(&self, from: i64, limits: ReadLimits) -> Vec<u8> {
        let mut bytes = Vec::new();
        for batch in self.batches.iter().filter(|batch| batch.header.last_offset().0 >= from) {
            let size = bytes.len() + batch.bytes.len();
            let first = bytes.is_empty() && limits.at_least_one;
            if from >= limits.upper.0 || batch.header.base_offset >= limits.upper {
                break;
            }
            if size > limits.max_bytes && !first {
                break;
            }
            bytes.extend_from_slice(&batch.bytes);
        }
        bytes
    }

    /// Offset and timestamp of every record in the log.
    fn records(&self) -> Vec<(i64, i64)> {
        let mut records = Vec::new();
        for batch in &self.batches {
            for record in RecordIter::new(batch, 1 << 20, &mut Scratch::default()).expect("it was built") {
                let record = record.expect("it was built");
                if record.offset.0 >= self.log_start {
                    records.push((record.offset.0, record.timestamp));
                }
            }
        }
        records
    }
}

struct Run {
    disk: MemoryDisk,
    log: Log<MemoryDisk>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        let (log, _) = open(&disk, hints()).expect("an empty disk");
        Self { disk, log, model: Model { batches: Vec::new(), log_start: 0 } }
    }

    fn step(mut self, step: &Step) -> Self {
        match step {
            Step::Append { gap, records, codec } => {
                let base = self.model.end() + gap;
                let spec = Spec { base, epoch: 3, records: records.clone(), codec: *codec };
                append(&mut self.log, &spec).expect("the disk works");
                self.model.batches.extend(split(&spec.bytes()).map(|batch| batch.expect("it was built")));
            }
            Step::Roll => {
                // Only a segment with something in it.
                if self.log.segment_count() < 50 && !self.model.batches.is_empty() && self.log_has_active() {
                    roll(&mut self.log).expect("the disk works");
                }
            }
            Step::Sync => {
                let durable = sync(&mut self.log).expect("the disk works");
                assert_eq!(durable, self.log.log_end());
            }
            Step::Truncate { back } => self.truncate(*back),
            Step::RaiseStart { share } => {
                let start = self.model.at(*share);
                self.log.raise_log_start(Offset(start));
                self.model.log_start = self.model.log_start.max(start);
            }
            Step::Retire => {
                let end = self.log.log_end().0;
                retire(&mut self.log, 0, end).expect("the disk works");
                assert_eq!(
                    self.log.log_start().0,
                    self.model.log_start,
                    "nothing but what lies below it left"
                );
            }
            Step::Reopen { clean } => return self.reopen(*clean),
            Step::Check { from, max_bytes, upper, at_least_one, timestamp } => {
                let limits = ReadLimits {
                    max_bytes: *max_bytes,
                    upper: Offset(self.model.at(*upper)),
                    at_least_one: *at_least_one,
                };
                self.check(self.model.at(*from), limits, *timestamp);
            }
        }
        assert_eq!(self.log.log_end().0, self.model.end());
        self
    }

    fn log_has_active(&self) -> bool {
        let last = self.disk.names(DIR).into_iter().rfind(|name| name.ends_with(".log"));
        let content = self.disk.content(dir().join(last.expect("there is a segment")));
        !content.expect("it is there").is_empty()
    }

    fn truncate(&mut self, back: i64) {
        let to = (self.model.end() - back).max(self.model.log_start);
        // A gap between batches has no end of its own: the log ends where its last batch does.
        truncate(&mut self.log, to).expect("the disk works");
        while self.model.batches.last().is_some_and(|batch| batch.header.last_offset().0 >= to) {
            self.model.batches.pop();
        }
        let end = self.log.log_end().0;
        assert!(end <= to.max(self.model.end()));
        self.model.log_start = self.model.log_start.min(end);
        if self.model.batches.is_empty() {
            self.model.log_start = end;
            return;
        }
        assert_eq!(end, self.model.end());
    }

    fn reopen(mut self, clean: bool) -> Self {
        let end = self.log.log_end();
        let log_start = self.log.log_start();
        let hints = if clean {
            close(self.log);
            OpenHints { recovery_point: end, high_watermark: end, log_start, ..hints() }
        } else {
            let durable = self.log.durable_end();
            drop(self.log);
            OpenHints { log_start, ..unclean(durable.0, durable.0.min(end.0)) }
        };
        self.disk.crash_process();
        let (log, recovery) = open(&self.disk, hints).expect("a process's end loses nothing");
        assert_eq!(recovery.truncated_bytes, 0);
        assert_eq!(log.durable_end(), log.log_end());
        self.log = log;
        self
    }

    fn check(&self, from: i64, limits: ReadLimits, timestamp: i64) {
        let view = self.log.view();
        let found = block_on(view.read(Offset(from), limits, &pool())).expect("it is in range");
        let expected = self.model.read(from, limits);
        assert_eq!(found.bytes, Bytes::from(expected), "from {from} {limits:?}");
        // A sequential reader gets on from there.
        if !found.bytes.is_empty() {
            let next = found.next_offset;
            let found = block_on(view.read(next, limits, &pool())).expect("it is in range");
            assert_eq!(found.bytes, Bytes::from(self.model.read(next.0, limits)));
        }
        let mut headers = Vec::new();
        let visit = |header: &BatchHeader| {
            headers.push(header.base_offset.0);
            Ok(())
        };
        block_on(view.for_each_header(Offset(from), visit)).expect("it is in range");
        let after = self.model.batches.iter().filter(|batch| batch.header.last_offset().0 >= from);
        assert_eq!(headers, after.map(|batch| batch.header.base_offset.0).collect::<Vec<_>>());
        self.check_timestamps(limits.upper, timestamp);
    }

    fn check_timestamps(&self, upper: Offset, target: i64) {
        let view = self.log.view();
        let records = self.model.records();
        let below = || records.iter().filter(|(offset, _)| *offset < upper.0);
        let mut scratch = Scratch::default();
        let found = block_on(view.offset_for_timestamp(target, upper, &mut scratch)).expect("it is readable");
        let found = found.map(|found| (found.offset.0, found.timestamp));
        // A batch without timestamps has nothing to offer, whatever is asked for.
        let expected = below().find(|(_, timestamp)| *timestamp >= target && target >= 0).copied();
        if target >= 0 {
            assert_eq!(found, expected, "timestamp {target} below {upper}");
        }
        let found = block_on(view.max_timestamp(upper, &mut scratch)).expect("it is readable");
        let found = found.map(|found| (found.offset.0, found.timestamp));
        let largest = below().map(|(_, timestamp)| *timestamp).max().filter(|largest| *largest >= 0);
        let expected = below().find(|(_, timestamp)| Some(*timestamp) == largest).copied();
        if !self.straddled(upper) {
            assert_eq!(found, expected, "largest timestamp below {upper}");
        }
    }

    /// Whether a batch lies on both sides of the log start or of `upper`: its header's largest timestamp may
    /// then be that of a record outside.
    fn straddled(&self, upper: Offset) -> bool {
        let on_both =
            |batch: &Batch, at: i64| batch.header.base_offset.0 < at && at <= batch.header.last_offset().0;
        self.model.batches.iter().any(|batch| on_both(batch, self.model.log_start) || on_both(batch, upper.0))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_log_does_what_a_vector_of_batches_does(steps in prop::collection::vec(step(), 1..80)) {
        let mut run = Run::new();
        for step in &steps {
            run = run.step(step);
        }
        run.check(run.model.log_start, all(), 0);
    }
}
