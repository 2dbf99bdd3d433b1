#!/usr/bin/env bash
# Runs loadgen against independent servers: nginx and Python's http.server over HTTP, redis-server
# with a fixed exchange, each in a closed and in an open loop. It checks the exit code and the
# counts in the report. A server that is not installed is named, and the others still run.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/protocols.sh [options]
  --all       a missing server is a failure
  --no-build  use the existing build
  -h, --help  this text
Exit codes: 0 everything that ran passed, 1 a check failed, 2 bad arguments.
EOT
}

build=yes all=no
while (($# > 0)); do
	case $1 in
	--all) all=yes && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

scratch=$(mktemp -d)
servers=()
missing=()

# No server that this script starts outlives it, however the script ends.
finish() {
	local pid
	for pid in "${servers[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	tail -n 5 "$scratch"/*.log >&2 2>/dev/null || true
	exit 1
}

# have TOOL PACKAGE: succeeds if the tool is installed; otherwise records that it is missing.
have() {
	command -v "$1" >/dev/null && return
	missing+=("$1 (apt-get install $2)")
	return 1
}

# serve NAME COMMAND...: starts a server in the background.
serve() {
	local log=$scratch/$1.log
	shift
	"$@" >"$log" 2>&1 &
	servers+=($!)
}

# listening PORT: waits until a server accepts connections there.
listening() {
	local tries
	for ((tries = 0; tries < 200; tries++)); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
			return
		fi
		sleep 0.05
	done
	die "no server listens on port $1"
}

# free_port: prints a port without a listener.
free_port() {
	local port
	while true; do
		port=$(shuf -i 20000-29999 -n 1)
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# field NAME: prints the first number of that name in the report.
field() {
	grep -o "\"$1\":[0-9]*" "$scratch/report.json" | head -n 1 | cut -d : -f 2
}

# load CODE ARGUMENTS...: runs loadgen, whose exit code is CODE.
load() {
	local code=$1 status=0
	shift
	echo "+ loadgen $*" >&2
	timeout --kill-after=5 60 "$loadgen" "$@" --quiet --format json >"$scratch/report.json" 2>"$scratch/loadgen.log" || status=$?
	((status == code)) || die "exit code $status instead of $code: $(cat "$scratch/loadgen.log")"
}

# expect NAME VALUE: checks a number of the report.
expect() {
	local found
	found=$(field "$1")
	[[ $found == "$2" ]] || die "$1 is $found instead of $2"
}

# at_least NAME VALUE: checks that a number of the report is not lower.
at_least() {
	local found
	found=$(field "$1")
	((found >= $2)) || die "$1 is $found, less than $2"
}

if [[ $build == yes ]]; then
	cargo build --release --quiet -p loadgen
fi
loadgen=${CARGO_TARGET_DIR:-target}/release/loadgen

try_nginx() {
	local port
	port=$(free_port)
	mkdir -p "$scratch/www" "$scratch/tmp"
	printf '%05000d' 0 >"$scratch/www/small"
	head -c 300000 /dev/zero >"$scratch/www/large"
	cat >"$scratch/nginx.conf" <<EOT
daemon off;
master_process off;
pid $scratch/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path $scratch/tmp;
	proxy_temp_path $scratch/tmp;
	fastcgi_temp_path $scratch/tmp;
	uwsgi_temp_path $scratch/tmp;
	scgi_temp_path $scratch/tmp;
	keepalive_requests 100;
	server {
		listen 127.0.0.1:$port;
		listen unix:$scratch/nginx.sock;
		root $scratch/www;
		# Without a known length the body is sent in chunks.
		location /chunked { alias $scratch/www/large; ssi on; ssi_types *; }
		location /empty { return 204; }
		location /busy { return 503; }
	}
}
EOT
	serve nginx nginx -p "$scratch" -c "$scratch/nginx.conf" -e stderr
	listening "$port"
	local path
	for path in small large chunked empty; do
		load 0 "http://127.0.0.1:$port/$path" -c 20 -n 3000
		expect answered 3000
		# nginx closes each connection after a hundred requests.
		at_least closed_by_server 20
		load 0 "http://127.0.0.1:$port/$path" -c 20 -n 1000 -R 5k
		expect answered 1000
	done
	load 0 "http://127.0.0.1:$port/small" -c 20 -n 3000 -P 8 -t 2 --io poll
	expect answered 3000
	load 0 "http://127.0.0.1:$port/small" -c 20 -n 3000 --requests-per-conn 10
	expect answered 3000
	at_least retired 280
	load 0 "unix:$scratch/nginx.sock" --protocol http --path /small -c 20 -n 2000
	expect answered 2000
	load 0 "http://127.0.0.1:$port/small" -c 20 -d 1 -R 500 --bad-clients slow-read:5%,slow-write:5%,never-read:5%,half-close:5%,reset:5%
	load 1 "http://127.0.0.1:$port/nowhere" -c 2 -n 50
	grep -q '"kind":"http-4xx"' "$scratch/report.json" || die "no 404 in the report"
	expect answered 50
	load 1 "http://127.0.0.1:$port/busy" -c 2 -n 50
	grep -q '"kind":"http-5xx"' "$scratch/report.json" || die "no 503 in the report"
}

try_python() {
	local port
	port=$(free_port)
	mkdir -p "$scratch/python"
	printf 'hello' >"$scratch/python/file"
	# HTTP/1.0: every answer is the last of its connection.
	serve python python3 -m http.server --bind 127.0.0.1 --directory "$scratch/python" "$port"
	listening "$port"
	load 0 "http://127.0.0.1:$port/file" -c 4 -n 200
	expect answered 200
	at_least closed_by_server 200
	load 0 "http://127.0.0.1:$port/file" -c 4 -n 100 -R 200
	expect answered 100
	serve python-keep python3 -c '
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), lambda *a: Handler(*a, directory=sys.argv[2])).serve_forever()
' "$((port = $(free_port)))" "$scratch/python"
	listening "$port"
	load 0 "http://127.0.0.1:$port/file" -c 4 -n 300
	expect answered 300
	expect established 4
}

try_redis() {
	local port
	port=$(free_port)
	# redis treats only 127.0.0.1 as loopback; loadgen uses addresses from all of 127.0.0.0/8.
	serve redis redis-server --bind 127.0.0.1 --port "$port" --protected-mode no --save '' --appendonly no \
		--dir "$scratch" --unixsocket "$scratch/redis.sock"
	listening "$port"
	local exchange=(--send 'PING\r\n' --expect '+PONG\r\n') target
	for target in "127.0.0.1:$port" "unix:$scratch/redis.sock"; do
		load 0 "$target" "${exchange[@]}" -c 50 -n 5000
		expect answered 5000
		expect established 50
		load 0 "$target" "${exchange[@]}" -c 50 -n 5000 -P 16 --io guards
		expect answered 5000
		load 0 "$target" "${exchange[@]}" -c 50 -n 2000 -R 10k --requests-per-conn 20
		expect answered 2000
	done
	load 1 "127.0.0.1:$port" --send 'PONG\r\n' --expect '+PONG\r\n' -c 1 -n 1
	grep -q 'wrong answer' "$scratch/loadgen.log" || die "the answer of redis to nonsense was taken"
}

have nginx nginx && try_nginx
have python3 python3 && try_python
have redis-server redis-server && try_redis

if ((${#missing[@]} > 0)); then
	printf 'not tried, because it is not installed: %s\n' "${missing[@]}" >&2
	[[ $all == no ]] || exit 1
fi
echo "all that was tried went well" >&2
