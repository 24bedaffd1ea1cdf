//! From counts to what the endpoint writes.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, MetricFamily, MetricType};

use super::catalogue::{self as c, CATALOGUE, Kind, Metric};
use super::store::{self, Series, Store, minute};
use crate::domain::policy::Key;
use crate::domain::policy::budget::BURN_SPANS;
use crate::domain::rollout::guard::Verb;
use crate::domain::time::At;
use crate::domain::verdict::VerdictKind;

/// The phases that a Deployment can be in.
const PHASES: [&str; 6] = ["idle", "probing", "surging", "replacing", "terminating", "settled"];
/// The verdicts that a rollout can end with.
const VERDICTS: [VerdictKind; 5] =
    [VerdictKind::Pass, VerdictKind::Breach, VerdictKind::Inconclusive, VerdictKind::Superseded, VerdictKind::Aborted];
/// What a guard can do.
const ACTIONS: [Verb; 3] = [Verb::Pause, Verb::Hold, Verb::Undo];

/// Collects samples of each metric of the catalogue.
#[derive(Default)]
struct Sheet(BTreeMap<&'static str, Vec<prometheus::proto::Metric>>);

impl Sheet {
    fn sample(&mut self, metric: &Metric, values: &[&str], fill: impl FnOnce(&mut prometheus::proto::Metric)) {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        let mut labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values.iter().copied()).collect();
        labels.sort_unstable();
        let pair = |(name, value): (&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.into());
            pair.set_value(value.into());
            pair
        };
        let mut sample = prometheus::proto::Metric::default();
        sample.set_label(labels.into_iter().map(pair).collect());
        fill(&mut sample);
        self.0.entry(metric.name).or_default().push(sample);
    }

    fn gauge(&mut self, metric: &Metric, values: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.sample(metric, values, |sample| sample.set_gauge(gauge));
    }

    fn counter(&mut self, metric: &Metric, values: &[&str], value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        self.sample(metric, values, |sample| sample.set_counter(counter));
    }

    fn histogram(&mut self, metric: &Metric, values: &[&str], counts: &store::Histogram) {
        let mut below = 0;
        let bucket = |(edge, count): (&u64, &u64)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*edge as f64 / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(counts.buckets.iter().map(bucket).collect());
        histogram.set_sample_count(counts.count());
        histogram.set_sample_sum(counts.sum as f64 / 1e6);
        self.sample(metric, values, |sample| sample.set_histogram(histogram));
    }

    /// The families in the order of the catalogue; those without a sample are left out.
    fn families(mut self) -> Vec<MetricFamily> {
        let family = |metric: &Metric| {
            let samples = self.0.remove(metric.name)?;
            let mut family = MetricFamily::default();
            family.set_name(metric.name.into());
            family.set_help(metric.help.into());
            family.set_field_type(match metric.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            family.set_metric(samples);
            Some(family)
        };
        CATALOGUE.iter().filter_map(family).collect()
    }
}

/// All families.
pub(super) fn families(store: &Store, now: At) -> Vec<MetricFamily> {
    let mut sheet = Sheet::default();
    sheet.gauge(&c::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    for (key, series) in &store.deployments {
        deployment(&mut sheet, key, series, now);
    }
    sheet.gauge(&c::LEADER, &[], f64::from(u8::from(store.leading)));
    sheet.gauge(&c::RUNS, &[], store.runs as f64);
    sheet.gauge(&c::INTENDED, &[], store.intended);
    let lag = store.deployments.values().map(|series| series.lag).max().unwrap_or_default();
    sheet.gauge(&c::LAG, &[], lag.as_secs_f64());
    sheet.counter(&c::UNSENT, &[], store.unsent);
    sheet.gauge(&c::WATCH_AGE, &[], store.watch_lost.map_or(0.0, |lost| now.since(lost).as_secs_f64()));
    for (code, calls) in &store.calls {
        sheet.counter(&c::API_CALLS, &[code], *calls);
    }
    sheet.counter(&c::SERIES_DROPPED, &[], store.dropped);
    sheet.families()
}

fn deployment(sheet: &mut Sheet, key: &Key, series: &Series, now: At) {
    let (ns, name) = (&*key.namespace, &*key.name);
    for (outcome, n) in series.probes.iter().filter(|(_, n)| *n > 0) {
        sheet.counter(&c::PROBES, &[ns, name, outcome.label()], n);
    }
    sheet.histogram(&c::PROBE_LATENCY, &[ns, name], &series.probe_latency);
    for (lane, counts) in &series.lanes {
        for (outcome, n) in counts.iter().filter(|(_, n)| *n > 0) {
            sheet.counter(&c::REQUESTS, &[ns, name, lane, outcome.label()], n);
        }
    }
    for (outcome, n) in series.measured.iter().filter(|(_, n)| *n > 0) {
        sheet.counter(&c::ROLLOUT_REQUESTS, &[ns, name, outcome.label()], n);
    }
    sheet.histogram(&c::LATENCY, &[ns, name], &series.latency);
    // All words from the beginning: Prometheus does not see a counter grow that was not there before.
    for verdict in VERDICTS {
        sheet.counter(&c::VERDICTS, &[ns, name, verdict.label()], series.verdicts.get(&verdict).copied().unwrap_or_default());
    }
    for action in ACTIONS.map(Verb::label) {
        sheet.counter(&c::ACTIONS, &[ns, name, action], series.actions.get(action).copied().unwrap_or_default());
    }
    let between = if series.probes.total() > 0 { "probing" } else { "idle" };
    let now_in = series.phase.unwrap_or(between);
    for phase in PHASES {
        sheet.gauge(&c::PHASE, &[ns, name, phase], f64::from(u8::from(phase == now_in)));
    }
    let Some(promise) = series.promise else { return };
    sheet.gauge(&c::OBJECTIVE, &[ns, name], promise.fraction());
    if let Some(left) = series.budget.left(promise, minute(now)) {
        sheet.gauge(&c::BUDGET, &[ns, name], left);
    }
    for (word, span) in BURN_SPANS {
        if let Some(burn) = series.budget.burn(promise, span, minute(now)) {
            sheet.gauge(&c::BURN, &[ns, name, word], burn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::objective::Ppm;
    use crate::metrics::Metrics;

    #[test]
    fn verdicts_and_actions_are_there_before_the_first_one() {
        let metrics = Metrics::default();
        metrics.store().deployments.entry(Key::new("todo", "backend")).or_default().promise = Some(Ppm(990_000));
        let text = metrics.text(At::ZERO).unwrap();
        for series in [
            "verifier_verdicts_total{deployment=\"backend\",namespace=\"todo\",verdict=\"breach\"} 0",
            "verifier_actions_total{action=\"hold\",deployment=\"backend\",namespace=\"todo\"} 0",
            "verifier_objective_ratio{deployment=\"backend\",namespace=\"todo\"} 0.99",
        ] {
            assert!(text.lines().any(|line| line == series), "no {series} in\n{text}");
        }
    }
}
