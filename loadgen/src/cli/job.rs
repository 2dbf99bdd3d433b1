//! Makes a run from the flags. No other place interprets several flags together.
//!
//! clap has read each flag by itself. Here they are checked against each other, and defaults are
//! filled in. The result holds only values that work. Tests: `cli/args/tests.rs`.

use std::path::{Path, PathBuf};

use reactor::Pinning;
use server_demo::IoSurface;

use crate::cli::args::{
    DURATION_DEFAULT, ProtocolName, RunArgs, SIZE_DEFAULT, Switch, WARMUP_DEFAULT,
};
use crate::cli::http_request;
use crate::cli::target::{self, Named};
use crate::measure::clock::nanos;
use crate::report::Report;
use crate::report::output::{Kind, Output};
use crate::report::rate::Rate;
use crate::report::sweep::Sweep;
use crate::run::endpoint::{Endpoint, Family};
use crate::run::part::Part;
use crate::run::payload::WORK_HEADER;
use crate::run::protocol::{Answers, ProtocolSpec};
use crate::run::setup::{Amount, Load, OnFailure, Pace, Setup};
use crate::run::sizes::Sizes;
use crate::run::template::Template;
use crate::run::tls_options::TlsOptions;
use crate::tools::sweep::{self, Steps};

/// The maximum number of HTTP/2 streams per connection in an open loop: the least that a server
/// should allow (RFC 9113, section 6.5.2).
const HTTP2_STREAMS: usize = 100;

/// A run, or a sweep of runs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) setup: Setup,
    /// The load. In a sweep, it has the rate of the first step.
    pub(crate) load: Load,
    pub(crate) sweep: Option<Steps>,
}

impl RunArgs {
    /// Returns the run that these flags describe.
    ///
    /// # Errors
    /// Flags contradict each other. The text names them.
    pub(crate) fn job(&self) -> Result<Job, String> {
        let setup = self.setup()?;
        let load = self.load(&setup.protocol);
        let connections = setup
            .connections
            .unwrap_or_else(|| setup.connections_default());
        if setup.part != Part::WHOLE && (connections == 0 || setup.active == Some(0)) {
            return Err(format!(
                "--part {} has no connection that sends",
                setup.part
            ));
        }
        setup.divide(connections, self.hot.as_ref())?;
        if self.hot.is_some() && self.threads > 1 {
            return Err(
                "--hot needs -t 1: several threads open their connections in no common order"
                    .to_owned(),
            );
        }
        if let Pinning::Cpus(cpus) = &self.pin
            && cpus.len() < self.threads as usize
        {
            let (cpus, threads) = (cpus.len(), self.threads);
            return Err(format!("--pin names {cpus} CPUs for -t {threads} threads"));
        }
        if let (Pace::Closed { .. }, Some(slo)) = (load.pace, &self.slo)
            && let Some(threshold) = slo.needs_schedule()
        {
            return Err(format!(
                "--slo {threshold}: a closed loop has no schedule: use -R, or remove this threshold"
            ));
        }
        for output in &self.outputs() {
            let allowed = match self.sweep {
                Some(_) => Sweep::FILES,
                None => Report::FILES,
            };
            Kind::of(output, allowed)?;
        }
        Ok(Job {
            setup,
            load,
            sweep: self.sweep.clone(),
        })
    }

    /// Returns the files to write. A folder holds the files of all parts, by their numbers.
    pub(crate) fn outputs(&self) -> Vec<PathBuf> {
        let file = |path: &PathBuf| match self.part {
            Some(part) if path.is_dir() => {
                path.join(format!("part-{}-of-{}.json", part.index() + 1, part.of()))
            }
            _ => path.clone(),
        };
        self.outputs.iter().map(file).collect()
    }

    /// Returns the part and the folder for its report, or `None` if the run is no part or names no
    /// folder.
    pub(crate) fn part_folder(&self) -> Option<(Part, &Path)> {
        let folder = self.outputs.iter().find(|path| path.is_dir())?;
        Some((self.part?, folder))
    }

