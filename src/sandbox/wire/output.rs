//! What containers wrote, for `pods/log`: asked of the node piece by piece, so that nothing is kept for a reader who is slow.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::logs::{LogQuery, PodLogs};
use super::node::NodeHandle;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::Key;

/// Between two questions while a reader follows.
const PACE: Duration = Duration::from_millis(200);

/// The node's side of `pods/log`. Lines carry no times of their own here, so `timestamps` and `since` change nothing.
#[derive(Debug)]
pub struct NodeLogs {
    node: NodeHandle,
}

impl NodeLogs {
    /// The output of this node's containers.
    pub fn new(node: NodeHandle) -> Self {
        Self { node }
    }
}

impl PodLogs for NodeLogs {
    fn logs(&self, pod: &Key, query: &LogQuery) -> Result<BoxStream<'static, Bytes>, ApiError> {
        let reader = Reader { node: self.node.clone(), pod: pod.clone(), query: query.clone(), next: 0, begun: false };
        let pieces = stream::unfold(reader, Reader::piece);
        Ok(match query.bytes {
            Some(most) => pieces.scan(most, |left, piece| std::future::ready(within(left, piece))).boxed(),
            None => pieces.boxed(),
        })
    }
}

/// A piece cut to what is left of a limit; nothing when that is used up.
fn within(left: &mut usize, mut piece: Bytes) -> Option<Bytes> {
    if *left == 0 {
        return None;
    }
    piece.truncate(*left);
    *left -= piece.len();
    Some(piece)
}

#[derive(Debug)]
struct Reader {
    node: NodeHandle,
    pod: Key,
    query: LogQuery,
    next: u64,
    begun: bool,
}

impl Reader {
    /// The next piece; waits for one while following, and ends when the container is gone.
    async fn piece(mut self) -> Option<(Bytes, Self)> {
        loop {
            if self.begun && !self.query.follow {
                return None;
            }
            let (namespace, name) = (&self.pod.namespace, &self.pod.name);
            let output = self.node.logs(namespace, name, Some(&self.query.container), self.query.previous, self.next).await?;
            self.next = output.next;
            let text = match self.query.tail {
                Some(lines) if !self.begun => last(&output.text, lines),
                _ => &output.text,
            };
            self.begun = true;
            if !text.is_empty() {
                return Some((Bytes::copy_from_slice(text.as_bytes()), self));
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

/// The last so many lines.
fn last(text: &str, lines: usize) -> &str {
    let ends = text.trim_end_matches('\n').rmatch_indices('\n').map(|(at, _)| at + 1);
    match lines {
        0 => "",
        _ => ends.into_iter().nth(lines - 1).map_or(text, |at| &text[at..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        let text = "a\nb\nc\n";
        assert_eq!([0, 1, 2, 3, 4].map(|n| last(text, n)), ["", "c\n", "b\nc\n", text, text]);
        assert_eq!(last("a\nb", 1), "b");
    }

    #[test]
    fn a_limit_cuts_the_piece_that_reaches_it_and_ends_the_stream() {
        let mut left = 5;
        let mut next = |text: &'static str| within(&mut left, Bytes::from_static(text.as_bytes()));
        assert_eq!([next("abc"), next("def"), next("g")], [Some("abc".into()), Some("de".into()), None]);
    }
}
