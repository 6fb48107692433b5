//! Where the last readers stopped: a sequential reader comes back for the next offset and finds its position
//! without an index.

use std::sync::Mutex;

use crate::types::Offset;

/// How many readers are remembered: a consumer and a few followers.
const SLOTS: usize = 4;

/// A few positions, replaced in turn.
#[derive(Debug, Default)]
pub(super) struct Hints {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    hints: [Option<Hint>; SLOTS],
    oldest: usize,
}

/// A batch that contains `offset`, or else the end of the segment, is at `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    /// Positions are those of this truncation generation.
    pub(super) generation: u64,
    pub(super) offset: Offset,
    /// The segment's base offset.
    pub(super) segment: Offset,
    pub(super) position: u64,
}

impl Hints {
    /// The position of `offset` in this segment, if a reader stopped there. The hint is used up: its reader
    /// will leave another.
    pub(super) fn take(&self, generation: u64, segment: Offset, offset: Offset) -> Option<u64> {
        let mut slots = self.slots.lock().expect("nothing panics under this lock");
        let wanted =
            |hint: &Hint| (hint.generation, hint.segment, hint.offset) == (generation, segment, offset);
        let slot = slots.hints.iter_mut().find(|slot| slot.as_ref().is_some_and(wanted))?;
        slot.take().map(|hint| hint.position)
    }

    /// Remembers where a reader stopped.
    pub(super) fn put(&self, hint: Hint) {
        let mut slots = self.slots.lock().expect("nothing panics under this lock");
        let slot = match slots.hints.iter().position(|slot| slot.is_none() || *slot == Some(hint)) {
            Some(slot) => slot,
            None => {
                let oldest = slots.oldest;
                slots.oldest = (oldest + 1) % SLOTS;
                oldest
            }
        };
        slots.hints[slot] = Some(hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(offset: i64) -> Hint {
        Hint { generation: 2, offset: Offset(offset), segment: Offset(0), position: offset as u64 * 100 }
    }

    #[test]
    fn a_hint_is_for_its_generation_and_segment_only() {
        let hints = Hints::default();
        hints.put(hint(7));
        assert_eq!(hints.take(4, Offset(0), Offset(7)), None);
        assert_eq!(hints.take(2, Offset(7), Offset(7)), None);
        assert_eq!(hints.take(2, Offset(0), Offset(7)), Some(700));
        assert_eq!(hints.take(2, Offset(0), Offset(7)), None, "it was used up");
    }

    #[test]
    fn the_number_of_hints_is_bounded() {
        let hints = Hints::default();
        for offset in 0..100 {
            hints.put(hint(offset));
        }
        let left = (0..100).filter(|offset| hints.take(2, Offset(0), Offset(*offset)).is_some()).count();
        assert_eq!(left, SLOTS);
    }
}
