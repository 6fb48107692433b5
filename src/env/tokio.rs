//! The real world: tokio's runtime, the operating system's files, clocks and sockets.
