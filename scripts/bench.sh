#!/usr/bin/env bash
# Compares server-demo's three I/O surfaces with a bare epoll loop and three tokio servers.
#
# Measured: echoes per second, latency, the server's CPU time per echo (user, system) and its memory
# per connection. loadgen measures them and verifies every byte. Held constant: one server thread on
# one CPU, one generator thread on another. Every round runs every contender once, each in a fresh
# process, so that disturbances on the machine affect all of them (A B C … A B C …). Ratios are
# those of 'loadgen compare': pseudomedians over the paired rounds, with a 95% interval of signed
# ranks. The scenario 'base' has all contenders. The others vary one factor of it and have fewer
# contenders, except 'rate-80'.
#
# Noise: other work on the machine, most of all on the two CPUs. It widens the intervals, and an
# interval wider than ±5% is called inconclusive: run more rounds on a quieter machine. CPU per echo
# is valid even if the generator was the bottleneck; echoes per second are not.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOF'
Usage: scripts/bench.sh [options] [-- LOADGEN OPTIONS...]
  --quick            the scenario 'base' alone, in few short rounds: ends within two minutes after the build
  --scenarios LIST   scenarios, comma separated; 'base' comes before 'rate-…' (default: all of them, under 60 minutes)
  --only LIST        contenders of 'base' and 'rate-80', comma separated (default: all with one thread)
  --others LIST      contenders of the other scenarios (default: bare-epoll,tokio-mt,tokio-ct,demo-helpers);
                     'bulk' and those of the service 'work' have their own
  --rounds N         rounds of each contender in 'base' and 'rate-80', which xtask budgets uses (default: 20)
  --other-rounds N   ... and in the others (default: 8)
  --duration D       measured time of a round (default: 2s)
  --warmup D         discarded start of a round (default: 500ms)
  --connections N    connections of 'base', all active (default: 64)
  --memory A,B       connections of the two memory runs, 'none' for no such runs (default: 1000,19000)
  --markdown FILE    write the page that BENCHMARKS.md is
  --server-cpu N     CPU of the server (default: the first one this process may use)
  --load-cpu N       CPU of the generator (default: the second)
  --no-build         use the existing build
  -h, --help         this text
Scenarios:
  base          64 connections, 64 bytes, closed loop, one server thread
  size-1k       messages of 1 KiB
  size-16k      messages of 16 KiB
  conns-1       one connection
  conns-1000    1,000 connections
  conns-19000   19,000 connections, all active
  active-64     19,000 connections, 64 active
  active-1900   19,000 connections, 10% active
  rate-30       open loop at 30% of the rate of the slowest contender of 'base'
  rate-60       ... at 60%
  rate-80       ... at 80%, with the contenders of 'base'
  churn         connect, one echo, close: here each echo is a connection
  threads-2     two server threads on both CPUs, which the generator shares
  bulk          the same, with 8 connections that stream messages of 64 KiB
  even          the same, open loop: requests that each ask for 200 us of CPU time, 70% of both CPUs in total
  skew          the same, with 90% of the requests on a quarter of the connections, all of one shard
  shift         the same, and every 500 ms that quarter belongs to the other shard
  mix           short requests beside two connections whose requests each take 20 ms of CPU time
Options after -- go to every loadgen run, for instance -- --pipeline 8.
Tables go to the terminal. target/bench/ gets bench.json, bench.html, SCENARIO/NAME.json with all rounds of a contender (as
'loadgen compare A.json B.json' takes them), and table.txt.
EOF
}

readonly ALL=(
	base size-1k size-16k conns-1 conns-1000 conns-19000 active-64 active-1900 rate-30 rate-60 rate-80 churn threads-2
	bulk even skew shift mix
)
# 70% of two CPUs in requests of 200 us.
readonly WORK=(-c 32 --rate 7k --arrivals poisson --work 200us)
readonly WORK_CONTENDERS=tokio-mt-work,demo-work,demo-work-no-stealing

# joined WORDS...: prints the words with commas in between.
joined() {
	local IFS=,
	echo "$*"
}

original_command="scripts/bench.sh${*:+ $*}"
quick=no only='' others=bare-epoll,tokio-mt,tokio-ct,demo-helpers rounds='' other_rounds=8 duration='' warmup=''
connections=64 memory='' markdown='' server_cpu='' load_cpu='' build=yes scenarios=''
while (($# > 0)); do
	case $1 in
	--scenarios | --only | --others | --rounds | --other-rounds | --duration | --warmup | --connections | --memory | \
		--markdown | --server-cpu | --load-cpu)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" '%s' "$2"
		shift 2
		;;
	--quick) quick=yes && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	--) shift && break ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done
