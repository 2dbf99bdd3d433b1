#!/usr/bin/env bash
# Runs a short verified load against a separate server-demo process: every --io surface under every
# --accept policy, then the failures that a user meets first. It checks the exit codes.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/smoke.sh [options] [LOADGEN OPTIONS...]
  --connections N  connections per run (default: 400)
  --duration D     length of a run (default: 1s)
  --no-build       use the existing build
  -h, --help       this text
Other options are passed on to loadgen, for instance --size 4k or -P 8.
EOT
}

connections=400 duration=1s build=yes load_options=()
while (($# > 0)); do
	case $1 in
	--connections | --duration)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		printf -v "${1#--}" '%s' "$2"
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) load_options+=("$1") && shift ;;
	esac
done

# shellcheck source=scripts/demo.bash
source scripts/demo.bash
build_demo "$build"

for accept in reuseport hash round-robin least-loaded hybrid exclusive; do
	for io in helpers guards poll; do
		start_server --shards 2 --accept "$accept" --io "$io"
		expect 0 "$loadgen" "$addr" -c "$connections" -d "$duration" --warmup 200ms --io "$io" "${load_options[@]}"
		grep -E '^ *Requests/sec' "$scratch/out" || true
		stop_server
	done
done

# The port is free again and has no listener: an error that says so, not a hang.
expect 1 "$loadgen" "$addr" -c 1 -d 1s
expect 2 "$loadgen" --no-such-flag
start_server --shards 1
expect 1,2 "$server" echo --listen "$addr"
expect 1,2 "$server" echo --listen 127.0.0.1:0 --shards 0
expect 1,2 "$server" echo --listen 127.0.0.1:0 --pin 99
stop_server
echo "smoke: all runs verified, all exit codes as they should be"
