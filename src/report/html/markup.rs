//! HTML and SVG as a tree. Names of elements and attributes are constants of the program; whatever else is put in is escaped when it is
//! written, so that nothing foreign can become markup, and no element stays open.

use std::fmt::Display;

use crate::domain::display::clean;

/// An element with what it contains.
#[derive(Clone, Debug)]
pub(super) struct Element {
    tag: &'static str,
    attributes: Vec<(&'static str, String)>,
    content: Vec<Content>,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Element(Element),
    /// Our own style sheet: the one text that is not escaped.
    Style(&'static str),
}

/// Elements that have no end tag in HTML.
const VOID: [&str; 2] = ["meta", "br"];
/// Elements after which a line ends, so that a person and a diff can read the source.
const BLOCKS: [&str; 21] = [
    "html", "head", "body", "meta", "title", "style", "main", "header", "section", "article", "footer", "h1", "h2", "h3", "p",
    "div", "li", "table", "tr", "svg", "g",
];

/// An empty element.
pub(super) const fn el(tag: &'static str) -> Element {
    Element { tag, attributes: Vec::new(), content: Vec::new() }
}

/// An element of a class.
pub(super) fn classed(tag: &'static str, class: &'static str) -> Element {
    el(tag).attr("class", class)
}

impl Element {
    /// With an attribute.
    pub(super) fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With a text at the end of its content.
    pub(super) fn text(mut self, text: impl Display) -> Self {
        self.content.push(Content::Text(text.to_string()));
        self
    }

    /// With an element at the end of its content.
    pub(super) fn with(mut self, element: Self) -> Self {
        self.content.push(Content::Element(element));
        self
    }

    /// With elements at the end of its content.
    pub(super) fn all(mut self, elements: impl IntoIterator<Item = Self>) -> Self {
        self.content.extend(elements.into_iter().map(Content::Element));
        self
    }

    /// With a style sheet of ours as its content.
    pub(super) fn style(mut self, sheet: &'static str) -> Self {
        self.content.push(Content::Style(sheet));
        self
    }

    /// The same as the heading of its row.
    pub(super) fn heading(mut self) -> Self {
        self.tag = "th";
        self.attr("scope", "row")
    }

    /// As text.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.tag);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out);
            out.push('"');
        }
        out.push('>');
        for content in &self.content {
            match content {
                Content::Text(text) => escape(text, out),
                Content::Element(element) => element.write(out),
                Content::Style(sheet) => out.push_str(sheet),
            }
        }
        if !VOID.contains(&self.tag) {
            out.push_str("</");
            out.push_str(self.tag);
            out.push('>');
        }
        if BLOCKS.contains(&self.tag) {
            out.push('\n');
        }
    }
}

/// Line ends stay, for preformatted text; everything else that cannot be seen goes.
fn escape(text: &str, out: &mut String) {
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for c in clean(line).chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                c => out.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_cannot_become_markup() {
        let foreign = "</title><script>alert('1')</script>\" onload=\"x&";
        let text = el("text").attr("title", foreign).text(foreign).with(el("br")).render();
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x&amp;";
        assert_eq!(text, format!("<text title=\"{escaped}\">{escaped}<br></text>"));
    }

    #[test]
    fn lines_stay_and_what_cannot_be_seen_goes() {
        assert_eq!(el("pre").text("a\n  b\u{202e}\u{1b}[2J\u{0}").render(), "<pre>a\n  b[2J</pre>");
    }
}
