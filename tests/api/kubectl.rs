//! The stock `kubectl` against whole sandboxes: what people type, and what they must see.

mod applying;
mod changing;
mod reading;
mod rollouts;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use verifier::sandbox::Sandbox;

/// Longer than any command takes, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(30);
/// A Deployment of two pods of the built-in workload, its Service and its Ingress, all called `web`.
const WEB: &str = include_str!("kubectl/web.yaml");

/// A sandbox of its own, and a `kubectl` that talks to it.
struct Kubectl {
    sandbox: Sandbox,
    home: PathBuf,
}

impl Kubectl {
    /// `test` names the directory that holds its configuration.
    async fn start(test: &str) -> Self {
        let sandbox = super::sandbox(Duration::ZERO).await;
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kubectl-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        sandbox.write_kubeconfig(&home.join("config")).unwrap();
        Self { sandbox, home }
    }

    /// The same with everything of [`WEB`] created and ready.
    async fn with_web(test: &str) -> Self {
        let kubectl = Self::start(test).await;
        let created = "deployment.apps/web created\nservice/web created\ningress.networking.k8s.io/web created\n";
        assert_eq!(kubectl.fed("apply -f -", WEB).await, created);
        kubectl.rolled_out().await;
        kubectl
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(words.split_whitespace()).kill_on_drop(true);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.home).env("KUBECONFIG", self.home.join("config"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command, whose words are separated by spaces, and waits for its end.
    async fn run(&self, words: &str, input: &str) -> Output {
        let running = async {
            let mut child = self.command(words).spawn().unwrap_or_else(|e| panic!("install kubectl (1.32 or later): {e}"));
            let mut stdin = child.stdin.take().unwrap();
            // A command that reads nothing may be gone already.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        timeout(DEADLINE, running).await.unwrap_or_else(|_| panic!("kubectl {words}: no end in sight"))
    }

    /// What a command prints that is given this input and succeeds.
    async fn fed(&self, words: &str, input: &str) -> String {
        let output = self.run(words, input).await;
        assert!(output.status.success(), "kubectl {words}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Deletes this in the default namespace, and hears that it was deleted; kubectl 1.34 began to say from where.
    async fn deletes(&self, args: &str, what: &str) {
        let said = self.ok(&format!("delete {args}")).await;
        let rest = said.strip_prefix(what).unwrap_or_default();
        assert!([" deleted\n", " deleted from default namespace\n"].contains(&rest), "{said}");
    }

    /// What a command prints that succeeds.
    async fn ok(&self, words: &str) -> String {
        self.fed(words, "").await
    }

    /// What a command complains of that fails.
    async fn fails(&self, words: &str, input: &str) -> String {
        let output = self.run(words, input).await;
        assert!(!output.status.success(), "kubectl {words}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// An object as JSON.
    async fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{words} -o json")).await).unwrap()
    }

    /// Reads the lines of a command that goes on for ever, until they are as wanted.
    async fn until(&self, words: &str, wanted: impl Fn(&str) -> bool) {
        let mut child = self.command(words).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = String::new();
        let reading = async {
            while !wanted(&seen) {
                seen += &(lines.next_line().await.unwrap().unwrap_or_else(|| panic!("kubectl {words} ended: {seen}")) + "\n");
            }
        };
        let late = timeout(DEADLINE, reading).await.is_err();
        assert!(!late, "kubectl {words}: {seen}");
        child.kill().await.unwrap();
    }

    async fn rolled_out(&self) {
        let said = self.ok("rollout status deployment/web --timeout=25s").await;
        assert!(said.ends_with("deployment \"web\" successfully rolled out\n"), "{said}");
    }

    /// The name of one of the pods of `web`.
    async fn a_pod(&self) -> String {
        self.ok("get pods -l app=web -o jsonpath={.items[0].metadata.name}").await
    }

    async fn stop(self) {
        self.sandbox.stop().await.unwrap();
        std::fs::remove_dir_all(self.home).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The words of each line.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// Fails with the whole text when one of the parts is not in it. Blanks count as one, as columns are padded.
#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(joined.contains(part), "no {part:?} in:\n{text}");
    }
}
