//! The operating system's clocks, and tokio's timers.
#![expect(clippy::disallowed_types, reason = "this is the clock that everything else is sent to")]

use std::time::{Duration, Instant, SystemTime};

use crate::env::Clock;
use crate::types::{Mono, WallMs};

/// The real clock. Its monotonic time counts from its creation; clones share that origin.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Mono {
        Mono::default() + self.origin.elapsed()
    }

    /// A clock that stands before 1970 reads as a negative time.
    fn wall(&self) -> WallMs {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        WallMs(match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }

    /// tokio's timers have a resolution of a millisecond and round up.
    async fn sleep_until(&self, deadline: Mono) {
        let instant = self.origin + Duration::from_nanos(deadline.0);
        #[expect(clippy::disallowed_methods, reason = "this is the clock's own sleep")]
        tokio::time::sleep_until(instant.into()).await;
    }
}
