//! Buffers for reads, used again and again: memory that is touched for the first time costs more than the
//! read itself.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

/// A bounded number of buffers of bounded size. Clones share them.
///
/// Taking one never waits and never fails: when none is left, a new one is made, and what comes back beyond the
/// bounds is freed. The bounds limit what *lies* here; how much is in use at a time is the caller's to limit.
#[derive(Debug, Clone)]
pub struct BufferPool {
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    buffers: Mutex<Vec<Vec<u8>>>,
    buffers_max: usize,
    capacity_max: usize,
}

impl BufferPool {
    /// A pool that keeps up to `buffers_max` buffers of up to `capacity_max` bytes each.
    pub fn new(buffers_max: usize, capacity_max: usize) -> Self {
        let buffers = Mutex::new(Vec::with_capacity(buffers_max));
        Self { shelf: Arc::new(Shelf { buffers, buffers_max, capacity_max }) }
    }

    /// An empty buffer, which comes back when it is dropped.
    pub(super) fn take(&self) -> PooledBuffer {
        let bytes = self.shelf.lock().pop().unwrap_or_default();
        PooledBuffer { bytes, shelf: Arc::clone(&self.shelf) }
    }
}

/// A buffer from a pool.
#[derive(Debug)]
pub(super) struct PooledBuffer {
    pub(super) bytes: Vec<u8>,
    shelf: Arc<Shelf>,
}

impl PooledBuffer {
    /// The content, without copying; the buffer comes back with the last slice of it.
    pub(super) fn into_bytes(self) -> Bytes {
        if self.bytes.is_empty() { Bytes::new() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == 0 || bytes.capacity() > self.shelf.capacity_max {
            return;
        }
        bytes.clear();
        let mut buffers = self.shelf.lock();
        if buffers.len() < self.shelf.buffers_max {
            buffers.push(bytes);
        }
    }
}

impl Shelf {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.buffers.lock().expect("nothing panics under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let pool = BufferPool::new(1, 1024);
        let mut buffer = pool.take();
        buffer.bytes.extend_from_slice(&[1; 100]);
        let address = buffer.bytes.as_ptr();
        let bytes = buffer.into_bytes();
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(pool.take().bytes.capacity(), 0, "a slice is still in use");
        drop(slice);
        let again = pool.take();
        assert_eq!(again.bytes.as_ptr(), address);
        assert!(again.bytes.is_empty(), "nothing of its last use shows");
    }

    #[test]
    fn what_lies_in_the_pool_is_bounded() {
        let pool = BufferPool::new(1, 1024);
        let mut large = pool.take();
        large.bytes.reserve(4096);
        drop(large);
        assert_eq!(pool.shelf.lock().len(), 0, "too large to keep");
        let mut both = [pool.take(), pool.take()];
        both.iter_mut().for_each(|buffer| buffer.bytes.push(1));
        drop(both);
        assert_eq!(pool.shelf.lock().len(), 1, "one more than is kept");
    }
}
