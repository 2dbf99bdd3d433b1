//! The instructions per request of a generator, as the slope between two runs under callgrind.

use std::path::PathBuf;

use anyhow::Result;

use super::generator::{Client, Generators, answers};
use crate::measure::callgrind;

/// The two runs of each generator.
#[derive(Debug)]
pub(crate) struct Runs {
    /// Seconds of wrk's runs.
    pub(crate) seconds: [u32; 2],
    /// Requests of loadgen's runs.
    pub(crate) requests: [u32; 2],
    /// The folder of the profiles.
    pub(crate) out: PathBuf,
}

impl Runs {
    /// Returns the instructions per request; the other peers have none.
    ///
    /// # Errors
    /// A run fails.
    pub(crate) fn count(&self, generators: &Generators, client: Client) -> Result<Option<f64>> {
        let Generators {
            url, connections, ..
        } = generators;
        let run = |size: u32| -> Result<(f64, f64)> {
            // A run takes about fifty times longer under callgrind, so an interval of loadgen's
            // time series is longer by the same factor. Otherwise the work per interval would be
            // divided among too few requests.
            let options = match client {
                Client::Wrk => format!("-t1 -c{connections} -d{size}s --timeout 60s {url}"),
                _ => format!("{url} -c {connections} -n {size} --interval 5s --quiet"),
            };
            let http2 = if generators.http2 {
                " --http2 -P 10"
            } else {
                ""
            };
            let profile = self.out.join(format!("{client}.callgrind"));
            let tool = callgrind::options(&profile);
            let report = generators.run(client, &tool, &(options + http2))?;
            let count = match client {
                Client::Wrk => answers(client, &report)?.count,
                _ => f64::from(size),
            };
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            let instructions = callgrind::instructions(&profile)? as f64;
            Ok((count, instructions))
        };
        let sizes = match client {
            Client::Wrk => self.seconds,
            Client::Loadgen => self.requests,
            Client::Oha | Client::H2load => return Ok(None),
        };
        let (few, first) = run(sizes[0])?;
        let (many, second) = run(sizes[1])?;
        Ok(Some((second - first) / (many - few)))
    }
}
