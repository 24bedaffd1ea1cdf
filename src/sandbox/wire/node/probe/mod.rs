//! Probes and hooks over the network, in the way and in the words of the kubelet.

mod http;
#[cfg(test)]
mod tests;
mod tls;

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::sandbox::model::kubelet::io::ProbeResult;
use crate::sandbox::model::kubelet::plan::HttpGet;

/// Who asks: part of the `User-Agent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Probe,
    Lifecycle,
}

/// A readiness, liveness or startup probe by HTTP.
pub(super) async fn http(get: &HttpGet, ip: Ipv4Addr, limit: Duration) -> ProbeResult {
    let first = http::Target::new(get, ip);
    let asked = http::get(&first, &get.headers, Purpose::Probe);
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => ProbeResult::Failure(format!("Get \"{first}\": {error}")),
        Err(_) => {
            let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            ProbeResult::Failure(format!("Get \"{first}\": {late}"))
        }
    }
}

fn judge(answer: &http::Answer) -> ProbeResult {
    match answer.status {
        200..=299 => ProbeResult::Success,
        300..=399 => ProbeResult::Warning(format!("Probe terminated redirects, Response body: {}", answer.body)),
        status => ProbeResult::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// A hook by HTTP: any answer will do.
pub(super) async fn http_hook(get: &HttpGet, ip: Ipv4Addr) -> Result<(), String> {
    let target = http::Target::new(get, ip);
    http::get(&target, &get.headers, Purpose::Lifecycle).await.map(drop).map_err(|error| format!("Get \"{target}\": {error}"))
}

/// A probe that only connects.
pub(super) async fn tcp(host: Option<&str>, port: u16, ip: Ipv4Addr, limit: Duration) -> ProbeResult {
    let host = host.map_or_else(|| ip.to_string(), str::to_owned);
    match tokio::time::timeout(limit, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => ProbeResult::Success,
        Ok(Err(error)) => ProbeResult::Failure(format!("dial tcp {host}:{port}: {}", connect_error(&error))),
        Err(_) => ProbeResult::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

fn connect_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "connect: connection reset by peer".to_owned(),
        _ => format!("connect: {error}"),
    }
}
