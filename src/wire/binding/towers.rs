//! Towers from bindings, and bindings from towers.
//!
//! What a floor cannot hold is refused, never cut: above all IPv6 addresses, for
//! which there is no floor. Options stay behind.

use super::{Binding, BindingError, BindingFault, bare_host, port};
use crate::wire::syntax::SyntaxId;
use crate::wire::tower::{Floor, Form, Order, ProtocolId, TowerBuf, TowerParts};
use std::net::Ipv4Addr;
use uuid::Uuid;

impl Binding {
    /// The binding that a tower and its entry's object stand for.
    ///
    /// Port 0 and address 0.0.0.0 read as none, which is how `from_binding`
    /// writes none. `None` for an unknown protocol sequence, and for a port,
    /// address or name that no binding says: a wrong length, a NUL inside, not
    /// UTF-8.
    pub fn from_tower(parts: &TowerParts, object: Option<Uuid>) -> Option<Binding> {
        let protseq = parts.protseq?;
        let row = protseq.row();
        let [endpoint, address] = parts.sides();
        let address = match row.address {
            Some(slot) => slot.form.read(address.unwrap_or_default())?,
            None => String::new(),
        };
        Some(Binding {
            object: object.filter(|object| !object.is_nil()),
            protseq,
            address,
            endpoint: row.endpoint.form.read(endpoint.unwrap_or_default())?,
            options: Vec::new(),
        })
    }
}

impl TowerBuf {
    /// The tower of an interface that is reached by `binding`.
    ///
    /// A missing endpoint becomes port 0 or an empty name, a missing address
    /// 0.0.0.0 or an empty name; IPX goes without its address floor then, as with
    /// Samba.
    ///
    /// # Errors
    /// What a floor cannot hold: an IPv6 address, a host name where an IPv4
    /// address belongs, an address of a sequence that has none, a port that is no
    /// number, a NUL, more than 65535 octets.
    pub fn from_binding(
        interface: SyntaxId,
        transfer_syntax: SyntaxId,
        binding: &Binding,
    ) -> Result<TowerBuf, BindingError> {
        let row = binding.protseq.row();
        let endpoint = (row.endpoint.id, row.endpoint.form.write(&binding.endpoint)?);
        let address = match row.address {
            None if !binding.address.is_empty() => Err(BindingFault::NoAddress(binding.protseq))?,
            Some(_) if binding.address.is_empty() && row.order == Order::AddressOptional => None,
            Some(slot) => Some((slot.id, slot.form.write(&binding.address)?)),
            None => None,
        };
        let mut lower = vec![(row.rpc, vec![0, 0]), endpoint];
        let place = if row.order == Order::AddressFirst {
            1
        } else {
            2
        };
        lower.splice(place..place, address);

        let [one, two] = [interface, transfer_syntax].map(syntax_floor);
        let head = [&one, &two].map(|(lhs, rhs)| Floor { lhs, rhs });
        let lower = lower.iter().map(|(ProtocolId(id), rhs)| Floor {
            lhs: std::slice::from_ref(id),
            rhs,
        });
        let tower = TowerBuf::from_floors(head.into_iter().chain(lower));
        Ok(tower.map_err(|_| BindingFault::TooLong)?)
    }
}

/// The two sides of the floor of an interface or syntax.
fn syntax_floor(syntax: SyntaxId) -> ([u8; 19], [u8; 2]) {
    let mut lhs = [ProtocolId::UUID.0; 19];
    lhs[1..17].copy_from_slice(&syntax.uuid.to_bytes_le());
    lhs[17..].copy_from_slice(&syntax.major.to_le_bytes());
    (lhs, syntax.minor.to_le_bytes())
}

impl Form {
    /// The right-hand side for `text`; that for none where it is empty.
    fn write(self, text: &str) -> Result<Vec<u8>, BindingFault> {
        match self {
            Form::Port => Ok(port(text)?.unwrap_or(0).to_be_bytes().into()),
            Form::Ipv4 if text.is_empty() => Ok(Ipv4Addr::UNSPECIFIED.octets().into()),
            Form::Ipv4 => match text.parse::<Ipv4Addr>() {
                Ok(address) => Ok(address.octets().into()),
                Err(_) if text.contains(':') => Err(BindingFault::Ipv6(text.into())),
                Err(_) => Err(BindingFault::HostName(text.into())),
            },
            Form::Text => terminated(text),
            Form::Host if text.is_empty() => terminated(text),
            Form::Host => terminated(&format!("\\\\{}", bare_host(text))),
            Form::Ipx if text.is_empty() => Ok(Vec::new()),
            Form::Ipx => ipx(text).ok_or_else(|| BindingFault::Ipx(text.into())),
        }
    }

