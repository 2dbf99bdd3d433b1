#!/usr/bin/env bash
# Compares loadgen with wrk, oha and h2load on one HTTP server: requests per second, and CPU time of
# the generator per request.
#
# All run in turns, in an order that rotates, and each round gives a ratio to loadgen for each peer.
# Held constant: one nginx (one process, one CPU, a file of 1 KiB that it opens for each request,
# unlimited keep-alive), one generator thread on another CPU, the same connections, a closed loop.
# The server limits the rate of a generator that costs less than it; CPU time per request tells
# those apart. Noise: other work on the machine widens the intervals.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOF'
Usage: scripts/peers.sh [options]
  --rounds N         rounds (default: 10; five at least)
  --duration S       seconds of a run (default: 3)
  --connections N    connections (default: 64)
  --http2            HTTP/2 in the clear, 10 streams per connection, without wrk
  --server-cpu N     CPU of nginx (default: the first one this process may use)
  --load-cpu N       CPU of the generators (default: the second)
  --no-build         use the existing build
  -h, --help         this text
A table in Markdown goes to standard output. Needs nginx, wrk, h2load (nghttp2-client) and oha (cargo
install oha); a peer that is missing is left out, and named. OHA is the path of oha, if it is set.
EOF
}

original_command="scripts/peers.sh${*:+ $*}"
rounds=10 duration=3 connections=64 server_cpu='' load_cpu='' build=yes http2=no
while (($# > 0)); do
	case $1 in
	--rounds | --duration | --connections | --server-cpu | --load-cpu)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" '%s' "$2"
		shift 2
		;;
	--http2) http2=yes && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done
if ! [[ $rounds =~ ^[0-9]+$ && $duration =~ ^[1-9][0-9]*$ && $connections =~ ^[1-9][0-9]*$ ]] || ((rounds < 5)); then
	echo "error: --rounds takes a number from 5, the others numbers; try --help" >&2 && exit 2
fi

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
need nginx nginx-light
need taskset util-linux
mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
	while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
: "${server_cpu:=${cpus[0]}}" "${load_cpu:=${cpus[1]:-${cpus[0]}}}"
[[ $build == no ]] || cargo build --release --quiet -p loadgen --features http2
LOADGEN=${LOADGEN:-$(target_dir)/release/loadgen}
OHA=${OHA:-oha}

# start_nginx: one process in the foreground, on a free port; sets SERVER_PID and SERVER_ADDR.
start_nginx() {
	local port attempt listen=
	[[ $http2 == no ]] || listen=' http2'
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
		listen 127.0.0.1:$port$listen backlog=1024;
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

# generate WHO SECONDS: runs a generator. Its report goes to out.txt, its CPU seconds to time.txt.
generate() {
	local url=http://$SERVER_ADDR/ TIMEFORMAT='%U %S' command
	case $1 in
	loadgen)
		command=("$LOADGEN" "$url" -c "$connections" -d "$2s" --warmup 0 --quiet --format json)
		[[ $http2 == no ]] || command+=(--http2 -P 10)
		;;
	wrk) command=(wrk -t1 -c"$connections" -d"$2s" "$url") ;;
	oha)
		command=("$OHA" --worker-threads 1 --no-tui --output-format json -c "$connections" -z "$2s" "$url")
		[[ $http2 == no ]] || command+=(--http2 -p 10)
		;;
	h2load)
		command=(h2load -t1 -c"$connections" -D "$2" "$url")
		if [[ $http2 == no ]]; then command+=(--h1); else command+=(-m 10); fi
		;;
	esac
	{ time taskset -c "$load_cpu" "${command[@]}" >"$SCRATCH/out.txt" 2>"$SCRATCH/err.txt"; } 2>"$SCRATCH/time.txt" ||
		die "$1 failed: $(tail -n 3 "$SCRATCH/out.txt" "$SCRATCH/err.txt")"
}

# run WHO SECONDS: prints requests per second, and CPU microseconds of the generator per request. A
# run in which nothing was answered is repeated, and named.
run() {
	local rate requests tries
	for tries in 1 2 3; do
		generate "$1" "$2"
		requests=$(answered "$1")
		[[ ! $requests =~ ^[1-9][0-9]*$ ]] || break
		((tries < 3)) || die "$1 has no answers: $(head -c 500 "$SCRATCH/out.txt")"
		echo "$1 had no answers, and runs again" >&2
	done
	rate=$((requests / $2))
	awk -v rate="$rate" -v requests="$requests" '{ printf "%d %.4f\n", rate, ($1 + $2) * 1e6 / requests }' "$SCRATCH/time.txt"
}

