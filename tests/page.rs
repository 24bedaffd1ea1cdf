//! The HTML report in a real browser: it is shown, asks for nothing, and nothing in it runs.

#![expect(clippy::disallowed_methods, reason = "the browser is waited for from outside")]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use verifier::domain::summary::Summary;
use verifier::report::html;

/// Longer than a browser takes to start on a machine that is busy with something else.
const DEADLINE: Duration = Duration::from_mins(2);
/// Between two looks at the browser.
const LOOK: Duration = Duration::from_millis(20);

/// What came of a page.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The document after it was loaded.
    pub(crate) document: String,
    /// What was said on the page's console, by the page or by the browser about it.
    pub(crate) console: Vec<String>,
    /// What the page asked for.
    pub(crate) requests: Vec<String>,
}

/// A browser, killed when a test ends early.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // It is gone already when the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shows a page in a browser of its own that finds no host by any name or address.
fn show(page: &str) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    visit(&format!("file://{}", file.display()), &["--host-resolver-rules=MAP * ~NOTFOUND"])
}

/// The same for a page that is served on this machine's loopback address; its script has a few seconds.
pub(crate) fn served(url: &str) -> Seen {
    visit(url, &["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=3000"])
}

fn visit(url: &str, more: &[&str]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let output = |name: &str| Stdio::from(File::create(path(name)).unwrap());
    let child = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"])
        .args(more)
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", path("profile").display()))
        .arg(format!("--log-net-log={}", path("net.json").display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(output("document"))
        .stderr(output("log"))
        .spawn()
        .unwrap();
    let mut browser = Browser(child);
    let said = |name: &str| String::from_utf8_lossy(&std::fs::read(path(name)).unwrap()).into_owned();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = browser.0.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < DEADLINE, "the browser does not end:\n{}", said("log"));
        std::thread::sleep(LOOK);
    };
    assert!(status.success(), "{status}\n{}", said("log"));
    let console = said("log").lines().filter(|l| l.contains(":CONSOLE:")).map(str::to_owned).collect();
    Seen { document: said("document"), console, requests: requests(&path("net.json")) }
}

/// The requests in a log of the network that a page began. The browser makes some of its own, which come from no origin.
fn requests(log: &Path) -> Vec<String> {
    let log: Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
    let started = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(started.is_u64(), "the log names its events");
    let events = log["events"].as_array().unwrap().iter().filter(|e| e["type"] == *started);
    let of_page = events.filter(|e| e["params"]["initiator"].as_str().is_some_and(|i| i != "not an origin"));
    of_page.map(|e| e["params"]["url"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The summary of a run that ended in a breach.
fn breach() -> Value {
    serde_json::from_str(include_str!("../src/report/golden/breach.json")).unwrap()
}

fn page(summary: &Value) -> String {
    html::document(&serde_json::from_value::<Summary>(summary.clone()).unwrap())
}

#[test]
#[cfg_attr(not(has_chromium), ignore = "chromium is not installed")]
fn this_browser_tells_of_scripts_errors_and_requests() {
    let seen =
        show("<!DOCTYPE html><title>x</title><img src='http://page.invalid/x.png'><script>console.error('said'); throw 1</script>");
    assert_eq!(seen.requests, ["http://page.invalid/x.png"]);
    assert!(seen.console.iter().any(|l| l.contains("said")) && seen.console.iter().any(|l| l.contains("Uncaught")), "{seen:?}");
    let policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">";
    let seen = show(&format!("<!DOCTYPE html>{policy}<title>x</title><img src='http://page.invalid/x.png'>"));
    assert_eq!(seen.requests, Vec::<String>::new());
    assert!(seen.console.iter().any(|l| l.contains("Content Security Policy")), "{seen:?}");
}

#[test]
#[cfg_attr(not(has_chromium), ignore = "chromium is not installed")]
fn the_report_is_shown_without_a_word_on_the_console_and_without_a_request() {
    let seen = show(&page(&breach()));
    assert_eq!((seen.console, seen.requests), (Vec::new(), Vec::new()));
    assert!(seen.document.contains("37 of 930 requests failed") && seen.document.contains("</svg>"), "{}", seen.document);
}

#[test]
#[cfg_attr(not(has_chromium), ignore = "chromium is not installed")]
fn what_a_service_says_does_not_run_in_the_report() {
    let foreign =
        "\"'></title></svg><script>console.error('it runs')</script><img src='http://page.invalid/x' onerror='console.error(1)'>";
    let mut summary = breach();
    let places = [
        "/verdict/reasons/0/message",
        "/run/command",
        "/run/scenario",
        "/failures/examples/0/note",
        "/failures/groups/0/lane",
        "/timeline/lanes/0/lane",
        "/rollout/pods/0/pod",
        "/steps/0/what",
        "/kubernetes/0/message",
        "/notices/0/text",
        "/traffic/pods/0/version",
        "/objectives/0/objective",
    ];
    for place in places {
        *summary.pointer_mut(place).unwrap() = Value::String(foreign.into());
    }
    let seen = show(&page(&summary));
    assert_eq!((seen.console, seen.requests), (Vec::new(), Vec::new()));
    assert!(seen.document.matches("&lt;script&gt;").count() >= places.len(), "{}", seen.document);
    assert!(!seen.document.contains("<script") && !seen.document.contains("<img"));
}
