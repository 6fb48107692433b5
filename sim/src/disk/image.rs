//! The bytes of one file, kept sparsely.

use std::collections::BTreeMap;

const CHUNK: u64 = 4096;

/// A file's bytes: chunks that were written, zeros elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    length: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.length = self.length.max(offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (chunk, within) = (at / CHUNK, (at % CHUNK) as usize);
            let count = (bytes.len() - done).min(CHUNK as usize - within);
            let target = self.chunks.entry(chunk).or_insert_with(|| vec![0; CHUNK as usize].into());
            target[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
    }

    /// Appends what lies at `offset`, up to `length` bytes or the end; says how many.
    pub(super) fn read(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> usize {
        let end = self.length.min(offset.saturating_add(length as u64));
        if offset >= end {
            return 0;
        }
        into.reserve((end - offset) as usize);
        let mut at = offset;
        while at < end {
            let within = (at % CHUNK) as usize;
            let count = ((end - at) as usize).min(CHUNK as usize - within);
            match self.chunks.get(&(at / CHUNK)) {
                Some(chunk) => into.extend_from_slice(&chunk[within..within + count]),
                None => into.resize(into.len() + count, 0),
            }
            at += count as u64;
        }
        (end - offset) as usize
    }

    /// Cuts, or extends with zeros.
    pub(super) fn set_len(&mut self, length: u64) {
        if length < self.length {
            self.chunks.split_off(&length.div_ceil(CHUNK));
            if let Some(chunk) = self.chunks.get_mut(&(length / CHUNK)) {
                chunk[(length % CHUNK) as usize..].fill(0);
            }
        }
        self.length = length;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..20_000u64, prop::collection::vec(any::<u8>(), 0..9_000))
                .prop_map(|(at, bytes)| Op::Write(at, bytes)),
            (0..20_000u64).prop_map(Op::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_vector_holds(ops in prop::collection::vec(op(), 1..20)) {
            let (mut image, mut model) = (Image::default(), Vec::new());
            for op in ops {
                match op {
                    Op::Write(at, bytes) => {
                        image.write(at, &bytes);
                        let end = at as usize + bytes.len();
                        if model.len() < end {
                            model.resize(end, 0);
                        }
                        model[at as usize..end].copy_from_slice(&bytes);
                    }
                    Op::SetLen(length) => {
                        image.set_len(length);
                        model.resize(length as usize, 0);
                    }
                }
                let mut read = Vec::new();
                prop_assert_eq!(image.read(0, 100_000, &mut read), model.len());
                prop_assert_eq!(&read, &model);
            }
            let mut part = Vec::new();
            let expected = &model[model.len().min(100)..model.len().min(5_100)];
            prop_assert_eq!(image.read(100, 5_000, &mut part), expected.len());
            prop_assert_eq!(&part[..], expected);
        }
    }
}
