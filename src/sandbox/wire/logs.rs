//! Where the API server gets the output of containers from: whoever runs them provides it.

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Key, Now};

/// Which part of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// The container, always named.
    pub container: String,
    /// Go on as more is written.
    pub follow: bool,
    /// Of the container before its last restart.
    pub previous: bool,
    /// Each line with its time before it.
    pub timestamps: bool,
    /// The last so many lines.
    pub tail: Option<usize>,
    /// At most so many bytes.
    pub bytes: Option<usize>,
    /// From then on.
    pub since: Option<Now>,
}

/// The output of containers, provided by the node.
pub trait PodLogs: std::fmt::Debug + Send + Sync {
    /// The output of one container. The stream ends when there is no more to come; it is dropped when nobody listens any longer.
    fn logs(&self, pod: &Key, query: &LogQuery) -> Result<BoxStream<'static, Bytes>, ApiError>;
}
