//! Figures and foreign words for people: one way to write a share, a span, a moment and a count, used by every output.

use std::time::Duration;

use super::objective::Ppm;
use super::time::{At, micros};

/// From three nines on, all digits of a share are shown.
const FINE: u32 = 999_000;

/// `99.62 %`, rounded down: what is not whole is never shown as whole.
pub fn percent(share: Ppm) -> String {
    let (whole, rest) = (share.0 / 10_000, share.0 % 10_000);
    let coarse = rest / 100;
    if share.0 < FINE || rest.is_multiple_of(100) {
        return format!("{whole}.{coarse:02} %");
    }
    let digits = format!("{rest:04}");
    format!("{whole}.{} %", digits.trim_end_matches('0'))
}

/// Percentage points of so many parts per million: `8.61`, `-0.0125`.
pub fn points(ppm: i64) -> String {
    let (whole, rest) = (ppm.unsigned_abs() / 10_000, ppm.unsigned_abs() % 10_000);
    let sign = if ppm < 0 { "-" } else { "" };
    // Few are told to the last digit, many rounded towards none.
    if ppm.unsigned_abs() < 1_000 { format!("{sign}{whole}.{rest:04}") } else { format!("{sign}{whole}.{:02}", rest / 100) }
}

/// The same rounded up: an upper bound.
pub fn percent_up(share: Ppm) -> String {
    let up = if share.0 < FINE { share.0.div_ceil(100) * 100 } else { share.0 };
    percent(Ppm(up))
}

/// `5.25 ms`, `1.23 s`, `2m 05s`, `1h 02m`: three significant digits, rounded down, so that what is below a limit is shown below it.
pub fn span(span: Duration) -> String {
    let micros = micros(span);
    let seconds = micros / 1_000_000;
    match seconds {
        0 => format!("{} ms", three_digits(micros)),
        1..60 => format!("{} s", three_digits(micros / 1_000)),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `thousandths / 1000` with three significant digits, rounded down, without trailing zeros.
fn three_digits(thousandths: u64) -> String {
    let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
    let digits = match whole {
        0..10 => format!("{whole}.{:02}", rest / 10),
        10..100 => format!("{whole}.{}", rest / 100),
        _ => return whole.to_string(),
    };
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `t+12.3s`: a moment of the run.
pub fn moment(at: At) -> String {
    format!("t+{}s", tenths(at))
}

/// `t+  2.3s`: a moment, as wide as that of any run below a quarter of an hour.
pub fn aligned_moment(at: At) -> String {
    format!("t+{:>5}s", tenths(at))
}

fn tenths(at: At) -> String {
    let tenths = at.micros() / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `5,600`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 pod`, `2 pods`.
pub fn plural(n: u64, word: &str) -> String {
    format!("{} {word}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Text from a cluster or a service, fit for a terminal and a log: no control characters, no invisible ones, no line breaks.
pub fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_whitespace() { Some(' ') } else { Some(c).filter(|c| !c.is_control() && !is_invisible(*c)) };
    text.chars().filter_map(shown).collect()
}

/// Characters that reorder or hide what stands beside them.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_shows_all_its_digits_from_three_nines_on() {
        let shown = [1_000_000, 999_999, 999_950, 999_500, 999_000, 998_999, 989_996, 990_000, 5_099, 0].map(|p| percent(Ppm(p)));
        assert_eq!(
            shown,
            ["100.00 %", "99.9999 %", "99.995 %", "99.95 %", "99.90 %", "99.89 %", "98.99 %", "99.00 %", "0.50 %", "0.00 %"]
        );
    }

    #[test]
    fn points_keep_their_sign_and_small_ones_all_their_digits() {
        let shown = [0, 125, -125, 999, 1_000, 86_120, -86_190, 1_000_000, -1_000_000].map(points);
        assert_eq!(shown, ["0.0000", "0.0125", "-0.0125", "0.0999", "0.10", "8.61", "-8.61", "100.00", "-100.00"]);
    }

    #[test]
    fn an_upper_bound_is_rounded_up() {
        let shown = [1_000_000, 999_999, 998_999, 998_901, 990_000, 1, 0].map(|p| percent_up(Ppm(p)));
        assert_eq!(shown, ["100.00 %", "99.9999 %", "99.90 %", "99.90 %", "99.00 %", "0.01 %", "0.00 %"]);
    }

    #[test]
    fn a_span_has_three_digits_and_is_never_shown_longer_than_it_is() {
        let shown = [0, 99, 5_250, 41_590, 999_900, 1_000_000, 1_239_999, 12_390_000, 59_999_999, 125_000_000, 3_725_000_000]
            .map(|m| span(Duration::from_micros(m)));
        let expected = ["0 ms", "0.09 ms", "5.25 ms", "41.5 ms", "999 ms", "1 s", "1.23 s", "12.3 s", "59.9 s", "2m 05s", "1h 02m"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn moments_and_counts_read_well() {
        assert_eq!([moment(At(12_390_000)), aligned_moment(At(2_300_000))], ["t+12.3s", "t+  2.3s"]);
        assert_eq!([0, 999, 1_000, 24_000, 1_234_567].map(count), ["0", "999", "1,000", "24,000", "1,234,567"]);
        assert_eq!([plural(1, "pod"), plural(2, "pod")], ["1 pod", "2 pods"]);
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor_or_hide_itself() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\td\u{7}\u{9b}1m\u{202e}e\u{200b}f"), "a[2Jb  c d1mef");
        assert_eq!(clean("größer, 漢字"), "größer, 漢字");
    }
}
