# shellcheck shell=bash
# Sourced by smoke.sh, faults.sh and soak.sh: functions that start a server-demo process, read its
# counters and stop it. There is one server at a time, and it never outlives the shell that sourced
# this.

scratch=$(mktemp -d)
server_pid=
addr=
# The server's wrapper, for instance strace with its options.
wrapper=()

finish() {
	if [[ -n $server_pid ]]; then
		# Under strace there are two processes: killing only strace would detach the server.
		kill -KILL "$(server_process)" "$server_pid" 2>/dev/null || true
	fi
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	sed 's/^/  server: /' "$scratch"/server.* >&2 2>/dev/null || true
	exit 1
}

# build_demo yes|no: release builds of both programs, and their paths in $server and $loadgen.
build_demo() {
	if [[ $1 == yes ]]; then
		echo "+ cargo build --release --locked --package server-demo --package loadgen" >&2
		cargo build --release --locked --package server-demo --package loadgen
	fi
	# shellcheck disable=SC2034 # for the scripts that source this
	server=${CARGO_TARGET_DIR:-target}/release/server-demo loadgen=${CARGO_TARGET_DIR:-target}/release/loadgen
}

# expect CODES COMMAND...: runs the command for at most a minute; its exit code must be one of
# CODES, as in 1,2. The output is in $scratch/out.
expect() {
	local codes=$1 status=0
	shift
	echo "+ $*" >&2
	timeout --kill-after=5 60 "$@" >"$scratch/out" 2>&1 || status=$?
	if [[ ,$codes, != *,$status,* ]]; then
		sed 's/^/  /' "$scratch/out" >&2
		((status == 124 || status == 137)) && die "it did not end within a minute"
		die "it ended with $status and not with $codes"
	fi
}

# eventually COMMAND...: retries the command for twenty seconds, until it succeeds.
eventually() {
	local deadline=$((SECONDS + 20))
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.03
	done
}

# server_process: prints the server's own process id. strace runs it as its child.
server_process() {
	local child=''
	read -r child 2>/dev/null <"/proc/$server_pid/task/$server_pid/children" || true
	echo "${child:-$server_pid}"
}

# start_server FLAGS...: starts the server; sets server_pid and addr once it listens.
start_server() {
	local deadline=$((SECONDS + 30))
	addr=
	echo "+ ${wrapper[*]} $server echo --listen 127.0.0.1:0 $*" >&2
	: >"$scratch/server.out" # The shell may look before the new process has emptied what the last one wrote.
	"${wrapper[@]}" "$server" echo --listen 127.0.0.1:0 "$@" >"$scratch/server.out" 2>"$scratch/server.err" </dev/null &
	server_pid=$!
	until [[ -n $addr ]]; do
		kill -0 "$server_pid" 2>/dev/null || die "the server did not start"
		((SECONDS < deadline)) || die "the server does not say where it listens"
		sleep 0.02
		addr=$(sed -n 's/^listening on //p' "$scratch/server.out")
	done
}

# await_server: waits for a server that is about to end; sets $status to its exit status.
await_server() {
	local deadline=$((SECONDS + 30))
	while kill -0 "$server_pid" 2>/dev/null; do
		((SECONDS < deadline)) || die "the server does not end"
		sleep 0.02
	done
	status=0
	wait "$server_pid" || status=$?
	server_pid=
}

# stop_server: ends the server; a clean drain exits with 0, and soon.
stop_server() {
	kill -TERM "$(server_process)"
	await_server
	((status == 0)) || die "the server ended with $status"
}

# take_counts: requests the server's counters and puts their sums over the shards in COUNT, by
# heading.
declare -A COUNT
take_counts() {
	local tables
	tables=$(grep -c '^  all' "$scratch/server.out") || true
	kill -USR1 "$(server_process)"
	eventually has_tables $((tables + 1)) || die "the server does not answer to SIGUSR1"
	read_counts
}

# read_counts: does the same with the last table that the server printed.
read_counts() {
	local sums
	local names=(accepted closed live bytes over_limit idle unread failed cut_off handed_on polls turns wakes)
	names+=(tasks registered timers)
	local i
	read -ra sums < <(grep '^  all' "$scratch/server.out" | tail -n 1) || true
	((${#sums[@]} == ${#names[@]} + 2)) || die "the server's table of counters has other columns than was thought"
	for i in "${!names[@]}"; do
		COUNT[${names[i]}]=${sums[i + 2]}
	done
}

has_tables() {
	(($(grep -c '^  all' "$scratch/server.out" || true) >= $1))
}

# expect_counts NAME=N...: waits until the server's counters have these values.
expect_counts() {
	eventually counts_come_to "$@" || die "the counters did not come to be $*"
}

counts_come_to() {
	take_counts
	counts_are "$@"
}

# counts_are NAME=N...: succeeds if the last table that was read has these values.
counts_are() {
	local pair
	for pair in "$@"; do
		((${COUNT[${pair%=*}]} == ${pair#*=})) || return 1
	done
}

# expect_last_counts NAME=N...: checks the table that the server printed as it ended.
expect_last_counts() {
	read_counts
	counts_are "$@" || die "the last counters are not $*"
}

# descriptors: prints the number of the server's open descriptors.
descriptors() {
	local links=("/proc/$(server_process)/fd"/*)
	echo "${#links[@]}"
}

# expect_descriptors N: waits until N descriptors are open.
expect_descriptors() {
	eventually descriptors_are "$1" || die "$(descriptors) descriptors are open, not $1 as before"
}

descriptors_are() {
	(($(descriptors) == $1))
}

# cpu_ticks: prints the server's CPU time so far, in hundredths of a second.
cpu_ticks() {
	local stat
	stat=$(<"/proc/$(server_process)/stat")
	# The second field is a name in parentheses that may contain anything.
	read -ra stat <<<"${stat##*) }"
	echo $((stat[11] + stat[12]))
}

# expect_no_panic: fails if the server's output shows a panic.
expect_no_panic() {
	! grep -n 'panicked' "$scratch/server.err" >&2 || die "the server panicked"
}
