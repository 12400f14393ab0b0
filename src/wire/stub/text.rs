//! Strings of both widths.

use super::array::read_actual;
use super::{Ndr, Reader, UNLIMITED, Writer};
use crate::wire::input::{self, DecodeError, DecodeFault};
use crate::wire::ndr;
use crate::wire::syntax::TransferSyntax;
use std::borrow::Cow;
use std::fmt;

/// A `[string]` of `char`, borrowed from the stub: its octets without the NUL,
/// which counts in `LIMIT`.
///
/// What stands behind a NUL inside is not written and not read.
///
/// # Source
/// C706 14.3.4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharString<'a, const LIMIT: u64 = UNLIMITED>(pub Cow<'a, [u8]>);

impl<'a, const LIMIT: u64> From<&'a str> for CharString<'a, LIMIT> {
    fn from(text: &'a str) -> Self {
        CharString(text.as_bytes().into())
    }
}

impl<const LIMIT: u64> From<String> for CharString<'_, LIMIT> {
    fn from(text: String) -> Self {
        CharString(text.into_bytes().into())
    }
}

/// What is no UTF-8 is shown as U+FFFD.
impl<const LIMIT: u64> fmt::Display for CharString<'_, LIMIT> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<'a, const LIMIT: u64> Ndr<'a> for CharString<'a, LIMIT> {
    /// Offset, actual count, NUL.
    const LEAST: usize = 9;
    const CONFORMANT: bool = true;
    type Head = u64;
    type Fixed = Self;

    fn alignment(syntax: TransferSyntax) -> usize {
        ndr::width(syntax)
    }

    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<u64, DecodeError> {
        r.parse(ndr::count(name))
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        maximum: u64,
    ) -> Result<Self, DecodeError> {
        let at = r.input();
        let actual = read_actual(r, name, maximum)?;
        let count = r.room(name, actual, LIMIT, 1)?;
        let octets = r.parse(input::octets(name, count))?;
        match octets.last() {
            Some(0) => Ok(CharString(ndr::until_nul(octets).into())),
            _ => Err(at.fault(name, DecodeFault::Nul)),
        }
    }

    fn read_deferred(
        _: &mut Reader<'a>,
        _: &'static str,
        fixed: Self,
    ) -> Result<Self, DecodeError> {
        Ok(fixed)
    }

    fn write_head(&self, w: &mut Writer) {
        ndr::put_count(w.output(), ndr::until_nul(&self.0).len() + 1);
    }

    fn write_fixed(&self, w: &mut Writer) {
        ndr::put_varying_string(w.output(), &self.0, usize::MAX);
    }
}

/// A `[string]` of `wchar_t`: its UTF-16 units without the NUL, which counts in
/// `LIMIT`.
///
/// What stands behind a NUL inside is not written and not read.
///
/// # Source
/// C706 14.3.4; `wchar_t` is 16 bits (MS-RPCE 2.2.4.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WideString<const LIMIT: u64 = UNLIMITED>(pub Vec<u16>);

impl<const LIMIT: u64> WideString<LIMIT> {
    /// What stands before the first NUL.
    fn content(&self) -> &[u16] {
        let mut parts = self.0.split(|&unit| unit == 0);
        parts.next().unwrap_or_default()
    }
}

impl<const LIMIT: u64> From<&str> for WideString<LIMIT> {
    fn from(text: &str) -> Self {
        WideString(text.encode_utf16().collect())
    }
}

/// What is no UTF-16 is shown as U+FFFD.
impl<const LIMIT: u64> fmt::Display for WideString<LIMIT> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&String::from_utf16_lossy(&self.0))
    }
}

impl<'a, const LIMIT: u64> Ndr<'a> for WideString<LIMIT> {
    /// Offset, actual count, NUL.
    const LEAST: usize = 10;
    const CONFORMANT: bool = true;
    type Head = u64;
    type Fixed = Self;

    fn alignment(syntax: TransferSyntax) -> usize {
        ndr::width(syntax)
    }

    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<u64, DecodeError> {
        r.parse(ndr::count(name))
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        maximum: u64,
    ) -> Result<Self, DecodeError> {
        let at = r.input();
        let actual = read_actual(r, name, maximum)?;
        let count = r.room(name, actual, LIMIT, 2)?;
        let mut units = Vec::with_capacity(count);
        for _ in 0..count {
            units.push(r.parse(input::u16(name))?);
        }
        if units.last() != Some(&0) {
            return Err(at.fault(name, DecodeFault::Nul));
        }
        let end = units.iter().position(|&unit| unit == 0);
        units.truncate(end.unwrap_or(count));
        Ok(WideString(units))
    }

    fn read_deferred(
        _: &mut Reader<'a>,
        _: &'static str,
        fixed: Self,
    ) -> Result<Self, DecodeError> {
        Ok(fixed)
    }

    fn write_head(&self, w: &mut Writer) {
        ndr::put_count(w.output(), self.content().len() + 1);
    }

    fn write_fixed(&self, w: &mut Writer) {
        let content = self.content();
        ndr::put_varying(w.output(), content.len() + 1);
        for &unit in content {
            w.output().u16(unit);
        }
        w.output().u16(0);
    }
}
