//! `resource.Quantity`: reading, comparing, and the canonical text that the API writes back.

use std::fmt;
use std::str::FromStr;

/// An amount with the kind of suffix it was written with. Nothing finer than a billionth is kept.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Binary,
    Decimal,
    Exponent,
}

const NANOS: i128 = 1_000_000_000;
const LARGEST: i128 = i64::MAX as i128 * NANOS;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct NoQuantity;

impl Quantity {
    /// The amount in billionths.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// The amount in thousandths, rounded up: millicores.
    pub fn millis(self) -> i64 {
        saturate(self.nanos.div_euclid(1_000_000) + i128::from(self.nanos.rem_euclid(1_000_000) != 0))
    }

    /// The amount in whole units, rounded up: bytes.
    pub fn units(self) -> i64 {
        saturate(self.nanos.div_euclid(NANOS) + i128::from(self.nanos.rem_euclid(NANOS) != 0))
    }

    /// So many thousandths.
    pub fn of_millis(millis: i64) -> Self {
        Self { nanos: i128::from(millis) * 1_000_000, style: Style::Decimal }
    }

    /// A whole number.
    pub fn of_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANOS, style: Style::Decimal }
    }

    /// The sum; it keeps the kind of suffix of `self`, or of `other` when `self` is nothing.
    pub fn plus(self, other: Self) -> Self {
        let style = if self.nanos == 0 { other.style } else { self.style };
        Self { nanos: (self.nanos + other.nanos).clamp(-LARGEST, LARGEST), style }
    }

    /// The difference, with the kind of suffix of `self`.
    pub fn minus(self, other: Self) -> Self {
        Self { nanos: (self.nanos - other.nanos).clamp(-LARGEST, LARGEST), style: self.style }
    }
}

/// The thousandths that a text says, rounded up. `None` when it is no quantity.
pub fn millis(text: &str) -> Option<i64> {
    text.parse().ok().map(Quantity::millis)
}

/// The whole units (bytes) that a text says, rounded up. `None` when it is no quantity.
pub fn units(text: &str) -> Option<i64> {
    text.parse().ok().map(Quantity::units)
}

fn saturate(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, NoQuantity> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(NoQuantity);
        }
        let (style, scale) = scale_of(suffix).ok_or(NoQuantity)?;
        // Digits beyond what can matter are dropped: 30 before and 30 after the point.
        let digits = |s: &str| s.bytes().take(30).fold(0_i128, |n, d| n.saturating_mul(10).saturating_add(i128::from(d - b'0')));
        let whole_part = if whole.trim_start_matches('0').len() > 30 { LARGEST } else { digits(whole.trim_start_matches('0')) };
        let mut nanos = scaled(whole_part, scale, 0);
        let fraction: String = fraction.trim_end_matches('0').chars().take(18).collect();
        if !fraction.is_empty() {
            let places = i32::try_from(fraction.len()).unwrap_or(18);
            nanos = nanos.saturating_add(scaled(digits(&fraction), scale, places));
        }
        let nanos = nanos.min(LARGEST);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, style })
    }
}

/// How much a unit of the suffix is: a power of ten or of two.
#[derive(Clone, Copy)]
enum Scale {
    Ten(i32),
    Two(u32),
}

fn scale_of(suffix: &str) -> Option<(Style, Scale)> {
    if let Some(power) = BINARY[1..].iter().position(|s| *s == suffix) {
        return Some((Style::Binary, Scale::Two(10 * (u32::try_from(power).ok()? + 1))));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Style::Decimal, Scale::Ten(*power)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    Some((Style::Exponent, Scale::Ten(exponent.clamp(-40, 40))))
}

/// `digits` x the scale / 10^places in billionths, rounded up.
fn scaled(digits: i128, scale: Scale, places: i32) -> i128 {
    let ten = |power: i32| 10_i128.checked_pow(power.unsigned_abs()).unwrap_or(i128::MAX);
    let (digits, power) = match scale {
        Scale::Ten(power) => (digits, power + 9 - places),
        Scale::Two(bits) => (digits.saturating_mul(1_i128 << bits), 9 - places),
    };
    if power >= 0 { digits.saturating_mul(ten(power)) } else { digits / ten(power) + i128::from(digits % ten(power) != 0) }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // What is small or no whole number of bytes is written in decimal: nothing is lost.
        if self.style == Style::Binary && self.nanos.abs() >= 1024 * NANOS && self.nanos % NANOS == 0 {
            let mut units = i128::from(self.units());
            let mut power = 0;
            while units % 1024 == 0 && power + 1 < BINARY.len() {
                units /= 1024;
                power += 1;
            }
            return write!(f, "{units}{}", BINARY[power]);
        }
        let (mut amount, mut step) = (self.nanos, 0);
        while amount % 1000 == 0 && step + 1 < DECIMAL.len() {
            amount /= 1000;
            step += 1;
        }
        let (suffix, power) = DECIMAL[step];
        match self.style {
            Style::Exponent if power != 0 => write!(f, "{amount}e{power}"),
            _ => write!(f, "{amount}{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_written_in_canonical_form() {
        for (given, written) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("100Mi", "100Mi"),
            ("512", "512"),
            ("1024", "1024"),
            ("0.5Ki", "512"),
            ("1000Ki", "1000Ki"),
            ("1.0001Ki", "1024102400u"),
            ("12e6", "12e6"),
            ("1E3", "1e3"),
            ("128974848", "128974848"),
            ("129M", "129M"),
            ("1000k", "1M"),
            ("-1.5", "-1500m"),
            ("0.0000000001", "1n"),
            (".5", "500m"),
            ("5.", "5"),
            ("99999999999999999999", "9223372036854775807"),
        ] {
            assert_eq!(given.parse::<Quantity>().unwrap().to_string(), written, "{given}");
        }
        for bad in ["", "abc", "1.2.3", "5ki", "1KiB", "--1", "e3", "1 Gi"] {
            assert_eq!(bad.parse::<Quantity>(), Err(NoQuantity), "{bad}");
        }
    }

    #[test]
    fn rounding_is_upwards() {
        assert_eq!("100u".parse::<Quantity>().unwrap().millis(), 1);
        assert_eq!("1500m".parse::<Quantity>().unwrap().units(), 2);
        assert_eq!([units("64Mi"), units("5E-1"), units("1E"), units("Mi")], [Some(64 << 20), Some(1), Some(10_i64.pow(18)), None]);
        assert_eq!([millis("1e3"), millis("0.5"), millis("100n"), millis("1x")], [Some(1_000_000), Some(500), Some(1), None]);
        assert_eq!([2000, 250, 0].map(|n| Quantity::of_millis(n).to_string()), ["2", "250m", "0"]);
    }

    proptest! {
        #[test]
        fn the_canonical_text_means_the_same_and_is_stable(whole in 0_u32.., milli in 0_u32..1000, suffix in "(m||k|M|Ki|Mi|e3)") {
            let parsed: Quantity = format!("{whole}.{milli:03}{suffix}").parse().unwrap();
            let again: Quantity = parsed.to_string().parse().unwrap();
            prop_assert_eq!(again, parsed);
            // A binary amount may lose its suffix, and is a decimal one when it is read again: `2000000`, then `2M`.
            let text = again.to_string();
            prop_assert_eq!(text.parse::<Quantity>().unwrap().to_string(), text);
        }
    }
}
