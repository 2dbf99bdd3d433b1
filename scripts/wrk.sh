#!/usr/bin/env bash
# Compares loadgen with wrk on one HTTP server: the rate of each, and the cost of a request in each.
#
# Measured: requests per second of both in a closed loop, in pairs whose order alternates, and the
# ratio with its 95% interval. Then the generators' own user-space instructions per request, as the
# slope between two runs under callgrind. Held constant: one nginx (one process, one CPU, a file of
# 1 KiB that it opens for each request, so that the server limits both; unlimited keep-alive), one
# generator thread on another CPU, the same connections.
#
# loadgen checks every answer's status and length; wrk counts statuses. Noise: other work on the
# machine widens the interval. Instructions are stable on a busy machine too.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOF'
Usage: scripts/wrk.sh [options]
  --pairs N          pairs of runs (default: 12; five at least)
  --duration S       seconds of a run (default: 5)
  --connections N    connections (default: 64)
  --server-cpu N     CPU of nginx (default: the first one this process may use)
  --load-cpu N       CPU of the generators (default: the second)
  --callgrind A,B    seconds of wrk's two runs under callgrind, 'none' for no such runs (default: 3,9)
  --requests A,B     loadgen's two numbers of requests under callgrind (default: 5000,25000)
  --quick            five pairs of two seconds
  --no-build         use the existing build
  -h, --help         this text
A table goes to the terminal and target/wrk/wrk.json holds the same as JSON. Needs nginx and wrk, and
valgrind for the instructions.
EOF
}

original_command="scripts/wrk.sh${*:+ $*}"
pairs=12 duration=5 connections=64 server_cpu='' load_cpu='' callgrind=3,9 requests=5000,25000 build=yes
while (($# > 0)); do
	case $1 in
	--pairs | --duration | --connections | --server-cpu | --load-cpu | --callgrind | --requests)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" '%s' "$2"
		shift 2
		;;
	--quick) pairs=5 duration=2 && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done
if ! [[ $pairs =~ ^[0-9]+$ && $duration =~ ^[1-9][0-9]*$ && $connections =~ ^[1-9][0-9]*$ &&
	$callgrind =~ ^(none|[0-9]+,[0-9]+)$ && $requests =~ ^[0-9]+,[0-9]+$ ]] || ((pairs < 5)); then
	echo "error: --pairs takes a number from 5, the others numbers; try --help" >&2 && exit 2
fi

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
need nginx nginx-light
need wrk wrk
need taskset util-linux
[[ $callgrind == none ]] || need valgrind valgrind
mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
	while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
: "${server_cpu:=${cpus[0]}}" "${load_cpu:=${cpus[1]:-${cpus[0]}}}"
[[ $build == no ]] || cargo build --release --quiet -p loadgen
LOADGEN=${LOADGEN:-$(target_dir)/release/loadgen}
out=$(target_dir)/wrk
mkdir -p "$out"

