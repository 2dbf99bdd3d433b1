#!/usr/bin/env bash
# Breaks one thing at a time under a server-demo and a loadgen that carry real load: system calls
# that fail, are interrupted, come late or return wrong results (with strace), descriptors and
# memory that run out, stopped processes, misbehaving clients. Each case checks the clients'
# results, the counters and descriptors afterwards, the exit of the programs, and that its fault did
# occur.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/faults.sh [--no-build] [--list] [WORD...]
  WORD         run the cases whose names contain all of these words; all cases without any
  --list       print the names and run nothing
  --no-build   use the existing build
  -h, --help   this text
Needs strace. Ends with 1 if a case failed, and shows its output. Takes less than three minutes on two CPUs.
EOT
}

build=yes list=no words=()
for argument in "$@"; do
	case $argument in
	-h | --help) usage && exit 0 ;;
	--no-build) build=no ;;
	--list) list=yes ;;
	-*) echo "error: unknown option '$argument'; try --help" >&2 && exit 2 ;;
	*) words+=("$argument") ;;
	esac
done
if [[ $list == no ]] && ! command -v strace >/dev/null; then
	echo "error: strace is needed: install the package 'strace'" >&2
	exit 1
fi
if [[ $list == no ]] && ! strace --output=/dev/null true; then
	echo "error: strace may not trace here (in a container, give it the capability SYS_PTRACE)" >&2
	exit 1
fi

# ---- Helpers of the cases
# -------------------------------------------------------------------------

# with_faults [-P PATH] FAULT...: sets wrapper to strace, with these faults and a log of their
# calls. Each thread counts its own calls. The main thread makes a few of its own: it learns of
# signals through a socket pair, which its handlers write to, and registers three descriptors.
# Faults that are not meant for those calls begin later.
with_faults() {
	local calls=() injections=() path=()
	if [[ $1 == -P ]]; then
		path=(-P "$2")
		shift 2
	fi
	local fault
	for fault in "$@"; do
		calls+=("${fault%%:*}")
		injections+=(-e "inject=$fault")
	done
	local IFS=,
	# The filter stops the program only at these calls, so that the others are as fast as ever.
	wrapper=(strace --follow-forks --seccomp-bpf --quiet=all -o "$scratch/calls" -e "trace=${calls[*]}" "${injections[@]}" "${path[@]}")
}

# injected [PATTERN]: prints the number of calls with a fault whose line matches. A call that others
# interrupted in the log is on two lines.
injected() {
	awk -v pattern="${1:-.}" '
		{ call = /resumed>/ ? begun[$1] $0 : $0; begun[$1] = $0 }
		call ~ pattern && call ~ /\((INJECTED|DELAYED)\)/ { n++ }
		END { print n + 0 }
	' "$scratch/calls"
}

# expect_injected: fails if no fault occurred, since the case would then prove nothing.
expect_injected() {
	(($(injected) > 0)) || die "no call was tampered with"
}

# lost: prints the number of connections that the last loadgen lost. It ran with --format json.
lost() {
	sed -n 's/.*"errors":\[\(.*\)\]}$/\1/p' "$scratch/out" | grep -o '"count":[0-9]*' | awk -F: '{ n += $2 } END { print n + 0 }'
}

# A client by hand, for cases in which the number and order of bytes matter. Its socket is the
# descriptor in $client.
open_client() {
	exec {client}<>"/dev/tcp/${addr%:*}/${addr##*:}"
}

close_client() {
	exec {client}>&-
}

say() {
	printf '%s' "$1" >&"$client"
}

# expect_answer TEXT: the next bytes are exactly these.
expect_answer() {
	local answer=''
	IFS= read -r -d '' -t 10 -N "${#1}" answer <&"$client" || true
	[[ $answer == "$1" ]] || die "the answer was '$answer' and not '$1'"
}

server_says() {
	grep -q "$1" "$scratch/server.err"
}

