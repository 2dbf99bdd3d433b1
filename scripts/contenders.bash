# shellcheck shell=bash
# Sourced by bench.sh and others: the list of echo servers, and functions that start and stop them.
# All of them listen on a free port of the loopback interface, on one thread (or SERVER_THREADS),
# with the same scratch buffer, backlog and TCP_NODELAY (benches/src/lib.rs).

# In the order of a round: each kind of tokio server stands beside the server it is compared with.
# shellcheck disable=SC2034 # read by the scripts that source this file
readonly CONTENDERS=(
	bare-epoll
	tokio-mt tokio-ct demo-helpers demo-observed demo-helpers-no-stealing demo-idle demo-poll
	tokio-asyncfd demo-guards
	tokio-mt-work demo-work demo-work-no-stealing
)
# Those of the scenario 'base': one thread each, which echoes.
# shellcheck disable=SC2034 # read by the scripts that source this file
readonly BASE_CONTENDERS=bare-epoll,tokio-mt,tokio-ct,demo-helpers,demo-idle,demo-poll,tokio-asyncfd,demo-guards

SERVER_PID=
SERVER_ADDR=
SCRATCH=$(mktemp -d)

# No server and no file outlives the script, however it ends.
finish() {
	if [[ -n $SERVER_PID ]]; then
		# Under strace there are two processes: killing only strace would detach the server.
		kill -KILL "$(server_process)" "$SERVER_PID" 2>/dev/null || true
	fi
	rm -rf "$SCRATCH"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	exit 1
}

# need TOOL PACKAGE: exits with advice if TOOL is not installed.
need() {
	command -v "$1" >/dev/null || die "$1 is needed: install it with 'apt-get install $2'" \
		"(or your system's package of that name)"
}

# target_dir: prints cargo's build folder, which need not be ./target.
target_dir() {
	if [[ -n ${CARGO_TARGET_DIR:-} ]]; then
		echo "$CARGO_TARGET_DIR"
	else
		echo target
	fi
}

# select_contenders LIST: sets SELECTED from a comma-separated list; empty means all.
select_contenders() {
	local name known
	SELECTED=()
	if [[ -z $1 ]]; then
		SELECTED=("${CONTENDERS[@]}")
		return
	fi
	local names
	IFS=, read -ra names <<<"$1"
	for name in "${names[@]}"; do
		for known in "${CONTENDERS[@]}"; do
			[[ $name == "$known" ]] && SELECTED+=("$name") && continue 2
		done
		echo "error: no contender '$name'; there are: ${CONTENDERS[*]}" >&2
		exit 2
	done
}

# build_contenders yes|no: release builds of all servers and of the load generator, and their paths.
build_contenders() {
	if [[ $1 == yes ]]; then
		(
			set -x
			cargo build --release -p benches -p server-demo -p loadgen --bins
		) >&2
	fi
	BIN=$(target_dir)/release
	LOADGEN=${LOADGEN:-$BIN/loadgen}
}

# contender_command NAME CPU: sets COMMAND to the program and flags of NAME on CPU. Its threads are
# pinned there, unless SERVER_PIN says otherwise.
contender_command() {
	local threads=${SERVER_THREADS:-1}
	local common=(--listen 127.0.0.1:0 --pin "${SERVER_PIN:-$2}")
	case $1 in
	# The helpers again, with a timer on every connection that each request re-arms.
	demo-idle) COMMAND=("$BIN/server-demo" echo --shards "$threads" --io helpers --idle-timeout 60s --accept reuseport) ;;
	# The helpers again, with all that an endpoint shows: histograms, times of tasks, stalls.
	demo-observed)
		COMMAND=("$BIN/server-demo" echo --shards "$threads" --io helpers --accept reuseport --observe "$SCRATCH/observe.sock")
		;;
	demo-helpers-no-stealing) COMMAND=("$BIN/server-demo" echo --shards "$threads" --io helpers --accept reuseport --stealing off) ;;
	# Round robin gives every second connection to the first shard; loadgen's --hot relies on it.
	demo-work) COMMAND=("$BIN/server-demo" work --shards "$threads" --accept round-robin) ;;
	demo-work-no-stealing) COMMAND=("$BIN/server-demo" work --shards "$threads" --accept round-robin --stealing off) ;;
	tokio-mt-work) COMMAND=("$BIN/baseline-tokio-mt" --threads "$threads" --io work) ;;
	demo-*) COMMAND=("$BIN/server-demo" echo --shards "$threads" --io "${1#demo-}" --accept reuseport) ;;
	bare-epoll) COMMAND=("$BIN/baseline-epoll" --threads "$threads") ;;
	*) COMMAND=("$BIN/baseline-$1" --threads "$threads") ;;
	esac
	COMMAND+=("${common[@]}")
}

# start_server NAME CPU [WRAPPER...]: starts the server, optionally under a tool, and waits until it
# listens.
start_server() {
	local name=$1 cpu=$2 log=$SCRATCH/server.log deadline=$((SECONDS + 120))
	shift 2
	contender_command "$name" "$cpu"
	: >"$log" # The shell may look before the new process has emptied what the last one wrote.
	"$@" "${COMMAND[@]}" >"$log" 2>"$SCRATCH/server.err" </dev/null &
	SERVER_PID=$!
	until SERVER_ADDR=$(sed -n 's/^listening on //p' "$log") && [[ -n $SERVER_ADDR ]]; do
		if ! kill -0 "$SERVER_PID" 2>/dev/null || ((SECONDS > deadline)); then
			cat "$SCRATCH/server.err" >&2
			die "$name did not start: $* ${COMMAND[*]}"
		fi
		sleep 0.02
	done
}

# await_quiet: waits until the server has noticed the end of every connection and has closed it.
await_quiet() {
	local deadline=$((SECONDS + 120))
	while (($(count_connections) > 0)); do
		((SECONDS <= deadline)) || die "the server still holds $(count_connections) connections"
		sleep 0.02
	done
}

# count_connections: prints the number of the server's sockets in the states ESTABLISHED and
# CLOSE_WAIT.
count_connections() {
	local port
	printf -v port ':%04X' "${SERVER_ADDR##*:}"
	awk -v port="$port" \
		'substr($2, 9) == port && ($4 == "01" || $4 == "08") { n++ } END { print n + 0 }' /proc/net/tcp
}

# server_process: prints the server's own process id. strace runs it as its child.
server_process() {
	local child=''
	read -r child 2>/dev/null <"/proc/$SERVER_PID/task/$SERVER_PID/children" || true
	echo "${child:-$SERVER_PID}"
}

# stop_server NAME: ends the server as an operator would; anything but a clean exit makes the run
# worthless.
stop_server() {
	local status=0
	kill -TERM "$(server_process)"
	wait "$SERVER_PID" || status=$?
	SERVER_PID=
	if ((status != 0)); then
		cat "$SCRATCH/server.err" >&2
		die "$1 ended with status $status"
	fi
}

# commit: prints the measured commit, with a mark if the working tree differs from it.
commit() {
	git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown
}

# machine_json COMMAND: prints a JSON object with the machine and the software of the figures.
machine_json() {
	local model
	model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	printf '{"commit":"%s","cpu":"%s","cores":%d,"kernel":"%s","rustc":"%s","date":"%s","command":"%s"}' \
		"$(commit)" "${model:-unknown}" "$(nproc)" "$(uname -srm)" "$(rustc --version)" \
		"$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1"
}