    fn setup(&self) -> Result<Setup, String> {
        let named = self.target.as_deref().map(target::read).transpose()?;
        let protocol = self.protocol_spec(named.as_ref())?;
        let tls = self.tls_options(named.as_ref(), &protocol)?;
        let part = self.part.unwrap_or(Part::WHOLE);
        let share = |whole: Option<u32>| {
            let share = |whole: u32| part.share(whole.into());
            whole.map(|whole| u32::try_from(share(whole)).expect("no more than the whole"))
        };
        Ok(Setup {
            target: named.map(|named| named.endpoint),
            family: match (self.ipv4, self.ipv6) {
                (true, _) => Some(Family::V4),
                (_, true) => Some(Family::V6),
                _ => None,
            },
            protocol,
            tls,
            part,
            start_at: self.start_at,
            metrics: self.metrics,
            log: self.log.clone(),
            connections: share(self.connections),
            bad: self.bad_clients.clone(),
            active: share(self.active),
            threads: self.threads,
            io: self.io,
            pin: self.pin.clone(),
            timeout: nanos(self.timeout),
            interval: nanos(self.interval),
            on_failure: match (self.no_reconnect, self.fail_fast) {
                (_, true) => OnFailure::Abort,
                (true, false) => OnFailure::End,
                (false, false) => OnFailure::Reconnect,
            },
            connect_rate: self.connect_rate,
            requests_per_conn: self.requests_per_conn,
            lifetime: self.lifetime.map(nanos),
            sources: self.sources.clone(),
            server_pid: self.server_pid,
            quiet: self.quiet,
        })
    }

    /// Returns the TLS options of the connections, or `None` if neither the target nor a flag asks
    /// for TLS.
    fn tls_options(
        &self,
        named: Option<&Named<'_>>,
        protocol: &ProtocolSpec,
    ) -> Result<Option<TlsOptions>, String> {
        let tls = self.tls || named.is_some_and(|named| named.tls);
        if !tls {
            let given = self.cacert.is_some() || self.insecure || self.sni.is_some();
            return if given {
                Err("--cacert, --insecure and --sni are for https:// and --tls".to_owned())
            } else {
                Ok(None)
            };
        }
        if !cfg!(feature = "tls") {
            return Err("this build has no TLS; build it with --features tls".to_owned());
        }
        let Some(named) = named else {
            return Err("the embedded server has no TLS: name a TARGET".to_owned());
        };
        if !self.bad_clients.is_empty() || self.io != IoSurface::Helpers {
            return Err("TLS excludes --bad-clients, and needs --io helpers".to_owned());
        }
        let host = match &named.endpoint {
            Endpoint::Tcp { host, .. } => host.clone(),
            Endpoint::Unix(_) => "localhost".to_owned(),
        };
        Ok(Some(TlsOptions {
            name: self.sni.clone().unwrap_or(host),
            cacert: self.cacert.clone(),
            insecure: self.insecure,
            alpn: match protocol.name() {
                "http" | "websocket" => Some("http/1.1"),
                "http2" => Some("h2"),
                _ => None,
            },
        }))
    }

    fn load(&self, protocol: &ProtocolSpec) -> Load {
        let rate = match (&self.sweep, &self.stages) {
            (Some(steps), _) => Some(Rate::whole(steps.first())),
            (None, Some(stages)) => stages.mean().ok(),
            (None, None) => self.rate,
        };
        let amount = match self.requests {
            Some(requests) => Amount::Requests(requests),
            None => Amount::Time(nanos(self.duration.unwrap_or_else(|| {
                match (&self.sweep, &self.stages) {
                    (Some(_), _) => sweep::STEP_DURATION,
                    (None, Some(stages)) => stages.length(),
                    (None, None) => DURATION_DEFAULT,
                }
            }))),
        };
        let in_stages = self.stages.is_some();
        let warmup = self.warmup.unwrap_or(match (&self.sweep, amount) {
            (Some(_), _) => sweep::STEP_WARMUP,
            (None, _) if in_stages => std::time::Duration::ZERO,
            (None, Amount::Requests(_)) => std::time::Duration::ZERO,
            (None, Amount::Time(_)) => WARMUP_DEFAULT,
        });
        Load {
            pace: match rate {
                Some(rate) => Pace::Open {
                    rate,
                    arrivals: self.arrivals,
                    in_flight_max: match self.pipeline {
                        Some(pipeline) => pipeline as usize,
                        // Servers answer pipelined HTTP requests one after the other, if at all.
                        None if protocol.name() == "http" => 1,
                        None if protocol.name() == "http2" => HTTP2_STREAMS,
                        None => usize::MAX,
                    },
                },
                None => Pace::Closed {
                    pipeline: self.pipeline.unwrap_or(1) as usize,
                },
            },
            stages: self.stages.clone(),
            think_time: self.think_time.map_or(0, nanos),
            hot: self.hot.clone(),
            hot_shift: self.hot_shift.map(nanos),
            amount,
            warmup: nanos(warmup),
            slo: match (&self.slo, &self.sweep) {
                (None, Some(_)) => Some(sweep::slo_default()),
                (slo, _) => slo.clone(),
            },
        }
    }

