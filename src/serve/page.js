"use strict";
// Asks this service, and nobody else, every two seconds. All text goes in as text.
const EVERY = 2000;
const DOTS = 30;
const MARKS = { pass: "✓", breach: "✗", inconclusive: "?", superseded: "»", aborted: "–" };

function el(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

async function items(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return (await answer.json()).items;
}

function dot(v) {
  const kind = v.verdict || "open";
  const item = el("li");
  const mark = el(v.report ? "a" : "span", MARKS[v.verdict] || "…", kind);
  if (v.report) mark.href = `api/v1/runs/${encodeURIComponent(v.runId)}/report`;
  mark.title = `${kind}, ${v.began}: ${v.errors} of ${v.requests} requests failed${v.message ? ": " + v.message : ""}`;
  mark.setAttribute("aria-label", mark.title);
  item.append(mark);
  return item;
}

function doing(p) {
  if (p.run) return `rollout: ${p.run.judging ? p.run.phase : "looked at"} · ${p.run.good} good, ${p.run.bad} bad in the last seconds`;
  if (p.reason) return `${p.reason}: ${p.message}`;
  if (!p.probing || !p.probing.last) return "probing begins";
  return `probing every ${p.probing.every} s · last answer: ${p.probing.last} · ${p.probing.good} good, ${p.probing.bad} bad so far`;
}

function budget(left) {
  const p = el("p", undefined, "soft");
  if (left === null) { p.textContent = "error budget: nothing asked yet"; return [p]; }
  p.textContent = `error budget left: ${(100 * left).toFixed(1)} % of the last 24 hours'`;
  const meter = el("meter");
  meter.min = 0; meter.max = 1; meter.low = 0.1; meter.optimum = 1; meter.value = Math.max(0, left);
  meter.setAttribute("aria-label", p.textContent);
  return [p, meter];
}

function card(p, verifications) {
  const article = el("article");
  article.append(el("h2", `${p.namespace}/${p.deployment}`), el("p", doing(p), "phase"));
  if (p.run && p.run.judging) {
    const live = el("a", "watch it");
    live.href = `api/v1/runs/${encodeURIComponent(p.run.runId)}/report`;
    article.append(live);
  }
  const dots = el("ol", undefined, "dots");
  for (const v of verifications.slice(-DOTS)) dots.append(dot(v));
  article.append(dots);
  const last = verifications[verifications.length - 1];
  if (last) {
    const figures = `${last.availability || "no answer"} available, p99 ${last.p99 || "unknown"}, ${last.errors} of ${last.requests} failed`;
    article.append(el("p", `last rollout: ${last.verdict || "open"} · ${figures}${last.action ? " · " + last.action : ""}`));
    if (last.message) article.append(el("p", last.message, "soft"));
  }
  article.append(...budget(p.errorBudgetLeft));
  return article;
}

async function refresh() {
  const state = document.getElementById("state");
  try {
    const [policies, verifications] = await Promise.all([items("api/v1/policies"), items("api/v1/verifications")]);
    const of = (p) => verifications.filter((v) => v.namespace === p.namespace && v.deployment === p.deployment);
    document.getElementById("cards").replaceChildren(...policies.map((p) => card(p, of(p))));
    state.textContent = policies.length ? `${policies.length} Deployment${policies.length > 1 ? "s" : ""}` : "no Deployment is asked for by the annotation verifier.dev/policy or by a RolloutPolicy";
  } catch (error) {
    state.textContent = `no answer: ${error.message}`;
  }
  setTimeout(refresh, EVERY);
}

refresh();
