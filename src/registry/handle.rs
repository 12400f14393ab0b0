//! Lookup handles: the open walks of one association group.

use super::table::Position;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The operation that a walk belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `ept_lookup`.
    Lookup,
    /// `ept_map`.
    Map,
}

/// A walk in progress: whose, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The operation that began it, the only one that may go on with it.
    pub operation: Operation,
    /// Where it goes on.
    pub position: Position,
}

/// How many walks a group may have open, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleLimits {
    /// The most walks open at once; at least one.
    pub open: usize,
    /// How long a walk lives that nobody goes on with.
    pub idle: Duration,
}

impl Default for HandleLimits {
    /// 32 walks, 10 minutes.
    fn default() -> Self {
        HandleLimits {
            open: 32,
            idle: Duration::from_secs(600),
        }
    }
}

/// The open walks of one association group, by the UUIDs of their handles.
///
/// A walk holds a position, never a copy of entries, so that it costs the same
/// whatever the table holds. Identifiers come in from outside.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    limits: HandleLimits,
    /// The walk that was used longest ago stands first.
    walks: Vec<OpenWalk>,
    evicted: u64,
}

/// A walk, its handle's UUID and its last use.
#[derive(Clone, Copy, Debug)]
struct OpenWalk {
    id: Uuid,
    walk: Walk,
    used: Instant,
}

impl Handles {
    /// No walks, within these limits.
    pub fn new(limits: HandleLimits) -> Handles {
        Handles {
            limits,
            walks: Vec::new(),
            evicted: 0,
        }
    }

    /// The walk of that handle, if it is open.
    pub fn find(&mut self, now: Instant, id: Uuid) -> Option<Walk> {
        self.expire(now);
        self.walks
            .iter()
            .find(|open| open.id == id)
            .map(|open| open.walk)
    }

    /// Remembers a walk under its handle, whether it is new or goes on.
    ///
    /// A new one that is too many ends the walk that was idle longest.
    pub fn keep(&mut self, now: Instant, id: Uuid, walk: Walk) {
        self.expire(now);
        self.walks.retain(|open| open.id != id);
        if self.walks.len() >= self.limits.open.max(1) {
            self.walks.remove(0);
            self.evicted += 1;
        }
        self.walks.push(OpenWalk {
            id,
            walk,
            used: now,
        });
    }

    /// Ends a walk; whether it was open.
    pub fn close(&mut self, now: Instant, id: Uuid) -> bool {
        self.expire(now);
        let before = self.walks.len();
        self.walks.retain(|open| open.id != id);
        self.walks.len() < before
    }

    /// How many walks are open.
    pub fn len(&self) -> usize {
        self.walks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.walks.is_empty()
    }

    /// How many walks ended because there were too many.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Ends the walks that were idle for too long.
    fn expire(&mut self, now: Instant) {
        let idle = self.limits.idle;
        self.walks
            .retain(|open| now.saturating_duration_since(open.used) < idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk of ept_lookup at its beginning.
    const WALK: Walk = Walk {
        operation: Operation::Lookup,
        position: Position::START,
    };

    /// At most two walks, for ten seconds.
    fn handles() -> Handles {
        Handles::new(HandleLimits {
            open: 2,
            idle: Duration::from_secs(10),
        })
    }

    /// A handle's UUID.
    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn a_walk_is_found_by_its_handle_only() {
        let (mut handles, now) = (handles(), Instant::now());
        handles.keep(now, id(1), WALK);
        assert_eq!(handles.find(now, id(1)), Some(WALK));
        assert_eq!(handles.find(now, id(2)), None);
    }

    #[test]
    fn a_walk_that_goes_on_is_one_walk() {
        let (mut handles, now) = (handles(), Instant::now());
        let later = Walk {
            operation: Operation::Map,
            ..WALK
        };
        handles.keep(now, id(1), WALK);
        handles.keep(now, id(1), later);
        assert_eq!((handles.len(), handles.find(now, id(1))), (1, Some(later)));
    }

    #[test]
    fn one_walk_too_many_ends_the_one_idle_longest() {
        let (mut handles, now) = (handles(), Instant::now());
        for number in [1, 2, 1, 3] {
            handles.keep(now, id(number), WALK);
        }
        assert_eq!(handles.find(now, id(2)), None);
        assert!(handles.find(now, id(1)).is_some() && handles.find(now, id(3)).is_some());
        assert_eq!((handles.len(), handles.evicted()), (2, 1));
    }

    #[test]
    fn a_walk_ends_when_it_was_idle_too_long() {
        let (mut handles, start) = (handles(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        handles.keep(at(0), id(1), WALK);
        handles.keep(at(9), id(1), WALK);
        assert!(handles.find(at(18), id(1)).is_some());
        assert!(!handles.close(at(19), id(1)));
        assert!(handles.is_empty());
    }

    #[test]
    fn a_walk_is_closed_once() {
        let (mut handles, now) = (handles(), Instant::now());
        handles.keep(now, id(1), WALK);
        assert!(handles.close(now, id(1)));
        assert!(!handles.close(now, id(1)));
    }
}
