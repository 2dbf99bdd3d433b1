//! Network namespaces: one for the server, and one for each part, connected to the server.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::checks::network::tool;
use crate::programs::cleanup::Cleanup;

/// The server's address in the network of the parts.
pub(super) const SERVER: &str = "10.87.255.1:7777";

/// The namespaces, which are removed at the end.
#[derive(Debug)]
pub(super) struct Networks {
    prefix: String,
    _removals: Vec<Cleanup>,
}

impl Networks {
    /// Makes the server's namespace, `PREFIX-server`, and those of the parts, `PREFIX-0` and so on.
    ///
    /// # Errors
    /// The tool `ip` fails.
    pub(super) fn new(parts: usize) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("lg{}x{count}", std::process::id());
        let mut removals = Vec::new();
        let mut add = |name: &str| -> Result<()> {
            tool(&format!("ip netns add {name}"))?;
            let removed = name.to_owned();
            removals.push(Cleanup::new(move || {
                let _ = tool(&format!("ip netns del {removed}"));
            }));
            tool(&format!("ip -n {name} link set lo up"))
        };
        let server = format!("{prefix}-server");
        add(&server)?;
        let (address, _) = SERVER.split_once(':').context("an address")?;
        tool(&format!("ip -n {server} address add {address}/32 dev lo"))?;
        for part in 0..parts {
            let (inside, a, b) = (
                format!("{prefix}-{part}"),
                format!("{prefix}-a{part}"),
                format!("{prefix}-b{part}"),
            );
            add(&inside)?;
            tool(&format!(
                "ip link add {a} netns {server} type veth peer name {b} netns {inside}"
            ))?;
            for (namespace, link, address) in [(&server, &a, 1), (&inside, &b, 2)] {
                tool(&format!(
                    "ip -n {namespace} address add 10.87.{part}.{address}/24 dev {link}"
                ))?;
                tool(&format!("ip -n {namespace} link set {link} up"))?;
            }
            tool(&format!(
                "ip -n {inside} route add default via 10.87.{part}.1"
            ))?;
        }
        Ok(Self {
            prefix,
            _removals: removals,
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns a command that runs its arguments in the server's namespace.
    pub(super) fn in_server(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-server", self.prefix)]);
        command
    }

    /// Returns the number of the server's connections, as its kernel counts them.
    ///
    /// # Errors
    /// The tool `ss` fails.
    pub(super) fn count_served(&self) -> Result<usize> {
        let (_, port) = SERVER.split_once(':').context("a port")?;
        let mut command = self.in_server();
        command.args(["ss", "-Htn", "state", "established"]);
        let output = command.arg(format!("( sport = :{port} )")).output()?;
        anyhow::ensure!(output.status.success(), "ss failed");
        Ok(output.stdout.split_inclusive(|&byte| byte == b'\n').count())
    }
}
