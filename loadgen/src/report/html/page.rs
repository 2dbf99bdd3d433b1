//! A page that needs no script, no other file and no network. Sections, tables and figures are
//! appended in order.

use std::fmt::Write as _;

/// The style sheet of every page, with light and dark colours.
const STYLE: &str = include_str!("style.css");

/// A cell with more characters than this counts as prose, and its lines may be broken.
const SENTENCE: usize = 32;

/// An unfinished page.
///
/// # Examples
/// ```
/// use loadgen::report::html::{Page, Table};
///
/// let mut page = Page::new("Echoes", "three servers, twelve rounds");
/// let mut table = Table::new("Echoes per second", &["server", "echoes/s"]);
/// table.row("epoll", &["120,000"]);
/// page.section("rates", "Rates", &table.render());
/// assert!(page.render().contains("<caption>Echoes per second</caption>"));
/// ```
#[derive(Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// Begins a page with a heading and a line below it.
    #[must_use]
    pub fn new(title: &str, subtitle: &str) -> Self {
        let body = format!(
            "<header><h1>{}</h1><p>{}</p></header>\n",
            escape(title),
            escape(subtitle)
        );
        Self {
            title: title.to_owned(),
            body,
        }
    }

    /// Adds a section with its heading. `content` is HTML, such as a rendered table or figure.
    pub fn section(&mut self, id: &str, heading: &str, content: &str) {
        write!(
            self.body,
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{}</h2>\n{content}</section>\n",
            escape(heading)
        )
        .expect("writing to a string does not fail");
    }

    /// Adds HTML without a heading.
    pub fn content(&mut self, content: &str) {
        self.body.push_str(content);
    }

    /// Returns the whole page.
    #[must_use]
    pub fn render(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
            escape(&self.title),
            self.body
        )
    }
}

/// A table of text. The first column has the names of the rows.
#[derive(Debug)]
pub struct Table {
    out: String,
}

impl Table {
    /// Makes a table with a caption and, unless `columns` is empty, a header.
    #[must_use]
    pub fn new(caption: &str, columns: &[&str]) -> Self {
        let mut out = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption>\n",
            escape(caption)
        );
        if !columns.is_empty() {
            out.push_str("<thead><tr>");
            for column in columns {
                out += &format!("<th scope=\"col\">{}</th>", escape(column));
            }
            out.push_str("</tr></thead>\n");
        }
        out.push_str("<tbody>\n");
        Self { out }
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, cells: &[&str]) {
        self.out += &format!("<tr><th scope=\"row\">{}</th>", escape(name));
        for cell in cells {
            let class = if cell.chars().count() > SENTENCE {
                " class=\"text\""
            } else {
                ""
            };
            self.out += &format!("<td{class}>{}</td>", escape(cell));
        }
        self.out.push_str("</tr>\n");
    }

    /// Returns the table as HTML.
    #[must_use]
    pub fn render(self) -> String {
        self.out + "</tbody></table></div>\n"
    }
}

/// Returns the list of the main figures: name, value, and a short remark.
#[must_use]
pub fn cards(cards: &[(&str, String, String)]) -> String {
    let mut out = "<dl class=\"cards\">\n".to_owned();
    for (name, value, remark) in cards {
        out += &format!(
            "<div><dt>{}</dt><dd>{}</dd><dd class=\"remark\">{}</dd></div>\n",
            escape(name),
            escape(value),
            escape(remark)
        );
    }
    out + "</dl>\n"
}

/// Returns a list of sentences of one class: `error`, `warning` or `note`. Without sentences, it is
/// empty.
#[must_use]
pub fn remarks(class: &str, word: &str, sentences: &[String]) -> String {
    let item = |sentence: &String| {
        format!(
            "<p class=\"{class}\"><strong>{word}:</strong> {}</p>\n",
            escape(sentence)
        )
    };
    sentences.iter().map(item).collect()
}

/// Returns content that is shown on demand.
#[must_use]
pub fn details(summary: &str, content: &str) -> String {
    format!(
        "<details><summary>{}</summary>\n{content}</details>\n",
        escape(summary)
    )
}

/// Escapes text for HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
