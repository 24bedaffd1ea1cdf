//! The ways to all Deployments: every Service and every Ingress, by one watch each, however many Deployments there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use super::discover::{self, Entry};
use super::watch::stream;
use super::within;
use crate::domain::policy::{Key, Way};
use crate::domain::traffic::Name;

/// Objects are listed so many at a time.
const PAGE: u32 = 500;

/// What is known of Services and Ingresses.
#[derive(Clone, Debug)]
pub struct Ways {
    services: Store<Service>,
    ingresses: Store<Ingress>,
    changes: Arc<AtomicU64>,
}

/// How often something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition(u64);

impl Ways {
    /// What will be known, and what makes it so: to be run for as long as it is used. All namespaces, unless one is named.
    pub fn watch(client: &Client, namespace: Option<&str>) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (services, services_written) = reflector::store();
        let (ingresses, ingresses_written) = reflector::store();
        let changes = Arc::new(AtomicU64::new(0));
        let changed = changes.clone();
        let config = || watcher::Config::default().page_size(PAGE);
        let (of_services, of_ingresses): (Api<Service>, Api<Ingress>) = (within(client, namespace), within(client, namespace));
        // What broke is retried by the stream itself.
        let watching = async move {
            let note = || {
                changed.fetch_add(1, Ordering::Release);
                std::future::ready(())
            };
            let services = stream(of_services, config()).modify(slim).reflect(services_written).for_each(|_| note());
            let ingresses = stream(of_ingresses, config()).modify(slim).reflect(ingresses_written).for_each(|_| note());
            tokio::join!(services, ingresses);
        };
        (Self { services, ingresses, changes }, watching)
    }

    /// Waits until all there are were listed once.
    pub async fn ready(&self) {
        // Only a writer that is gone is an error, and with it the service ends.
        let _ = tokio::join!(self.services.wait_until_ready(), self.ingresses.wait_until_ready());
    }

    /// What was found of this edition, and not of an earlier one, is still so.
    pub fn edition(&self) -> Edition {
        Edition(self.changes.load(Ordering::Acquire))
    }

    /// Where requests to a Deployment with these labels enter. The error is a sentence for whoever wrote the policy.
    pub fn find(&self, key: &Key, labels: &BTreeMap<String, String>, way: &Way) -> Result<Entry, String> {
        find(&self.services.state(), &self.ingresses.state(), key, labels, way)
    }
}

/// Nothing is kept that nobody reads.
fn slim<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().clear();
}

fn find(
    services: &[Arc<Service>],
    ingresses: &[Arc<Ingress>],
    key: &Key,
    labels: &BTreeMap<String, String>,
    way: &Way,
) -> Result<Entry, String> {
    // Asked for each Deployment, of everything there is: nothing is copied or put in order until it is found.
    let here = |meta: &ObjectMeta| meta.namespace.as_deref() == Some(&*key.namespace);
    let named = |meta: &ObjectMeta, name: &Option<Name>| name.is_none() || meta.name.as_deref() == name.as_deref();
    let ours = services.iter().map(|s| &**s).filter(|s| here(&s.metadata) && discover::selects(s, labels));
    match way {
        Way::Service(name) => {
            let found =
                ours.filter(|s| named(&s.metadata, name)).filter_map(|s| Some((s.name_any(), discover::address_of(s)?))).min();
            let (service, address) = found.ok_or_else(|| {
                let which =
                    name.as_ref().map_or_else(|| "no Service".to_owned(), |name| format!("Service {name} does not exist, or"));
                format!("{which} with a cluster address leads to deployment {key}")
            })?;
            Ok(Entry { base: format!("http://{service}.{}", key.namespace), path: "/".into(), connect_to: Some(address) })
        }
        Way::Ingress(name) => {
            let services: Vec<String> = ours.map(ResourceExt::name_any).collect();
            let all = ingresses.iter().filter(|i| here(&i.metadata) && named(&i.metadata, name));
            let leading = all.filter_map(|i| Some((&i.metadata.name, discover::entry_of(i, &services)?)));
            let (_, entry) = leading.min_by_key(|(name, _)| *name).ok_or_else(|| match name {
                None => format!("no Ingress leads to deployment {key}"),
                Some(name) => format!("Ingress {name} does not lead to deployment {key}"),
            })?;
            if entry.connect_to.is_none() {
                return Err(format!("the Ingress that leads to deployment {key} has no address yet"));
            }
            Ok(entry)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(namespace: &str, name: &str, app: &str) -> Arc<Service> {
        let spec = json!({"clusterIP": "10.0.0.7", "selector": {"app": app}, "ports": [{"port": 80}]});
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
    }

    fn ingress(name: &str, service: &str, address: Option<&str>) -> Arc<Ingress> {
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
        let addresses: Vec<_> = address.iter().map(|ip| json!({"ip": ip})).collect();
        serde_json::from_value(json!({
            "metadata": {"namespace": "todo", "name": name},
            "spec": {"rules": [{"host": format!("{name}.example"), "http": {"paths": paths}}]},
            "status": {"loadBalancer": {"ingress": addresses}},
        }))
        .unwrap()
    }

    #[test]
    fn a_way_is_found_in_the_deployments_own_namespace_only() {
        let services = [service("todo", "b", "backend"), service("other", "a", "backend"), service("todo", "x", "else")];
        let ingresses =
            [ingress("z", "b", Some("10.1.1.1")), ingress("y", "b", Some("10.1.1.1")), ingress("x", "x", Some("10.1.1.1"))];
        let labels = BTreeMap::from([("app".to_owned(), "backend".to_owned())]);
        let key = Key::new("todo", "backend");
        let base = |way: Way| find(&services, &ingresses, &key, &labels, &way).map(|entry| entry.base);
        assert_eq!(base(Way::Ingress(None)).as_deref(), Ok("http://y.example"), "the first by name");
        assert_eq!(base(Way::Ingress(Some("z".into()))).as_deref(), Ok("http://z.example"));
        assert!(base(Way::Ingress(Some("x".into()))).unwrap_err().contains("Ingress x does not lead"), "to another Deployment");
        assert_eq!(base(Way::Service(None)).as_deref(), Ok("http://b.todo"));
        assert!(base(Way::Service(Some("a".into()))).unwrap_err().contains("Service a"), "of another namespace");
        let elsewhere = Key::new("third", "backend");
        assert!(find(&services, &ingresses, &elsewhere, &labels, &Way::Ingress(None)).is_err());
    }

    #[test]
    fn an_ingress_without_an_address_is_waited_for() {
        let labels = BTreeMap::from([("app".to_owned(), "backend".to_owned())]);
        let (services, ingresses) = ([service("todo", "b", "backend")], [ingress("y", "b", None)]);
        let found = find(&services, &ingresses, &Key::new("todo", "backend"), &labels, &Way::Ingress(None));
        assert!(found.unwrap_err().contains("no address yet"));
    }
}
