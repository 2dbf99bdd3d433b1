#!/usr/bin/env bash
# Compares server-demo's three I/O surfaces with a bare epoll loop and three tokio servers. --help
# has the options and the scenarios; xtask/src/measure/bench.rs has the method.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo xtask bench "$@"