    /// Returns the protocol: the one of `--protocol`, or the one that the target or `--send`
    /// implies.
    fn protocol_spec(&self, named: Option<&Named<'_>>) -> Result<ProtocolSpec, String> {
        let path = named.and_then(|named| named.path);
        let protocol = match self.protocol {
            Some(named) => named,
            None if self.send.is_some() => ProtocolName::Raw,
            None if named.is_some_and(|named| named.websocket) => ProtocolName::WebSocket,
            None if path.is_some() => ProtocolName::Http,
            None => ProtocolName::Echo,
        };
        let (is_http, is_raw) = (
            protocol == ProtocolName::Http,
            protocol == ProtocolName::Raw,
        );
        let is_websocket = protocol == ProtocolName::WebSocket;
        let is_echo = protocol == ProtocolName::Echo;
        let sizes = self
            .size
            .clone()
            .unwrap_or_else(|| Sizes::from(SIZE_DEFAULT));
        let refuse = |words: &str| Err(words.to_owned());
        if named.is_some_and(|named| named.websocket) != is_websocket {
            return refuse("--protocol websocket and a ws:// target belong together");
        }
        if path.is_some() && !is_http && !is_websocket {
            return refuse("an http:// target needs --protocol http");
        }
        let absent = |feature: &str, what: &str| {
            Err(format!(
                "this build has no {what}; build it with --features {feature}"
            ))
        };
        if self.http2 && !cfg!(feature = "http2") {
            return absent("http2", "HTTP/2");
        }
        if is_websocket && !cfg!(feature = "websocket") {
            return absent("websocket", "WebSocket");
        }
        if (self.http2 || is_websocket) && !self.bad_clients.is_empty() {
            return refuse("HTTP/2 and WebSocket exclude --bad-clients");
        }
        let http_flags = [
            ("--path", !self.paths.is_empty()),
            ("--method", self.method.is_some()),
            ("--http2", self.http2),
            ("--header", !self.headers.is_empty() && !is_websocket),
            ("--body", self.body.is_some()),
            ("--body-file", self.body_file.is_some()),
            ("--user", self.user.is_some()),
        ];
        if let Some((flag, _)) = http_flags.into_iter().find(|&(_, given)| given && !is_http) {
            return Err(format!("{flag} is for --protocol http"));
        }
        if self.send.is_some() && !is_raw {
            return refuse("--send and --expect are for --protocol raw");
        }
        if self.send.is_none() && is_raw {
            return refuse("--protocol raw needs --send and --expect");
        }
        if self.size.is_some() && !is_echo && !is_websocket {
            return refuse("--size is for --protocol echo and websocket");
        }
        if self.verify.is_some() && is_http {
            return refuse(
                "--verify is for --protocol echo, raw and websocket: of HTTP only the framing and the status are checked",
            );
        }
        if self.target.is_none() && !is_echo {
            return refuse("the embedded server only echoes: name a TARGET");
        }
        if self.work.is_some() {
            if !is_echo {
                return refuse("--work is for --protocol echo");
            }
            match sizes.only() {
                None => {
                    return refuse(
                        "--work needs one --size: the server knows where a request ends by its size",
                    );
                }
                Some(size) if size < WORK_HEADER => {
                    return Err(format!(
                        "--work needs --size {WORK_HEADER} or more: a request begins with the time"
                    ));
                }
                Some(_) => {}
            }
            if self.target.is_none() {
                return refuse(
                    "--work needs a TARGET that spends the time, such as server-demo work",
                );
            }
        }
        let verify = self.verify != Some(Switch::Off);
        Ok(match protocol {
            ProtocolName::Echo => ProtocolSpec::Echo {
                sizes,
                verify,
                work_us: self.work.map(|work| {
                    u32::try_from(work.as_micros()).expect("checked where it was read")
                }),
            },
            ProtocolName::Raw => ProtocolSpec::Fixed {
                request: Template::plain(self.send.as_deref().unwrap_or_default()),
                answer: Answers::Bytes {
                    expected: self.expect.clone().unwrap_or_default(),
                    verify,
                },
            },
            ProtocolName::Http => http_request::spec(self, named)?,
            ProtocolName::WebSocket => http_request::websocket(self, named, sizes, verify)?,
        })
    }
}
