#!/usr/bin/env bash
# Runs minutes of connections that open and close, misbehave and fall silent, on one server-demo
# after the other, each with another accept policy and I/O surface. After every cycle the server
# must be in its earlier state: no connection, and as many descriptors, tasks, registrations, timers
# and as much memory as after its first cycles.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/soak.sh [--minutes N] [--no-build] [LOADGEN OPTIONS...]
  --minutes N   total minutes, at least one (default: 10)
  --no-build    use the existing build
  -h, --help    this text
Other options are passed on to every loadgen, for instance --size 4k or -P 8. Ends at the first count that does not return to its start.
EOT
}

minutes=10 build=yes load_options=()
while (($# > 0)); do
	case $1 in
	--minutes)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		minutes=$2
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) load_options+=("$1") && shift ;;
	esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "error: --minutes takes a number, from 1" >&2 && exit 2; }

# The growth that a server may have since its first cycles, in KiB: the allocator keeps a little of
# the freed memory.
readonly GROWTH_MAX=1024
# The cycles in which a server allocates memory that it keeps: pages of its tables, threads' arenas.
readonly CYCLES_WARM=2
readonly SILENT=20

# shellcheck source=scripts/demo.bash
source scripts/demo.bash
build_demo "$build"

# memory: prints the server's private memory in KiB.
memory() {
	sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$(server_process)/status"
}

# cycle: one load with misbehaving clients, and clients that connect and send nothing until the idle
# timeout ends them.
cycle() {
	local silent=() fd i idle_before
	take_counts
	idle_before=${COUNT[idle]}
	for ((i = 0; i < SILENT; i++)); do
		exec {fd}<>"/dev/tcp/${addr%:*}/${addr##*:}"
		silent+=("$fd")
	done
	expect 0 "$loadgen" "$addr" -c 200 -d 1500ms --warmup 0 --requests-per-conn 50 --slo unanswered=0,errors=0 --quiet \
		--bad-clients slow-read:4%,slow-write:4%,never-read:4%,half-close:4%,reset:4% "${load_options[@]}" 2>>"$scratch/commands"
	eventually silent_are_gone $((idle_before + SILENT)) || die "the idle timeout did not end $SILENT silent clients"
	for fd in "${silent[@]}"; do
		exec {fd}>&-
	done
}

silent_are_gone() {
	take_counts
	((COUNT[idle] >= $1))
}

has_connections() {
	take_counts
	((COUNT[live] >= 50))
}

begun=$SECONDS
policies=(reuseport hash round-robin least-loaded hybrid exclusive)
surfaces=(helpers guards poll)
cycles=0 connections=0
for turn in "${!policies[@]}"; do
	policy=${policies[turn]} surface=${surfaces[turn % ${#surfaces[@]}]}
	start_server --shards 2 --accept "$policy" --io "$surface" --idle-timeout 1s --write-timeout 300ms
	open=$(descriptors)
	take_counts
	tasks=${COUNT[tasks]} registered=${COUNT[registered]} timers=${COUNT[timers]}
	until=$((begun + minutes * 60 * (turn + 1) / ${#policies[@]}))
	here=0 base=0 most=0
	while ((here < CYCLES_WARM + 1 || SECONDS < until)); do
		cycle
		expect_counts live=0 "tasks=$tasks" "registered=$registered" "timers=$timers"
		((COUNT[accepted] == COUNT[closed])) || die "${COUNT[accepted]} accepted, ${COUNT[closed]} closed"
		expect_descriptors "$open"
		((here += 1))
		now=$(memory)
		((now <= most)) || most=$now
		if ((here == CYCLES_WARM)); then
			base=$most most=0
		elif ((here > CYCLES_WARM && now > base + GROWTH_MAX)); then
			die "after $here cycles it has $now KiB of memory, and had $base after $CYCLES_WARM"
		fi
	done
	((cycles += here, connections += COUNT[accepted]))
	printf '%-12s %-8s %3d cycles, %7d connections, %d KiB at first, %d KiB at most, then %d\n' \
		"$policy" "$surface" "$here" "${COUNT[accepted]}" "$base" "$most" "$now"
	# The server is stopped while clients are busy: they lose their connections, and the server exits
	# cleanly.
	"$loadgen" "$addr" -c 100 -d 20s --warmup 0 --quiet >"$scratch/last" 2>&1 &
	last=$!
	eventually has_connections || die "no client connected"
	stop_server
	wait "$last" && die "a loadgen did not notice that its server ended"
	expect_no_panic
done
echo "soak: $cycles cycles, $connections connections, everything came back; $((SECONDS - begun)) s"
