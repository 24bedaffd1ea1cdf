//! Kubernetes quantities (`250m`, `64Mi`, `1e3`), as far as a node needs them.

/// A quantity in thousandths of its unit, rounded up.
pub(super) fn milli(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 12 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (multiply, divide) = scale(suffix)?;
    let mantissa: i128 = if whole.is_empty() { format!("0{fraction}") } else { format!("{whole}{fraction}") }.parse().ok()?;
    let divisor = divide.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let value = mantissa.checked_mul(multiply)?.checked_mul(1000)?;
    Some(value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) != 0))
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|e| !e.is_empty()) {
        let exponent: i32 = exponent.parse().ok()?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs().min(40))?;
        return Some(if exponent < 0 { (1, power) } else { (power, 1) });
    }
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return None,
    })
}

/// A quantity of bytes, rounded up to whole ones.
pub(super) fn bytes(text: &str) -> Option<u64> {
    u64::try_from(milli(text)?.checked_add(999)?.div_euclid(1000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_all_their_notations() {
        let all = ["250m", "1", "0.5", "64Mi", "1e3", "5E-1", ".5", "100n"].map(milli);
        let expected = [250, 1000, 500, 64 * 1024 * 1024 * 1000, 1_000_000, 500, 500, 1].map(Some);
        assert_eq!(all, expected);
        assert_eq!((bytes("1Ki"), bytes("1500m"), bytes("1E")), (Some(1024), Some(2), Some(1_000_000_000_000_000_000)));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        assert_eq!(["", "Mi", "1Xi", "one", "1.2.3", "--1", "1e99"].map(milli), [None; 7]);
    }
}