load_options=("$@")
if [[ $quick == yes ]]; then
	: "${rounds:=12}" "${duration:=700ms}" "${warmup:=200ms}" "${memory:=1000,6000}" "${scenarios:=base}"
else
	: "${rounds:=20}" "${duration:=2s}" "${warmup:=500ms}" "${memory:=1000,19000}" "${scenarios:=$(joined "${ALL[@]}")}"
fi
if ! [[ $rounds$other_rounds =~ ^[1-9][0-9]*$ && $memory =~ ^(none|[0-9]+,[0-9]+)$ ]]; then
	echo "error: --rounds and --other-rounds take a number, --memory two numbers or 'none'" >&2 && exit 2
fi
IFS=, read -ra chosen <<<"$scenarios"
for scenario in "${chosen[@]}"; do
	if [[ " ${ALL[*]} " != *" $scenario "* ]]; then
		echo "error: no scenario '$scenario'; there are: ${ALL[*]}" >&2 && exit 2
	fi
done
if [[ $scenarios == *rate-* && ${chosen[0]:-} != base ]]; then
	echo "error: the scenarios 'rate-…' take their rate from 'base': name it first" >&2 && exit 2
fi

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
select_contenders "$others"
other_contenders=("${SELECTED[@]}")
select_contenders "${only:-$BASE_CONTENDERS}"
base_contenders=("${SELECTED[@]}")
need taskset util-linux

