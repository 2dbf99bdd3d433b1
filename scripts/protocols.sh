#!/usr/bin/env bash
# Runs loadgen against independent servers, each in a closed and in an open loop: nginx over
# HTTP/1.1 and HTTP/2, in the clear and with TLS; Python's http.server; Python's websockets;
# redis-server with a fixed exchange. It checks the exit code and the counts in the report, for
# HTTP/2 and WebSocket against the server's own record. A server that is not installed is named, and
# the others still run.
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
	cargo build --release --quiet -p loadgen --features tls,http2,websocket
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

# nginx is told to reload its configuration while the load runs: it closes every connection when
# that is idle, and all of them come back.
try_reload() {
	local port running
	port=$(free_port)
	cat >"$scratch/reload.conf" <<EOT
daemon off;
worker_processes 1;
pid $scratch/reload.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	log_format short '\$server_protocol \$status - ';
	access_log $scratch/access.log short;
	client_body_temp_path $scratch/tmp;
	proxy_temp_path $scratch/tmp;
	fastcgi_temp_path $scratch/tmp;
	uwsgi_temp_path $scratch/tmp;
	scgi_temp_path $scratch/tmp;
	server {
		listen 127.0.0.1:$port;
		location / { return 200 hello; }
	}
}
EOT
	serve nginx-reload nginx -p "$scratch" -c "$scratch/reload.conf" -e stderr
	listening "$port"
	load 0 "http://127.0.0.1:$port/" -c 20 -R 200 -d 3 --warmup 0 &
	running=$!
	sleep 1
	nginx -p "$scratch" -c "$scratch/reload.conf" -e stderr -s reload
	wait "$running" || die "the load did not outlast the reload"
	expect scheduled 600
	expect answered 600
	at_least established 40
	# The first request of each connection of the ramp is not measured, and logged.
	expect_logged "HTTP/1.1 200 - " 620
	# A killed master leaves its worker: this one ends in order.
	nginx -p "$scratch" -c "$scratch/reload.conf" -e stderr -s stop
}

# Counts the requests that nginx logged, by protocol and status.
logged() {
	grep -c -F "$1" "$scratch/access.log" || true
}

# expect_logged WORDS COUNT: waits until nginx has logged so many, and no more.
expect_logged() {
	local tries
	for ((tries = 0; tries < 40; tries++)); do
		(($(logged "$1") < $2)) || break
		sleep 0.05
	done
	[[ $(logged "$1") == "$2" ]] || die "nginx logged $(logged "$1") of '$1' instead of $2"
	: >"$scratch/access.log"
}

try_http2() {
	local clear tls old
	clear=$(free_port) tls=$(free_port) old=$(free_port)
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
		-keyout "$scratch/key.pem" -out "$scratch/certificate.pem" 2>"$scratch/openssl.log"
	cat >"$scratch/http2.conf" <<EOT
daemon off;
master_process off;
pid $scratch/http2.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	log_format short '\$server_protocol \$status \$ssl_protocol \$request_length';
	access_log $scratch/access.log short;
	client_body_temp_path $scratch/tmp;
	proxy_temp_path $scratch/tmp;
	fastcgi_temp_path $scratch/tmp;
	uwsgi_temp_path $scratch/tmp;
	scgi_temp_path $scratch/tmp;
	keepalive_requests 100;
	ssl_protocols TLSv1.2 TLSv1.3;
	ssl_certificate $scratch/certificate.pem;
	ssl_certificate_key $scratch/key.pem;
	server {
		listen 127.0.0.1:$clear http2;
		listen 127.0.0.1:$tls ssl http2;
		listen 127.0.0.1:$old ssl;
		root $scratch/www;
		location /busy { return 503; }
	}
}
EOT
	serve nginx-http2 nginx -p "$scratch" -c "$scratch/http2.conf" -e stderr
	listening "$clear"
	local trust=(-4 --cacert "$scratch/certificate.pem") path
	# The first request of each connection is not measured, and logged. nginx goes away from each
	# connection after a hundred requests.
	for path in small large; do
		load 0 "http://127.0.0.1:$clear/$path" --http2 -c 4 -P 10 -n 2000
		expect answered 2000
		at_least closed_by_server 16
		expect_logged "HTTP/2.0 200 - " 2004
		load 0 "https://localhost:$tls/$path" --http2 "${trust[@]}" -c 4 -R 2k -n 1000
		expect answered 1000
		expect_logged "HTTP/2.0 200 TLSv1.3 " 1004
	done
	load 1 "https://localhost:$tls/busy" --http2 "${trust[@]}" -c 2 -P 5 -n 100
	expect answered 100
	expect_logged "HTTP/2.0 503 TLSv1.3 " 102
	load 0 "https://localhost:$old/small" "${trust[@]}" -c 4 -n 400
	expect_logged "HTTP/1.1 200 TLSv1.3 " 404
	# A server without HTTP/2 refuses it in the handshake.
	load 1 "https://localhost:$old/small" --http2 "${trust[@]}" -c 1 -n 5
	load 1 "https://localhost:$tls/small" --http2 -4 -c 1 -n 5
	grep -q 'invalid peer certificate' "$scratch/loadgen.log" || die "a certificate of a stranger was taken"
}

# websockets (PyPI) in a virtual environment, once.
try_websocket() {
	local port folder=${CARGO_TARGET_DIR:-target}/readers/websockets
	if [[ ! -e $folder/complete ]]; then
		rm -rf "$folder"
		python3 -m venv "$folder"
		"$folder/bin/pip" install --quiet --disable-pip-version-check websockets==17.4
		: >"$folder/complete"
	fi
	port=$(free_port)
	serve websockets "$folder/bin/python" -c '
import asyncio, sys
from websockets.asyncio.server import serve
async def echo(socket):
    messages = 0
    async for message in socket:
        messages += 1
        print(len(message), file=record, flush=True)
        if messages % 10 == 0:
            await socket.ping()
        await socket.send(message)
        if socket.request.path == "/short" and messages == 20:
            return
async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=2**24):
        await asyncio.Future()
record = open(sys.argv[2], "a")
asyncio.run(main())
' "$port" "$scratch/messages"
	listening "$port"
	load 0 "ws://127.0.0.1:$port/" -c 4 -P 4 -n 1000 --size 64:9,70k:1
	expect answered 1000
	expect_messages 1004
	load 0 "ws://127.0.0.1:$port/" -c 4 -R 500 -n 500
	expect answered 500
	expect_messages 504
	# The server closes each connection after twenty messages.
	load 0 "ws://127.0.0.1:$port/short" -c 2 -n 200
	expect answered 200
	at_least closed_by_server 9
	expect_messages 202
}

# expect_messages COUNT: checks the server's record.
expect_messages() {
	local found
	found=$(wc -l <"$scratch/messages")
	[[ $found == "$1" ]] || die "the server recorded $found messages instead of $1"
	: >"$scratch/messages"
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
have nginx nginx && try_reload
have nginx nginx && have openssl openssl && try_http2
have python3 python3 && try_python
have python3 python3 && try_websocket
have redis-server redis-server && try_redis

if ((${#missing[@]} > 0)); then
	printf 'not tried, because it is not installed: %s\n' "${missing[@]}" >&2
	[[ $all == no ]] || exit 1
fi
echo "all that was tried went well" >&2
