//! Context handles: what a service keeps for a client from call to call.
//!
//! They belong to an association group, and go with its last connection: then
//! every value is dropped, which is its rundown. Always holds: there are never
//! more than the limit, and nobody uses a handle but the account that opened it.
//! The lock stands here and not in the server, since calls
//! that run side by side share it; it is held for a look at the table alone.

use crate::registry::{AccountName, Authentication};
use crate::wire::ndr::ContextHandle;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    open: Mutex<HashMap<Uuid, Kept>>,
}

/// What a handle stands for.
struct Kept {
    /// The value.
    value: Arc<dyn Any + Send + Sync>,
    /// Who opened it.
    by: Option<Authentication>,
}

impl Kept {
    /// The value for this caller, if it is one of this type.
    fn value<T: Any + Send + Sync>(&self, by: Option<&Authentication>) -> Option<Arc<T>> {
        match may_use(self.by.as_ref(), by) {
            true => self.value.clone().downcast().ok(),
            false => None,
        }
    }
}

/// Whether who asks is who opened, and protects its calls no less.
fn may_use(opened: Option<&Authentication>, asks: Option<&Authentication>) -> bool {
    let level = |who: Option<&Authentication>| who.map(|who| who.level);
    let account = |who: Option<&Authentication>| who.and_then(|who| who.account.clone());
    let is_same = match (account(opened), account(asks)) {
        (Some(opened), Some(asks)) => {
            opened == asks || AccountName::new(&opened).is_some_and(|name| name.is(&asks))
        }
        (opened, asks) => opened == asks,
    };
    is_same && level(asks) >= level(opened)
}

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
    ///
    /// It is its caller's, `by`: other connections of the group may be somebody
    /// else's, since whoever calls from the same address may join it.
    ///
    /// # Source
    /// C706 binds handles to no account; this is ours.
    pub fn open<T: Any + Send + Sync>(
        &self,
        uuid: Uuid,
        by: Option<&Authentication>,
        value: T,
    ) -> Option<ContextHandle> {
        let mut open = self.table();
        if open.len() >= self.limit {
            return None;
        }
        let kept = Kept {
            value: Arc::new(value),
            by: by.cloned(),
        };
        open.insert(uuid, kept);
        Some(ContextHandle {
            attributes: 0,
            uuid,
        })
    }

    /// The value of a handle; `None` when the caller has no such handle, or it
    /// stands for a value of another type: one of another interface, where each
    /// kind of handle has a type of its own.
    pub fn get<T: Any + Send + Sync>(
        &self,
        handle: &ContextHandle,
        by: Option<&Authentication>,
    ) -> Option<Arc<T>> {
        self.table().get(&handle.uuid)?.value(by)
    }

    /// Takes a handle out; its value goes when no call uses it any more.
    pub fn close<T: Any + Send + Sync>(
        &self,
        handle: &ContextHandle,
        by: Option<&Authentication>,
    ) -> Option<Arc<T>> {
        let mut open = self.table();
        let value = open.get(&handle.uuid)?.value(by)?;
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
    fn table(&self) -> MutexGuard<'_, HashMap<Uuid, Kept>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One value whose end panics leaves the others theirs.
impl Drop for Contexts {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        for kept in mem::take(open).into_values() {
            // What it was about, the panic has told.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(kept)));
        }
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
    use crate::wire::pdu::{AuthLevel, AuthType};

    #[test]
    fn a_handle_stands_for_its_value_until_it_is_closed() {
        let contexts = Contexts::new(2);
        let one = contexts.open(Uuid::from_u128(1), None, "one").unwrap();
        let two = contexts.open(Uuid::from_u128(2), None, 2_u32).unwrap();
        assert!(contexts.open(Uuid::from_u128(3), None, 3_u32).is_none());
        assert_eq!(contexts.get::<u32>(&two, None).as_deref(), Some(&2));
        assert!(contexts.get::<u32>(&one, None).is_none());
        assert!(contexts.close::<u32>(&one, None).is_none());
        assert_eq!(contexts.close::<u32>(&two, None).as_deref(), Some(&2));
        assert!(contexts.get::<u32>(&two, None).is_none());
        assert_eq!(contexts.len(), 1);
        assert!(contexts.open(Uuid::from_u128(3), None, 3_u32).is_some());
    }

    #[test]
    fn a_handle_is_of_the_account_that_opened_it_and_of_no_weaker_protection() {
        let caller = |account: Option<&str>, level| Authentication {
            account: account.map(Into::into),
            mechanism: AuthType::NTLM,
            level,
        };
        let signed = AuthLevel::INTEGRITY;
        let alice = caller(Some("alice"), signed);
        let contexts = Contexts::new(2);
        let uuids = [1, 2].map(Uuid::from_u128);
        let [hers, anybodys] = [(uuids[0], Some(&alice)), (uuids[1], None)]
            .map(|(uuid, by)| contexts.open(uuid, by, ()).unwrap());
        for (asks, may_use_hers, may_use_anybodys) in [
            (Some(alice.clone()), true, false),
            (Some(caller(Some("Alice"), AuthLevel::PRIVACY)), true, false),
            (
                Some(caller(Some("alice"), AuthLevel::CONNECT)),
                false,
                false,
            ),
            (Some(caller(Some("bob"), signed)), false, false),
            (Some(caller(None, signed)), false, true),
            (None, false, true),
        ] {
            let may_use = |handle| contexts.get::<()>(handle, asks.as_ref()).is_some();
            assert_eq!(may_use(&hers), may_use_hers, "{asks:?}");
            assert_eq!(may_use(&anybodys), may_use_anybodys, "{asks:?}");
        }
        assert!(contexts.close::<()>(&hers, None).is_none());
        assert!(contexts.close::<()>(&hers, Some(&alice)).is_some());
    }

    #[test]
    fn a_value_is_run_down_with_its_group_once_no_call_uses_it() {
        let value = Arc::new(());
        let contexts = Contexts::new(2);
        let handle = contexts
            .open(Uuid::from_u128(1), None, value.clone())
            .unwrap();
        let used = contexts.get::<Arc<()>>(&handle, None).unwrap();
        drop(contexts);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(used);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_value_whose_end_panics_leaves_the_others_theirs() {
        struct Panics(#[allow(dead_code)] Arc<()>); // counted
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("as the test asks");
            }
        }
        let value = Arc::new(());
        let contexts = Contexts::new(8);
        for number in 0..8 {
            let uuid = Uuid::from_u128(number);
            contexts.open(uuid, None, Panics(value.clone())).unwrap();
        }
        drop(contexts);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
