//! What waits to be sent on a connection, and how much has been. Empty, it takes no memory.

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How much of `bytes` has been taken.
    taken: usize,
    /// All bytes that were taken before these.
    before: u64,
}

impl Outbox {
    /// Where frames are added.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What is to be sent next.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// So many bytes more have been taken.
    pub(super) fn advance(&mut self, n: usize) {
        self.taken += n;
        if self.taken >= self.bytes.len() {
            self.before += self.bytes.len() as u64;
            *self = Self { before: self.before, ..Self::default() };
        }
    }

    /// Where in all that is ever sent the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.before + self.bytes.len() as u64
    }

    /// How much of all that is ever sent has been taken.
    pub(super) fn taken(&self) -> u64 {
        self.before + self.taken as u64
    }
}
