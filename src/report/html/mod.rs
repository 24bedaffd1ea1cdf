//! A run as one HTML file: no script, nothing from elsewhere, the same bytes for the same summary. The verdict first, then what it stands on,
//! then why, then when, then everything else.

mod action;
mod chart;
mod happened;
mod head;
mod markup;
mod record;
mod table;
mod why;

use crate::domain::summary::Summary;
use markup::{Element, el};

/// What the page may load: nothing. Its style is its own.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page.
pub fn document(summary: &Summary) -> String {
    let meta = [
        el("meta").attr("charset", "utf-8"),
        el("meta").attr("http-equiv", "Content-Security-Policy").attr("content", POLICY),
        el("meta").attr("name", "viewport").attr("content", "width=device-width, initial-scale=1"),
        el("meta").attr("name", "color-scheme").attr("content", "light dark"),
        el("meta").attr("name", "referrer").attr("content", "no-referrer"),
    ];
    let title = el("title").text(head::title(summary));
    let style = el("style").style(include_str!("style.css"));
    let page = el("html").attr("lang", "en").with(el("head").all(meta).with(title).with(style));
    format!("<!DOCTYPE html>\n{}", page.with(body(summary)).render())
}

fn body(summary: &Summary) -> Element {
    let sections = [
        action::action(summary),
        head::objectives(summary),
        why::findings(summary),
        chart::timeline(summary),
        happened::failures(summary),
        happened::examples(summary),
        happened::traffic(summary),
        happened::answered(summary),
        happened::rollout(summary),
        happened::admission(summary),
        happened::pods(summary),
        happened::propagation(summary),
        record::validity(summary),
        record::warnings(summary),
        record::notices(summary),
        record::put_back(summary),
        Some(record::again(summary)),
    ];
    el("body").with(head::header(summary)).with(el("main").all(sections.into_iter().flatten()))
}

/// A section under its heading.
fn section(heading: &str) -> Element {
    el("section").with(el("h2").text(heading))
}

/// The first `limit` of `all`, and a line that says how many there are beyond.
fn more(all: usize, limit: usize, what: &str) -> Option<Element> {
    let more = all.checked_sub(limit).filter(|n| *n > 0)?;
    Some(markup::classed("p", "note").text(format!("and {more} more {what}; `-o json` lists them")))
}

#[cfg(test)]
mod tests;