# answered WHO: prints the number of requests that the generator says were answered.
answered() {
	case $1 in
	loadgen) grep -o '"answered":[0-9]*' "$SCRATCH/out.txt" | head -n 1 | cut -d : -f 2 ;;
	wrk)
		! grep -qE 'Socket errors|Non-2xx' "$SCRATCH/out.txt" || die "wrk saw errors: $(cat "$SCRATCH/out.txt")"
		awk '/requests in/ { print $1 }' "$SCRATCH/out.txt"
		;;
	oha) awk -F '[:,]' '/"200"/ { print $2 + 0; exit }' "$SCRATCH/out.txt" ;;
	h2load) awk '/^requests:/ { print $8 }' "$SCRATCH/out.txt" ;;
	esac
}

# compare FILE FILE COLUMN: the median of the second file, and the ratio of the second to the first
# with Student's 95% interval of the logarithms.
compare() {
	paste -d ' ' "$1" "$2" | awk -v column="$3" '
		BEGIN { split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228 2.201 2.179 2.160 2.145 2.131 2.120 2.110 2.101 2.093", t, " ") }
		{ a = $column; b = $(column + 2); x = log(b / a); sum += x; squares += x * x; v[++n] = b }
		END {
			for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { y = v[j]; v[j] = v[j - 1]; v[j - 1] = y }
			mean = sum / n
			rest = squares - n * mean * mean
			half = ((n - 1 in t) ? t[n - 1] : 2.09) * sqrt((rest > 0 ? rest : 0) / (n - 1)) / sqrt(n)
			low = exp(mean - half); high = exp(mean + half)
			verdict = low > 1 ? "more" : high < 1 ? "less" : "no difference shown"
			printf "%.6g %.3f %.3f %.3f %s\n", (v[int((n + 1) / 2)] + v[int((n + 2) / 2)]) / 2, exp(mean), low, high, verdict
		}'
}

who=(loadgen)
for peer in wrk oha h2load; do
	[[ $peer != wrk || $http2 == no ]] || continue
	program=$peer
	[[ $peer != oha ]] || program=$OHA
	if command -v "$program" >/dev/null; then
		who+=("$peer")
	else
		echo "not compared, because it is not installed: $peer" >&2
	fi
done
mkdir "$SCRATCH/www"
head -c 1024 /dev/zero | tr '\0' x >"$SCRATCH/www/index.html"
start_nginx
echo "nginx on CPU $server_cpu, generators on CPU $load_cpu, $connections connections, $rounds rounds of ${duration}s" >&2
# The first runs warm up the server and do not count.
for one in "${who[@]}"; do
	run "$one" 1 >"$SCRATCH/warm"
done
for ((round = 0; round < rounds; round++)); do
	for ((at = 0; at < ${#who[@]}; at++)); do
		one=${who[$(((at + round) % ${#who[@]}))]}
		run "$one" "$duration" >"$SCRATCH/one"
		cat "$SCRATCH/one" >>"$SCRATCH/$one.figures"
		echo "round $((round + 1)): $one $(<"$SCRATCH/one")" >&2
	done
done
kill "$SERVER_PID"
wait "$SERVER_PID" || true
SERVER_PID=

printf '%s\n\n' "Command: \`$original_command\`. $(uname -sr), $(nproc) CPUs, commit $(git rev-parse --short=12 HEAD)."
printf '| generator | requests per second | loadgen to it | CPU us per request | loadgen to it |\n|---|---|---|---|---|\n'
for one in "${who[@]}"; do
	# The ratio is that of loadgen to the peer.
	read -r _ rate_ratio rate_low rate_high rate_verdict < <(compare "$SCRATCH/$one.figures" "$SCRATCH/loadgen.figures" 1)
	read -r _ cpu_ratio cpu_low cpu_high cpu_verdict < <(compare "$SCRATCH/$one.figures" "$SCRATCH/loadgen.figures" 2)
	read -r rate _ < <(compare "$SCRATCH/loadgen.figures" "$SCRATCH/$one.figures" 1)
	read -r cpu _ < <(compare "$SCRATCH/loadgen.figures" "$SCRATCH/$one.figures" 2)
	if [[ $one == loadgen ]]; then
		printf '| %s | %.0f | | %.2f | |\n' "$one" "$rate" "$cpu"
	else
		printf '| %s | %.0f | %s [%s, %s], %s | %.2f | %s [%s, %s], %s |\n' "$one" "$rate" \
			"$rate_ratio" "$rate_low" "$rate_high" "$rate_verdict" "$cpu" "$cpu_ratio" "$cpu_low" "$cpu_high" "$cpu_verdict"
	fi
done