# pick_cpus: picks the first two CPUs of this process's mask, unless they were given.
pick_cpus() {
	local list part cpus=()
	list=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
	for part in ${list//,/ }; do
		mapfile -t -O "${#cpus[@]}" cpus < <(seq "${part%-*}" "${part#*-}")
	done
	: "${server_cpu:=${cpus[0]}}" "${load_cpu:=${cpus[1]:-${cpus[0]}}}"
	if [[ $server_cpu == "$load_cpu" ]]; then
		echo "warning: server and generator share CPU $server_cpu: they slow each other down" >&2
	fi
}
pick_cpus
build_contenders "$build"

out=$(target_dir)/bench
rm -rf "$out"
mkdir -p "$out"
begun=$SECONDS

# load FILE OPTIONS...: loads the running server and appends the report to FILE.
load() {
	local file=$1
	shift
	"${GENERATOR[@]}" "$LOADGEN" "$SERVER_ADDR" --server-pid "$(server_process)" --quiet \
		--format json "$@" "${load_options[@]}" >>"$file" || {
		cat "$SCRATCH/server.err" >&2
		die "loadgen failed against ${COMMAND[*]}"
	}
}

# measure_memory: runs two fresh servers of each contender with two numbers of connections, each
# served once.
measure_memory() {
	local count
	echo "memory per connection: ${memory/,/ and } connections" >&2
	for name in "${SELECTED[@]}"; do
		for count in ${memory/,/ }; do
			start_server "$name" "$SERVER_CPUS" taskset -c "$SERVER_CPUS"
			load "$out/base/$name.memory.json" -c "$count" --active 1 -n 1 --warmup 0 --timeout 30
			await_quiet
			stop_server "$name"
		done
	done
}

# report OPTIONS...: reports the measurements so far.
report() {
	"$BIN/bench-report" --dir "$out" --contenders "$(joined "${CONTENDERS[@]}")" --commit "$(commit)" \
		--command "$original_command" "$@"
}

# saturation PERCENT: prints that share of the requests per second of the slowest contender in
# 'base'.
saturation() {
	report --scenario base=base >/dev/null
	awk -v percent="$1" '
		/"requests_per_s": / { gsub(/[^0-9.]/, "", $2); if (!n++ || $2 < least) least = $2 }
		END { printf "%d\n", least * percent / 100 }
	' "$out/bench.json"
}

# start_beside: starts the load of BESIDE, if there is any, for longer than the measured one takes.
start_beside() {
	((${#BESIDE[@]} > 0)) || return 0
	"$LOADGEN" "$SERVER_ADDR" --duration 60s --quiet --format json "${BESIDE[@]}" \
		>"$SCRATCH/beside.json" 2>"$SCRATCH/beside.err" &
	BESIDE_PID=$!
	sleep 0.3
}

# stop_beside: ends that load. It made no difference unless it was answered until the end.
stop_beside() {
	((${#BESIDE[@]} > 0)) || return 0
	kill -INT "$BESIDE_PID" 2>/dev/null || die "the load beside ended early: $(<"$SCRATCH/beside.err")"
	wait "$BESIDE_PID" || true
	grep -q '"completed": *[1-9]' "$SCRATCH/beside.json" || die "the load beside had no answer"
}

# turns ROUNDS OPTIONS...: runs each contender once per round, with these options of loadgen.
turns() {
	local count=$1 round round_begun slowest=0
	shift
	for ((round = 1; round <= count; round++)); do
		round_begun=$SECONDS
		# A slow machine gets fewer rounds of --quick, each complete, not more than two minutes.
		if [[ $quick == yes ]] && ((round > 2 && SECONDS - begun + slowest > 110)); then
			echo "two minutes are nearly over: $((round - 1)) rounds it is" >&2
			break
		fi
		echo "$scenario: round $round of $count" >&2
		for name in "${SELECTED[@]}"; do
			start_server "$name" "$SERVER_CPUS" taskset -c "$SERVER_CPUS"
			start_beside
			load "$out/$scenario/$name.json" -d "$duration" --warmup "$warmup" "$@"
			stop_beside
			stop_server "$name"
		done
		((SECONDS - round_begun <= slowest)) || slowest=$((SECONDS - round_begun))
	done
}

titles=()
for scenario in "${chosen[@]}"; do
	mkdir -p "$out/$scenario"
	SERVER_THREADS=1 SERVER_CPUS=$server_cpu GENERATOR=(taskset -c "$load_cpu") BESIDE=()
	options=(-c "$connections")
	# cargo xtask budgets uses the ratios of these two.
	if [[ $scenario == base || $scenario == rate-80 ]]; then
		count=$rounds SELECTED=("${base_contenders[@]}")
	else
		count=$other_rounds SELECTED=("${other_contenders[@]}")
	fi
	case $scenario in
	base)
		title="$connections connections, 64 bytes, closed loop, one server thread"
		[[ $memory == none ]] || measure_memory
		;;
	size-1k) title='Messages of 1 KiB' options+=(--size 1k) ;;
	size-16k) title='Messages of 16 KiB' options+=(--size 16k) ;;
	conns-1) title='One connection' options=(-c 1) ;;
	conns-1000) title='1,000 connections' options=(-c 1000) ;;
	conns-19000) title='19,000 connections, all active' options=(-c 19000 --timeout 30s) ;;
	active-64) title='19,000 connections, 64 active' options=(-c 19000 --active 64 --timeout 30s) ;;
	active-1900) title='19,000 connections, 10% active' options=(-c 19000 --active 1900 --timeout 30s) ;;
	rate-*)
		rate=$(saturation "${scenario#rate-}")
		title="Open loop, ${scenario#rate-}% of saturation: $rate requests per second" options+=(--rate "$rate")
		;;
	churn) title='Connect, one echo, close' options+=(--requests-per-conn 1) ;;
	threads-2) title='Two server threads on both CPUs, which the generator shares' ;;
	bulk)
		title='Eight connections that stream messages of 64 KiB, two server threads'
		options=(-c 8 --size 64k --pipeline 4)
		select_contenders demo-helpers,demo-helpers-no-stealing
		;;
	even) title='Even load: requests of 200 us, 70% of two CPUs' options=("${WORK[@]}") ;;
	skew)
		title='Skewed load: the same, with 90% of the requests on 8 of 32 connections'
		options=("${WORK[@]}" --hot 25%:90%)
		;;
	shift)
		title='Shifting load: the same, with another 8 connections every 500 ms'
		options=("${WORK[@]}" --hot 25%:90% --hot-shift 500ms)
		;;
	mix)
		title='Short requests beside two connections whose requests take 20 ms'
		options=(-c 32 --rate 3k --arrivals poisson --work 10us)
		BESIDE=(-c 2 --rate 40 --arrivals poisson --work 20ms)
		;;
	esac
	case $scenario in
	threads-2 | bulk | even | skew | shift | mix)
		# shellcheck disable=SC2034 # contenders.bash reads it
		SERVER_THREADS=2
		SERVER_CPUS=$server_cpu,$load_cpu GENERATOR=(env)
		;;&
	even | skew | shift | mix) select_contenders "$WORK_CONTENDERS" ;;
	esac
	titles+=(--scenario "$scenario=$title")
	turns "$count" "${options[@]}"
done

[[ -z $markdown ]] || titles+=(--markdown "$markdown")
report "${titles[@]}" | tee "$out/table.txt"
echo "page: $out/bench.html; JSON: $out/bench.json; rounds: $out/*/*.json; $((SECONDS - begun)) s"
