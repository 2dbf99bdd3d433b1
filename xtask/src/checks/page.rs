//! `cargo xtask pages`: loadgen's pages in headless Chromium.
//!
//! A page makes no network request, writes nothing on the console and has every section. It is
//! light or dark as the reader prefers. On a wide and on a narrow screen, no label overlaps another
//! one or is outside its plot, and nothing is wider than the screen.

mod browser;
mod pages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::Cases;
use crate::checks::trial;
use crate::programs::process::{self, target_folder};
use browser::{Scheme, browse};

const PROBE: &str = include_str!("page/probe.html");
const WIDTHS: [u32; 2] = [1_000, 500];

#[derive(Debug, Args)]
pub(crate) struct Pages {
    /// Leave the pages and pictures of them (light and dark, wide and narrow) in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    cases: Cases,
}

/// A page, and the parts that it must have.
struct Page {
    name: &'static str,
    plots: u64,
    sections: &'static [&'static str],
    /// Writes the page into a file.
    write: fn(&Path, &Path, &Path) -> Result<()>,
}

impl Pages {
    /// # Errors
    /// A program is missing, or the build fails.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut arguments = self.cases.arguments();
        // The cases run one after the other: one server stops at a certain time, and Chromium takes
        // all CPUs.
        arguments.test_threads = arguments.test_threads.or(Some(1));
        if !arguments.list {
            process::need("chromium", "chromium")?;
            if !self.cases.no_build {
                process::build(&["--release", "--package", "loadgen"])?;
            }
            if let Some(keep) = &self.keep {
                fs::create_dir_all(keep)?;
            }
        }
        let loadgen = std::path::absolute(target_folder().join("release/loadgen"))?;
        let trials = pages::all().into_iter().map(|page| {
            let (loadgen, keep) = (loadgen.clone(), self.keep.clone());
            trial::new(page.name, move |folder| {
                let file = folder.join(format!("{}.html", page.name));
                (page.write)(&loadgen, folder, &file)?;
                check(folder, &page, &file, keep.as_deref())
            })
        });
        Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
    }
}

fn check(folder: &Path, page: &Page, file: &Path, keep: Option<&Path>) -> Result<()> {
    let text = fs::read_to_string(file)?;
    for elsewhere in ["http:", "https:", "<script", "url(", "src="] {
        ensure!(!text.contains(elsewhere), "the page has '{elsewhere}'");
    }
    let log = folder.join("net.json");
    let options = ["--enable-logging=stderr", "--dump-dom"].map(str::to_owned);
    let logged = format!("--log-net-log={}", log.display());
    let shown = browse(
        folder,
        Scheme::Light,
        1_000,
        file,
        &[&options[..], &[logged]].concat(),
    )?;
    for section in page.sections {
        let tag = format!("<section id=\"{section}\"");
        ensure!(shown.out.contains(&tag), "there is no section '{section}'");
    }
    let console: Vec<_> = shown
        .err
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    ensure!(console.is_empty(), "the console has {console:?}");
    let requests = requests(&fs::read_to_string(log)?);
    ensure!(requests.is_empty(), "it asks the network: {requests:?}");

    let open_end = text.replace("</body>", "").replace("</html>", "");
    let probed = folder.join("probed.html");
    fs::write(&probed, open_end + PROBE)?;
    for scheme in [Scheme::Dark, Scheme::Light] {
        for width in WIDTHS {
            let dump = ["--dump-dom".to_owned()];
            let shown = browse(folder, scheme, width, &probed, &dump)?.out;
            judge(&shown, scheme, page.plots)
                .with_context(|| format!("{scheme:?}, {width} wide"))?;
            if let Some(keep) = keep {
                let name = format!("{}-{}-{width}.png", page.name, scheme.number());
                let picture = std::path::absolute(keep.join(name))?;
                let option = format!("--screenshot={}", picture.display());
                browse(folder, scheme, width, file, &[option])?;
            }
        }
    }
    if let Some(keep) = keep {
        fs::copy(file, keep.join(format!("{}.html", page.name)))?;
    }
    Ok(())
}

/// Returns the addresses in a network log that the page asked for. Chromium contacts its vendor for
/// updates and the time, with all flags.
fn requests(log: &str) -> Vec<String> {
    let urls = log.split("\"url\":\"").skip(1);
    let urls = urls.filter_map(|rest| rest.split('"').next());
    let is_vendor = |url: &str| {
        let rest = url
            .strip_prefix("http")
            .map(|rest| rest.strip_prefix('s').unwrap_or(rest));
        let host = rest.and_then(|rest| rest.strip_prefix("://")?.split_once('/'));
        host.is_some_and(|(host, _)| {
            host.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.'))
                && (host.ends_with(".google.com") || host.ends_with(".googleapis.com"))
        })
    };
    let is_local = |url: &str| url.starts_with("file:") || url.starts_with("data:");
    urls.filter(|url| !is_local(url) && !is_vendor(url))
        .map(str::to_owned)
        .collect()
}

/// Checks the findings of the probe, which are in the document.
fn judge(document: &str, scheme: Scheme, plots: u64) -> Result<()> {
    // The last occurrence has the findings. The first one is in the probe itself.
    let (_, found) = document
        .rsplit_once("<pre id=\"probe\">")
        .context("the probe did not run")?;
    let (found, _) = found.split_once("</pre>").context("the probe has no end")?;
    let mut text = found.to_owned();
    for (escaped, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, character);
    }
    let probe: Value = serde_json::from_str(&text).context("the probe did not run")?;
    let background = probe["background"].as_str().context("no background")?;
    let red = background.split(|character: char| !character.is_ascii_digit());
    let red = red.filter_map(|number| number.parse::<u32>().ok()).next();
    let is_dark = red.context("no color")? < 128;
    ensure!(
        is_dark == (scheme == Scheme::Dark),
        "the background is {background}"
    );
    ensure!(
        probe["plots"].as_u64() == Some(plots),
        "{} plots are shown, and {plots} expected",
        probe["plots"]
    );
    let problems = probe["problems"]
        .as_array()
        .context("no list of problems")?;
    ensure!(problems.is_empty(), "{problems:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_page_are_found_among_those_of_the_browser() {
        let log = r#"{"url":"file:///page.html"},{"url":"https://update.googleapis.com/x"},
            {"url":"https://example.com/font"},{"url":"https://example.com/.google.com/"}"#;
        let found = requests(log);
        assert_eq!(
            found,
            [
                "https://example.com/font",
                "https://example.com/.google.com/"
            ]
        );
    }

    #[test]
    fn findings_fail_a_page() {
        let page = |background: &str, plots: u32, problems: &str| {
            format!(
                "<pre id=\"probe\"></pre><pre id=\"probe\">{{\"plots\":{plots},\
                 \"background\":\"rgb({background}, 0, 0)\",\"problems\":[{problems}]}}</pre>"
            )
        };
        judge(&page("255", 3, ""), Scheme::Light, 3).unwrap();
        judge(&page("17", 3, ""), Scheme::Dark, 3).unwrap();
        for wrong in [
            page("17", 3, ""),
            page("255", 2, ""),
            page("255", 3, "\"a label &gt; another\""),
            "<pre id=\"probe\"></pre>".to_owned(),
        ] {
            assert!(judge(&wrong, Scheme::Light, 3).is_err(), "{wrong}");
        }
    }
}
