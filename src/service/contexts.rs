//! Context handles: what a service keeps for a client from call to call.
//!
//! They belong to an association group, and go with its last connection: then
//! every value is dropped, which is its rundown. Always holds: there are never
//! more than the limit. The lock stands here and not in the server, since calls
//! that run side by side share it; it is held for a look at the table alone.

use crate::wire::ndr::ContextHandle;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// The context handles of one association group.
///
/// # Source
/// C706 5.1.6 and 6.1.6: context handles and their rundown.
pub struct Contexts {
    /// How many there may be.
    limit: usize,
    /// What they stand for.
    open: Mutex<HashMap<Uuid, Value>>,
}

/// What a handle stands for.
type Value = Arc<dyn Any + Send + Sync>;

impl Contexts {
    /// None yet, and at most `limit`.
    pub fn new(limit: usize) -> Contexts {
        Contexts {
            limit,
            open: Mutex::default(),
        }
    }

    /// Gives a value a handle of this UUID, which nobody can guess; `None` when
    /// there are as many as may be.
    pub fn open<T: Any + Send + Sync>(&self, uuid: Uuid, value: T) -> Option<ContextHandle> {
        let mut open = self.table();
        if open.len() >= self.limit {
            return None;
        }
        open.insert(uuid, Arc::new(value));
        Some(ContextHandle {
            attributes: 0,
            uuid,
        })
    }

    /// The value of a handle; `None` when there is no such handle, or it stands
    /// for something else: one of another interface, for example.
    pub fn get<T: Any + Send + Sync>(&self, handle: &ContextHandle) -> Option<Arc<T>> {
        let value = self.table().get(&handle.uuid)?.clone();
        value.downcast().ok()
    }

    /// Takes a handle out; its value goes when no call uses it any more.
    pub fn close<T: Any + Send + Sync>(&self, handle: &ContextHandle) -> Option<Arc<T>> {
        let mut open = self.table();
        let value = open.get(&handle.uuid)?.clone().downcast().ok()?;
        open.remove(&handle.uuid);
        Some(value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table; every change to it is a single step.
    fn table(&self) -> MutexGuard<'_, HashMap<Uuid, Value>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Contexts")
            .field("open", &self.len())
            .field("limit", &self.limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_stands_for_its_value_until_it_is_closed() {
        let contexts = Contexts::new(2);
        let one = contexts.open(Uuid::from_u128(1), "one").unwrap();
        let two = contexts.open(Uuid::from_u128(2), 2_u32).unwrap();
        assert!(contexts.open(Uuid::from_u128(3), 3_u32).is_none());
        assert_eq!(contexts.get::<u32>(&two).as_deref(), Some(&2));
        assert!(contexts.get::<u32>(&one).is_none());
        assert!(contexts.close::<u32>(&one).is_none());
        assert_eq!(contexts.close::<u32>(&two).as_deref(), Some(&2));
        assert!(contexts.get::<u32>(&two).is_none());
        assert_eq!(contexts.len(), 1);
        assert!(contexts.open(Uuid::from_u128(3), 3_u32).is_some());
    }

    #[test]
    fn a_value_is_run_down_with_its_group_once_no_call_uses_it() {
        let value = Arc::new(());
        let contexts = Contexts::new(2);
        let handle = contexts.open(Uuid::from_u128(1), value.clone()).unwrap();
        let used = contexts.get::<Arc<()>>(&handle).unwrap();
        drop(contexts);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(used);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
