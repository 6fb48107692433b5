//! A map whose copies share what did not change.
//!
//! A published image is a copy of the controller's own. With a plain `Arc<BTreeMap>` the first change after
//! each publication would copy the whole map, and creating n topics one by one would cost n squared. Here it
//! copies one of 64 parts.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A key that can say to which part of the map it belongs.
pub trait Part: Ord {
    /// Any number; equal keys have equal ones, and a key the same as what it borrows as.
    fn part(&self) -> u64;
}

const PARTS: usize = 64;

/// The map. Cloning it is cheap; changing a clone copies only the part that is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedMap<K, V> {
    parts: [Arc<BTreeMap<K, V>>; PARTS],
    len: usize,
}

impl<K: Part + Clone, V: Clone> SharedMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Part + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[index(key)].get(key)
    }

    /// The value of a key, to change it: copies the key's part if it is shared.
    pub fn get_mut<Q: Part + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.parts[index(key)].contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.parts[index(key)]).get_mut(key)
    }

    /// Sets the value of a key; says what it was.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = Arc::make_mut(&mut self.parts[index(&key)]).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a key; says what its value was.
    pub fn remove<Q: Part + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.parts[index(key)].contains_key(key) {
            return None;
        }
        self.len -= 1;
        Arc::make_mut(&mut self.parts[index(key)]).remove(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in an order that depends on the keys alone.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.iter())
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Arc::default()), len: 0 }
    }
}

fn index<K: Part + ?Sized>(key: &K) -> usize {
    (key.part() % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Part for u64 {
        fn part(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn a_copy_shares_all_parts_but_the_changed_one() {
        let mut map = SharedMap::default();
        for key in 0..1000u64 {
            assert_eq!(map.insert(key, key), None);
        }
        let mut copy = map.clone();
        assert_eq!(copy.insert(7, 0), Some(7));
        assert_eq!(copy.remove(&71), Some(71), "71 is in the part of 7");
        assert_eq!(copy.remove(&71), None);
        let shared = map.parts.iter().zip(&copy.parts).filter(|(old, new)| Arc::ptr_eq(old, new)).count();
        assert_eq!(shared, PARTS - 1);
        assert_eq!((map.get(&7), copy.get(&7)), (Some(&7), Some(&0)));
        assert_eq!((map.len(), copy.len(), copy.iter().count()), (1000, 999, 999));
        assert!(!map.is_empty());
    }

    #[test]
    fn equality_and_order_do_not_depend_on_history() {
        let (mut left, mut right) = (SharedMap::default(), SharedMap::default());
        for key in [3u64, 1, 2] {
            left.insert(key, ());
        }
        for key in [9u64, 1, 2, 3] {
            right.insert(key, ());
        }
        assert_ne!(left, right);
        right.remove(&9);
        assert_eq!(left, right);
        assert!(left.iter().eq(right.iter()));
    }
}
