//! The real world: tokio's runtime, the operating system's files, clocks and sockets.
//!
//! This module and its children are the only place that may touch what `.clippy.toml` bans, each time with
//! the reason on the line. It is named only where the binary starts, and in tests.

mod clock;
mod disk;
mod network;

pub use clock::TokioClock;
pub use disk::{DirLock, TokioDisk, TokioFile};
pub use network::{TokioListener, TokioNetwork, TokioReadHalf, TokioStream, TokioWriteHalf};

use std::future::Future;
use std::io;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Env, Event, Purpose, Rng, Task, child_rng};

/// The world of a node that runs for real. All clones are the same world.
#[derive(Debug, Clone)]
pub struct TokioEnv {
    runtime: Handle,
    clock: TokioClock,
    network: TokioNetwork,
    disk: TokioDisk,
    seed: u64,
    boot_id: String,
}

impl TokioEnv {
    /// The world as the runtime that this is called in sees it, with a seed of its own from the operating
    /// system. Fails only if that has no randomness to give.
    pub fn new() -> io::Result<Self> {
        let seed = os_random()?;
        Ok(Self {
            runtime: Handle::current(),
            clock: TokioClock::new(),
            network: TokioNetwork,
            disk: TokioDisk,
            seed,
            boot_id: read_boot_id(seed),
        })
    }

    /// Makes any panic, in whichever task or thread, end the process after it has been printed. A broken
    /// invariant must not leave a node that serves on with one task less.
    pub fn install_panic_hook() {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            print(panic);
            std::process::abort();
        }));
    }

    /// Raises the soft limit of open files to the hard one and returns it; `None` is unlimited. Every
    /// segment and every connection holds a file open.
    pub fn raise_file_limit() -> io::Result<Option<u64>> {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
        }
        Ok(limit.maximum)
    }
}

impl Env for TokioEnv {
    type Clock = TokioClock;
    type Network = TokioNetwork;
    type Disk = TokioDisk;
    type Task = TokioTask;

    fn clock(&self) -> &TokioClock {
        &self.clock
    }

    fn network(&self) -> &TokioNetwork {
        &self.network
    }

    fn disk(&self) -> &TokioDisk {
        &self.disk
    }

    /// tokio names tasks only in its unstable builds, so the name is for the reader of the code.
    fn spawn<F>(&self, _name: &'static str, future: F) -> TokioTask
    where
        F: Future<Output = ()> + Send + 'static,
    {
        TokioTask { handle: self.runtime.spawn(future) }
    }

    fn rng(&self, purpose: Purpose) -> Rng {
        child_rng(self.seed, 0, purpose)
    }

    fn boot_id(&self) -> String {
        self.boot_id.clone()
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// Nobody watches a real node this way yet.
    fn observe(&self, _event: Event) {}
}

/// A task of tokio's that ends with its handle.
#[derive(Debug)]
pub struct TokioTask {
    handle: JoinHandle<()>,
}

impl Task for TokioTask {
    fn cancel(&self) {
        self.handle.abort();
    }

    async fn join(mut self) {
        match (&mut self.handle).await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Ok(()) | Err(_) => {}
        }
    }
}

impl Drop for TokioTask {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

fn os_random() -> io::Result<u64> {
    use rustix::rand::{GetRandomFlags, getrandom};
    let mut bytes = [0u8; 8];
    // Up to 256 bytes come whole and without interruption, once the kernel's pool is ready.
    let filled = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    assert_eq!(filled, bytes.len(), "getrandom gives up to 256 bytes whole");
    Ok(u64::from_le_bytes(bytes))
}

/// Where the kernel does not name its boot, every start of the process counts as a boot of its own: whoever
/// compares boots then assumes a loss of power, which is the safe side.
fn read_boot_id(seed: u64) -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) | Err(_) => format!("unknown-{seed:016x}"),
    }
}
