//! The Huffman code of HPACK (RFC 7541, appendix B). It is canonical: the lengths alone, in the order of the symbols, give every code.

use super::Violation;

/// Bits of the code of each byte. The code of the end of a string has 30 ones and never occurs whole.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
    28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23,
    24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22,
    23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
    27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// For each length: the first code, how many there are, and where their bytes begin in `bytes`.
struct Codes {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [usize; LONGEST + 1],
    bytes: [u8; 256],
}

static CODES: Codes = codes();

#[expect(clippy::cast_possible_truncation, reason = "a byte's number fits into a byte")]
const fn codes() -> Codes {
    let mut codes = Codes { first: [0; LONGEST + 1], count: [0; LONGEST + 1], start: [0; LONGEST + 1], bytes: [0; 256] };
    let (mut length, mut code, mut at) = (SHORTEST, 0, 0);
    while length <= LONGEST {
        codes.first[length] = code;
        codes.start[length] = at;
        let mut byte = 0;
        while byte < LENGTHS.len() {
            if LENGTHS[byte] as usize == length {
                codes.bytes[at] = byte as u8;
                at += 1;
                code += 1;
            }
            byte += 1;
        }
        codes.count[length] = (at - codes.start[length]) as u32;
        code <<= 1;
        length += 1;
    }
    codes
}

/// Adds what `coded` says to `plain`.
pub(super) fn decode(coded: &[u8], plain: &mut Vec<u8>) -> Result<(), Violation> {
    let (mut code, mut length) = (0_u32, 0);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |n| u32::from(byte >> n & 1))) {
        code = code << 1 | bit;
        length += 1;
        if length > LONGEST {
            return Err(Violation::Protocol("no such Huffman code"));
        }
        let nth = code.wrapping_sub(CODES.first[length]);
        if length >= SHORTEST
            && nth < CODES.count[length]
            && let Some(byte) = CODES.bytes.get(CODES.start[length] + nth as usize)
        {
            plain.push(*byte);
            (code, length) = (0, 0);
        }
    }
    // What is left of the last byte is the beginning of the code of the end.
    if length < 8 && code == (1 << length) - 1 { Ok(()) } else { Err(Violation::Protocol("Huffman code cut short")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(coded: &[u8]) -> Result<String, Violation> {
        let mut plain = Vec::new();
        decode(coded, &mut plain).map(|()| String::from_utf8(plain).unwrap())
    }

    #[test]
    fn the_strings_of_the_standard_are_read() {
        let standard: [(&[u8], &str); 4] = [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82,
                    0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ];
        for (coded, text) in standard {
            assert_eq!(plain(coded).as_deref(), Ok(text));
        }
    }

    #[test]
    fn every_byte_has_a_code_and_a_string_that_ends_wrongly_has_none() {
        assert_eq!(LENGTHS.iter().map(|length| 1_u64 << (LONGEST - usize::from(*length))).sum::<u64>(), (1 << LONGEST) - 1);
        assert_eq!(plain(&[]).as_deref(), Ok(""));
        // A whole byte of padding, padding with a zero, the end itself.
        for wrong in [&[0x64, 0x02, 0xff][..], &[0x65], &[0xff, 0xff, 0xff, 0xff]] {
            assert!(plain(wrong).is_err(), "{wrong:x?}");
        }
    }
}
