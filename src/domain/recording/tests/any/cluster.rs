//! The states of a cluster's objects.

use proptest::collection::vec;
use proptest::option::of as maybe;
use proptest::prelude::*;
use proptest::sample::select;

use super::{at, name, record, span, text};
use crate::domain::rollout::state::{
    Condition, ContainerNow, ContainerState, DeploymentCounts, DeploymentState, Endpoint, EndpointsState, Exit, PodPhase, PodState,
    PreStop, ProbeState, ReplicaSetState, Strategy as RolloutStrategy, TemplateState, Writer,
};

fn condition() -> impl Strategy<Value = Condition> {
    (name(), maybe(any::<bool>()), text(), text()).prop_map(|(kind, status, reason, message)| Condition {
        kind,
        status,
        reason,
        message,
    })
}

pub(super) fn deployment() -> impl Strategy<Value = DeploymentState> {
    let strategy = prop_oneof![
        Just(RolloutStrategy::Recreate),
        any::<(u32, u32)>().prop_map(|(max_surge, max_unavailable)| RolloutStrategy::RollingUpdate { max_surge, max_unavailable })
    ];
    let counts = any::<[u32; 4]>().prop_map(|[replicas, updated, ready, available]| DeploymentCounts {
        replicas,
        updated,
        ready,
        available,
    });
    let numbers = (any::<i64>(), any::<i64>(), any::<u32>(), any::<bool>());
    let writer = (name(), name()).prop_map(|(manager, time)| Writer { manager, time });
    let lists = (vec(condition(), 0..3), maybe(record()), maybe(writer));
    ((name(), name(), name()), numbers, maybe(name()), strategy, (span(), span()), counts, lists).prop_map(
        |((uid, name, namespace), (generation, observed, replicas, paused), revision, strategy, spans, status, lists)| {
            let (conditions, acted, writer) = lists;
            DeploymentState {
                uid,
                name,
                namespace,
                generation,
                observed,
                revision,
                replicas,
                paused,
                strategy,
                progress_deadline: spans.0,
                min_ready: spans.1,
                status,
                conditions,
                acted,
                writer,
            }
        },
    )
}

pub(super) fn set() -> impl Strategy<Value = ReplicaSetState> {
    let probe = || {
        maybe((name(), maybe(name()), span(), span(), span(), any::<u32>()).prop_map(
            |(asks, port, initial_delay, period, timeout, failure_threshold)| ProbeState {
                asks,
                port,
                initial_delay,
                period,
                timeout,
                failure_threshold,
            },
        ))
    };
    let pre_stop = maybe(prop_oneof![Just(PreStop::Other), span().prop_map(|length| PreStop::Sleep { length })]);
    let template = (name(), span(), pre_stop, (probe(), probe(), probe()), maybe(name()), vec(name(), 0..3)).prop_map(
        |(container, grace, pre_stop, (startup, readiness, liveness), memory_limit, gates)| TemplateState {
            container,
            grace,
            pre_stop,
            startup,
            readiness,
            liveness,
            memory_limit,
            gates,
        },
    );
    ((name(), name(), name()), any::<u64>(), vec((name(), name()), 0..3), template, any::<[u32; 3]>(), maybe(condition())).prop_map(
        |((uid, name, hash), revision, images, template, [replicas, ready, available], failure)| ReplicaSetState {
            uid,
            name,
            hash,
            revision,
            images,
            template,
            replicas,
            ready,
            available,
            failure,
        },
    )
}

pub(super) fn pod() -> impl Strategy<Value = PodState> {
    let exit = || (any::<i32>(), text()).prop_map(|(code, reason)| Exit { code, reason });
    let now = prop_oneof![
        (text(), text()).prop_map(|(reason, message)| ContainerNow::Waiting { reason, message }),
        Just(ContainerNow::Running),
        exit().prop_map(ContainerNow::Terminated)
    ];
    let container = (name(), any::<u32>(), any::<bool>(), now, maybe(exit()))
        .prop_map(|(name, restarts, ready, now, last_exit)| ContainerState { name, restarts, ready, now, last_exit });
    let phases = vec![PodPhase::Pending, PodPhase::Running, PodPhase::Succeeded, PodPhase::Failed, PodPhase::Unknown];
    let place = (maybe(name()), maybe(name()), maybe(at()), maybe(text()), maybe(name()));
    ((name(), name(), name()), place, select(phases), any::<(bool, bool)>(), vec(container, 0..3)).prop_map(
        |((uid, name, revision), (node, ip, terminating, unschedulable, verified), phase, (ready, gated), containers)| PodState {
            uid,
            name,
            revision,
            node,
            ip,
            phase,
            ready,
            terminating,
            unschedulable,
            gated,
            verified,
            containers,
        },
    )
}

pub(super) fn endpoints() -> impl Strategy<Value = EndpointsState> {
    let endpoint = (maybe(name()), name(), maybe(any::<u16>()), any::<[bool; 3]>()).prop_map(
        |(pod, address, port, [ready, serving, terminating])| Endpoint { pod, address, port, ready, serving, terminating },
    );
    (name(), vec(endpoint, 0..4)).prop_map(|(name, endpoints)| EndpointsState { name, endpoints })
}
