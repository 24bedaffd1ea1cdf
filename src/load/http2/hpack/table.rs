//! The two tables of HPACK: one that never changes (RFC 7541, appendix A) and one that an answer's headers are remembered in.

use std::collections::VecDeque;

/// The names and values that need not be sent, from index 1 on.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// What a remembered header counts besides its bytes.
const OVERHEAD: usize = 32;

/// The most that the other side may have us remember: what it may assume of everybody.
pub(super) const SIZE_MAX: usize = 4_096;

/// What is remembered on one connection, the newest first; never more than [`SIZE_MAX`].
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
}

#[derive(Debug)]
struct Entry {
    /// The name, then the value.
    bytes: Box<[u8]>,
    name: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: SIZE_MAX }
    }
}

impl Table {
    /// The name and the value at an index.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let place = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(place - STATIC.len())?;
        entry.bytes.split_at_checked(entry.name)
    }

    /// Remembers a header, and forgets the oldest ones for it; one that is larger than all room empties the table.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.shrink(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.entries.push_front(Entry { bytes: [name, value].concat().into(), name: name.len() });
            self.size += size;
        }
    }

    /// The other side will use no more than this.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.shrink(limit);
    }

    fn shrink(&mut self, room: usize) {
        while self.size > room
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.bytes.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_never_holds_more_than_its_limit_and_forgets_the_oldest() {
        let mut table = Table::default();
        for n in 0..1_000_u32 {
            table.add(b"name", n.to_string().as_bytes());
            assert!(table.size <= SIZE_MAX && table.entries.len() <= SIZE_MAX / OVERHEAD);
        }
        assert_eq!(table.get(STATIC.len() + 1), Some((&b"name"[..], &b"999"[..])));
        assert_eq!((table.get(0), table.get(STATIC.len() + 1 + table.entries.len())), (None, None));
        table.resize(80);
        assert_eq!(table.entries.len(), 2);
        table.add(b"larger than all", &[b'x'; 80]);
        assert_eq!((table.entries.len(), table.size), (0, 0));
    }
}