    /// The text of a right-hand side; empty for none, `None` if no text says it.
    fn read(self, rhs: &[u8]) -> Option<String> {
        match self {
            Form::Port => match *rhs {
                [] | [0, 0] => Some(String::new()),
                [high, low] => Some(u16::from_be_bytes([high, low]).to_string()),
                _ => None,
            },
            Form::Ipv4 => match *rhs {
                [] | [0, 0, 0, 0] => Some(String::new()),
                [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
                _ => None,
            },
            Form::Text => {
                let text = std::str::from_utf8(rhs.strip_suffix(&[0]).unwrap_or(rhs)).ok()?;
                (!text.contains('\0')).then(|| text.to_owned())
            }
            Form::Host => Form::Text.read(rhs).map(|host| bare_host(&host).to_owned()),
            Form::Ipx if rhs.is_empty() => Some(String::new()),
            Form::Ipx => (rhs.len() == IPX_LEN).then(|| {
                let digits = rhs.iter().map(|octet| format!("{octet:02X}"));
                format!("~{}", digits.collect::<String>())
            }),
        }
    }
}

/// `text` with a NUL behind and none inside.
fn terminated(text: &str) -> Result<Vec<u8>, BindingFault> {
    if text.contains('\0') {
        return Err(BindingFault::Nul);
    }
    Ok([text.as_bytes(), &[0]].concat())
}

/// Octets of an IPX network and node.
const IPX_LEN: usize = 10;

/// The octets of an IPX address: a tilde and 20 hexadecimal digits.
fn ipx(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('~')?;
    if digits.len() != 2 * IPX_LEN || !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tower::Tower;
    use uuid::uuid;

    const LSARPC: SyntaxId = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ab"), 0, 0);

    fn tower(text: &str) -> Result<TowerBuf, BindingError> {
        TowerBuf::from_binding(LSARPC, SyntaxId::NDR, &text.parse().unwrap())
    }

    fn binding(tower: &TowerBuf) -> Option<Binding> {
        Binding::from_tower(&tower.as_tower().parts().unwrap(), None)
    }

    /// A tower of lsarpc and NDR 2.0 with what stands below floor 2.
    fn worked(floor_count: u8, lower: &[&[u8]]) -> Vec<u8> {
        let head: [&[u8]; 7] = [
            &[floor_count, 0],
            &[19, 0, 0x0d], // floor 1
            &[
                0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0, 1, 0x23, 0x45, 0x67, 0x89,
                0xab,
            ],
            &[0, 0, 2, 0, 0, 0], // major; rhs count, minor
            &[19, 0, 0x0d],      // floor 2
            &[
                0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48,
                0x60,
            ],
            &[2, 0, 2, 0, 0, 0],
        ];
        [head.concat(), lower.concat()].concat()
    }

    const CO: &[u8] = &[1, 0, 0x0b, 2, 0, 0, 0];
    const CL: &[u8] = &[1, 0, 0x0a, 2, 0, 0, 0];
    const LOCAL: &[u8] = &[1, 0, 0x0c, 2, 0, 0, 0];
    const ADDRESS: &[u8] = &[1, 0, 0x09, 4, 0, 192, 0, 2, 10];

    /// Text, octets and length of every worked tower.
    fn worked_towers() -> Vec<(&'static str, Vec<u8>, usize)> {
        let tcp: &[u8] = &[1, 0, 0x07, 2, 0, 0xc2, 0];
        let mapper: &[u8] = &[1, 0, 0x07, 2, 0, 0, 0x87];
        let nowhere: &[u8] = &[1, 0, 0x09, 4, 0, 0, 0, 0, 0];
        let udp: &[u8] = &[1, 0, 0x08, 2, 0, 0xc2, 1];
        let http: &[u8] = &[1, 0, 0x1f, 2, 0, 2, 0x51];
        let pipe: &[u8] = b"\x01\0\x0f\x0c\0\\PIPE\\lsass\0";
        let host: &[u8] = b"\x01\0\x11\x07\0\\\\HOST\0";
        let port: &[u8] = b"\x01\0\x10\x07\0lsarpc\0";
        let path: &[u8] = b"\x01\0\x20\x08\0/run/ep\0";
        vec![
            (
                "ncacn_ip_tcp:192.0.2.10[49664]",
                worked(5, &[CO, tcp, ADDRESS]),
                75,
            ),
            ("ncacn_ip_tcp:[135]", worked(5, &[CO, mapper, nowhere]), 75),
            (
                "ncadg_ip_udp:192.0.2.10[49665]",
                worked(5, &[CL, udp, ADDRESS]),
                75,
            ),
            (
                r"ncacn_np:\\\\HOST[\\PIPE\\lsass]",
                worked(5, &[CO, pipe, host]),
                88,
            ),
            ("ncalrpc:[lsarpc]", worked(4, &[LOCAL, port]), 71),
            (
                "ncacn_http:192.0.2.10[593]",
                worked(5, &[CO, http, ADDRESS]),
                75,
            ),
            ("ncacn_unix_stream:[/run/ep]", worked(4, &[CO, path]), 72),
        ]
    }

    #[test]
    fn worked_towers_from_their_bindings() {
        for (text, octets, length) in worked_towers() {
            assert_eq!(octets.len(), length, "{text}");
            assert_eq!(tower(text).unwrap().octets(), octets, "{text}");
        }
    }

    #[test]
    fn bindings_from_the_worked_towers() {
        for (text, octets, _) in worked_towers() {
            let tower = TowerBuf::decode(octets).unwrap();
            assert_eq!(binding(&tower).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_missing_is_zero_or_empty_in_a_tower() {
        let tail = |text| {
            let tower = tower(text).unwrap();
            tower.octets()[2 + 2 * 25 + 7..].to_vec()
        };
        assert_eq!(
            tail("ncacn_ip_tcp:"),
            [1, 0, 7, 2, 0, 0, 0, 1, 0, 9, 4, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            tail("ncacn_np:"),
            [1, 0, 0x0f, 1, 0, 0, 1, 0, 0x11, 1, 0, 0]
        );
        assert_eq!(tail("ncalrpc:"), [1, 0, 0x10, 1, 0, 0]);
        assert_eq!(tail("ncadg_ipx:"), [1, 0, 0x0e, 2, 0, 0, 0]);
    }

    #[test]
    fn samba_writes_the_appletalk_host_first() {
        let octets = worked(5, &[CO, b"\x01\0\x18\x02\0h\0", b"\x01\0\x16\x02\0e\0"]);
        assert_eq!(tower("ncacn_at_dsp:h[e]").unwrap().octets(), octets);
    }

    #[test]
    fn what_no_tower_holds_is_refused() {
        use BindingFault::*;
        for (text, expected) in [
            (
                "ncacn_ip_tcp:fe80::1%eth0[135]",
                Ipv6("fe80::1%eth0".into()),
            ),
            ("ncacn_http:::[593]", Ipv6("::".into())),
            ("ncadg_ip_udp:host[135]", HostName("host".into())),
            ("ncadg_ipx:host[135]", Ipx("host".into())),
            ("ncalrpc:[a\0b]", Nul),
        ] {
            assert_eq!(tower(text), Err(expected.into()), "{text}");
        }
        let long = format!("ncalrpc:[{}]", "a".repeat(65535));
        assert_eq!(tower(&long), Err(TooLong.into()));
    }

    #[test]
    fn a_tower_that_no_binding_says() {
        let none = |lower: &[&[u8]]| {
            let tower = TowerBuf::decode(worked(lower.len() as u8 + 2, lower)).unwrap();
            binding(&tower).is_none()
        };
        assert!(
            none(&[CO, &[1, 0, 7, 3, 0, 0, 0, 0], ADDRESS]),
            "port of 3 octets"
        );
        assert!(none(&[LOCAL, b"\x01\0\x10\x03\0a\0\0"]), "NUL inside");
        assert!(none(&[LOCAL, b"\x01\0\x10\x01\0\xff"]), "not UTF-8");
        assert!(none(&[CO, &[1, 0, 2, 0, 0]]), "unknown sequence");
    }

    #[test]
    fn odd_requests_give_a_binding_without_endpoint() {
        for (lower, text) in [
            (&[LOCAL, &[1, 0, 0xff, 0, 0]][..], "ncalrpc:"),
            (&[CO, &[1, 0, 0x0f, 0, 0], &[1, 0, 0x11, 0, 0]], "ncacn_np:"),
            (
                &[
                    CO,
                    &[1, 0, 0x1f, 2, 0, 2, 0x51],
                    &[1, 0, 0x20, 4, 0, 192, 0, 2, 10],
                ],
                "ncacn_http:192.0.2.10[593]",
            ),
        ] {
            let octets = worked(lower.len() as u8 + 2, lower);
            let tower = Tower::decode(&octets).unwrap();
            let binding = Binding::from_tower(&tower.parts().unwrap(), Some(Uuid::nil()));
            assert_eq!(binding.unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_ipx_address_is_network_and_node() {
        let text = "ncacn_spx:~0000000108002B30612C[5000]";
        let tower = tower(text).unwrap();
        assert_eq!(binding(&tower).unwrap().to_string(), text);
        let address = tower.as_tower().floors().last().unwrap();
        assert_eq!(address.rhs, [0, 0, 0, 1, 8, 0, 0x2b, 0x30, 0x61, 0x2c]);
    }
}
