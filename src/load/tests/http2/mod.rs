//! HTTP/2 before servers of frames that do as they are told, and before a real one.

mod chaos;
mod outcomes;
mod real;
mod shared;

use super::server::Peer;
use super::*;
use crate::load::http2::script;

const STATUS: (&str, &str) = (":status", "200");

/// A request that has come.
struct Asked {
    stream: u32,
    /// Its method, path and so on, and its headers.
    headers: Vec<(String, String)>,
}

/// The next frame: kind, flags, stream and payload. `None` when the client is gone or the test is over.
fn next_frame(peer: &mut Peer) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head = peer.bytes(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let payload = if length == 0 { Vec::new() } else { peer.bytes(length as usize)? };
    Some((head[3], head[4], stream, payload))
}

/// The next request's head.
fn next_request(peer: &mut Peer) -> Option<Asked> {
    loop {
        let (kind, _, stream, payload) = next_frame(peer)?;
        if kind == 1 {
            return Some(Asked { stream, headers: script::read_block(&payload) });
        }
    }
}

/// Reads what every client begins with, and says `settings`.
fn greet(peer: &mut Peer, settings: &[(u16, u32)]) -> bool {
    let preface = peer.bytes(24);
    assert!(preface.as_deref().is_none_or(|text| text == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "{preface:?}");
    preface.is_some() && peer.say(script::settings(settings))
}

/// A server that does `serve` with each request; it has the number of the connection and that of the request on it.
fn server(
    settings: &'static [(u16, u32)],
    serve: impl Fn(&mut Peer, &Asked, usize, usize) -> bool + Send + Sync + 'static,
) -> Server {
    Server::start(move |peer, connection| {
        let mut number = 0;
        if greet(peer, settings) {
            while let Some(asked) = next_request(peer) {
                if !serve(peer, &asked, connection, number) {
                    return;
                }
                number += 1;
            }
        }
    })
}

fn fast(url: &str) -> LanePlan {
    LanePlan { timeout: Duration::from_millis(400), ..over_http2(fresh(url, 40.0)) }
}
