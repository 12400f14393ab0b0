//! Plays conversations to both servers, several at once, and keeps account.
//!
//! Samba's mapper serves all connections with one process. When that ends while a conversation is under way, nobody
//! can tell whose doing it was, so such a conversation counts for nothing and is played again, alone.

use crate::allow::{ALLOWANCES, Allowance};
use crate::compare::{self, Difference, Order};
use crate::conversation::{Conversation, hex};
use crate::play::{self, End, Server, Trace};
use crate::samba::Samba;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Conversations at a time.
const AT_ONCE: usize = 8;
/// Conversations that are played again when Samba's mapper crashed in one of them.
const BATCH: usize = 100;

/// The two servers.
pub struct Servers {
    pub ours: Ipv4Addr,
    pub samba: Samba,
}

/// What both said.
pub struct Said {
    pub ours: Vec<Trace>,
    pub sambas: Vec<Trace>,
}

impl Said {
    /// Whether Samba's mapper never answered something, which it always has
    /// at another time: a process of it hangs.
    fn is_silent(&self) -> bool {
        self.sambas.iter().any(|trace| trace.end == End::Silent)
    }
}

/// What came of all conversations.
#[derive(Default)]
pub struct Account {
    /// How many there were.
    pub conversations: usize,
    /// How many answers of ours were compared, by type.
    pub answers: BTreeMap<String, usize>,
    /// In how many conversations both said the same to the end, explained differences of fields aside.
    pub compared_to_the_end: usize,
    /// How often each allowance was used.
    pub used: BTreeMap<&'static str, usize>,
    /// How often Samba's mapper crashed.
    pub crashes: usize,
    /// Those that Samba's mapper left unanswered twice, so that nothing can be compared.
    pub hung: Vec<Conversation>,
    pub unexplained: Vec<Unexplained>,
}

/// A difference that no allowance explains.
pub struct Unexplained {
    pub conversation: Conversation,
    pub difference: Difference,
    pub said: Said,
}

impl Servers {
    /// Plays all conversations to both.
    pub fn run(&self, conversations: &[Conversation]) -> Account {
        let mut account = Account::default();
        for batch in conversations.chunks(BATCH) {
            let all = match self.play_at_once(batch) {
                Some(all) => all,
                None => batch
                    .iter()
                    .map(|conversation| self.play_alone(conversation))
                    .collect(),
            };
            for (conversation, mut said) in batch.iter().zip(all) {
                // A connection that came when the process ended may never be
                // answered; alone it shows whether that was the reason.
                if said.is_silent() {
                    said = self.play_alone(conversation);
                }
                if said.is_silent() {
                    account.hung.push(conversation.clone());
                } else {
                    account.add(conversation, said);
                }
            }
        }
        account
    }

    /// Plays a batch to both; `None` when Samba's mapper was not one process all the time.
    fn play_at_once(&self, batch: &[Conversation]) -> Option<Vec<Said>> {
        let worker = self.samba.worker();
        let next = AtomicUsize::new(0);
        let all = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(conversation) = batch.get(place) else {
                            return;
                        };
                        let said = self.play(conversation, worker);
                        all.lock().unwrap().push((place, said));
                    }
                });
            }
        });
        if self.samba.worker() != worker {
            return None;
        }
        let mut all = all.into_inner().unwrap();
        all.sort_by_key(|(place, _)| *place);
        Some(all.into_iter().map(|(_, said)| said).collect())
    }

    /// Plays one to both when nobody else talks to Samba's mapper, so that a crash is this conversation's doing.
    pub fn play_alone(&self, conversation: &Conversation) -> Said {
        let worker = self.samba.worker();
        let mut said = self.play(conversation, worker);
        if self.samba.worker() != worker {
            for trace in &mut said.sambas {
                trace.end = End::Crashed;
            }
        }
        said
    }

    fn play(&self, conversation: &Conversation, worker: u32) -> Said {
        let ours = Server {
            address: self.ours,
            is_up: &|| true,
        };
        let sambas = Server {
            address: self.samba.address(),
            is_up: &|| self.samba.workers() == [worker],
        };
        Said {
            ours: play::play(ours, conversation),
            sambas: play::play(sambas, conversation),
        }
    }

    /// The smallest prefix of a conversation that still has an unexplained difference, if it is one at all.
    ///
    /// Nothing shorter than what had been said when it was seen, but for steps that nobody waited for.
    pub fn shrink(&self, unexplained: &Unexplained) -> Option<Unexplained> {
        const NOT_WAITED_FOR: usize = 8;
        let all = unexplained.conversation.steps.len();
        let seen = unexplained.difference.after.min(all);
        (seen.saturating_sub(NOT_WAITED_FOR).max(1)..=all).find_map(|steps| {
            let prefix = unexplained.conversation.prefix(steps);
            let said = self.play_alone(&prefix);
            judge(&prefix, said).err().map(|unexplained| *unexplained)
        })
    }
}

/// The allowances that a conversation uses, and whether it was compared to its end.
fn judge(
    conversation: &Conversation,
    said: Said,
) -> Result<(Vec<&'static Allowance>, bool), Box<Unexplained>> {
    let explained = |order| {
        let both = (&said.ours[..], &said.sambas[..]);
        let differences = compare::differences(conversation, both, order);
        let used = compare::explain(conversation, &differences, ALLOWANCES)?;
        let parts = differences.iter().any(|difference| difference.is_parting)
            || used.iter().any(|allowance| allowance.parts);
        Ok((used, !parts))
    };
    match explained(Order::Last)
        .or_else(|difference: Box<Difference>| explained(Order::First).map_err(|_| difference))
    {
        Ok(explained) => Ok(explained),
        Err(difference) => Err(Box::new(Unexplained {
            conversation: conversation.clone(),
            difference: *difference,
            said,
        })),
    }
}

impl Account {
    fn add(&mut self, conversation: &Conversation, said: Said) {
        self.conversations += 1;
        self.crashes += usize::from(said.sambas.iter().any(|trace| trace.end == End::Crashed));
        for answer in said.ours.iter().flat_map(|trace| &trace.answers) {
            *self.answers.entry(answer.pdu.clone()).or_default() += 1;
        }
        match judge(conversation, said) {
            Ok((used, to_the_end)) => {
                self.compared_to_the_end += usize::from(to_the_end);
                for allowance in &used {
                    *self.used.entry(allowance.id).or_default() += 1;
                }
            }
            Err(unexplained) => self.unexplained.push(*unexplained),
        }
    }
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unexplained {
            conversation,
            difference,
            said,
        } = self;
        writeln!(f, "{difference}")?;
        write!(f, "{conversation}")?;
        for (who, traces) in [("ours", &said.ours), ("Samba's", &said.sambas)] {
            writeln!(f, "  {who}:")?;
            for (number, trace) in traces.iter().enumerate() {
                for answer in &trace.answers {
                    let octets = hex(&answer.octets);
                    writeln!(f, "    {number} after {}: {octets}", answer.after)?;
                }
                writeln!(f, "    {number} {}", trace.end)?;
            }
        }
        Ok(())
    }
}