# ---- Faults in a server
# -------------------------------------------------------------------------------------------------

# unnoticed FAULT ACCEPT IO [-P PATH]: clients are served as usual, and nothing is left behind.
unnoticed() {
	local open
	with_faults "${@:4}" "$1"
	start_server --shards 2 --accept "$2" --io "$3"
	open=$(descriptors)
	expect 0 "$loadgen" "$addr" -c 20 -n 600 --quiet
	expect_counts accepted=20 closed=20 live=0 failed=0 cut_off=0
	expect_descriptors "$open"
	stop_server
	expect_injected
	expect_no_panic
}

# pauses FAULT ACCEPT IO: accepting pauses and resumes by itself, the operator is told, and clients
# notice nothing.
pauses() {
	unnoticed "$@"
	server_says 'accepting pauses and will be tried again' || die "the operator was not told"
}

# costs_connections FAULT ACCEPT IO FAILED: each failed call costs its connection and no other.
# FAILED tells if the server counts it as a failure.
costs_connections() {
	local open struck failed=0
	with_faults "$1"
	start_server --shards 2 --accept "$2" --io "$3"
	open=$(descriptors)
	expect 1 "$loadgen" "$addr" -c 20 -d 300ms --warmup 0 --quiet --no-reconnect --format json
	struck=$(injected)
	((struck > 0)) || die "no call was struck"
	(($(lost) == struck)) || die "$struck calls were struck, and $(lost) connections lost"
	# The faults are over.
	expect 0 "$loadgen" "$addr" -c 20 -n 200 --quiet
	[[ $4 == unfailed ]] || failed=$struck
	expect_counts accepted=40 closed=40 live=0 "failed=$failed" cut_off=0
	expect_descriptors "$open"
	stop_server
	expect_no_panic
}

# refuses_connections FAULT ACCEPT IO: a socket that cannot be registered is closed and counted, and
# leaves nothing behind. A loadgen that loses connections before it has opened all of them gives up.
refuses_connections() {
	local open refused
	with_faults "$1"
	start_server --shards 2 --accept "$2" --io "$3"
	open=$(descriptors)
	expect 1 "$loadgen" "$addr" -c 20 -d 300ms --warmup 0 --quiet --no-reconnect
	expect_counts live=0
	refused=$(injected EPOLL_CTL_ADD)
	((refused > 0)) || die "no socket was refused"
	((COUNT[failed] == refused)) || die "$refused sockets were refused, and ${COUNT[failed]} connections failed"
	expect_descriptors "$open"
	# The faults are over.
	expect 0 "$loadgen" "$addr" -c 20 -n 200 --quiet
	expect_counts live=0 "failed=$refused"
	((COUNT[accepted] == COUNT[closed])) || die "${COUNT[accepted]} accepted, ${COUNT[closed]} closed"
	expect_descriptors "$open"
	stop_server
	expect_no_panic
}

# No new event follows an injected EAGAIN. The client's next bytes bring one, and with it all owed
# answers. The first call gets no fault, since the main thread makes one when it is told to end.
forged_eagain() {
	with_faults "$1:error=EAGAIN:when=2"
	start_server --shards 1 --io "$2"
	open_client
	say 'zero'
	expect_answer 'zero'
	say 'one'
	eventually was_struck || die "the call was never made"
	say '+two'
	expect_answer 'one+two'
	close_client
	stop_server
	expect_last_counts accepted=1 closed=1 live=0 failed=0
	expect_no_panic
}

# was_struck [TEXT]: true if a call with this text in it was struck.
was_struck() {
	(($(injected "$@") > 0))
}

# A connection that a false error of accept leaves in the queue is accepted with the next one.
forged_eagain_of_accept() {
	with_faults accept4:error=EAGAIN:when=1
	start_server --shards 1 --accept "$1"
	local first
	open_client
	first=$client
	eventually was_struck || die "the call was never made"
	open_client
	say 'second'
	expect_answer 'second'
	client=$first
	say 'first'
	expect_answer 'first'
	stop_server
	expect_no_panic
}

