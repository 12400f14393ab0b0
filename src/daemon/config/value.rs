//! Plain values of the configuration: of a form that serde checks.

use crate::transport::unix::Access;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::time::Duration;

/// How many of something; at least one.
pub type Count = NonZeroUsize;

/// A length of time, written as a number and its unit: `"500ms"`, `"10s"`,
/// `"5m"`, `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

/// The longest period that is taken: far above any use, far below overflow.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The units of a period and their milliseconds, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Period {
    /// A length of time as it is written.
    pub fn text(period: Duration) -> String {
        Period(period).into()
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let milliseconds = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| number.parse::<u64>().ok()?.checked_mul(*factor))
            .map(Duration::from_millis)
            .filter(|period| !period.is_zero() && *period <= LONGEST);
        milliseconds.map(Period).ok_or_else(|| {
            format!("`{text}` is not a time: write \"500ms\", \"10s\", \"5m\" or \"1h\", from 1ms to 168h")
        })
    }
}

impl From<Period> for String {
    fn from(Period(period): Period) -> String {
        let milliseconds = period.as_millis();
        let whole = |(_, factor): &&(&str, u64)| milliseconds.is_multiple_of(u128::from(*factor));
        let (unit, factor) = UNITS.iter().find(whole).unwrap_or(&("ms", 1));
        format!("{}{unit}", milliseconds / u128::from(*factor))
    }
}

/// The mode of a file, written as octal digits: `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(pub u32);

impl Default for Mode {
    fn default() -> Self {
        Mode(Access::default().mode)
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Mode, String> {
        let digits = text.bytes().all(|octet| octet.is_ascii_digit());
        let mode = u32::from_str_radix(&text, 8).ok();
        let mode = mode.filter(|mode| digits && *mode <= 0o777);
        mode.map(Mode).ok_or_else(|| {
            format!("`{text}` is not a mode: write octal digits, \"0600\" to \"0777\" and the like")
        })
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> String {
        format!("{:04o}", mode.0)
    }
}

/// A user or group: its id, or its name, which the host has to know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "invalid value, expected a name or an id")]
pub enum Who {
    /// A number.
    Id(u32),
    /// A name.
    Name(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_digits() {
        for (text, mode, again) in [
            ("0666", 0o666, "0666"),
            ("660", 0o660, "0660"),
            ("0", 0, "0000"),
            ("00777", 0o777, "0777"),
        ] {
            let read = Mode::try_from(text.to_owned()).unwrap();
            assert_eq!(read, Mode(mode));
            assert_eq!(String::from(read), again);
        }
        for text in [
            "",
            "0668",
            "1777",
            "+666",
            "-1",
            "0o666",
            "rw",
            "99999999999",
        ] {
            assert!(Mode::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_is_written_in_its_largest_whole_unit() {
        for (text, again) in [
            ("500ms", "500ms"),
            ("1000ms", "1s"),
            ("90s", "90s"),
            ("60m", "1h"),
            ("168h", "168h"),
        ] {
            let period = Period::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(period), again);
        }
    }

    #[test]
    fn a_period_needs_a_number_a_unit_and_bounds() {
        for text in [
            "",
            "s",
            "10",
            "0s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            "1d",
            "169h",
            "99999999999999999999s",
        ] {
            assert!(Period::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
