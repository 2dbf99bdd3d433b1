//! The part of a loadgen report that the commands check.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A count of a report.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    /// Requested connections.
    Requested,
    /// Connections that got a verified answer.
    Served,
    /// Connections in total, including replacements.
    Established,
    /// Connections that loadgen closed after they had carried their requests.
    Retired,
    /// Connections that the server closed when it owed nothing.
    ClosedByServer,
    /// Requests that were due.
    Scheduled,
    /// Requests that were answered.
    Answered,
}

impl Count {
    fn pointer(self) -> &'static str {
        match self {
            Self::Requested => "/connections/requested",
            Self::Served => "/connections/served",
            Self::Established => "/connections/established",
            Self::Retired => "/connections/retired",
            Self::ClosedByServer => "/connections/closed_by_server",
            Self::Scheduled => "/requests/scheduled",
            Self::Answered => "/requests/answered",
        }
    }
}

/// A report in loadgen's JSON.
#[derive(Debug)]
pub(crate) struct Report(Value);

impl Report {
    /// # Errors
    /// The text is no JSON.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value = serde_json::from_str(text).with_context(|| format!("no report: '{text}'"))?;
        Ok(Self(value))
    }

    /// # Errors
    /// The file cannot be read, or is no JSON.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file);
        Self::parse(&text.with_context(|| file.display().to_string())?)
    }

    /// # Errors
    /// The report has no such count.
    pub(crate) fn get(&self, count: Count) -> Result<u64> {
        let found = self.0.pointer(count.pointer()).and_then(Value::as_u64);
        found.with_context(|| format!("the report has no {}", count.pointer()))
    }

    /// # Errors
    /// The count has another value.
    pub(crate) fn is(&self, count: Count, value: u64) -> Result<()> {
        let found = self.get(count)?;
        ensure!(found == value, "{count:?} is {found} instead of {value}");
        Ok(())
    }

    /// # Errors
    /// The count is lower.
    pub(crate) fn at_least(&self, count: Count, value: u64) -> Result<()> {
        let found = self.get(count)?;
        ensure!(found >= value, "{count:?} is {found}, less than {value}");
        Ok(())
    }

    /// Returns the kinds of errors in the measured part.
    ///
    /// # Errors
    /// The report has no list of them.
    pub(crate) fn errors(&self) -> Result<Vec<&str>> {
        let errors = self.0["errors"].as_array();
        let kinds = errors.context("the report has no errors")?.iter();
        Ok(kinds.filter_map(|error| error["kind"].as_str()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_errors_are_read_and_compared() {
        let text = r#"{"requests":{"answered":7},"errors":[{"kind":"http-4xx","count":7}]}"#;
        let report = Report::parse(text).unwrap();
        report.is(Count::Answered, 7).unwrap();
        report.at_least(Count::Answered, 7).unwrap();
        assert!(report.is(Count::Answered, 8).is_err());
        assert!(report.at_least(Count::Answered, 8).is_err());
        assert!(report.is(Count::Served, 0).is_err());
        assert_eq!(report.errors().unwrap(), ["http-4xx"]);
    }
}
