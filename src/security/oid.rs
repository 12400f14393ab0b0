//! Object identifiers of mechanisms, as the content octets of their DER form.

/// 1.3.6.1.4.1.311.2.2.10.
///
/// # Source
/// MS-NLMP 1.9.
pub const NTLM: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";

/// 1.2.840.113554.1.2.2.
///
/// # Source
/// RFC 4121 1.1.
pub const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";

/// 1.2.840.48018.1.2.2: Kerberos as Windows calls it, since one of its numbers
/// was cut to 16 bits once.
///
/// # Source
/// MS-SPNG 3.1.5.2.
pub const KERBEROS_CUT: &[u8] = b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02";
