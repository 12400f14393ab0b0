//! Plain values of the configuration: of a form that serde checks.

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

#[cfg(test)]
mod tests {
    use super::*;

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
