#!/usr/bin/env bash
# Divides one load among several processes, by Slurm and by GNU parallel, and merges their reports;
# and checks the manifest of the Kubernetes Job against the schema of its kind (kubernetes-validate,
# PyPI).
# Slurm runs on this machine with a node for each part. Each part has a network namespace of its
# own, joined to the server's by a pair of virtual interfaces, and may open fewer connections than
# the server sees. Needs root, because of the namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/cluster.sh [options]
  --no-build  use the existing build
  -h, --help  this text
Exit codes: 0 all checks passed, 1 one failed, 2 bad arguments.
EOT
}

build=yes
while (($# > 0)); do
	case $1 in
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

readonly PARTS=4 CONNECTIONS=2000 RATE=2000 SECONDS_LONG=2
# A part opens 500 connections; no process may open all of them.
readonly DESCRIPTORS=700
readonly SERVER=10.87.255.1:7777

scratch=$(mktemp -d)
# Slurm's daemons give up their rights in part.
chmod 755 "$scratch"
prefix=lg$$
daemons=() namespaces=()

# Nothing that this script starts outlives it, however the script ends.
finish() {
	local one tries
	# Slurm's daemons end their own children first.
	for one in "${daemons[@]}"; do
		kill -TERM "$one" 2>/dev/null || true
	done
	for ((tries = 0; tries < 30; tries++)); do
		[[ -n $(jobs -pr) ]] || break
		sleep 0.1
	done
	for one in "${daemons[@]}"; do
		kill -KILL "$one" 2>/dev/null || true
		wait "$one" 2>/dev/null || true
	done
	for one in "${namespaces[@]}"; do
		ip netns del "$one" 2>/dev/null || true
	done
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	tail -n 8 "$scratch"/*.log >&2 2>/dev/null || true
	exit 1
}

# start NAME COMMAND...: starts a daemon that stays in the foreground of its own log.
start() {
	local log=$scratch/$1.log
	shift
	"$@" >"$log" 2>&1 &
	daemons+=($!)
}

# until_true SECONDS COMMAND...: waits until the command succeeds.
until_true() {
	local tries=$(($1 * 20))
	shift
	while ((tries-- > 0)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.05
	done
	die "this did not come about: $*"
}

# The server has a namespace, and each part another with a way to it.
make_networks() {
	local part inside
	add_namespace "$prefix-server"
	ip -n "$prefix-server" address add "${SERVER%:*}/32" dev lo
	for ((part = 0; part < PARTS; part++)); do
		inside=$prefix-$part
		add_namespace "$inside"
		ip link add "$prefix-a$part" netns "$prefix-server" type veth peer name "$prefix-b$part" netns "$inside"
		ip -n "$prefix-server" address add "10.87.$part.1/24" dev "$prefix-a$part"
		ip -n "$prefix-server" link set "$prefix-a$part" up
		ip -n "$inside" address add "10.87.$part.2/24" dev "$prefix-b$part"
		ip -n "$inside" link set "$prefix-b$part" up
		ip -n "$inside" route add default via "10.87.$part.1"
	done
}

add_namespace() {
	ip netns add "$1"
	namespaces+=("$1")
	ip -n "$1" link set lo up
}

# Connections as the server's kernel counts them.
count_served() {
	ip netns exec "$prefix-server" ss -Htn state established "( sport = :${SERVER#*:} )" | wc -l
}

# peak FILE: writes the most connections that the server ever had.
peak() {
	local now most=0
	while true; do
		now=$(count_served)
		((now <= most)) || most=$now
		echo "$most" >"$1.new" && mv "$1.new" "$1"
		sleep 0.1
	done
}

# check NAME: merges the parts of this name and holds the sum against the load and the server.
check() {
	local folder=$scratch/$1 most expected=$((RATE * SECONDS_LONG)) part
	"$loadgen" merge "$folder" -o "$folder.json" >"$folder.txt" 2>&1 || die "merge: $(cat "$folder.txt")"
	python3 - "$folder.json" "$CONNECTIONS" "$expected" <<'EOT' || die "the sum is not the whole load"
import json, sys
report = json.load(open(sys.argv[1]))
connections, requests = report["connections"], report["requests"]
found = connections["requested"], connections["served"], requests["scheduled"], requests["answered"], len(report["errors"])
whole = int(sys.argv[2]), int(sys.argv[3])
print(f"  merged: {found[1]} connections, {found[3]} of {found[2]} requests answered")
assert found == (whole[0], whole[0], whole[1], whole[1], 0), found
EOT
	most=$(<"$scratch/peak")
	echo "  the server saw $most connections at once, by its kernel's count"
	((most == CONNECTIONS)) || die "the server saw $most connections instead of $CONNECTIONS"
	part=$(find "$folder" -name 'part-2-of-*.json')
	[[ -n $part ]] || die "no file of part 2 in $folder"
	rm "$part"
	if "$loadgen" merge "$folder" >"$folder.txt" 2>&1; then
		die "merge takes a folder without part 2"
	fi
	grep -q "2/$PARTS" "$folder.txt" || die "merge does not name part 2: $(cat "$folder.txt")"
}

# The command of every part, in the namespace of its number.
part_command() {
	cat <<EOT
#!/usr/bin/env bash
set -euo pipefail
ulimit -n $DESCRIPTORS
exec ip netns exec $prefix-\$1 $loadgen $SERVER -c $CONNECTIONS -R $RATE -d ${SECONDS_LONG}s --warmup 0 \\
	--timeout 20s --start-at \$2 --part \$3 -o \$4 -q
EOT
}

# run NAME COMMAND...: runs the parts and notes the most connections that the server had.
run() {
	local name=$1 watcher status=0
	shift
	mkdir "$scratch/$name"
	peak "$scratch/peak" &
	watcher=$!
	timeout 60 "$@" >"$scratch/$name.log" 2>&1 || status=$?
	kill "$watcher"
	wait "$watcher" 2>/dev/null || true
	((status == 0)) || die "$name ended with $status"
	until_true 10 test "$(count_served)" -eq 0
	check "$name"
}

# Slurm with a controller and a node for each part, on the loopback interface.
start_slurm() {
	local part host nodes="$prefix-node[0-$((PARTS - 1))]"
	host=$(hostname -s)
	mkdir -p "$scratch/cluster/state" "$scratch/munge"
	dd if=/dev/urandom of="$scratch/munge/key" bs=1024 count=1 status=none
	chmod 400 "$scratch/munge/key"
	start munge munged --foreground --force --num-threads 2 --key-file "$scratch/munge/key" \
		--socket "$scratch/munge/socket" --pid-file "$scratch/munge/pid" --seed-file "$scratch/munge/seed"
	until_true 10 test -S "$scratch/munge/socket"
	cat >"$scratch/cluster/slurm.conf" <<EOT
ClusterName=$prefix
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$scratch/munge/socket
CredType=cred/munge
SlurmctldPort=$controller_port
StateSaveLocation=$scratch/cluster/state
SlurmdSpoolDir=$scratch/cluster/%n
SlurmctldPidFile=$scratch/cluster/controller.pid
SlurmdPidFile=$scratch/cluster/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName=$nodes NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((controller_port + 1))-$((controller_port + PARTS))] CPUs=1 State=UNKNOWN
PartitionName=all Nodes=$nodes Default=YES MaxTime=5 State=UP OverSubscribe=YES
EOT
	export SLURM_CONF=$scratch/cluster/slurm.conf
	start controller slurmctld -D
	for ((part = 0; part < PARTS; part++)); do
		mkdir -p "$scratch/cluster/$prefix-node$part"
		start "node$part" slurmd -D -N "$prefix-node$part"
	done
	until_true 30 all_idle
}

all_idle() {
	[[ $(sinfo --noheader --Node --format='%N %T' | grep -c ' idle$') == "$PARTS" ]]
}

# The manifest follows the schema of its kind, and a field that is misspelt does not.
check_manifest() {
	local folder=$target_folder/readers/kubernetes
	local manifest=loadgen/docs/kubernetes-job.yaml
	if [[ ! -e $folder/complete ]]; then
		rm -rf "$folder"
		python3 -m venv "$folder"
		"$folder/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
		: >"$folder/complete"
	fi
	"$folder/bin/kubernetes-validate" --strict --quiet "$manifest" || die "$manifest is no Job"
	sed 's/completionMode/completionMood/' "$manifest" >"$scratch/wrong.yaml"
	if "$folder/bin/kubernetes-validate" --strict --quiet "$scratch/wrong.yaml" >"$scratch/schema.log" 2>&1; then
		die "the schema takes a field that no Job has"
	fi
}

((EUID == 0)) || die "network namespaces need root"
if [[ $build == yes ]]; then
	cargo build --release --quiet -p loadgen -p server-demo
fi
target_folder=$(realpath "${CARGO_TARGET_DIR:-target}")
target=$target_folder/release
loadgen=$target/loadgen
controller_port=$(shuf -i 21000-28000 -n 1)

check_manifest
echo "the manifest of the Kubernetes Job follows its schema" >&2

make_networks
start server ip netns exec "$prefix-server" "$target/server-demo" echo --listen "0.0.0.0:${SERVER#*:}"
until_true 10 ip netns exec "$prefix-0" bash -c "exec 3<>/dev/tcp/${SERVER%:*}/${SERVER#*:}"
part_command >"$scratch/part" && chmod 755 "$scratch/part"

echo "one process alone:" >&2
if (ulimit -n $DESCRIPTORS && ip netns exec "$prefix-0" "$loadgen" "$SERVER" -c $CONNECTIONS -n 1 -q) >"$scratch/alone.log" 2>&1; then
	die "one process opened $CONNECTIONS connections with $DESCRIPTORS descriptors"
fi
grep -q descriptors "$scratch/alone.log" || die "one process failed for another reason"
echo "  refused: $CONNECTIONS connections with $DESCRIPTORS descriptors" >&2

echo "GNU parallel, $PARTS processes:" >&2
run parallel parallel --will-cite --jobs "$PARTS" \
	"$scratch/part" '{}' "$(($(date +%s) + 4))" "{= \$_ += 1 =}/$PARTS" "$scratch/parallel" ::: $(seq 0 $((PARTS - 1)))

start_slurm
echo "Slurm, $PARTS nodes:" >&2
# shellcheck disable=SC2016
run slurm srun --nodes "$PARTS" --ntasks "$PARTS" --chdir / \
	bash -c '"$0" "$SLURM_PROCID" "$1" auto "$2"' "$scratch/part" "$(($(date +%s) + 5))" "$scratch/slurm"
echo "the parts make the whole" >&2
