//! Header compression (RFC 7541): reads what the other side sends, and writes requests so that it need not remember anything of them.

mod huffman;
mod table;

use self::table::{SIZE_MAX, Table};
use super::super::http1::{HEAD_MAX, HEADERS_MAX, Violation};

/// What a header counts besides its bytes (RFC 9113, section 6.5.2).
const OVERHEAD: usize = 32;

/// A head that is larger than this is not even skipped. Else a few bytes that refer to long headers again and again would keep us busy.
const SKIPPED_MAX: usize = 16 * HEAD_MAX;

/// The headers of one block, in order, in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
    size: usize,
    count: usize,
}

impl Fields {
    /// The names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let part = |from: usize, to: usize| self.bytes.get(from..to).unwrap_or_default();
        starts.zip(&self.ends).map(move |(start, (name, value))| (part(start, *name), part(*name, *value)))
    }

    /// Their size as both sides count it.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// More than is read; then some are missing.
    pub(crate) fn too_large(&self) -> Option<&'static str> {
        // One more for the status, which is a header here.
        if self.count > HEADERS_MAX + 1 { Some("headers") } else { (self.size > HEAD_MAX).then_some("head") }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.count += 1;
        self.size = self.size.saturating_add(name.len() + value.len() + OVERHEAD);
        if self.too_large().is_none() {
            self.bytes.extend_from_slice(name);
            let end = self.bytes.len();
            self.bytes.extend_from_slice(value);
            self.ends.push((end, self.bytes.len()));
        }
    }
}

/// Reads blocks of headers, one after the other, from one connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    table: Table,
}

impl Decoder {
    /// Reads a whole block. After a violation the tables of both sides differ: the connection is of no more use.
    pub(crate) fn block(&mut self, block: &[u8]) -> Result<Fields, Violation> {
        let mut fields = Fields::default();
        let mut rest = block;
        // A new size may only be said first, and at most twice.
        let mut sizes = 2;
        while let Some(first) = rest.first().copied() {
            match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    let (name, value) = self.table.get(index).ok_or(Violation::Protocol("no such header remembered"))?;
                    fields.add(name, value);
                }
                0x40.. => self.literal(&mut rest, 6, &mut fields)?,
                0x20.. => {
                    let size = integer(&mut rest, 5)?;
                    if sizes == 0 || fields.count > 0 || size > SIZE_MAX {
                        return Err(Violation::Protocol("a table size out of place or bounds"));
                    }
                    sizes -= 1;
                    self.table.resize(size);
                }
                _ => self.literal(&mut rest, 4, &mut fields)?,
            }
            if fields.size > SKIPPED_MAX {
                return Err(Violation::TooLarge("head"));
            }
        }
        Ok(fields)
    }

    /// A header that is spelt out, all or its value; with a prefix of six bits it is to be remembered.
    fn literal(&mut self, rest: &mut &[u8], prefix: u32, fields: &mut Fields) -> Result<(), Violation> {
        let index = integer(rest, prefix)?;
        let name = match index {
            0 => string(rest)?,
            _ => self.table.get(index).ok_or(Violation::Protocol("no such header remembered"))?.0.to_vec(),
        };
        let value = string(rest)?;
        fields.add(&name, &value);
        if prefix == 6 {
            self.table.add(&name, &value);
        }
        Ok(())
    }
}

/// A number that begins in the low bits of a byte.
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Violation> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(take(rest)?) & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = take(rest)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Violation::Protocol("a number too large"))
}

fn string(rest: &mut &[u8]) -> Result<Vec<u8>, Violation> {
    let coded = rest.first().is_some_and(|first| *first >= 0x80);
    let length = integer(rest, 7)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(Violation::Protocol("a block of headers cut short"))?;
    *rest = after;
    if !coded {
        return Ok(bytes.to_vec());
    }
    let mut plain = Vec::with_capacity(bytes.len() * 8 / 5);
    huffman::decode(bytes, &mut plain)?;
    Ok(plain)
}

fn take(rest: &mut &[u8]) -> Result<u8, Violation> {
    let (first, after) = rest.split_first().ok_or(Violation::Protocol("a block of headers cut short"))?;
    *rest = after;
    Ok(*first)
}

