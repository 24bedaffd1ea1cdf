//! The environment and the command line of a container.
//!
//! Besides what its spec asks for, each container is told where it lives, because its address is one of many on this machine:
//! a program must listen on `$HOST:$PORT`. `HOST` and `POD_IP` are the pod's address and `HOSTNAME` is its host name, whatever
//! the spec says (`HOST=0.0.0.0` would take the port from all other pods); `PORT` is the first `containerPort` and `IMAGE_TAG` is
//! the image's tag, unless the spec sets them.

mod expand;
mod services;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Container, EnvVarSource, ObjectFieldSelector};
use serde_json::Value;

use super::images::Program;
use super::plan::PodPlan;
use super::resources::{self, NodeSize};
use crate::sandbox::model::object::{self, Key, Object, Resource, resource};
use crate::sandbox::model::write::Read;

/// All that a container's environment is made of, but for the store.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The pod object.
    pub pod: &'a Value,
    /// Its spec.
    pub plan: &'a PodPlan,
    /// The pod's address.
    pub ip: Ipv4Addr,
    /// The node's address.
    pub host: Ipv4Addr,
    /// The node's size.
    pub node: NodeSize,
    /// What the image itself brings along, such as `PATH`.
    pub base: &'a BTreeMap<String, String>,
}

/// Why a container's environment cannot be made, in the kubelet's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The command line and the environment of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// All environment variables.
    pub env: BTreeMap<String, String>,
}

/// Makes a container's command from what the store holds now.
pub fn command(
    store: &dyn Read,
    around: &Surroundings<'_>,
    container: &Container,
    program: &Program,
) -> Result<Command, ConfigError> {
    let env = environment(store, around, container, program)?;
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand::expand(word, |name| env.get(name).map(String::as_str))).collect()
    };
    let mut argv = expanded(&container.command);
    if argv.is_empty() || !program.command_may_override {
        argv.clone_from(&program.argv);
    }
    argv.extend(expanded(&container.args));
    Ok(Command { argv, env })
}

fn environment(
    store: &dyn Read,
    around: &Surroundings<'_>,
    container: &Container,
    program: &Program,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let sources = Sources { store, namespace: object::namespace(around.pod) };
    let links = around.plan.spec.enable_service_links.unwrap_or(true);
    let services: BTreeMap<_, _> = services::service_env(store, sources.namespace, links).into_iter().collect();
    let mut own = sources.whole(container)?;
    for variable in container.env.iter().flatten() {
        let value = match (variable.value.as_deref().unwrap_or_default(), &variable.value_from) {
            ("", Some(source)) => match sources.one(source, around, container)? {
                Some(value) => value,
                None => continue,
            },
            (text, _) => expand::expand(text, |name| own.get(name).or_else(|| services.get(name)).map(String::as_str)),
        };
        own.insert(variable.name.clone(), value);
    }

    let mut env = around.base.clone();
    if let Some(port) = container.ports.iter().flatten().next() {
        env.insert("PORT".to_owned(), port.container_port.to_string());
    }
    env.insert("IMAGE_TAG".to_owned(), program.tag.clone());
    env.extend(services);
    env.extend(own);
    let hostname = around.plan.spec.hostname.as_deref().filter(|h| !h.is_empty()).unwrap_or(object::name(around.pod));
    env.insert("HOSTNAME".to_owned(), hostname.to_owned());
    for name in ["HOST", "POD_IP"] {
        env.insert(name.to_owned(), around.ip.to_string());
    }
    // What no process could be given is left out, as a shell would.
    env.retain(|name, value| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
    Ok(env)
}

struct Sources<'a> {
    store: &'a dyn Read,
    namespace: &'a str,
}

#[derive(Clone, Copy)]
enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn resource(self) -> Resource {
        match self {
            Self::ConfigMap => resource::CONFIG_MAPS,
            Self::Secret => resource::SECRETS,
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ConfigMap => ("configmap", "ConfigMap"),
            Self::Secret => ("secret", "Secret"),
        }
    }

    fn text(self, value: &Value) -> Option<String> {
        match self {
            Self::ConfigMap => value.as_str().map(str::to_owned),
            Self::Secret => {
                let bytes: ByteString = serde_json::from_value(value.clone()).ok()?;
                Some(String::from_utf8_lossy(&bytes.0).into_owned())
            }
        }
    }
}

