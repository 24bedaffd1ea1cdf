//! The request of a lane: where it goes and its very bytes, checked and made once.

use std::net::SocketAddr;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri};

use super::http2::{Prepared, write_header};
use super::plan::{Endpoint, Unfit};
use crate::domain::traffic::{Mode, PODS, RequestPlan};

/// Bytes of a request's body.
const BODY_MAX: usize = 1 << 20;
/// Bytes of a request's head: what common servers take.
const HEAD_MAX: usize = 8_000;

/// Headers that decide where a message ends and what becomes of the connection (the lane's mode does), or that concern one hop only.
const OWN_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "x-verifier-run",
];

/// A request in parts.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// Those of the message, without any that only HTTP/1.1 has.
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Request {
    /// Checks everything.
    pub(crate) fn new(plan: &RequestPlan, run_id: &str) -> Result<Self, Unfit> {
        let uri = parse_url(&plan.url)?;
        let method = parse_method(&plan.method)?;
        if !plan.body.is_empty() && [Method::GET, Method::HEAD, Method::TRACE].contains(&method) {
            return Err(Unfit::Body(method.to_string()));
        }
        if plan.body.len() > BODY_MAX {
            return Err(Unfit::Range { what: "the request's body", min: 0, max: BODY_MAX as u64 });
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        let mut add = |name: &str, value: &str, secret: bool| -> Result<(), Unfit> {
            let bad = || Unfit::Header(name.into());
            let (name, mut value): (_, HeaderValue) =
                (name.parse::<HeaderName>().map_err(|_| bad())?, value.parse().map_err(|_| bad())?);
            value.set_sensitive(secret);
            headers.retain(|(other, _)| *other != name);
            headers.push((name, value));
            Ok(())
        };
        let mut set = |name: &str, value: &str| add(name, value, false);
        set("host", uri.authority().map_or("", Authority::as_str))?;
        set("user-agent", &format!("verifier/{} (+run {run_id})", env!("CARGO_PKG_VERSION")))?;
        set("accept", "*/*")?;
        // Answers are never decompressed: what is looked for in a body is looked for in what was sent.
        set("accept-encoding", "identity")?;
        for (name, value) in &plan.headers {
            let value = value.expose();
            let host = name.eq_ignore_ascii_case("host");
            if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) || host && !is_host(value) {
                return Err(Unfit::Header(name.clone()));
            }
            add(name, value, true)?;
        }
        add("x-verifier-run", run_id, false)?;
        let request = Self { method, uri, headers, body: plan.body.clone().into_bytes() };
        if request.http1(Mode::Fresh).len() > HEAD_MAX + request.body.len() {
            return Err(Unfit::Range { what: "the request's head", min: 0, max: HEAD_MAX as u64 });
        }
        Ok(request)
    }

    /// The host, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        bare(self.uri.host().unwrap_or_default())
    }

    /// Whether it goes over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Where to connect to.
    pub(crate) fn endpoint(&self, connect_to: Option<&str>) -> Result<Endpoint, Unfit> {
        let (host, port) = match connect_to {
            Some(PODS) => return Ok(Endpoint::Pods),
            None => (self.host(), self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })),
            Some(to) => {
                let split = to.rsplit_once(':').and_then(|(host, port)| Some((bare(host), port.parse().ok()?)));
                split.filter(|(host, _)| !host.is_empty() && !host.contains('%')).ok_or_else(|| Unfit::Url(to.into()))?
            }
        };
        Ok(match host.parse() {
            Ok(ip) => Endpoint::Address(SocketAddr::new(ip, port)),
            Err(_) => Endpoint::Name { host: host.into(), port },
        })
    }

    /// Its bytes in HTTP/1.1.
    pub(crate) fn http1(&self, mode: Mode) -> Vec<u8> {
        let target = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut bytes = format!("{} {target} HTTP/1.1\r\n", self.method).into_bytes();
        for (name, value) in &self.headers {
            line(&mut bytes, name.as_str(), value.as_bytes());
        }
        if mode == Mode::Fresh {
            line(&mut bytes, "connection", b"close");
        }
        if self.says_length() {
            line(&mut bytes, "content-length", self.body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Its headers and body in HTTP/2: `:authority` is what `Host` says in HTTP/1.1.
    pub(crate) fn http2(&self) -> Prepared {
        let mut block = Vec::new();
        let path = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let host = self.headers.iter().find(|(name, _)| *name == HOST).map_or(&b""[..], |(_, value)| value.as_bytes());
        let scheme: &[u8] = if self.is_https() { b"https" } else { b"http" };
        let method = self.method.as_str().as_bytes();
        for (name, value) in [(":method", method), (":scheme", scheme), (":authority", host), (":path", path.as_bytes())] {
            write_header(&mut block, name.as_bytes(), value, false);
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != HOST) {
            write_header(&mut block, name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive());
        }
        if self.says_length() {
            write_header(&mut block, b"content-length", self.body.len().to_string().as_bytes(), false);
        }
        Prepared { block, body: self.body.clone() }
    }

    fn says_length(&self) -> bool {
        !self.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&self.method)
    }
}

fn line(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// Whether this is a host with or without a port, and nothing else: no credentials, no zone.
fn is_host(value: &str) -> bool {
    value.parse::<Authority>().is_ok_and(|a| !a.host().is_empty()) && !value.contains(['@', '%'])
}

fn parse_url(url: &str) -> Result<Uri, Unfit> {
    let uri: Uri = url.parse().map_err(|_| Unfit::Url(url.into()))?;
    let authority = uri.authority().map_or("", Authority::as_str);
    match uri.scheme() {
        Some(scheme) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => Err(Unfit::Scheme(url.into())),
        // What stands before the host would be written into every report.
        Some(_) if authority.contains('@') => Err(Unfit::Credentials),
        Some(_) if authority.contains('%') => Err(Unfit::Zone(url.into())),
        Some(_) if is_host(authority) => Ok(uri),
        _ => Err(Unfit::Url(url.into())),
    }
}

fn parse_method(method: &str) -> Result<Method, Unfit> {
    let parsed = Method::from_bytes(method.as_bytes()).ok().filter(|m| *m != Method::CONNECT);
    parsed.ok_or_else(|| Unfit::Method(method.into()))
}

#[cfg(test)]
mod tests {
    use super::super::http2::script;
    use super::*;
    use crate::domain::secret::Secret;

    const AGENT: &str =
        concat!("user-agent: verifier/", env!("CARGO_PKG_VERSION"), " (+run r1)\r\naccept: */*\r\naccept-encoding: identity\r\n");

    fn plan(url: &str) -> RequestPlan {
        RequestPlan { url: url.into(), ..RequestPlan::default() }
    }

    fn text(plan: &RequestPlan, mode: Mode) -> String {
        String::from_utf8(Request::new(plan, "r1").unwrap().http1(mode)).unwrap()
    }

    #[test]
    fn a_request_says_who_sends_it_and_for_which_run() {
        let fresh =
            format!("GET /a?b=c HTTP/1.1\r\nhost: shop.example:81\r\n{AGENT}x-verifier-run: r1\r\nconnection: close\r\n\r\n");
        assert_eq!(text(&plan("http://shop.example:81/a?b=c"), Mode::Fresh), fresh);
        let mut post = RequestPlan { method: "POST".into(), ..plan("http://shop.example") };
        post.headers = [("Host".to_owned(), Secret::new("other:8")), ("content-type".to_owned(), Secret::new("a/b"))].into();
        let head = format!("POST / HTTP/1.1\r\n{AGENT}host: other:8\r\ncontent-type: a/b\r\nx-verifier-run: r1\r\n");
        let kept = Mode::Kept { connections: 3 };
        assert_eq!(text(&post, kept), format!("{head}content-length: 0\r\n\r\n"));
        post.body = "{\"a\":\"ü\"}".into();
        assert_eq!(text(&post, kept), format!("{head}content-length: 10\r\n\r\n{{\"a\":\"ü\"}}"));
    }

    #[test]
    fn over_http2_it_says_the_same_and_what_we_were_given_is_remembered_by_nobody_on_the_way() {
        let mut post = RequestPlan { method: "PUT".into(), body: "{}".into(), ..plan("https://shop.example/a?b=c") };
        post.headers = [("Host".to_owned(), Secret::new("other:8")), ("Authorization".to_owned(), Secret::new("s3cret"))].into();
        let prepared = Request::new(&post, "r1").unwrap().http2();
        let agent = concat!("verifier/", env!("CARGO_PKG_VERSION"), " (+run r1)");
        let expected = [
            (":method", "PUT"),
            (":scheme", "https"),
            (":authority", "other:8"),
            (":path", "/a?b=c"),
            ("user-agent", agent),
            ("accept", "*/*"),
            ("accept-encoding", "identity"),
            ("authorization", "s3cret"),
            ("x-verifier-run", "r1"),
            ("content-length", "2"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((script::read_block(&prepared.block), prepared.body), (expected.to_vec(), b"{}".to_vec()));
        let name = b"\x10\x0dauthorization";
        assert!(prepared.block.windows(name.len()).any(|part| part == name), "never to be indexed");
    }

    #[test]
    fn addresses_need_no_resolver_and_connect_to_wins_over_the_url() {
        let endpoint = |url: &str, to: Option<&str>| Request::new(&plan(url), "r").unwrap().endpoint(to).unwrap();
        let name = |host: &str, port| Endpoint::Name { host: host.into(), port };
        let address = |text: &str| Endpoint::Address(text.parse().unwrap());
        assert_eq!(endpoint("http://127.0.0.7:81/", None), address("127.0.0.7:81"));
        assert_eq!(endpoint("http://[::1]/", None), address("[::1]:80"));
        assert_eq!(endpoint("https://[::1]/", None), address("[::1]:443"));
        assert_eq!(endpoint("http://shop.example/", None), name("shop.example", 80));
        for (to, expected) in
            [("10.0.0.1:8", address("10.0.0.1:8")), ("[fd00::1]:8", address("[fd00::1]:8")), ("lb:8", name("lb", 8))]
        {
            assert_eq!(endpoint("https://shop.example/", Some(to)), expected);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_its_reason() {
        let refused = |change: &dyn Fn(&mut RequestPlan)| {
            let mut plan = plan("http://a/");
            change(&mut plan);
            Request::new(&plan, "r").unwrap_err().to_string()
        };
        for url in ["", "/path", "a b", "http:///x", "http://:80/"] {
            let why = format!("`{url}` is no URL of the form http://host:port/path");
            assert_eq!(refused(&|p| p.url = url.into()), why);
        }
        assert_eq!(refused(&|p| p.url = "ftp://a/".into()), "`ftp://a/`: only http:// and https:// are supported");
        assert_eq!(refused(&|p| p.url = "http://u:p@a/".into()), "a URL must not hold credentials: set an authorization header");
        assert_eq!(
            refused(&|p| p.url = "http://[fe80::1%25eth0]/".into()),
            "`http://[fe80::1%25eth0]/` names an IPv6 zone, which means something on one machine only"
        );
        assert_eq!(refused(&|p| p.method = "CONNECT".into()), "`CONNECT` is no request method that can be sent");
        assert_eq!(refused(&|p| p.body = "x".into()), "a request with a body needs a method that has one, not GET");
        let post = |size: usize| move |p: &mut RequestPlan| (p.method, p.body) = ("POST".into(), "x".repeat(size));
        assert_eq!(refused(&post(1_048_577)), "the request's body must be between 0 and 1048576");
        let header = |name: &str, value: &str| refused(&|p| p.headers = [(name.to_owned(), Secret::new(value))].into());
        for (name, value) in [
            ("TE", "x"),
            ("Transfer-Encoding", "chunked"),
            ("content-length", "0"),
            ("Keep-Alive", "5"),
            ("x-verifier-run", "other"),
            ("a", "b\r\nc: d"),
            ("a b", "c"),
            ("host", ""),
            ("host", "a/b"),
            ("host", "a b"),
        ] {
            assert_eq!(header(name, value), format!("the header `{name}` cannot be set"));
        }
        assert_eq!(header("a", &"x".repeat(8_000)), "the request's head must be between 0 and 8000");
        assert_eq!(Request::new(&plan("http://a/"), "r\n").unwrap_err(), Unfit::Header("user-agent".into()));
        for to in ["noport", ":80", "[fe80::1%eth0]:80"] {
            assert_eq!(Request::new(&plan("http://a/"), "r").unwrap().endpoint(Some(to)), Err(Unfit::Url(to.into())));
        }
    }
}
