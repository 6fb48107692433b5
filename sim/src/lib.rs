//! Ottla's simulator: whole brokers and clients in one thread, under every fault that we promise to survive.
//!
//! # How a run goes
//!
//! ```text
//!  scenario file + seed -> run::Plan -> run::run ----------------------------------> run::Report
//!                          (faults::Schedule)  |                                     (failure, hash, trace)
//!                                              v                                            ^
//!   engine: tasks, timers, virtual time   world: nodes                              oracles over history
//!     |                                     |  disk, clock, net, env: ottla's seam          |
//!     |   nemesis: faults ----------------->|  process: cluster's brokers                   |
//!     |                                     |  workload: ottla's own clients ---------------+
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`engine`] | the executor; crashes, pauses, stuck runs, panics |
//! | [`disk`], [`net`], [`clock`], [`env`] | the seam of `ottla::env`, kept to its contracts and no kinder |
//! | [`world`], [`process`] | nodes with power, disks and processes, and who starts them again |
//! | [`faults`], [`nemesis`] | which faults come, and how they are done |
//! | [`cluster`], [`workload`] | the glue to the real thing: a broker's process, clients' work |
//! | [`history`], [`oracles`], [`guarantee`] | what was seen, what must hold, and under which faults |
//! | [`scenario`], [`swarm`], [`run`], [`sweep`], [`golden`], [`cli`] | claims, tested |
//! | [`failure`], [`shrink`], [`regression`], [`mutant`] | what failed, and what has to |
//! | [`trace`], [`digest`], [`dice`] | what happened, its hash, and what decided |
//!
//! # Determinism
//!
//! The same seed does the same, in every process, whatever ran before, in debug and in release builds. Sources
//! of anything else, and what is done about each:
//!
//! - *clocks and randomness of libc*: the engine runs inside one task of madsim, which interposes both and makes
//!   its clock follow ours; a dependency that looks at them sees the seed's.
//! - *std's hash keys, and other things kept per thread*: every run has a fresh thread.
//! - *the order of tasks and of timers at one instant*: drawn from the seed.
//! - *one draw more, somewhere*: every subsystem of every node has a stream of its own ([`dice`]).
//! - *statics, `select!` without `biased`, tokio's `watch`, threads*: banned by lint.
//! - *what nobody thought of*: `cargo sim meta` compares two processes event by event, and a seed run alone with
//!   the same seed run late; `cargo sim golden` compares with what was on record.

#[cfg(not(madsim))]
compile_error!(
    "ottla-sim needs `--cfg madsim`: .cargo/config.toml sets it; a RUSTFLAGS variable in the environment \
     replaces that. Unset RUSTFLAGS."
);

pub mod cli;
pub mod clock;
pub mod cluster;
pub mod dice;
pub mod digest;
pub mod disk;
pub mod drawing;
pub mod engine;
pub mod env;
pub mod failure;
pub mod faults;
pub mod golden;
pub mod guarantee;
pub mod history;
pub mod mutant;
pub mod nemesis;
pub mod net;
pub mod oracles;
pub mod outage;
pub mod process;
pub mod regression;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod swarm;
pub mod sweep;
pub mod trace;
pub mod workload;
pub mod world;