# start_nginx: one process in the foreground, on a free port; sets SERVER_PID and SERVER_ADDR.
start_nginx() {
	local port attempt
	for attempt in {1..20}; do
		port=$((20000 + RANDOM % 20000))
		cat >"$SCRATCH/nginx.conf" <<EOF
daemon off;
master_process off;
pid $SCRATCH/nginx.pid;
error_log $SCRATCH/nginx.log;
events { worker_connections 16384; }
http {
	access_log off;
	keepalive_requests 1000000000;
	keepalive_timeout 1h;
	client_body_temp_path $SCRATCH/body;
	proxy_temp_path $SCRATCH/proxy;
	fastcgi_temp_path $SCRATCH/fastcgi;
	uwsgi_temp_path $SCRATCH/uwsgi;
	scgi_temp_path $SCRATCH/scgi;
	server {
		listen 127.0.0.1:$port backlog=1024;
		root $SCRATCH/www;
	}
}
EOF
		taskset -c "$server_cpu" nginx -c "$SCRATCH/nginx.conf" 2>"$SCRATCH/nginx.err" &
		SERVER_PID=$! SERVER_ADDR=127.0.0.1:$port
		for _ in {1..50}; do
			kill -0 "$SERVER_PID" 2>/dev/null || break
			(: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
			sleep 0.1
		done
		wait "$SERVER_PID" || true
		((attempt < 20)) || die "nginx does not start: $(cat "$SCRATCH/nginx.err" "$SCRATCH/nginx.log")"
	done
}

# run_wrk SECONDS [PREFIX...]: sets RATE and COUNT.
run_wrk() {
	local seconds=$1
	shift
	taskset -c "$load_cpu" "$@" wrk -t1 -c"$connections" -d"${seconds}s" --timeout 60s "http://$SERVER_ADDR/" >"$SCRATCH/wrk.txt" ||
		die "wrk failed: $(cat "$SCRATCH/wrk.txt")"
	grep -qE 'Socket errors|Non-2xx' "$SCRATCH/wrk.txt" && die "wrk saw errors: $(cat "$SCRATCH/wrk.txt")"
	RATE=$(awk '/^Requests\/sec:/ { print $2 }' "$SCRATCH/wrk.txt")
	COUNT=$(awk '/requests in/ { print $1 }' "$SCRATCH/wrk.txt")
}

# run_loadgen LIMIT...: the same for loadgen.
run_loadgen() {
	taskset -c "$load_cpu" "$LOADGEN" "http://$SERVER_ADDR/" -c "$connections" "$@" --warmup 0 --quiet \
		>"$SCRATCH/loadgen.txt" || die "loadgen failed: $(cat "$SCRATCH/loadgen.txt")"
	RATE=$(awk '/^Requests\/sec:/ { print $2 }' "$SCRATCH/loadgen.txt")
}

# instructions FILE: prints callgrind's count.
instructions() {
	awk '/^(summary|totals):/ { print $2; exit }' "$1"
}

# slope I1 I2 N1 N2: prints the instructions per request between the two runs.
slope() {
	awk -v a="$1" -v b="$2" -v n="$3" -v m="$4" 'BEGIN { printf "%.0f", (b - a) / (m - n) }'
}

mkdir "$SCRATCH/www"
head -c 1024 /dev/zero | tr '\0' x >"$SCRATCH/www/index.html"
start_nginx
echo "nginx on CPU $server_cpu, generators on CPU $load_cpu, $connections connections, $pairs pairs of ${duration}s" >&2
# The first runs warm up the server and do not count.
run_wrk 1
run_loadgen -d 1
wrk_rates=() loadgen_rates=()
for ((pair = 1; pair <= pairs; pair++)); do
	order=(wrk loadgen)
	((pair % 2)) || order=(loadgen wrk)
	for who in "${order[@]}"; do
		if [[ $who == wrk ]]; then
			run_wrk "$duration"
			wrk_rates+=("$RATE")
		else
			run_loadgen -d "$duration"
			loadgen_rates+=("$RATE")
		fi
	done
	echo "pair $pair: wrk ${wrk_rates[-1]}/s, loadgen ${loadgen_rates[-1]}/s" >&2
done

# The geometric mean of loadgen/wrk, and Student's 95% interval of the logarithms.
read -r ratio low high < <(paste <(printf '%s\n' "${wrk_rates[@]}") <(printf '%s\n' "${loadgen_rates[@]}") |
	awk '
		BEGIN { split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228 2.201 2.179 2.160 2.145 2.131 2.120 2.110 2.101 2.093", t, " ") }
		{ x = log($2 / $1); sum += x; squares += x * x; n++ }
		END {
			mean = sum / n
			deviation = sqrt((squares - n * mean * mean) / (n - 1))
			half = ((n - 1 in t) ? t[n - 1] : 2.09) * deviation / sqrt(n)
			printf "%.4f %.4f %.4f\n", exp(mean), exp(mean - half), exp(mean + half)
		}')

wrk_instructions=null loadgen_instructions=null
if [[ $callgrind != none ]]; then
	echo 'counting instructions' >&2
	counted=() counts=()
	for seconds in ${callgrind/,/ }; do
		run_wrk "$seconds" valgrind --quiet --tool=callgrind --callgrind-out-file="$out/wrk.callgrind"
		counts+=("$COUNT") counted+=("$(instructions "$out/wrk.callgrind")")
	done
	wrk_instructions=$(slope "${counted[@]}" "${counts[@]}")
	counted=()
	# A run takes about fifty times longer under callgrind, so an interval of the time series is
	# longer by the same factor. Otherwise the work per interval would be divided among too few
	# requests.
	for number in ${requests/,/ }; do
		taskset -c "$load_cpu" valgrind --quiet --tool=callgrind --callgrind-out-file="$out/loadgen.callgrind" \
			"$LOADGEN" "http://$SERVER_ADDR/" -c "$connections" -n "$number" --interval 5s --quiet >"$SCRATCH/loadgen.txt" ||
			die "loadgen failed under callgrind: $(cat "$SCRATCH/loadgen.txt")"
		counted+=("$(instructions "$out/loadgen.callgrind")")
	done
	loadgen_instructions=$(slope "${counted[@]}" ${requests/,/ })
fi

kill "$SERVER_PID"
wait "$SERVER_PID" || true
SERVER_PID=

(
	IFS=,
	printf '{"machine":%s,"connections":%d,"duration_s":%d,"wrk_per_s":[%s],"loadgen_per_s":[%s],"ratio":%s,"low":%s,"high":%s,"wrk_instructions_per_request":%s,"loadgen_instructions_per_request":%s}\n' \
		"$(machine_json "$original_command")" "$connections" "$duration" "${wrk_rates[*]}" "${loadgen_rates[*]}" \
		"$ratio" "$low" "$high" "$wrk_instructions" "$loadgen_instructions"
) >"$out/wrk.json"
printf '\n%-10s %16s %28s\n' generator 'median rate/s' 'instructions per request'
median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'; }
printf '%-10s %16.0f %28s\n' wrk "$(median "${wrk_rates[@]}")" "${wrk_instructions/null/-}"
printf '%-10s %16.0f %28s\n' loadgen "$(median "${loadgen_rates[@]}")" "${loadgen_instructions/null/-}"
verdict=$(awk -v l="$low" -v h="$high" 'BEGIN { print (l >= 0.9 && h <= 1.1) ? "within" : "not within" }')
echo "loadgen/wrk: $ratio [$low, $high], $verdict 0.90 to 1.10"
echo "JSON: $out/wrk.json; profiles: $out/*.callgrind"
