//! A node's clock: skewed, drifting, stepped, and never going back where it must not.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ottla::env::Clock;
use ottla::types::{Mono, WallMs};

use crate::dice::Dice;
use crate::engine::{Engine, NodeId};

/// Virtual time zero, as wall clocks that are right show it: 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;
/// Quartz is off by up to 100 parts in a million.
const DRIFT_PPM_MAX: u64 = 100;
/// Unsynchronised wall clocks differ by up to five seconds.
const SKEW_MS_MAX: u64 = 5_000;
/// Sleeps end late: mostly by less than this.
const LATE_NS: u64 = 50_000;

/// The clock of one boot of one node.
#[derive(Clone)]
pub struct SimClock {
    engine: Engine,
    quartz: Arc<Quartz>,
}

struct Quartz {
    /// Virtual time of the boot, when monotonic time was `origin_ns`.
    booted_ns: u64,
    origin_ns: u64,
    drift_ppm: i64,
    wall_offset_ms: AtomicI64,
}

impl SimClock {
    /// A clock that begins now, as at power on. What is wrong with it is drawn from the seed.
    pub fn boot(engine: Engine, node: NodeId, boot: u64) -> Self {
        let mut dice = Dice::new(engine.seed(), node, "clock", boot);
        let quartz = Quartz {
            booted_ns: engine.now_ns(),
            origin_ns: dice.between(1, 10_000_000_000),
            drift_ppm: dice.below(2 * DRIFT_PPM_MAX + 1) as i64 - DRIFT_PPM_MAX as i64,
            wall_offset_ms: AtomicI64::new(dice.below(2 * SKEW_MS_MAX + 1) as i64 - SKEW_MS_MAX as i64),
        };
        Self { engine, quartz: Arc::new(quartz) }
    }

    /// Sets the wall clock ahead or back.
    pub fn step_wall(&self, by_ms: i64) {
        self.quartz.wall_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// The first virtual time at which this clock shows `mono` or more.
    fn virtual_time_of(&self, mono: Mono) -> u64 {
        let quartz = &self.quartz;
        let elapsed = i128::from(mono.0.saturating_sub(quartz.origin_ns));
        let scale = 1_000_000 + i128::from(quartz.drift_ppm);
        let real = (elapsed * 1_000_000 + scale - 1) / scale;
        quartz.booted_ns.saturating_add(u64::try_from(real).unwrap_or(u64::MAX))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Mono {
        let quartz = &self.quartz;
        let elapsed = i128::from(self.engine.now_ns() - quartz.booted_ns);
        let shown = elapsed * (1_000_000 + i128::from(quartz.drift_ppm)) / 1_000_000;
        Mono(quartz.origin_ns + u64::try_from(shown).expect("a drift of 100 ppm keeps time positive"))
    }

    fn wall(&self) -> WallMs {
        let true_ms = EPOCH_MS + (self.engine.now_ns() / 1_000_000) as i64;
        WallMs(true_ms + self.quartz.wall_offset_ms.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: Mono) -> impl Future<Output = ()> + Send {
        let due = self.virtual_time_of(deadline);
        let engine = self.engine.clone();
        async move {
            if engine.now_ns() >= due {
                return;
            }
            // How late a sleep ends is not promised. A hash of the deadline serves as the draw: a sleep
            // that is made anew at every turn of a loop must not shift other draws.
            let late = due.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            engine.sleep_until(due.saturating_add(late % LATE_NS)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{Limits, on_fresh_thread};
    use crate::trace::Keep;

    #[test]
    fn a_sleep_never_ends_before_its_deadline_and_the_clock_never_goes_back() {
        for seed in 0..20 {
            let late = on_fresh_thread(seed, || {
                let engine = Engine::new(seed, Limits::default(), Keep::Nothing);
                let clock = SimClock::boot(engine.clone(), NodeId(1), 0);
                let (sender, receiver) = std::sync::mpsc::channel();
                engine
                    .run(async move {
                        let mut last = clock.now();
                        for n in 1..200u64 {
                            let deadline = clock.now() + Duration::from_nanos(n * n * 1_013);
                            clock.sleep_until(deadline).await;
                            assert!(clock.now() >= deadline, "ended early");
                            assert!(clock.now() >= last);
                            last = clock.now();
                            sender.send(last.since(deadline)).expect("the receiver lives");
                            clock.step_wall(-3);
                        }
                    })
                    .expect("the run ends");
                receiver.iter().max()
            })
            .expect("no panic");
            assert!(late.expect("sleeps happened") < Duration::from_millis(1));
        }
    }

    #[test]
    fn clocks_of_two_nodes_differ_and_a_step_moves_the_wall_alone() {
        on_fresh_thread(1, || {
            let engine = Engine::new(1, Limits::default(), Keep::Nothing);
            let one = SimClock::boot(engine.clone(), NodeId(1), 0);
            let two = SimClock::boot(engine, NodeId(2), 0);
            assert_ne!(one.wall(), two.wall());
            let (mono, wall) = (one.now(), one.wall());
            one.step_wall(-60_000);
            assert_eq!(one.wall().0, wall.0 - 60_000);
            assert_eq!(one.now(), mono);
        })
        .expect("no panic");
    }
}
