use std::sync::Mutex as StdMutex;

use ottla::env::Task as _;

use super::*;
use crate::world::{World, simulate};

/// Runs a body that reports what it saw as a list of words.
fn words<F>(seed: u64, body: impl FnOnce(World, Log) -> F + Send) -> Vec<String>
where
    F: Future<Output = ()> + Send + 'static,
{
    let log = Log::default();
    let simulation = simulate(seed, Limits::default(), Keep::Nothing, |world| body(world, log.clone()));
    simulation.outcome.expect("the run ends by itself");
    log.0.lock().expect("no panic").clone()
}

#[derive(Clone, Default)]
struct Log(Arc<StdMutex<Vec<String>>>);

impl Log {
    fn say(&self, word: impl Into<String>) {
        self.0.lock().expect("no panic").push(word.into());
    }
}

/// Says a word when it is dropped.
struct LastWord(Log, &'static str);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

const NODE: NodeId = NodeId(1);

async fn race(world: World, log: Log) {
    let engine = world.engine().clone();
    let tasks: Vec<TaskHandle> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| {
            let (log, engine_here) = (log.clone(), engine.clone());
            engine.spawn(engine.life(NODE), name, async move {
                for _ in 0..3 {
                    log.say(name);
                    engine_here.sleep(1_000).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.join().await;
    }
}

#[test]
fn the_seed_alone_decides_the_order() {
    let orders: Vec<_> = (0..20).map(|seed| words(seed, race)).collect();
    for (seed, order) in orders.iter().enumerate() {
        assert_eq!(*order, words(seed as u64, race), "seed {seed} ran differently the second time");
        assert_eq!(order.len(), 12);
    }
    assert!(orders.iter().any(|order| *order != orders[0]), "every seed gave the same order");
}

#[test]
fn time_jumps_to_the_next_timer_and_libc_follows() {
    let seen = words(3, |world, log| async move {
        let engine = world.engine().clone();
        #[expect(clippy::disallowed_types, reason = "what a careless dependency would read is under test")]
        let before = std::time::Instant::now();
        engine.sleep(3_600_000_000_000).await;
        log.say(format!("{} {}", engine.now_ns(), before.elapsed().as_secs()));
    });
    assert_eq!(seen, ["3600000000000 3600"]);
}

#[test]
fn a_dropped_sleep_takes_its_timer_along() {
    simulate(1, Limits::default(), Keep::Nothing, |world| async move {
        let engine = world.engine().clone();
        for _ in 0..1_000 {
            let mut sleep = Box::pin(engine.sleep(1_000_000));
            std::future::poll_fn(|context| {
                assert!(sleep.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_eq!(engine.core().timers.take_all().len(), 0);
    })
    .outcome
    .expect("the run ends");
}

#[test]
fn cancelling_drops_the_future_and_join_waits_for_that() {
    let seen = words(1, |world, log| async move {
        let engine = world.engine().clone();
        let word = LastWord(log.clone(), "dropped");
        let task = engine.spawn(engine.life(NODE), "waits for ever", async move {
            let _word = word;
            std::future::pending::<()>().await;
        });
        engine.sleep(1).await;
        task.cancel();
        task.join().await;
        log.say("joined");
    });
    assert_eq!(seen, ["dropped", "joined"]);
}

#[test]
fn dropping_the_handle_cancels() {
    let seen = words(1, |world, log| async move {
        let engine = world.engine().clone();
        let word = LastWord(log.clone(), "dropped");
        drop(engine.spawn(engine.life(NODE), "never polled", async move {
            let _word = word;
            std::future::pending::<()>().await;
        }));
        engine.sleep(1).await;
        log.say("later");
    });
    assert_eq!(seen, ["dropped", "later"]);
}

#[test]
fn a_killed_node_runs_no_more_and_its_last_words_have_no_effect() {
    struct SpawnsAtTheEnd(World, Life, Log);
    impl Drop for SpawnsAtTheEnd {
        fn drop(&mut self) {
            self.2.say("dropped");
            let log = self.2.clone();
            self.0.engine().spawn(self.1, "from the grave", async move { log.say("ghost") }).detach();
        }
    }
    let seen = words(1, |world, log| async move {
        let engine = world.engine().clone();
        let life = engine.life(NODE);
        let last = SpawnsAtTheEnd(world.clone(), life, log.clone());
        let said = log.clone();
        let ticking = engine.clone();
        engine
            .spawn(life, "ticks", async move {
                let _last = last;
                loop {
                    said.say("tick");
                    ticking.sleep(10).await;
                }
            })
            .detach();
        engine.sleep(25).await;
        world.crash(NODE);
        engine.sleep(100).await;
        assert!(!engine.is_current(life));
    });
    assert_eq!(seen, ["tick", "tick", "tick", "dropped"]);
}

#[test]
fn a_paused_node_stands_still_and_goes_on() {
    let seen = words(1, |world, log| async move {
        let engine = world.engine().clone();
        let (said, ticking) = (log.clone(), engine.clone());
        let task = engine.spawn(engine.life(NODE), "ticks", async move {
            for _ in 0..3 {
                ticking.sleep(10).await;
                said.say(ticking.now_ns().to_string());
            }
        });
        engine.sleep(15).await;
        engine.pause(NODE, 100);
        engine.pause(NODE, 50);
        task.join().await;
    });
    assert_eq!(seen, ["10", "115", "125"]);
}

#[test]
fn a_panic_ends_the_run_and_names_the_task() {
    let stop = simulate(1, Limits::default(), Keep::Nothing, |world| async move {
        let engine = world.engine().clone();
        engine.spawn(engine.life(NODE), "doomed", async { panic!("the {} is broken", "invariant") }).detach();
        engine.sleep(1_000).await;
    })
    .outcome
    .expect_err("a task panicked");
    let expected = Stop::Panicked {
        node: NODE,
        task: "doomed".to_owned(),
        message: "the invariant is broken".to_owned(),
    };
    assert_eq!(stop, expected);
}

#[test]
fn a_panic_of_a_fenced_node_is_no_failure() {
    simulate(1, Limits::default(), Keep::Nothing, |world| async move {
        let engine = world.engine().clone();
        let fencing = world.clone();
        engine
            .spawn(engine.life(NODE), "dies while it runs", async move {
                fencing.fence(NODE);
                panic!("the world is gone");
            })
            .detach();
        engine.sleep(1_000).await;
    })
    .outcome
    .expect("the node was being killed");
}

#[test]
fn tasks_that_wake_each_other_for_ever_are_stopped() {
    let stop =
        simulate(1, Limits { polls_per_instant: 1_000, ..Limits::default() }, Keep::Nothing, |world| {
            let engine = world.engine().clone();
            async move {
                engine
                    .spawn(engine.life(NODE), "spins", async {
                        std::future::poll_fn::<(), _>(|context| {
                            context.waker().wake_by_ref();
                            std::task::Poll::Pending
                        })
                        .await;
                    })
                    .detach();
                engine.sleep(1_000).await;
            }
        })
        .outcome
        .expect_err("no virtual time passes");
    assert!(matches!(stop, Stop::Livelock { node: NODE, .. }), "{stop}");
}

#[test]
fn a_run_that_waits_for_nothing_is_stopped() {
    let outcome = simulate(1, Limits::default(), Keep::Nothing, |_| std::future::pending::<()>()).outcome;
    assert_eq!(outcome.expect_err("nothing can wake it"), Stop::Deadlock);
}

#[test]
fn the_hash_is_the_seeds_alone() {
    let digest = |seed| {
        let simulation =
            simulate(seed, Limits::default(), Keep::Nothing, |world| race(world, Log::default()));
        simulation.outcome.expect("the run ends");
        simulation.world.engine().digest()
    };
    let alone = digest(9);
    for seed in 0..5 {
        digest(seed);
    }
    assert_eq!(digest(9), alone, "a seed run late differs from the same seed alone");
    assert_ne!(digest(8), alone);
}
