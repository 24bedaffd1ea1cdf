//! Looks for a text in a body that comes in pieces.

/// Bytes of the body's beginning that are kept for a note.
const BEGINNING: usize = 48;

/// See the top of the file.
#[derive(Debug, Default)]
pub(crate) struct Search {
    found: bool,
    /// The end of what came so far, shorter than the text.
    tail: Vec<u8>,
    beginning: Vec<u8>,
}

impl Search {
    /// Whether the text has come.
    pub(crate) fn found(&self) -> bool {
        self.found
    }

    /// How the body begins.
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Looks through the next piece for `wanted`, which must be the same each time and not empty.
    pub(crate) fn feed(&mut self, wanted: &[u8], piece: &[u8]) {
        if self.found || wanted.is_empty() {
            return;
        }
        let keep = wanted.len() - 1;
        // Only a match across the border needs the bytes from before.
        let border = piece.get(..keep).unwrap_or(piece);
        self.tail.extend_from_slice(border);
        self.found = contains(&self.tail, wanted) || contains(piece, wanted);
        if self.found {
            return;
        }
        let room = BEGINNING.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if piece.len() > keep {
            self.tail.clear();
            self.tail.extend_from_slice(piece.get(piece.len() - keep..).unwrap_or_default());
        } else {
            let surplus = self.tail.len().saturating_sub(keep);
            self.tail.drain(..surplus);
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_found_however_the_body_is_cut(body in "[ab]{0,24}", wanted in "[ab]{1,5}", cuts in prop::collection::vec(1_usize..7, 1..9)) {
            let mut search = Search::default();
            let mut rest = body.as_bytes();
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                search.feed(wanted.as_bytes(), piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(search.found, body.contains(&wanted));
            prop_assert!(search.found || search.beginning == body.as_bytes());
            prop_assert!(search.found || search.tail.len() < wanted.len());
        }
    }
}
