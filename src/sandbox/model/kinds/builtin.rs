//! The table of built-in kinds.

use super::{Kind, Names, ScalePaths, Traits, View};
use crate::sandbox::model::object::{Resource, resource as r};
use crate::sandbox::model::schema;
use crate::sandbox::model::{defaults as d, validate as v};

/// One row: what differs from the commonest kind.
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    resource: Resource,
    cluster: bool,
    all: bool,
    status: bool,
    scale: bool,
    traits: Traits,
    view: View,
}

const PLAIN: Traits = Traits {
    generation: false,
    unconditional: true,
    creates_on_update: false,
    returns_deleted: false,
    names: Names::Subdomain,
    defaults: d::nothing,
    validate: v::nothing,
};
const COUNTED: Traits = Traits { generation: true, ..PLAIN };
const RETURNED: Traits = Traits { returns_deleted: true, ..PLAIN };
const RBAC: Traits = Traits { creates_on_update: true, names: Names::PathSegment, ..PLAIN };

const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    resource: Resource,
    traits: Traits,
) -> Row {
    Row {
        group,
        version,
        kind,
        plural,
        short: &[],
        resource,
        cluster: false,
        all: false,
        status: false,
        scale: false,
        traits,
        view: View::Stored,
    }
}

impl Row {
    const fn short(mut self, short: &'static [&'static str]) -> Self {
        self.short = short;
        self
    }

    const fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    const fn all(mut self) -> Self {
        self.all = true;
        self
    }

    const fn status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn scale(mut self) -> Self {
        self.scale = true;
        self
    }

    const fn view(mut self, view: View) -> Self {
        self.view = view;
        self
    }
}

const fn name(plural_and_group: &'static str) -> Resource {
    Resource::Borrowed(plural_and_group)
}

fn core() -> Vec<Row> {
    vec![
        row("", "v1", "ConfigMap", "configmaps", r::CONFIG_MAPS, Traits { validate: v::config::config_map, ..PLAIN })
            .short(&["cm"]),
        row("", "v1", "Event", "events", r::EVENTS, Traits { creates_on_update: true, defaults: d::misc::event, ..PLAIN })
            .short(&["ev"]),
        row(
            "",
            "v1",
            "Namespace",
            "namespaces",
            r::NAMESPACES,
            Traits { names: Names::Label, defaults: d::misc::namespace, ..RETURNED },
        )
        .short(&["ns"])
        .cluster()
        .status(),
        row("", "v1", "Node", "nodes", r::NODES, Traits { defaults: d::misc::node, validate: v::misc::node, ..PLAIN })
            .short(&["no"])
            .cluster()
            .status(),
        row(
            "",
            "v1",
            "Pod",
            "pods",
            r::PODS,
            Traits { generation: true, defaults: d::pod::pod, validate: v::pod::pod, ..RETURNED },
        )
        .short(&["po"])
        .all()
        .status(),
        row("", "v1", "ResourceQuota", "resourcequotas", r::RESOURCE_QUOTAS, Traits { validate: v::misc::quota, ..RETURNED })
            .short(&["quota"])
            .status(),
        row("", "v1", "Secret", "secrets", r::SECRETS, Traits { defaults: d::misc::secret, validate: v::config::secret, ..PLAIN }),
        row("", "v1", "ServiceAccount", "serviceaccounts", r::SERVICE_ACCOUNTS, RETURNED).short(&["sa"]),
        row(
            "",
            "v1",
            "Service",
            "services",
            r::SERVICES,
            Traits {
                creates_on_update: true,
                names: Names::Service,
                defaults: d::service::service,
                validate: v::service::service,
                ..RETURNED
            },
        )
        .short(&["svc"])
        .all()
        .status(),
    ]
}

fn workloads() -> Vec<Row> {
    vec![
        row(
            "apps",
            "v1",
            "Deployment",
            "deployments",
            r::DEPLOYMENTS,
            Traits { defaults: d::apps::deployment, validate: v::apps::deployment, ..COUNTED },
        )
        .short(&["deploy"])
        .all()
        .status()
        .scale(),
        row(
            "apps",
            "v1",
            "ReplicaSet",
            "replicasets",
            r::REPLICA_SETS,
            Traits { defaults: d::apps::replica_set, validate: v::apps::replica_set, ..COUNTED },
        )
        .short(&["rs"])
        .all()
        .status()
        .scale(),
        row(
            "autoscaling",
            "v2",
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            r::HORIZONTAL_POD_AUTOSCALERS,
            Traits { defaults: d::misc::autoscaler, validate: v::misc::autoscaler, ..PLAIN },
        )
        .short(&["hpa"])
        .all()
        .status(),
        row(
            "autoscaling",
            "v1",
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            r::HORIZONTAL_POD_AUTOSCALERS,
            Traits { defaults: d::misc::autoscaler, validate: v::misc::autoscaler, ..PLAIN },
        )
        .short(&["hpa"])
        .all()
        .status()
        .view(View::AutoscalingV1),
        row(
            "policy",
            "v1",
            "PodDisruptionBudget",
            "poddisruptionbudgets",
            r::POD_DISRUPTION_BUDGETS,
            Traits { unconditional: false, validate: v::misc::disruption_budget, ..COUNTED },
        )
        .short(&["pdb"])
        .status(),
        row(
            "coordination.k8s.io",
            "v1",
            "Lease",
            "leases",
            r::LEASES,
            Traits { unconditional: false, creates_on_update: true, validate: v::misc::lease, ..PLAIN },
        ),
        row(
            "events.k8s.io",
            "v1",
            "Event",
            "events",
            r::EVENTS,
            Traits { creates_on_update: true, defaults: d::misc::event, ..PLAIN },
        )
        .short(&["ev"])
        .view(View::Events),
    ]
}

