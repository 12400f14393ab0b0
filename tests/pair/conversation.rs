//! The conversation that is split, cut and altered.

use crate::ends::{FAULTS, WHOLE, co_cancel, orphaned, request_in, settings_with};
use crate::link::{Offer, Step};
use epmapper::proto::{ClientSettings, Settings};
use epmapper::wire::pdu::{PfcFlags, bind_time_syntax};
use epmapper::wire::{ByteOrder, SyntaxId};
use std::time::Duration;
use uuid::Uuid;

/// How both ends write.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub order: ByteOrder,
    /// The transfer syntaxes of the server, the preferred one first.
    pub served: &'static [SyntaxId],
}

const NDR: &[SyntaxId] = &[SyntaxId::NDR];
const NDR64: &[SyntaxId] = &[SyntaxId::NDR64];
const BOTH: &[SyntaxId] = &[SyntaxId::NDR64, SyntaxId::NDR];

/// Both byte orders and each transfer syntax.
pub const DIALECTS: [Dialect; 4] = [
    dialect(ByteOrder::Little, NDR),
    dialect(ByteOrder::Little, NDR64),
    dialect(ByteOrder::Big, NDR),
    dialect(ByteOrder::Big, NDR64),
];

/// A server that has both transfer syntaxes.
pub const BILINGUAL: Dialect = dialect(ByteOrder::Little, BOTH);

/// The plainest.
pub const PLAIN: Dialect = DIALECTS[0];

const fn dialect(order: ByteOrder, served: &'static [SyntaxId]) -> Dialect {
    Dialect { order, served }
}

/// Octets of a stub that takes two fragments.
pub const LONG: usize = 1500;

/// The most that a call or an answer may have here.
pub const MOST: usize = 4096;

/// The fragment size of the client: the smallest that everybody takes.
pub const MAX_FRAG: u16 = 1432;

/// How long the client waits for each answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The context of mgmt, which an alter_context adds.
pub const MGMT: u16 = 4;

/// A context that nobody bound.
pub const UNBOUND: u16 = 9;

/// An interface that is not served.
const FOREIGN: SyntaxId = SyntaxId::new(Uuid::from_u128(7), 1, 0);

/// The object of the last call.
pub const OBJECT: Uuid = Uuid::from_u128(0x00112233_4455_6677_8899_aabbccddeeff);

/// What a bind-time feature element offers.
const FEATURES: &[SyntaxId] = &[bind_time_syntax(3)];

impl Dialect {
    pub fn settings(&self) -> Settings {
        Settings {
            max_call: MOST,
            ..settings_with(self.served)
        }
    }

    pub fn client(&self) -> ClientSettings {
        ClientSettings {
            order: self.order,
            max_frag: MAX_FRAG,
            max_answer: MOST,
            answer_timeout: ANSWER_TIMEOUT,
            ..ClientSettings::default()
        }
    }

    /// The context of ept: 0 stands for NDR or for both, 1 for NDR64.
    pub fn ept(&self) -> u16 {
        u16::from(self.served == NDR64)
    }

    /// What the bind offers.
    fn offers(&self) -> Vec<Offer> {
        let foreign = (7, FOREIGN, NDR);
        let features = (2, SyntaxId::EPT, FEATURES);
        if self.served == BOTH {
            return vec![foreign, (0, SyntaxId::EPT, BOTH), features];
        }
        let (plain, wide) = ((0, SyntaxId::EPT, NDR), (1, SyntaxId::EPT, NDR64));
        vec![foreign, plain, wide, features]
    }

    pub fn bind(&self) -> Step {
        Step::Bind(0, self.offers())
    }

    /// A call of ept.
    pub fn call(&self, opnum: u16, stub: &[u8]) -> Step {
        call((self.ept(), opnum), None, stub)
    }

    /// Everything that a client does, once.
    pub fn conversation(&self) -> Vec<Step> {
        let more = vec![(MGMT, SyntaxId::MGMT, BOTH), (8, FOREIGN, NDR64)];
        vec![
            self.bind(),
            Step::Alter(more.clone()),
            self.call(2, b"one fragment"),
            Step::Unanswered(self.unanswered()),
            Step::Call {
                target: (self.ept(), 1),
                object: None,
                stub: long_stub(),
                disturbed: true,
            },
            self.call(FAULTS, b""),
            call((UNBOUND, 1), None, b"of no context"),
            Step::Alter(more),
            call((MGMT, 3), Some(OBJECT), b"with an object"),
        ]
    }

    /// A MAYBE call, and a co_cancel and an orphaned for calls that are not.
    fn unanswered(&self) -> Vec<u8> {
        let maybe = WHOLE | PfcFlags::MAYBE;
        [
            request_in(self.order, 900, maybe, (MGMT, 1), b"maybe"),
            co_cancel(self.order, 900),
            orphaned(self.order, 901),
        ]
        .concat()
    }
}

/// A call that nothing disturbs.
pub fn call(target: (u16, u16), object: Option<Uuid>, stub: &[u8]) -> Step {
    Step::Call {
        target,
        object,
        stub: stub.to_vec(),
        disturbed: false,
    }
}

/// A stub of two fragments whose octets all tell their place.
pub fn long_stub() -> Vec<u8> {
    (0..LONG).map(|at| (at % 251) as u8).collect()
}
