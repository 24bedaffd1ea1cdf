//! The chunked coding (RFC 9112, section 7.1).

use super::{Sink, Violation};

/// Bytes of chunk sizes, extensions and trailers allowed, beside a share of the body's own size.
const OVERHEAD_MAX: u64 = 64 * 1024;
/// Overhead allowed for each byte of body: a chunk of one byte needs six.
const OVERHEAD_SHARE: u64 = 16;

/// Where in the coding we are.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    at: Place,
    overhead: u64,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    /// Reads on. Answers how many bytes were used and whether the last chunk is complete.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        body_bytes: &mut u64,
        max_body: u64,
        sink: &mut impl Sink,
    ) -> Result<(usize, bool), Violation> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            if let Place::Data { left } = self.at {
                let piece = rest.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(rest);
                let left = left - piece.len() as u64;
                self.at = if left == 0 { Place::DataCr } else { Place::Data { left } };
                sink.body(piece);
                used += piece.len();
                continue;
            }
            used += 1;
            self.overhead += 1;
            if self.overhead > OVERHEAD_MAX + OVERHEAD_SHARE * *body_bytes {
                return Err(Violation::TooLarge("chunk framing"));
            }
            let Some(next) = step(self.at, rest[0])? else {
                return Ok((used, true));
            };
            if let Place::Data { left } = next {
                *body_bytes = body_bytes.saturating_add(left);
                if *body_bytes > max_body {
                    return Err(Violation::TooLarge("body"));
                }
            }
            self.at = next;
        }
        Ok((used, false))
    }
}

/// The place after one byte that is not data; `None` after the very last.
fn step(at: Place, byte: u8) -> Result<Option<Place>, Violation> {
    const BAD: Violation = Violation::Protocol("malformed chunk");
    let next = match (at, byte) {
        (Place::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
            let digit = u64::from(char::from(byte).to_digit(16).unwrap_or(0));
            let size = size.checked_mul(16).ok_or(BAD)? + digit;
            Place::Size { size, digits: digits.saturating_add(1) }
        }
        (Place::Size { digits: 0, .. }, _) => return Err(BAD),
        (Place::Size { size, .. } | Place::Extension { size }, b'\r') => Place::SizeLf { size },
        (Place::Size { size, .. }, b';' | b' ' | b'\t') => Place::Extension { size },
        (Place::Extension { size }, _) if byte != b'\n' => Place::Extension { size },
        (Place::SizeLf { size: 0 } | Place::TrailerLf, b'\n') => Place::TrailerStart,
        (Place::SizeLf { size }, b'\n') => Place::Data { left: size },
        (Place::DataCr, b'\r') => Place::DataLf,
        (Place::DataLf, b'\n') => Place::default(),
        (Place::TrailerStart, b'\r') => Place::LastLf,
        (Place::Trailer, b'\r') => Place::TrailerLf,
        (Place::TrailerStart | Place::Trailer, _) if byte != b'\n' => Place::Trailer,
        (Place::LastLf, b'\n') => return Ok(None),
        _ => return Err(BAD),
    };
    Ok(Some(next))
}
