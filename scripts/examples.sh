#!/usr/bin/env bash
# Runs each example of asyncfd/examples/ with independent clients: nc, curl and Python. It compares
# their output byte for byte, and each server has to exit cleanly at SIGTERM or SIGINT.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/examples.sh [--no-build] [EXAMPLE...]
  EXAMPLE     chat, proxy, udp_echo, unix_service, timeouts, counters, rebalance; all unless some are named
  --no-build  use the existing build
  -h, --help  this text
Needs nc (of netcat-openbsd), curl and python3. No wait is longer than 20 seconds.
EOT
}

build=yes examples=()
for argument in "$@"; do
	case $argument in
	-h | --help) usage && exit 0 ;;
	--no-build) build=no ;;
	chat | proxy | udp_echo | unix_service | timeouts | counters | rebalance) examples+=("$argument") ;;
	*) echo "error: no example '$argument'; try --help" >&2 && exit 2 ;;
	esac
done
((${#examples[@]} > 0)) || examples=(chat proxy udp_echo unix_service timeouts counters rebalance)

for needed in nc:netcat-openbsd curl:curl python3:python3; do
	command -v "${needed%:*}" >/dev/null || {
		echo "error: ${needed%:*} is needed: install the package '${needed#*:}'" >&2
		exit 1
	}
done
nc -h 2>&1 | grep -q OpenBSD || { echo "error: nc has to be that of the package 'netcat-openbsd'" >&2 && exit 1; }

readonly PATIENCE=20
scratch=$(mktemp -d)
pids=()

# No process that this script starts outlives it, however it ends.
finish() {
	((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'echo "error: line $LINENO: $BASH_COMMAND" >&2' ERR
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	tail -n 20 "$scratch"/*.err >&2 2>/dev/null || true
	exit 1
}

# until_true WHAT COMMAND...: waits until the command succeeds.
until_true() {
	local what=$1 deadline=$((SECONDS + PATIENCE))
	shift
	until "$@"; do
		((SECONDS < deadline)) || die "waited in vain for $what"
		sleep 0.02
	done
}

# gone PID: succeeds if the process has ended.
gone() {
	! kill -0 "$1" 2>/dev/null
}

# same WHAT EXPECTED FILE: checks that the file holds exactly these bytes.
same() {
	printf '%b' "$2" | cmp - "$3" >&2 || {
		echo "expected:" >&2 && printf '%b' "$2" | head -c 300 >&2
		echo "came:" >&2 && head -c 300 "$3" >&2
		die "$1"
	}
}

# start EXAMPLE ARGUMENTS...: starts a server; sets server, addr and port once it listens.
start() {
	local name=$1
	shift
	echo "+ $name $*" >&2
	: >"$scratch/server.out"
	"$bin/$name" "$@" >"$scratch/server.out" 2>"$scratch/server.err" </dev/null &
	server=$!
	pids+=("$server")
	until_true "$name to listen" grep -q '^listening on ' "$scratch/server.out"
	addr=$(sed -n 's/^listening on //p' "$scratch/server.out")
	port=${addr##*:}
}

# stop SIGNAL: ends the server, which must exit with 0 and must not wait for idle clients.
stop() {
	local status=0 began=$SECONDS
	kill -s "$1" "$server"
	until_true "the end after SIG$1" gone "$server"
	wait "$server" || status=$?
	((status == 0)) || die "it ended with $status after SIG$1"
	((SECONDS - began < 4)) || die "it took $((SECONDS - began)) s to end"
}

# member NAME: joins the chat. Bytes written to descriptor NAME are sent, received ones are in
# NAME.out.
member() {
	: >"$scratch/$1.err"
	mkfifo "$scratch/$1"
	nc -v -N 127.0.0.1 "$port" <"$scratch/$1" >"$scratch/$1.out" 2>"$scratch/$1.err" &
	pids+=("$!")
	exec {fd}>"$scratch/$1"
	until_true "$1 to connect" grep -q succeeded "$scratch/$1.err"
}

chat() {
	local ann bob fd
	start chat 127.0.0.1:0
	member ann && ann=$fd
	member bob && bob=$fd
	until_true "bob's coming" grep -q '^\* 2 came$' "$scratch/ann.out"
	# One line in two pieces, and two lines in one piece.
	printf 'hel' >&"$bob"
	printf 'lo\nagain\n' >&"$bob"
	until_true "bob's second line" grep -q '^2: again$' "$scratch/ann.out"
	echo 'hi bob' >&"$ann"
	until_true "ann's line" grep -q '^1: hi bob$' "$scratch/bob.out"
	exec {bob}>&-
	until_true "bob's leaving" grep -q '^\* 2 left$' "$scratch/ann.out"
	stop TERM
	exec {ann}>&-
	same 'what ann heard' '* 2 came\n2: hello\n2: again\n* 2 left\n' "$scratch/ann.out"
	same 'what bob heard, none of it his own' '1: hi bob\n' "$scratch/bob.out"
	start chat 127.0.0.1:0
	timeout "$PATIENCE" python3 - "$port" <<'EOT' || die "a member who does not read stays, or takes others along"
import socket, sys
def member(room):
    member = socket.socket()
    member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    member.connect(("127.0.0.1", int(sys.argv[1])))
    member.settimeout(10)
    return member
deaf, listener = member(4096), member(1 << 20)
# The third comes last, so both others have joined once the listener hears of it.
speaker, heard = member(4096), listener.makefile("rb")
assert heard.readline() == b"* 3 came\n"
said = 0
while True:
    speaker.sendall(b"x" * 999 + b"\n")
    line = heard.readline()
    if line == b"* 1 left\n":
        line = heard.readline()
    elif said > 20000:
        sys.exit("the deaf one is still there")
    else:
        assert line == b"3: " + b"x" * 999 + b"\n", line
        said += 1
        continue
    break
while deaf.recv(65536):
    pass
EOT
	stop TERM
}

proxy() {
	local web web_pid file status=0 wanted=()
	mkdir "$scratch/www"
	head -c 3000000 /dev/urandom >"$scratch/www/large"
	echo hello >"$scratch/www/small"
	: >"$scratch/web.out"
	python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$scratch/www" >"$scratch/web.out" 2>"$scratch/web.err" &
	web_pid=$!
	pids+=("$web_pid")
	until_true 'the web server' grep -q ' port ' "$scratch/web.out"
	web=$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$scratch/web.out")
	start proxy 127.0.0.1:0 "localhost:$web"
	for file in {1..20}; do
		wanted+=(--output "$scratch/large.$file" "http://$addr/large")
	done
	curl --no-progress-meter --fail --max-time "$PATIENCE" --parallel --parallel-max 8 "${wanted[@]}" || die "curl failed"
	for file in {1..20}; do
		cmp "$scratch/www/large" "$scratch/large.$file" || die "download $file came changed"
	done
	# A missing upstream only costs its own clients their connections.
	kill "$web_pid"
	until_true 'the web server to end' gone "$web_pid"
	curl --silent --max-time "$PATIENCE" "http://$addr/small" >/dev/null || status=$?
	((status != 0 && status != 28)) || die "curl ended with $status and no upstream"
	gone "$server" && die "the proxy ended with its upstream"
	stop INT
	# The end of a stream is passed on by itself: this server answers only after it has seen the end.
	: >"$scratch/end.out"
	python3 -u - >"$scratch/end.out" 2>"$scratch/end.err" <<'EOT' &
import socket
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1])
client, _ = listener.accept()
client.sendall(b"".join(iter(lambda: client.recv(4096), b""))[::-1])
EOT
	pids+=("$!")
	until_true 'the upstream' grep -q '^port ' "$scratch/end.out"
	start proxy 127.0.0.1:0 "127.0.0.1:$(sed -n 's/^port //p' "$scratch/end.out")"
	printf 'olleh' | timeout "$PATIENCE" nc -N 127.0.0.1 "$port" >"$scratch/answer" || die "no answer to a closed half"
	same 'what nc got' 'hello' "$scratch/answer"
	stop TERM
}

udp_echo() {
	start udp_echo 127.0.0.1:0
	timeout "$PATIENCE" python3 - "$port" <<'EOT' || die "datagrams came back changed, or not at all"
import os, socket, sys
server = ("127.0.0.1", int(sys.argv[1]))
clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
for round in range(50):
    sent = [os.urandom(size) for size in (0, 1, 1472, 9000 + round, 60000)]
    for client in clients:
        client.settimeout(5)
        for message in sent:
            client.sendto(message, server)
            came, peer = client.recvfrom(65536)
            assert (came, peer) == (message, server), (len(message), len(came), peer)
EOT
	stop TERM
}

unix_service() {
	local path=$scratch/service.sock
	start unix_service "$path"
	printf 'ping\nwhat\nping\n' | timeout "$PATIENCE" nc -N -U "$path" >"$scratch/answer"
	same 'what nc got' 'pong\ncommands: ping, uptime, stats\npong\n' "$scratch/answer"
	timeout "$PATIENCE" python3 - "$path" <<'EOT' || die "the service answered otherwise"
import re, socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(5)
    client.connect(sys.argv[1])
    lines = client.makefile("rb")
    for piece in (b"pi", b"ng\nupt", b"ime\nstats\n"):
        client.sendall(piece)
    assert lines.readline() == b"pong\n"
    assert re.fullmatch(rb"\d+ s\n", lines.readline())
    assert re.fullmatch(rb"shard 0: \d+ descriptors, \d+ tasks, \d+ polls\n", lines.readline())
    client.sendall(b"x" * 64)
    assert lines.readline() == b"", "a line without end ends the connection"
EOT
	# A killed server leaves its socket behind, and the next one takes it over. A clean exit removes
	# it.
	kill -KILL "$server"
	wait "$server" 2>/dev/null || true
	[[ -S $path ]] || die "nothing was left behind to be taken over"
	start unix_service "$path"
	printf 'ping\n' | timeout "$PATIENCE" nc -N -U "$path" >"$scratch/answer"
	same 'what nc got' 'pong\n' "$scratch/answer"
	stop INT
	[[ ! -e $path ]] || die "the socket is still there"
}

timeouts() {
	local began
	start timeouts 127.0.0.1:0 1500
	began=$(date +%s%N)
	printf 'hello\n' | timeout "$PATIENCE" nc 127.0.0.1 "$port" >"$scratch/answer"
	(($(date +%s%N) - began >= 1500000000)) || die "the connection ended before its time"
	same 'what the idle client got' 'hello\ntimeout\n' "$scratch/answer"
	# A client that keeps sending is served for longer than the timeout.
	for line in {1..8}; do
		echo "$line"
		sleep 0.25
	done | timeout "$PATIENCE" nc -N 127.0.0.1 "$port" >"$scratch/answer" || die "the busy client was cut off"
	same 'what the busy client got' '1\n2\n3\n4\n5\n6\n7\n8\n' "$scratch/answer"
	stop TERM
}

counters() {
	local client clients=()
	start counters 127.0.0.1:0
	for client in {1..30}; do
		printf 'incr\nincr\nincr\nincr\nincr\n' |
			timeout "$PATIENCE" nc -N 127.0.0.1 "$port" >"$scratch/answer.$client" &
		clients+=("$!")
	done
	wait "${clients[@]}"
	for client in {1..30}; do
		(($(wc -l <"$scratch/answer.$client") == 5)) || die "client $client got no five answers"
	done
	printf 'total\n' | timeout "$PATIENCE" nc -N 127.0.0.1 "$port" >"$scratch/answer"
	same 'the sum over all shards' '150\n' "$scratch/answer"
	stop INT
}

rebalance() {
	start rebalance 127.0.0.1:0 3
	timeout "$PATIENCE" python3 - "$port" "$scratch/server.out" <<'EOT' || die "connections lost bytes on the move, or stayed where they were"
import os, random, socket, sys, time
clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) for _ in range(60)]
answers = [client.makefile("rb") for client in clients]
def even():
    with open(sys.argv[2]) as lines:
        return "[20, 20, 20]\n" in lines.read()
deadline = time.monotonic() + 15
while not even():
    assert time.monotonic() < deadline, "the shards are still uneven"
    # Two messages at once, so that one may arrive while its connection moves.
    sent = [[os.urandom(random.randint(1, 9000)) for _ in range(2)] for _ in clients]
    for index in range(2):
        for client, messages in zip(clients, sent):
            client.sendall(messages[index])
    for answer, messages in zip(answers, sent):
        message = b"".join(messages)
        came = answer.read(len(message))
        assert came == message, (len(message), len(came))
EOT
	stop TERM
}

if [[ $build == yes ]]; then
	echo "+ cargo build --locked --package shard-asyncfd --examples" >&2
	cargo build --locked --package shard-asyncfd --examples
fi
bin=${CARGO_TARGET_DIR:-target}/debug/examples
for example in "${examples[@]}"; do
	"$example"
done
echo "examples: ${examples[*]} served their clients and ended in order"
