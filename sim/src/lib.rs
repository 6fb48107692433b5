//! The simulator.
#[cfg(not(madsim))]
compile_error!(
    "ottla-sim needs `--cfg madsim`: .cargo/config.toml sets it; a RUSTFLAGS variable in the environment \
     replaces that. Unset RUSTFLAGS."
);

pub mod cli;
pub mod clock;
pub mod dice;
pub mod digest;
pub mod disk;
pub mod engine;
pub mod env;
pub mod failure;
pub mod faults;
pub mod golden;
pub mod guarantee;
pub mod history;
pub mod nemesis;
pub mod net;
pub mod oracles;
pub mod process;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod sweep;
pub mod trace;
pub mod workload;
pub mod world;
