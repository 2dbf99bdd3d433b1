//! redis-server: a fixed exchange over TCP and a Unix socket.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Check, Kind, Load, Site, start};
use crate::checks::report::Count;
use crate::programs::server::free_address;

pub(super) fn kind() -> Kind {
    let exchange = r"--send PING\r\n --expect +PONG\r\n -c 50";
    let mut loads = Vec::new();
    for (name, target) in [("TCP", "{address}"), ("Unix socket", "unix:{socket}")] {
        loads.extend([
            Load::new(
                format!("{name}, closed loop"),
                format!("{target} {exchange} -n 5000"),
            )
            .answered(5000)
            .check(Check::Is(Count::Established, 50)),
            Load::new(
                format!("{name}, pipelined"),
                format!("{target} {exchange} -n 5000 -P 16 --io guards"),
            )
            .answered(5000),
            Load::new(
                format!("{name}, open loop, connections that end"),
                format!("{target} {exchange} -n 2000 -R 10k --requests-per-conn 20"),
            )
            .answered(2000),
        ]);
    }
    let nonsense = r"{address} --send PONG\r\n --expect +PONG\r\n -c 1 -n 1";
    let nonsense = Load::new("an answer to nonsense", nonsense);
    loads.push(nonsense.code(1).check(Check::Says("wrong answer")));
    Kind {
        name: "redis",
        needs: &[("redis-server", "redis-server")],
        start: start_redis,
        loads,
    }
}

fn start_redis(folder: &Path) -> Result<Site> {
    let address = free_address()?;
    let (host, port) = address.split_once(':').unwrap_or_default();
    let socket = folder.join("redis.sock").display().to_string();
    let mut command = Command::new("redis-server");
    // redis treats only 127.0.0.1 as loopback; loadgen uses addresses from all of 127.0.0.0/8.
    command.args(["--bind", host, "--port", port, "--protected-mode", "no"]);
    command.args(["--save", "", "--appendonly", "no", "--unixsocket", &socket]);
    command.arg("--dir").arg(folder);
    let mut site = start("redis", folder, &address, &mut command)?;
    site.words.push(("{socket}", socket));
    Ok(site)
}