# The server is told that 10 bytes were sent, which were not: the rest follows, complete and in
# order.
short_write() {
	with_faults sendto:retval=10:when=1
	start_server --shards 1 --io "$1"
	open_client
	say '0123456789abcdefghijklmnopqrstuvwxyz'
	# The main thread's first call is struck too, long before.
	eventually was_struck 0123 || die "the call was never made"
	# A socket that took less than it was given is full, so the server waits for its next event: this
	# causes one.
	say '+'
	expect_answer 'abcdefghijklmnopqrstuvwxyz+'
	stop_server
	expect_no_panic
}

# A socket takes nothing, without an error: the server tries again.
write_of_nothing() {
	with_faults sendto:retval=0:when=1
	start_server --shards 1 --io "$1"
	open_client
	say 'kept'
	expect_answer 'kept'
	close_client
	stop_server
	expect_last_counts accepted=1 closed=1 live=0 failed=0
	expect_injected
	expect_no_panic
}

# All faults at once, and misbehaving clients.
storm() {
	local open
	with_faults accept4:error=EMFILE:when=3+7 recvfrom:error=EINTR:when=1+5 epoll_wait:error=EINTR:when=1+3 \
		setsockopt:error=EINVAL:when=9+3 futex:delay_enter=500:when=1+2 close:delay_exit=300:when=1+5
	start_server --shards 2 --accept "$1" --io "$2" --write-timeout 500ms
	open=$(descriptors)
	expect 0 "$loadgen" "$addr" -c 40 -d 1s --warmup 0 --requests-per-conn 50 --quiet \
		--bad-clients slow-read:10%,slow-write:10%,never-read:10%,half-close:10%,reset:10%
	expect_counts live=0
	((COUNT[accepted] == COUNT[closed])) || die "${COUNT[accepted]} accepted, ${COUNT[closed]} closed"
	expect_descriptors "$open"
	stop_server
	expect_injected
	expect_no_panic
}

# A shard can no longer wait for events: that is reported, its connections end, and the process ends
# when it is told to.
lost_epoll() {
	with_faults epoll_wait:error=EBADF:when=20+1
	start_server --shards 1 --accept hash
	expect 1 "$loadgen" "$addr" -c 5 -d 500ms --warmup 0 --timeout 1s --quiet --no-reconnect
	eventually server_says 'cannot wait for events any more' || die "the operator was not told"
	kill -TERM "$(server_process)"
	await_server
	((status != 0)) || die "the server ended as if all was well"
	expect_injected
}

# ---- Failures at startup
# --------------------------------------------------------------------------

# no_start FAULT WORDS: exit code 1 with one line that contains these words.
no_start() {
	with_faults "$1"
	expect 1 "${wrapper[@]}" "$server" echo --listen 127.0.0.1:0 --shards 2
	expect_injected
	grep -q "^server-demo: .*$2" "$scratch/out" || die "it did not say '$2' but: $(<"$scratch/out")"
	! grep 'panicked' "$scratch/out" >&2 || die "it panicked"
}

# The same for the stack of the second shard's thread, when the first already runs.
no_stack() {
	local nth
	with_faults mmap:error=ENOENT:when=10000
	start_server --shards 2
	stop_server
	# The index of the call for the stack of one of our threads: the main thread's calls are counted
	# first.
	nth=$(awk 'NR == 1 { main = $1 } $1 == main && /mmap\(/ { n++; if (/MAP_STACK/ && /PROT_NONE/) nth = n } END { print nth }' "$scratch/calls")
	no_start "mmap:error=ENOMEM:when=$nth" 'Resource temporarily unavailable'
}

# A refused pin is a warning.
no_pin() {
	with_faults sched_setaffinity:error=EINVAL
	start_server --shards 2
	server_says 'warning: .*unpinned' || die "it did not warn"
	expect 0 "$loadgen" "$addr" -c 10 -n 100 --quiet
	stop_server
	expect_injected
}

