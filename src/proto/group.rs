//! Association groups: connections of one client that share context handles.
//!
//! Holds which groups exist, how many connections each has, and a value of the
//! server's own for each. A group dies with its last connection. The number of
//! groups is bounded by the number of connections.

use std::collections::HashMap;

/// The association groups of one transport.
#[derive(Debug)]
pub struct Groups<T> {
    /// The groups by id.
    groups: HashMap<u32, Group<T>>,
    /// The id given last.
    last: u32,
}

/// One group.
#[derive(Debug)]
struct Group<T> {
    /// How many connections it has.
    connections: usize,
    /// What the server keeps for it.
    value: T,
}

impl<T: Clone> Groups<T> {
    /// No groups; the first made gets the id after `last`.
    pub fn new(last: u32) -> Self {
        Groups {
            groups: HashMap::new(),
            last,
        }
    }

    /// Makes a group with one connection. Its id is not 0 and not in use.
    pub fn create(&mut self, value: T) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.groups.contains_key(&self.last) {
                break;
            }
        }
        let group = Group {
            connections: 1,
            value,
        };
        self.groups.insert(self.last, group);
        self.last
    }

    /// Adds a connection to group `id`; `None` when there is no such group, or
    /// none that `may_join` lets it join.
    pub fn join(&mut self, id: u32, may_join: impl FnOnce(&T) -> bool) -> Option<T> {
        let group = self.groups.get_mut(&id)?;
        if !may_join(&group.value) {
            return None;
        }
        group.connections += 1;
        Some(group.value.clone())
    }

    /// Takes a connection out of group `id`; the last one ends the group.
    pub fn leave(&mut self, id: u32) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.connections -= 1;
            if group.connections == 0 {
                self.groups.remove(&id);
            }
        }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lives_as_long_as_its_last_connection() {
        let mut groups = Groups::new(0);
        let id = groups.create('a');
        assert_eq!(groups.join(id, |_| true), Some('a'));
        groups.leave(id);
        assert_eq!(groups.join(id, |_| true), Some('a'));
        groups.leave(id);
        groups.leave(id);
        assert_eq!(groups.join(id, |_| true), None);
        assert!(groups.is_empty());
    }

    #[test]
    fn who_may_not_join_a_group_does_not_keep_it_alive() {
        let mut groups = Groups::new(0);
        let id = groups.create('a');
        assert_eq!(groups.join(id, |value| *value == 'b'), None);
        groups.leave(id);
        assert!(groups.is_empty());
    }

    #[test]
    fn an_id_is_never_zero_and_never_given_twice() {
        let mut groups = Groups::new(u32::MAX - 1);
        let first = groups.create(());
        let second = groups.create(());
        assert_eq!((first, second), (u32::MAX, 1));
        groups.last = u32::MAX - 1;
        assert_eq!(groups.create(()), 2);
    }
}
