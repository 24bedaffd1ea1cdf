//! How a client gets in: the server's address and certificate, and the one token.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a client needs. The token is shown nowhere but in a kubeconfig.
#[derive(Clone)]
pub struct Access {
    /// `https://127.0.0.1:6443`
    pub url: String,
    /// The certificate that signed the server's, as PEM.
    pub ca_pem: String,
    /// The same as DER.
    pub ca_der: Vec<u8>,
    /// The bearer token.
    pub token: Arc<str>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The kubeconfig could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the kubeconfig {path}")]
pub struct AccessError {
    path: String,
    source: std::io::Error,
}

impl Access {
    /// A kubeconfig with one cluster, one user and one context, all called `name`.
    pub fn kubeconfig(&self, name: &str) -> String {
        let ca = STANDARD.encode(&self.ca_pem);
        let Self { url, token, .. } = self;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters:\n- name: {name}\n  cluster:\n    server: {url}\n    certificate-authority-data: {ca}\ncontexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\nusers:\n- name: {name}\n  user:\n    token: {token}\n"
        )
    }

    /// Writes the kubeconfig to a file that nobody else may read. A file that is there already keeps its place, not its content.
    pub fn write_kubeconfig(&self, name: &str, path: &Path) -> Result<(), AccessError> {
        let write = || {
            // A new file next to it, renamed over it: never readable by others, never half written.
            let partial = path.with_extension("partial");
            let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            file.write_all(self.kubeconfig(name).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&partial, path)
        };
        write().map_err(|source| AccessError { path: path.display().to_string(), source })
    }
}

/// Are the two the same? It takes as long to say no as to say yes.
pub(super) fn same(known: &str, given: &str) -> bool {
    let (known, given) = (known.as_bytes(), given.as_bytes());
    let mut difference = u8::from(known.len() != given.len());
    for (i, byte) in known.iter().enumerate() {
        difference |= byte ^ given.get(i).copied().unwrap_or(!byte);
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn access() -> Access {
        Access { url: "https://127.0.0.1:1".into(), ca_pem: "PEM".into(), ca_der: Vec::new(), token: "secret".into() }
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same("abc", "abc"));
        for other in ["abd", "ab", "abcd", "", "Abc"] {
            assert!(!same("abc", other), "{other}");
        }
    }

    #[test]
    fn the_kubeconfig_is_for_its_owner_only() {
        let path = std::env::temp_dir().join(format!("verifier-kubeconfig-{}", std::process::id()));
        access().write_kubeconfig("sandbox", &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["users"][0]["user"]["token"], "secret");
        assert_eq!(read["clusters"][0]["cluster"]["certificate-authority-data"], "UEVN");
    }

    #[test]
    fn the_token_is_not_in_debug_output() {
        assert!(!format!("{:?}", access()).contains("secret"));
    }
}