# ---- Exhausted resources
# --------------------------------------------------------------------------

# The limit of a running server drops to the number it has open. Existing connections are served,
# nothing spins, and accepting resumes afterwards.
no_descriptors() {
	local open ticks inside waiting
	start_server --shards 2 --accept "$1" --io "$2"
	open=$(descriptors)
	"$loadgen" "$addr" -c 20 -R 200 -d 2500ms --warmup 0 --slo unanswered=0,errors=0,kept=100 --quiet >"$scratch/inside" 2>&1 &
	inside=$!
	expect_counts live=20
	prlimit --pid "$server_pid" --nofile="$(lowest_free_descriptor):"
	"$loadgen" "$addr" -c 10 -n 10 --timeout 20s --quiet >"$scratch/waiting" 2>&1 &
	waiting=$!
	eventually server_says 'accepting pauses' || die "the operator was not told"
	ticks=$(cpu_ticks)
	sleep 1
	ticks=$(($(cpu_ticks) - ticks))
	((ticks <= 15)) || die "$ticks hundredths of a second of CPU time were spent in a second of want"
	take_counts
	((COUNT[live] == 20)) || die "${COUNT[live]} connections where 20 had descriptors"
	prlimit --pid "$server_pid" --nofile=1000:
	wait "$waiting" || die "those who waited were not served: $(<"$scratch/waiting")"
	wait "$inside" || die "those who were inside were not served: $(<"$scratch/inside")"
	expect_counts accepted=30 closed=30 live=0 failed=0
	expect_descriptors "$open"
	stop_server
	expect_no_panic
}

# lowest_free_descriptor: a server with this limit can open nothing more.
lowest_free_descriptor() {
	local number=0
	while [[ -e /proc/$server_pid/fd/$number ]]; do
		((number += 1))
	done
	echo "$number"
}

