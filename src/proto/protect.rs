//! Signed and sealed PDUs, as both ends make and take them.

use super::security::{Named, Packet, SecurityContext, SecurityError};
use crate::wire::pdu::{AuthVerifier, Pdu};

/// A stub is padded to a multiple of this where it is signed (MS-RPCE
/// 2.2.2.11).
const AUTH_PAD: usize = 16;

/// What signs and seals the PDUs of a security context.
pub struct Protection<'a> {
    /// How verifiers name the security context.
    pub named: Named,
    /// The security context, which is complete.
    pub context: &'a mut dyn SecurityContext,
    /// Whether headers are signed.
    pub signs_header: bool,
}

impl Protection<'_> {
    /// Octets that each PDU takes for its verifier; what pads its stub is not
    /// counted.
    pub fn overhead(&self) -> usize {
        AuthVerifier::HEAD + self.context.signature_len()
    }

    /// Appends `pdu`, whose body ends with a stub of `stub_len` octets, with its
    /// verifier.
    ///
    /// # Errors
    /// When the context can sign no more; nothing was appended then.
    pub fn append(
        &mut self,
        pdu: Pdu<'_>,
        stub_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SecurityError> {
        let start = out.len();
        let zeros = vec![0; self.context.signature_len()];
        let pad = &[0; AUTH_PAD][..stub_len.wrapping_neg() % AUTH_PAD];
        let pdu = Pdu {
            pad,
            auth: Some(self.named.verifier(pad.len() as u8, &zeros)),
            ..pdu
        };
        pdu.encode(out);
        let signed = out.len() - start - zeros.len();
        let (octets, signature) = out[start..].split_at_mut(signed);
        let trailer = signed - AuthVerifier::HEAD;
        let packet = Packet {
            octets,
            stub: trailer - pad.len() - stub_len..trailer,
            signs_header: self.signs_header,
        };
        let done = self.context.protect(packet, signature);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// The octets of a PDU with its stub of `stub_len` octets unsealed, once its
    /// verifier was checked; `None` when that does not fit.
    pub fn verified(
        &mut self,
        octets: &[u8],
        stub_len: usize,
        verifier: &AuthVerifier<'_>,
    ) -> Option<Vec<u8>> {
        // Decoding found room for all of these.
        let signed = octets.len().checked_sub(verifier.value.len())?;
        let trailer = signed.checked_sub(AuthVerifier::HEAD)?;
        let padded = stub_len + usize::from(verifier.pad_length);
        let mut plain = octets.to_vec();
        let packet = Packet {
            octets: plain.get_mut(..signed)?,
            stub: trailer.checked_sub(padded)?..trailer,
            signs_header: self.signs_header,
        };
        self.context.verify(packet, verifier.value).ok()?;
        Some(plain)
    }
}
