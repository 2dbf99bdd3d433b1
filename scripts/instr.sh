#!/usr/bin/env bash
# Counts instructions and system calls per echo, for server-demo's three I/O surfaces and the
# baselines.
#
# Each server runs twice under a tool, with two numbers of requests over the same number of
# connections. The difference between the two counts, divided by the difference in requests, is the
# cost of one echo: start-up, accepting and shutdown cancel out. callgrind counts user-space
# instructions, which repeat to a few parts in ten thousand. strace counts system calls. Both tools
# slow down the server, so all connections are ready at each epoll_wait: its share is the smallest
# possible, and the same for every contender.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOF'
Usage: scripts/instr.sh [options]
  --only LIST        contenders, comma separated (default: all)
  --count LIST       instructions, syscalls or both (default: instructions,syscalls)
  --connections N    active connections (default: 64)
  --idle N           additional connections that were served once and send nothing more (default: 0)
  --size BYTES       message size (default: 64)
  --requests A,B     the two numbers of requests for callgrind (default: 20000,60000)
  --strace-requests A,B  the same for strace (default: 5000,25000)
  --no-build         use the existing build
  -h, --help         this text
A table goes to the terminal and target/instr/instr.json holds the same as JSON. The profiles stay in
target/instr/: 'callgrind_annotate target/instr/demo-helpers.callgrind' shows where instructions go.
EOF
}

only='' count=instructions,syscalls connections=64 idle=0 size=64
requests=20000,60000 strace_requests=5000,25000 build=yes
original_command="scripts/instr.sh $*"
while (($# > 0)); do
	case $1 in
	--only | --count | --connections | --idle | --size | --requests | --strace-requests)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" '%s' "$2"
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
select_contenders "${only:-$BASE_CONTENDERS}"
case ,$count, in
*,instructions,* | *,syscalls,*) ;;
*) echo "error: --count takes instructions, syscalls or both" >&2 && exit 2 ;;
esac
need taskset util-linux
need chrt util-linux
[[ $count == *instructions* ]] && need valgrind valgrind
[[ $count == *syscalls* ]] && need strace strace
build_contenders "$build"
out=$(target_dir)/instr
mkdir -p "$out"

# Server and client share a CPU, and the server runs only when the client has nothing to do. So each
# epoll_wait finds a message on every connection, and the counts repeat.
readonly SERVER_CPU=0
readonly BEHIND=(chrt --idle 0 taskset -c "$SERVER_CPU")

# drive N: exchanges exactly N echoes with the running server.
drive() {
	taskset -c "$SERVER_CPU" "$BIN/lockstep" "$SERVER_ADDR" --connections "$connections" --idle "$idle" --size "$size" \
		--requests "$1" || {
		cat "$SCRATCH/server.err" >&2
		die "the client failed against ${COMMAND[*]}"
	}
}

# instructions NAME N: sets COUNTED to the instructions of the whole run.
instructions() {
	local profile=$out/$1.callgrind
	start_server "$1" "$SERVER_CPU" "${BEHIND[@]}" valgrind --quiet --tool=callgrind --callgrind-out-file="$profile"
	drive "$2"
	await_quiet
	stop_server "$1"
	COUNTED=$(awk '/^(summary|totals):/ { print $2; exit }' "$profile")
}

# syscalls NAME N FILE: writes one "KIND CALLS" line per kind of system call.
syscalls() {
	local table=$SCRATCH/strace
	start_server "$1" "$SERVER_CPU" "${BEHIND[@]}" strace --quiet=all -f -c -o "$table"
	drive "$2"
	await_quiet
	stop_server "$1"
	# Columns: % time, seconds, usecs/call, calls, errors (may be empty), syscall.
	awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { print $NF, $4 }' "$table" >"$3"
}

# slope_of_kinds FIRST SECOND N1 N2: prints "KIND CALLS_PER_ECHO" lines, except those below 0.001.
slope_of_kinds() {
	awk -v n="$(($4 - $3))" '
		NR == FNR { first[$1] = $2; next }
		{ slope = ($2 - first[$1]) / n; if (slope >= 0.001) printf "%s %.3f\n", $1, slope }
	' "$1" "$2" | sort -k 2,2nr
}

rows=()
printf '%-15s %14s %12s   %s\n' contender instructions 'system calls' 'which' >"$SCRATCH/table"
for name in "${SELECTED[@]}"; do
	echo "counting $name" >&2
	per_echo=null calls=null kinds='' kinds_json=''
	if [[ $count == *instructions* ]]; then
		instructions "$name" "${requests%,*}"
		first=$COUNTED
		instructions "$name" "${requests#*,}"
		per_echo=$(awk -v a="$first" -v b="$COUNTED" -v n="$((${requests#*,} - ${requests%,*}))" \
			'BEGIN { printf "%.1f", (b - a) / n }')
	fi
	if [[ $count == *syscalls* ]]; then
		syscalls "$name" "${strace_requests%,*}" "$SCRATCH/first"
		syscalls "$name" "${strace_requests#*,}" "$SCRATCH/second"
		slope_of_kinds "$SCRATCH/first" "$SCRATCH/second" \
			"${strace_requests%,*}" "${strace_requests#*,}" >"$SCRATCH/kinds"
		calls=$(awk '{ sum += $2 } END { printf "%.3f", sum }' "$SCRATCH/kinds")
		kinds=$(awk '{ printf "%s%s %s", sep, $1, $2; sep = ", " }' "$SCRATCH/kinds")
		kinds_json=$(awk '{ printf "%s\"%s\":%s", sep, $1, $2; sep = "," }' "$SCRATCH/kinds")
	fi
	printf '%-15s %14s %12s   %s\n' "$name" "${per_echo/null/-}" "${calls/null/-}" "$kinds" \
		>>"$SCRATCH/table"
	rows+=("$(printf '{"contender":"%s","instructions_per_echo":%s,"syscalls_per_echo":%s,"syscalls":{%s}}' \
		"$name" "$per_echo" "$calls" "$kinds_json")")
done

(
	IFS=,
	printf '{"machine":%s,"connections":%d,"idle":%d,"size":%d,"requests":[%s],"strace_requests":[%s],"rows":[%s]}\n' \
		"$(machine_json "$original_command")" "$connections" "$idle" "$size" "$requests" "$strace_requests" \
		"${rows[*]}"
) >"$out/instr.json"
echo
echo "Per echo: user-space instructions and system calls, $connections connections ($idle more are idle), $size bytes"
cat "$SCRATCH/table"
echo "JSON: $out/instr.json; profiles: $out/*.callgrind"
