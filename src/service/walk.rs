//! Walks through the registry: a page a call, a handle between two.

use super::conversation::Conversation;
use super::interface::{Call, Refusal, Reply};
use crate::registry::{Entry, Operation, Position, Table, Walk};
use crate::wire::EptStatus;
use crate::wire::ept::ContextHandle;
use uuid::Uuid;

/// One step of a walk: a call that asks for a page.
pub(super) struct Turn<'a> {
    pub(super) conversation: Conversation,
    pub(super) call: Call<'a>,
    pub(super) operation: Operation,
    /// The handle that came with it; null begins a walk.
    pub(super) handle: ContextHandle,
    /// The most that the page may hold.
    pub(super) max: u32,
}

/// What a step of a walk comes to.
pub(super) struct Page<T> {
    /// Live while more may follow.
    pub(super) handle: ContextHandle,
    /// The page's content.
    pub(super) found: Vec<T>,
    /// The status that goes with it.
    pub(super) status: EptStatus,
}

impl<T> Page<T> {
    /// A page with nothing but a status.
    fn of_status(status: EptStatus) -> Self {
        let (handle, found) = (ContextHandle::NULL, Vec::new());
        Page {
            handle,
            found,
            status,
        }
    }
}

impl Turn<'_> {
    /// Where the page begins.
    ///
    /// A handle tells the operation and the position only: what is asked for is
    /// read from each call anew.
    ///
    /// # Source
    /// The DCE reference.
    pub(super) fn begin(&mut self, table: &Table) -> Result<Position, Refusal> {
        self.conversation
            .object_of_call(self.call.object, table.object())?;
        let position = self.position().ok_or(self.conversation.bad_handle())?;
        if self.max == 0 {
            self.conversation.asked_for_none(self.operation)?;
        }
        Ok(position)
    }

    /// Where the handle's walk stands, if it is one of this operation's.
    fn position(&mut self) -> Option<Position> {
        if self.handle.is_null() {
            return Some(Position::START);
        }
        let walk = self.call.handles.find(self.call.now, id_of(self.handle)?)?;
        (walk.operation == self.operation).then_some(walk.position)
    }

    /// Takes as many as the page may hold, and sees whether something is left.
    ///
    /// Looking ahead is the same scan one entry further; the next page begins
    /// at what it found, so that nothing is looked at twice.
    pub(super) fn page<'t, T>(
        &mut self,
        mut walk: impl Iterator<Item = (Position, &'t Entry)>,
        mut make: impl FnMut(&'t Entry) -> T,
    ) -> Page<T> {
        let mut found = Vec::new();
        let mut last = None;
        for (position, entry) in walk.by_ref().take(self.max as usize) {
            last = Some(position);
            found.push(make(entry));
        }
        let is_full = found.len() == self.max as usize;
        let next = match last {
            Some(_) if is_full && !self.conversation.looks_ahead(self.max) => last,
            _ => walk.next().map(|(position, _)| position.before()),
        };
        let status = match next {
            _ if found.is_empty() => EptStatus::NOT_REGISTERED,
            None => self.conversation.status_of_last_page(self.operation),
            Some(_) => EptStatus::OK,
        };
        let handle = self.handle_at(next);
        Page {
            handle,
            found,
            status,
        }
    }

    /// The handle to go on with from `next`; null ends the walk.
    fn handle_at(&mut self, next: Option<Position>) -> ContextHandle {
        let Some(position) = next else {
            self.close();
            return ContextHandle::NULL;
        };
        let uuid = id_of(self.handle).unwrap_or_else(self.call.fresh);
        let walk = Walk {
            operation: self.operation,
            position,
        };
        self.call.handles.keep(self.call.now, uuid, walk);
        ContextHandle {
            attributes: 0,
            uuid,
        }
    }

    /// Answers with the page, or with what came in its way, which ends the walk.
    pub(super) fn settle<T>(
        &mut self,
        page: Result<Page<T>, Refusal>,
        answer: impl FnOnce(Page<T>) -> Reply,
    ) -> Reply {
        match page {
            Ok(page) => answer(page),
            Err(refusal) => {
                self.close();
                refusal.reply(|status| answer(Page::of_status(status)))
            }
        }
    }

    /// Ends the walk.
    fn close(&mut self) {
        if let Some(id) = id_of(self.handle) {
            self.call.handles.close(self.call.now, id);
        }
    }
}

/// The UUID of a handle that may be one of ours; `None` for any other, null
/// among them.
pub(super) fn id_of(handle: ContextHandle) -> Option<Uuid> {
    (handle.attributes == 0 && !handle.uuid.is_nil()).then_some(handle.uuid)
}