# Many clients that never read cost one buffer each. They fit into a memory limit that would kill an
# unbounded server.
no_memory() {
	local group=/sys/fs/cgroup/memory limit=memory.limit_in_bytes
	if [[ ! -e $group/$limit ]]; then
		group=/sys/fs/cgroup limit=memory.max
	fi
	group=$group/shard-reactor-faults-$BASHPID
	if ! mkdir "$group" 2>/dev/null; then
		skip "no cgroup can be made here"
	fi
	# shellcheck disable=SC2064 # the group of this case
	trap "finish; sleep 0.1; rmdir '$group'" EXIT
	if ! echo 16M 2>/dev/null >"$group/$limit"; then
		skip "the memory of a cgroup cannot be limited here"
	fi
	# shellcheck disable=SC2016 # expanded by the inner shell
	wrapper=(sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group")
	start_server --shards 1 --io "$1"
	expect 0 "$loadgen" "$addr" -c 220 --size 16k -d 1500ms --warmup 0 --bad-clients never-read:90% --quiet
	expect_counts live=0 accepted=220
	stop_server
	expect_no_panic
}

skip() {
	echo "$*" >"$case_log.skipped"
	exit 0
}

# ---- Stopped processes, misbehaving clients
# -------------------------------------------------------

stopped_server() {
	local run
	start_server --shards 2 --accept "$1" --io "$2"
	"$loadgen" "$addr" -c 20 -R 500 -d 1s --warmup 0 --slo unanswered=0,errors=0 --quiet >"$scratch/run" 2>&1 &
	run=$!
	expect_counts live=20
	kill -STOP "$server_pid"
	sleep 0.3
	kill -CONT "$server_pid"
	wait "$run" || die "clients noticed more than a delay: $(<"$scratch/run")"
	expect_counts accepted=20 closed=20 live=0 failed=0
	stop_server
	expect_no_panic
}

stopped_client() {
	local run
	start_server --shards 2 --accept "$1" --io "$2"
	"$loadgen" "$addr" -c 20 -R 500 -d 1s --warmup 0 --slo unanswered=0,errors=0 --quiet >"$scratch/run" 2>&1 &
	run=$!
	expect_counts live=20
	kill -STOP "$run"
	sleep 0.3
	kill -CONT "$run"
	wait "$run" || die "it ended with $?: $(<"$scratch/run")"
	expect_counts accepted=20 closed=20 live=0 failed=0
	stop_server
}

# Misbehaving clients beside others: the others are served completely, and timeouts cut off the
# misbehaving ones.
bad_clients() {
	local open
	start_server --shards 2 --accept "$1" --io "$2" --write-timeout 300ms --idle-timeout 5s
	open=$(descriptors)
	expect 0 "$loadgen" "$addr" -c 100 -d 1s --warmup 0 --size 4k --slo unanswered=0,errors=0 --quiet \
		--bad-clients slow-read:10%,slow-write:10%,never-read:10%,half-close:10%,reset:10%
	expect_counts live=0
	((COUNT[accepted] == COUNT[closed])) || die "${COUNT[accepted]} accepted, ${COUNT[closed]} closed"
	expect_descriptors "$open"
	stop_server
	expect_no_panic
}

# Clients that open many connections and send nothing on them, or one byte now and then. The idle
# timeout ends the former, the latter stay, and neither costs CPU time.
slowloris() {
	local silent=() i ticks
	start_server --shards 2 --accept "$1" --io "$2" --idle-timeout 500ms
	open_client
	for ((i = 0; i < 30; i++)); do
		exec {fd}<>"/dev/tcp/${addr%:*}/${addr##*:}"
		silent+=("$fd")
	done
	ticks=$(cpu_ticks)
	for ((i = 0; i < 12; i++)); do
		say x
		expect_answer x
		sleep 0.1
	done
	ticks=$(($(cpu_ticks) - ticks))
	expect_counts live=1 idle=30 accepted=31
	((ticks <= 10)) || die "$ticks hundredths of a second of CPU time were spent on 31 quiet connections"
	for fd in "${silent[@]}"; do
		exec {fd}>&-
	done
	stop_server
	expect_no_panic
}

# ---- Faults in the load generator
# ---------------------------------------------------------------------------------------

# load_survives FAULT IO: the run succeeds as usual.
load_survives() {
	start_server --shards 1
	with_faults "$1"
	expect 0 "${wrapper[@]}" "$loadgen" "$addr" -c 10 -n 500 --io "$2" --slo unanswered=0,errors=0 --quiet
	expect_injected
	wrapper=()
	expect_counts accepted=10 closed=10 live=0 failed=0
	stop_server
}

# load_fails FAULT WORDS: a generator that shall not reconnect ends with exit code 1, and says these
# words on standard error.
load_fails() {
	start_server --shards 1
	with_faults "$1"
	expect 1 "${wrapper[@]}" "$loadgen" "$addr" -c 10 -n 500 --timeout 2s --quiet --fail-fast
	expect_injected
	wrapper=()
	grep -q "^loadgen: .*$2" "$scratch/out" || die "it did not say '$2' but: $(<"$scratch/out")"
	! grep 'panicked' "$scratch/out" >&2 || die "it panicked"
	expect_counts live=0
	stop_server
}

# ---- The cases
# ----------------------------------------------------------------------------------------------------------

# run_case NAME COMMAND...: runs a case in a subshell, which ends at the first failed check.
passed=0 failed=0 skipped=0
run_case() {
	local name=$1 word status=0 begun=${EPOCHREALTIME/[.,]/}
	shift
	for word in "${words[@]}"; do
		[[ $name == *"$word"* ]] || return 0
	done
	if [[ $list == yes ]]; then
		echo "$name"
		return
	fi
	(
		# shellcheck source=scripts/demo.bash
		source scripts/demo.bash
		build_demo no
		"$@"
	) >"$case_log" 2>&1 || status=$?
	local verdict=ok tenths=$(((${EPOCHREALTIME/[.,]/} - begun) / 100000))
	if ((status != 0)); then
		verdict=FAILED
		((failed += 1))
	elif [[ -e $case_log.skipped ]]; then
		verdict=skipped
		name+=": $(<"$case_log.skipped")"
		rm "$case_log.skipped"
		((skipped += 1))
	else
		((passed += 1))
	fi
	printf '%-7s %3d.%d s  %s\n' "$verdict" $((tenths / 10)) $((tenths % 10)) "$name"
	((status == 0)) || sed 's/^/    /' "$case_log"
	((status < 128)) || exit "$status"
}

if [[ $list == no && $build == yes ]]; then
	(
		source scripts/demo.bash
		build_demo yes
	)
fi
case_log=$(mktemp)
trap 'rm -f "$case_log"' EXIT
begun=$SECONDS

for accept in reuseport hybrid; do
	for io in helpers guards poll; do
		where="$accept, $io"
		run_case "recv EINTR, $where" unnoticed recvfrom:error=EINTR:when=1+3 "$accept" "$io"
		run_case "send EINTR, $where" unnoticed sendto:error=EINTR:when=20+3 "$accept" "$io"
		run_case "epoll_wait EINTR, $where" unnoticed epoll_wait:error=EINTR:when=1+2 "$accept" "$io"
		run_case "accept EMFILE, $where" pauses accept4:error=EMFILE:when=2..4 "$accept" "$io"
		run_case "accept ECONNABORTED, $where" unnoticed accept4:error=ECONNABORTED:when=1+2 "$accept" "$io"
		run_case "recv ECONNRESET, $where" costs_connections recvfrom:error=ECONNRESET:when=30 "$accept" "$io" failed
		run_case "recv says it is the end, $where" costs_connections recvfrom:retval=0:when=30 "$accept" "$io" unfailed
		run_case "send EPIPE, $where" costs_connections sendto:error=EPIPE:when=30 "$accept" "$io" failed
		# The start registers two eventfds, two listeners and two signals.
		run_case "registering ENOMEM, $where" refuses_connections epoll_ctl:error=ENOMEM:when=7 "$accept" "$io"
		run_case "registering ENOSPC, $where" refuses_connections epoll_ctl:error=ENOSPC:when=7..9 "$accept" "$io"
		run_case "all at once, $where" storm "$accept" "$io"
		run_case "no descriptor left, $where" no_descriptors "$accept" "$io"
		run_case "server stopped and continued, $where" stopped_server "$accept" "$io"
		run_case "bad clients, $where" bad_clients "$accept" "$io"
		run_case "slowloris, $where" slowloris "$accept" "$io"
	done
done
for io in helpers guards poll; do
	run_case "recv lies EAGAIN, $io" forged_eagain recvfrom "$io"
	run_case "send lies EAGAIN, $io" forged_eagain sendto "$io"
	run_case "a short write, $io" short_write "$io"
	run_case "a write of nothing, $io" write_of_nothing "$io"
	run_case "no memory, $io" no_memory "$io"
done
run_case 'generator stopped and continued' stopped_client hash helpers
for errno in ENFILE ENOBUFS ENOMEM EPERM; do
	run_case "accept $errno" pauses "accept4:error=$errno:when=2..4" hybrid helpers
done
for errno in EINTR EPROTO ENETDOWN ETIMEDOUT; do
	run_case "accept $errno" unnoticed "accept4:error=$errno:when=1+2" hybrid guards
done
for accept in reuseport hybrid; do
	run_case "accept lies EAGAIN, $accept" forged_eagain_of_accept "$accept"
done
for errno in EAGAIN EINTR; do
	run_case "eventfd $errno" unnoticed "write:error=$errno:when=1+2" round-robin helpers -P 'anon_inode:[eventfd]'
done
for call in futex epoll_wait epoll_ctl accept4 close write; do
	run_case "late: $call" unnoticed "$call:delay_exit=2000:when=1+3" round-robin poll
done
run_case 'deregistering ENOMEM' unnoticed epoll_ctl:error=ENOMEM:when=12+1 round-robin helpers
run_case 'TCP_NODELAY EINVAL' unnoticed setsockopt:error=EINVAL:when=9+1 hybrid helpers
run_case 'epoll lost' lost_epoll

run_case 'start: no thread' no_start clone3:error=EAGAIN:when=1 'Resource temporarily unavailable'
run_case 'start: no second thread' no_start clone3:error=EAGAIN:when=2 'Resource temporarily unavailable'
run_case 'start: no stack for the second thread' no_stack
run_case 'start: no epoll' no_start epoll_create1:error=EMFILE:when=1 'Too many open files'
run_case 'start: no second epoll' no_start epoll_create1:error=EMFILE:when=2 'Too many open files'
run_case 'start: no eventfd' no_start eventfd2:error=ENFILE:when=2 'Too many open files in system'
run_case 'start: epoll takes no eventfd' no_start epoll_ctl:error=ENOMEM:when=1 'Cannot allocate memory'
run_case 'start: epoll takes no listener' no_start epoll_ctl:error=ENOSPC:when=2 'No space left on device'
run_case 'start: no socket' no_start socket:error=EMFILE 'Too many open files'
run_case 'start: no address' no_start bind:error=EACCES 'cannot listen on .*Permission denied'
run_case 'start: no second listener' no_start listen:error=EADDRINUSE:when=2 'cannot listen on .*Address already in use'
run_case 'start: no pair for signals' no_start socketpair:error=EMFILE 'Too many open files'
run_case 'start: no pin' no_pin

for io in helpers guards poll; do
	run_case "loadgen: recv EINTR, $io" load_survives recvfrom:error=EINTR:when=1+3 "$io"
	run_case "loadgen: send EINTR, $io" load_survives sendto:error=EINTR:when=1+3 "$io"
	run_case "loadgen: epoll_wait EINTR, $io" load_survives epoll_wait:error=EINTR:when=1+2 "$io"
done
run_case 'loadgen: late epoll_ctl' load_survives epoll_ctl:delay_exit=2000:when=1+2 helpers
run_case 'loadgen: late connect' load_survives connect:delay_exit=2000:when=1+2 helpers
run_case 'loadgen: recv ECONNRESET' load_fails recvfrom:error=ECONNRESET:when=50 'connection reset by the server: 1 of 10'
run_case 'loadgen: send EPIPE' load_fails sendto:error=EPIPE:when=50 '1 of 10'
run_case 'loadgen: connect ECONNREFUSED' load_fails connect:error=ECONNREFUSED:when=2 'connection refused: 1 of 10'
run_case 'loadgen: connect EADDRNOTAVAIL once' load_survives connect:error=EADDRNOTAVAIL:when=2 helpers
run_case 'loadgen: connect EADDRNOTAVAIL' load_fails connect:error=EADDRNOTAVAIL:when=2+1 'no local port left'
run_case 'loadgen: connect ENETUNREACH' load_fails connect:error=ENETUNREACH 'target unreachable'
run_case 'loadgen: no socket' load_fails socket:error=EMFILE:when=3 'no descriptor left'
run_case 'loadgen: registering ENOMEM' load_fails epoll_ctl:error=ENOMEM:when=4 'Cannot allocate memory'
run_case 'loadgen: no thread' load_fails clone3:error=EAGAIN 'Resource temporarily unavailable'
run_case 'loadgen: no epoll' load_fails epoll_create1:error=EMFILE 'Too many open files'

if [[ $list == no ]]; then
	echo "$passed passed, $failed failed, $skipped skipped, in $((SECONDS - begun)) s"
	((failed == 0))
fi
