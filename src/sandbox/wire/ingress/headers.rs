//! Headers on their way through: hop-by-hop ones stay here, and the pod is told who asked, and how.

use http::header::{
    CONNECTION, COOKIE, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, Version};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// RFC 9110, 7.6.1, with the two older names that still occur.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what is meant for this connection only, including what `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // These decide where the request goes and where it ends.
            .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The host a request is for: from its target (HTTP/2, or a target in absolute form), else from `Host`, which only HTTP/1.0 may lack.
pub(super) fn host(parts: &Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None if parts.version == Version::HTTP_10 => Some(parts.headers.get(HOST).cloned().unwrap_or(HeaderValue::from_static(""))),
        None => parts.headers.get(HOST).cloned(),
    }
}

/// Makes the head of a client's request that of the request to the pod. What a client claims about its own address is replaced: there
/// is no trusted proxy before this one.
pub(super) fn for_pod(parts: &mut Parts, client: &HeaderValue, host: HeaderValue) {
    remove_hop_by_hop(&mut parts.headers);
    // The client has had its 100 from this proxy already.
    parts.headers.remove(EXPECT);
    join_cookies(&mut parts.headers);
    if parts.uri.authority().is_some() {
        parts.uri = parts.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    }
    parts.version = Version::HTTP_11;
    parts.headers.insert(X_FORWARDED_FOR, client.clone());
    parts.headers.insert(X_REAL_IP, client.clone());
    parts.headers.insert(X_FORWARDED_HOST, host.clone());
    parts.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    parts.headers.insert(HOST, host);
}

/// HTTP/2 may send cookies one by one; HTTP/1 wants them in one header (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn sorted(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_pod_is_told_who_asked_and_nothing_of_the_connection() {
        let request = Request::get("http://Todo.Example:80/a/b?c=d")
            .version(Version::HTTP_2)
            .header("connection", "keep-alive, X-Secret, host")
            .header("keep-alive", "timeout=5")
            .header("x-secret", "1")
            .header("te", "trailers")
            .header("upgrade", "websocket")
            .header("expect", "100-continue")
            .header("x-forwarded-for", "1.2.3.4")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-mine", "kept");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let host = host(&parts).unwrap();
        for_pod(&mut parts, &HeaderValue::from_static("127.0.0.9"), host);
        assert_eq!((parts.uri.to_string().as_str(), parts.version), ("/a/b?c=d", Version::HTTP_11));
        assert_eq!(
            sorted(&parts.headers),
            [
                ("cookie", "a=1; b=2"),
                ("host", "Todo.Example:80"),
                ("x-forwarded-for", "127.0.0.9"),
                ("x-forwarded-host", "Todo.Example:80"),
                ("x-forwarded-proto", "http"),
                ("x-mine", "kept"),
                ("x-real-ip", "127.0.0.9"),
            ]
        );
    }
}