fn network() -> Vec<Row> {
    let networking = "networking.k8s.io";
    vec![
        row(
            "discovery.k8s.io",
            "v1",
            "EndpointSlice",
            "endpointslices",
            r::ENDPOINT_SLICES,
            Traits { defaults: d::service::endpoint_slice, validate: v::service::endpoint_slice, ..COUNTED },
        ),
        row(networking, "v1", "Ingress", "ingresses", r::INGRESSES, Traits { validate: v::ingress::ingress, ..COUNTED })
            .short(&["ing"])
            .status(),
        row(
            networking,
            "v1",
            "IngressClass",
            "ingressclasses",
            r::INGRESS_CLASSES,
            Traits { validate: v::ingress::class, ..COUNTED },
        )
        .cluster(),
        row(
            networking,
            "v1",
            "NetworkPolicy",
            "networkpolicies",
            name("networkpolicies.networking.k8s.io"),
            Traits { defaults: d::misc::network_policy, ..COUNTED },
        )
        .short(&["netpol"]),
    ]
}

fn cluster() -> Vec<Row> {
    let rbac = "rbac.authorization.k8s.io";
    vec![
        row(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            r::CUSTOM_RESOURCE_DEFINITIONS,
            Traits { unconditional: false, defaults: d::crd::definition, validate: v::crd::definition, ..COUNTED },
        )
        .short(&["crd", "crds"])
        .cluster()
        .status(),
        row(rbac, "v1", "Role", "roles", name("roles.rbac.authorization.k8s.io"), Traits { validate: v::rbac::role, ..RBAC }),
        row(
            rbac,
            "v1",
            "RoleBinding",
            "rolebindings",
            name("rolebindings.rbac.authorization.k8s.io"),
            Traits { defaults: d::misc::binding, validate: v::rbac::binding, ..RBAC },
        ),
        row(
            rbac,
            "v1",
            "ClusterRole",
            "clusterroles",
            name("clusterroles.rbac.authorization.k8s.io"),
            Traits { validate: v::rbac::role, ..RBAC },
        )
        .cluster(),
        row(
            rbac,
            "v1",
            "ClusterRoleBinding",
            "clusterrolebindings",
            name("clusterrolebindings.rbac.authorization.k8s.io"),
            Traits { defaults: d::misc::binding, validate: v::rbac::binding, ..RBAC },
        )
        .cluster(),
        row(
            "scheduling.k8s.io",
            "v1",
            "PriorityClass",
            "priorityclasses",
            name("priorityclasses.scheduling.k8s.io"),
            Traits { generation: true, defaults: d::misc::priority_class, ..PLAIN },
        )
        .short(&["pc"])
        .cluster(),
        row(
            "storage.k8s.io",
            "v1",
            "StorageClass",
            "storageclasses",
            name("storageclasses.storage.k8s.io"),
            Traits { defaults: d::misc::storage_class, ..RETURNED },
        )
        .short(&["sc"])
        .cluster(),
    ]
}

/// The published name of a kind's type.
pub fn type_name(group: &str, version: &str, kind: &str) -> String {
    let group = match group {
        "" => "api.core",
        "apiextensions.k8s.io" => "apiextensions-apiserver.pkg.apis.apiextensions",
        other => &format!("api.{}", other.split('.').next().unwrap_or(other)),
    };
    format!("io.k8s.{group}.{version}.{kind}")
}

fn rows() -> impl Iterator<Item = Row> {
    core().into_iter().chain(workloads()).chain(network()).chain(cluster())
}

/// Group, kind and resource of the built-in kinds, in the form in which their objects are stored.
pub fn stored() -> impl Iterator<Item = (&'static str, &'static str, Resource)> {
    rows().filter(|row| row.view == View::Stored).map(|row| (row.group, row.kind, row.resource))
}

/// All built-in kinds.
pub fn kinds() -> Vec<Kind> {
    let types = schema::builtin();
    rows()
        .filter_map(|row| {
            let root = types.id(&type_name(row.group, row.version, row.kind))?;
            let scale = ScalePaths {
                spec: "spec.replicas".into(),
                status: "status.replicas".into(),
                selector: Some("spec.selector".into()),
            };
            Some(Kind {
                group: row.group.into(),
                version: row.version.into(),
                kind: row.kind.into(),
                plural: row.plural.into(),
                singular: row.kind.to_lowercase(),
                short_names: row.short.iter().map(|s| (*s).to_owned()).collect(),
                categories: match row.kind {
                    "CustomResourceDefinition" => vec!["api-extensions".into()],
                    _ if row.all => vec!["all".into()],
                    _ => Vec::new(),
                },
                namespaced: !row.cluster,
                resource: row.resource,
                status: row.status,
                scale: row.scale.then_some(scale),
                traits: row.traits,
                view: row.view,
                custom: None,
                types: types.clone(),
                root,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_published_type() {
        assert_eq!(kinds().len(), rows().count());
    }
}
