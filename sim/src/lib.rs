//! The simulator.
#[cfg(not(madsim))]
compile_error!(
    "ottla-sim needs `--cfg madsim`: .cargo/config.toml sets it; a RUSTFLAGS variable in the environment replaces that. Unset RUSTFLAGS."
);
