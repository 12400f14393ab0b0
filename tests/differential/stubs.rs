//! Stubs of responses, as named fields.
//!
//! Left out: the numbers of handles (null or live is kept), the server's own address in towers, and the values of the
//! statistics. Everything else is compared, the length of the stub too.

use crate::conversation::hex;
use epmapper::wire::ept::{
    self, ContextHandle, HandleFreeResponse, InqObjectResponse, LookupResponse, MapResponse,
};
use epmapper::wire::mgmt::{
    self, InqIfIdsResponse, InqPrincNameResponse, InqStatsResponse, IsServerListeningResponse,
    StopServerListeningResponse,
};
use epmapper::wire::ndr::Pointer;
use epmapper::wire::{ByteOrder, DecodeError, EptStatus, Input, SyntaxId};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// The whole stub of an answer.
pub struct Response<'a> {
    pub interface: SyntaxId,
    pub opnum: u16,
    pub order: ByteOrder,
    /// Who answers.
    pub server: Ipv4Addr,
    pub stub: &'a [u8],
}

/// A tower in a response.
type TowerPointer<'t> = Option<Pointer<Cow<'t, [u8]>>>;

/// What a stub says.
type Fields = Vec<(&'static str, String)>;

impl Response<'_> {
    /// What the stub says; in hex when it cannot be read.
    pub fn fields(&self) -> Fields {
        let stub = Input::new(self.stub, self.order);
        let read = match self.interface {
            SyntaxId::EPT => self.ept(stub),
            SyntaxId::MGMT => self.mgmt(stub),
            _ => None,
        };
        let mut fields = match read {
            Some(Ok(fields)) => fields,
            Some(Err(error)) => vec![("unreadable stub", format!("{error}: {}", hex(self.stub)))],
            None => vec![("stub", hex(self.stub))],
        };
        if (self.interface, self.opnum) != (SyntaxId::EPT, ept::LOOKUP) {
            fields.push(("stub length", self.stub.len().to_string()));
        }
        fields
    }

    fn ept(&self, stub: Input<'_>) -> Option<Result<Fields, DecodeError>> {
        Some(match self.opnum {
            ept::LOOKUP => LookupResponse::decode(stub).map(|page| self.lookup(&page)),
            ept::MAP => MapResponse::decode(stub).map(|page| self.map(&page)),
            ept::LOOKUP_HANDLE_FREE => HandleFreeResponse::decode(stub)
                .map(|freed| vec![status(freed.status), handle(freed.handle)]),
            ept::INQ_OBJECT => InqObjectResponse::decode(stub).map(|own| vec![status(own.status)]),
            _ => return None,
        })
    }

    /// Of the entries only whether there are any: each mapper lists itself, and Samba's some twice.
    fn lookup(&self, page: &LookupResponse<'_>) -> Fields {
        let count = match page.entries.len() {
            0 => "none",
            count if count == page.max_ents as usize => "full page",
            _ => "some",
        };
        vec![
            status(page.status),
            handle(page.handle),
            ("count", count.to_owned()),
            ("maximum", page.max_ents.to_string()),
            referents(page.entries.iter().map(|entry| &entry.tower)),
        ]
    }

    fn map(&self, page: &MapResponse<'_>) -> Fields {
        vec![
            status(page.status),
            handle(page.handle),
            ("count", page.towers.len().to_string()),
            ("maximum", page.max_towers.to_string()),
            referents(page.towers.iter()),
            (
                "towers",
                listed(page.towers.iter().map(|tower| self.tower(tower))),
            ),
        ]
    }

    /// A tower in hex, without the server's address.
    fn tower(&self, tower: &TowerPointer<'_>) -> String {
        let Some(tower) = tower else {
            return "null".to_owned();
        };
        let own: String = hex(&self.server.octets());
        hex(&tower.value)
            .replace(&format!("01000904{own}"), "01000904........")
            .replace(&format!("0100090400{own}"), "0100090400........")
    }

    fn mgmt(&self, stub: Input<'_>) -> Option<Result<Fields, DecodeError>> {
        Some(match self.opnum {
            mgmt::INQ_IF_IDS => InqIfIdsResponse::decode(stub).map(|ids| {
                let interfaces = listed(ids.interfaces());
                vec![status(ids.status), ("interfaces", interfaces)]
            }),
            mgmt::INQ_STATS => InqStatsResponse::decode(stub).map(|told| {
                vec![
                    ("count", told.statistics.len().to_string()),
                    status(told.status),
                ]
            }),
            mgmt::IS_SERVER_LISTENING => IsServerListeningResponse::decode(stub).map(|told| {
                vec![
                    ("listening", told.listening.to_string()),
                    status(told.status),
                ]
            }),
            mgmt::STOP_SERVER_LISTENING => {
                StopServerListeningResponse::decode(stub).map(|told| vec![status(told.status)])
            }
            mgmt::INQ_PRINC_NAME => InqPrincNameResponse::decode(stub).map(|told| {
                let name = String::from_utf8_lossy(&told.princ_name).into_owned();
                vec![
                    ("name", name),
                    ("maximum", told.princ_name_size.to_string()),
                    status(told.status),
                ]
            }),
            _ => return None,
        })
    }
}

fn handle(handle: ContextHandle) -> (&'static str, String) {
    let kind = if handle.is_null() { "null" } else { "live" };
    ("handle", kind.to_owned())
}

fn status(status: EptStatus) -> (&'static str, String) {
    ("status", format!("{:#x}", status.0))
}

/// From where on referents are counted, if they are.
fn referents<'a, 't: 'a>(
    towers: impl Iterator<Item = &'a TowerPointer<'t>>,
) -> (&'static str, String) {
    let referents: Vec<u64> = towers
        .map(|tower| tower.as_ref().map_or(0, |tower| tower.referent))
        .collect();
    let told = match referents.first() {
        None => "none".to_owned(),
        Some(&first)
            if referents
                .iter()
                .copied()
                .eq(first..first + referents.len() as u64) =>
        {
            format!("from {first}")
        }
        Some(_) => format!("{referents:?}"),
    };
    ("referents", told)
}

/// Items with a comma between.
fn listed(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(", ")
}