impl Sources<'_> {
    fn object(&self, kind: Kind, name: &str, optional: bool) -> Result<Option<Object>, ConfigError> {
        match self.store.get(&Key::new(kind.resource(), self.namespace, name)) {
            None if !optional => Err(ConfigError(format!("{} \"{name}\" not found", kind.names().0))),
            found => Ok(found),
        }
    }

    /// `envFrom`
    fn whole(&self, container: &Container) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut env = BTreeMap::new();
        for from in container.env_from.iter().flatten() {
            let (kind, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
                (Some(r), _) => (Kind::ConfigMap, &r.name, r.optional),
                (_, Some(r)) => (Kind::Secret, &r.name, r.optional),
                _ => continue,
            };
            let Some(object) = self.object(kind, name, optional.unwrap_or(false))? else { continue };
            let prefix = from.prefix.as_deref().unwrap_or_default();
            for (key, value) in object["data"].as_object().into_iter().flatten() {
                env.extend(kind.text(value).map(|text| (format!("{prefix}{key}"), text)));
            }
        }
        Ok(env)
    }

    /// `valueFrom`; nothing when it is optional and not there.
    fn one(&self, source: &EnvVarSource, around: &Surroundings<'_>, container: &Container) -> Result<Option<String>, ConfigError> {
        if let Some(r) = &source.config_map_key_ref {
            return self.key(Kind::ConfigMap, &r.name, &r.key, r.optional.unwrap_or(false));
        }
        if let Some(r) = &source.secret_key_ref {
            return self.key(Kind::Secret, &r.name, &r.key, r.optional.unwrap_or(false));
        }
        if let Some(r) = &source.field_ref {
            return field(r, around).map(Some);
        }
        let Some(r) = &source.resource_field_ref else {
            return Err(ConfigError("the sandbox's node does not know this source of a variable".to_owned()));
        };
        let divisor = r.divisor.as_ref().map(|d| d.0.as_str());
        let named = r.container_name.as_deref().filter(|n| !n.is_empty());
        let of = match named {
            Some(name) => around.plan.containers.iter().map(|c| &c.spec).find(|c| c.name == name),
            None => Some(container),
        };
        let of = of.ok_or_else(|| ConfigError(format!("container {} not found", named.unwrap_or_default())))?;
        match resources::field(of, &r.resource, divisor, &around.node) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError(format!("unsupported container resource : {}", r.resource))),
        }
    }

    fn key(&self, kind: Kind, name: &str, key: &str, optional: bool) -> Result<Option<String>, ConfigError> {
        let Some(object) = self.object(kind, name, optional)? else { return Ok(None) };
        match object["data"].get(key).and_then(|value| kind.text(value)) {
            None if !optional => {
                Err(ConfigError(format!("couldn't find key {key} in {} {}/{name}", kind.names().1, self.namespace)))
            }
            found => Ok(found),
        }
    }
}

/// `fieldRef`: the downward API.
fn field(reference: &ObjectFieldSelector, around: &Surroundings<'_>) -> Result<String, ConfigError> {
    let path = reference.field_path.as_str();
    let pod = around.pod;
    let of_map = |map: &str, path: &str| -> Option<String> {
        let key = path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']")?;
        let map = &pod["metadata"][map];
        Some(map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    let text = match path {
        "metadata.name" => object::name(pod).to_owned(),
        "metadata.namespace" => object::namespace(pod).to_owned(),
        "metadata.uid" => object::uid(pod).to_owned(),
        "spec.nodeName" => around.plan.spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => around.plan.spec.service_account_name.clone().unwrap_or_default(),
        "status.podIP" | "status.podIPs" => around.ip.to_string(),
        "status.hostIP" | "status.hostIPs" => around.host.to_string(),
        _ => {
            let in_metadata = path.strip_prefix("metadata.");
            let found = in_metadata.and_then(|p| of_map("labels", p).or_else(|| of_map("annotations", p)));
            return found.ok_or_else(|| ConfigError(format!("unsupported fieldPath: {path}")));
        }
    };
    Ok(text)
}
