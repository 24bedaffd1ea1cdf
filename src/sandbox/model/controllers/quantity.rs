//! Kubernetes resource quantities: `250m`, `1.5`, `64Mi`, `1e3`.

/// The value in thousandths, rounded up as the API does. `None` when it is no quantity.
pub fn milli(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (scale, base) = match suffix {
        "" => (0, None),
        "n" => (-9, None),
        "u" => (-6, None),
        "m" => (-3, None),
        "k" => (3, None),
        "M" => (6, None),
        "G" => (9, None),
        "T" => (12, None),
        "P" => (15, None),
        "E" => (18, None),
        "Ki" => (0, Some(1 << 10)),
        "Mi" => (0, Some(1 << 20)),
        "Gi" => (0, Some(1 << 30)),
        "Ti" => (0, Some(1 << 40)),
        "Pi" => (0, Some(1 << 50)),
        "Ei" => (0, Some(1 << 60)),
        _ => (suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
        return None;
    }
    // digits x 10^-fraction x 10^scale x base x 1000
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let power = scale + 3 - i32::try_from(fraction.len()).ok()?;
    let value = digits.checked_mul(base.unwrap_or(1))?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let value =
        if power < 0 { value.div_euclid(scale) + i128::from(value.rem_euclid(scale) != 0) } else { value.checked_mul(scale)? };
    i64::try_from(value).ok()
}

/// The value in whole units (bytes), rounded up.
pub fn whole(text: &str) -> Option<i64> {
    milli(text).map(|m| m.div_euclid(1000) + i64::from(m.rem_euclid(1000) != 0))
}

/// Thousandths as the API writes them: `250m`, `2`.
pub fn format_milli(milli: i64) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Bytes in the largest binary unit that gives a whole number.
pub fn format_bytes(bytes: i64) -> String {
    let (mut number, mut unit) = (bytes, "");
    for next in ["Ki", "Mi", "Gi", "Ti"] {
        if number == 0 || number % 1024 != 0 {
            break;
        }
        (number, unit) = (number / 1024, next);
    }
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_the_api_reads_them() {
        let cases = ["250m", "1", "1.5", "0.1", "100u", "64Mi", "1e3", "2E2", ".5", "2k", "", "Mi", "abc", "1x"];
        let want = [
            Some(250),
            Some(1000),
            Some(1500),
            Some(100),
            Some(1),
            Some(64 * 1024 * 1024 * 1000),
            Some(1_000_000),
            Some(200_000),
            Some(500),
            Some(2_000_000),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(cases.map(milli), want);
        assert_eq!([whole("64Mi"), whole("1500m"), whole("1")], [Some(64 * 1024 * 1024), Some(2), Some(1)]);
    }

    #[test]
    fn quantities_are_written_as_the_api_writes_them() {
        assert_eq!([250, 2000, 1, 0].map(format_milli), ["250m", "2", "1m", "0"]);
        assert_eq!([0, 1000, 1024, 64 << 20, 3 << 30].map(format_bytes), ["0", "1000", "1Ki", "64Mi", "3Gi"]);
    }
}
