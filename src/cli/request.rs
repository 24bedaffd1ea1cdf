//! The requests of a scenario, made ready: secrets are fetched from where they are kept, certificates are read, and what cannot be sent is
//! refused before anything is started.

use std::path::{Path, PathBuf};

use crate::cluster::chain;
use crate::domain::scenario::{Header, Kept, Tls, Traffic};
use crate::domain::secret::Secret;
use crate::domain::time::At;
use crate::domain::traffic::{Authorities, ClientIdentity, LanePlan, Mode, RequestPlan, Schedule, TlsPlan};
use crate::load;

/// No secret and no certificate file is larger than this.
const FILE_MAX: u64 = 1 << 20;
/// Stands for the target until it is found.
const PLACEHOLDER: &str = "https://target/";

/// What is asked, but for the URL. Relative paths begin at `base`.
pub(super) fn prepared(traffic: &Traffic, base: &Path) -> Result<RequestPlan, String> {
    let header = |(name, value): (&String, &Header)| {
        let value = value_of(value, base).map_err(|why| format!("header `{name}`: {why}"))?;
        Ok((name.clone(), value))
    };
    let request = RequestPlan {
        url: traffic.url.clone().unwrap_or_else(|| PLACEHOLDER.into()),
        method: traffic.method.clone(),
        headers: traffic.headers.iter().map(header).collect::<Result<_, String>>()?,
        body: traffic.body.clone(),
        tls: tls(&traffic.tls, base)?,
        ..RequestPlan::default()
    };
    let lane = LanePlan {
        name: "traffic".into(),
        mode: Mode::Fresh,
        rate: 1.0,
        schedule: Schedule::default(),
        start: At::ZERO,
        expect: traffic.expect.expect(),
        timeout: traffic.timeout,
        connect_timeout: traffic.connect_timeout,
        max_in_flight: 1,
        thresholds: Vec::new(),
        request: request.clone(),
    };
    load::check(&lane).map_err(|why| format!("traffic: {}", chain(&why)))?;
    Ok(request)
}

fn value_of(header: &Header, base: &Path) -> Result<Secret, String> {
    match header {
        Header::Plain(text) => Ok(Secret::new(text.as_str())),
        Header::Kept(Kept::Env(name)) => {
            std::env::var(name).map(Secret::new).map_err(|_| format!("the environment variable `{name}` is not set"))
        }
        Header::Kept(Kept::File(path)) => text(path, base).map(|text| Secret::new(text.trim())),
    }
}

fn tls(tls: &Tls, base: &Path) -> Result<TlsPlan, String> {
    let client = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some(ClientIdentity { certificate: text(cert, base)?, key: Secret::new(text(key, base)?) }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err("tls: `cert` and `key` belong together".into()),
    };
    Ok(TlsPlan {
        authorities: tls.ca.as_ref().map_or(Authorities::System, |ca| Authorities::File(base.join(ca))),
        client,
        insecure_accept_any_certificate: tls.insecure,
        resume: None,
    })
}

fn text(path: &PathBuf, base: &Path) -> Result<String, String> {
    let path = base.join(path);
    let failed = |why: String| format!("{}: {why}", path.display());
    let size = std::fs::metadata(&path).map_err(|e| failed(e.to_string()))?.len();
    if size > FILE_MAX {
        return Err(failed(format!("it has more than {FILE_MAX} bytes")));
    }
    std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scenario::parse;

    const SCENARIO: &str =
        "{name: s, about: A., target: {deployment: d}, traffic: {lanes: {fresh: {rate: 1}}, MORE}, then: [availability >= 99%]}";

    fn prepare(more: &str, base: &Path) -> Result<RequestPlan, String> {
        let scenario = parse("s.yaml", &SCENARIO.replace("MORE", more), &[]).unwrap_or_else(|e| panic!("{e}"));
        prepared(&scenario.traffic, base)
    }

    #[test]
    fn a_secret_is_fetched_and_never_recorded() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "Bearer canary-7\n").unwrap();
        let request = prepare("headers: {authorization: {file: token}, x-plain: seen}", folder.path()).unwrap();
        assert_eq!(request.headers["authorization"].expose(), "Bearer canary-7");
        let shown = format!("{request:?} {}", serde_json::to_string(&request).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_the_run() {
        let here = Path::new(".");
        let error = |more: &str| prepare(more, here).unwrap_err();
        assert_eq!(
            error("headers: {a: {env: NO_SUCH_VARIABLE_HERE}}"),
            "header `a`: the environment variable `NO_SUCH_VARIABLE_HERE` is not set"
        );
        assert_eq!(error("tls: {cert: a.pem}"), "tls: `cert` and `key` belong together");
        for more in [
            "method: 'G T'",
            "body: x",
            "headers: {connection: close}",
            "expect: {body_matches: '('}",
            "expect: {json: ['nonsense ==']}",
        ] {
            let error = error(more);
            assert!(error.starts_with("traffic: "), "{more}: {error}");
        }
    }
}