/// Adds a header to a request's block: spelt out, to be remembered by nobody (and, if `secret`, by nobody on the way either), so that the
/// same bytes serve on every connection.
pub(crate) fn write(block: &mut Vec<u8>, name: &[u8], value: &[u8], secret: bool) {
    block.push(if secret { 0x10 } else { 0 });
    for text in [name, value] {
        write_length(block, text.len());
        block.extend_from_slice(text);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn write_length(block: &mut Vec<u8>, length: usize) {
    if length < 0x7f {
        return block.push(length as u8);
    }
    block.push(0x7f);
    let mut rest = length - 0x7f;
    while rest >= 0x80 {
        block.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Violation> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoder.block(block).map(|fields| fields.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_answers_of_the_standard_are_read_one_after_the_other() {
        // RFC 7541, appendix C.6: with a table of 256 bytes, so that headers are forgotten.
        let mut decoder = Decoder::default();
        decoder.table.resize(256);
        let first: &[u8] = &[
            0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xae, 0xc3, 0x77, 0x1a, 0x4b, 0x61, 0x96, 0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4,
            0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff, 0x6e, 0x91, 0x9d, 0x29, 0xad,
            0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3,
        ];
        let rest =
            [("cache-control", "private"), ("date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("location", "https://www.example.com")];
        let with = |status| [&[(":status", status)], &rest[..]].concat();
        assert_eq!(read(&mut decoder, first), Ok(pairs(&with("302"))));
        assert_eq!(read(&mut decoder, &[0x48, 0x83, 0x64, 0x0e, 0xff, 0xc1, 0xc0, 0xbf]), Ok(pairs(&with("307"))));
        assert_eq!(decoder.table.get(62), Some((&b":status"[..], &b"307"[..])));
    }

    #[test]
    fn what_we_write_is_read_back_and_remembered_by_nobody() {
        let long = "x".repeat(5_000);
        let headers = [("a", "b"), ("x-long", long.as_str()), ("empty", ""), ("at-127", &long[..127]), ("at-255", &long[..255])];
        let mut block = Vec::new();
        for (name, value) in headers {
            write(&mut block, name.as_bytes(), value.as_bytes(), name == "a");
        }
        let mut decoder = Decoder::default();
        assert_eq!(read(&mut decoder, &block), Ok(pairs(&headers)));
        assert_eq!((decoder.table.get(62), block[0]), (None, 0x10));
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        let broken = |block: &[u8]| match Decoder::default().block(block) {
            Err(Violation::Protocol(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken(&[0x80]), "no such header remembered");
        assert_eq!(broken(&[0xff, 0x00]), "no such header remembered");
        assert_eq!(broken(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "a number too large");
        assert_eq!(broken(&[0x00, 0x05, b'a']), "a block of headers cut short");
        assert_eq!(broken(&[0x3f, 0xe2, 0x1f]), "a table size out of place or bounds");
        assert_eq!(broken(&[0x88, 0x20]), "a table size out of place or bounds");
        assert_eq!(broken(&[0x20, 0x20, 0x20]), "a table size out of place or bounds");
    }

    #[test]
    fn a_small_block_that_stands_for_a_large_head_costs_no_more_than_the_bound() {
        let mut block = vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e];
        block.extend(vec![b'x'; 4_000]);
        block.extend(vec![0xbe; 60_000]);
        assert_eq!(Decoder::default().block(&block).unwrap_err(), Violation::TooLarge("head"));
        let fields = |more: usize| Decoder::default().block(&block[..4_006 + more]).unwrap();
        assert_eq!(fields(20).too_large(), Some("head"));
        let fields = fields(200);
        assert_eq!((fields.count, fields.too_large()), (201, Some("headers")));
        assert!(fields.bytes.len() <= HEAD_MAX && fields.ends.len() <= HEADERS_MAX + 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_within_the_bounds(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                match decoder.block(&block) {
                    Ok(fields) => prop_assert!(fields.bytes.len() <= HEAD_MAX),
                    Err(_) => break,
                }
            }
        }
    }
}
