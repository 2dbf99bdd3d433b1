#!/usr/bin/env bash
# Checks that independent programs read loadgen's .hlog and .hgrm files, and find the values of its
# JSON in them: hdrhistogram (PyPI) and HistogramLogProcessor (Debian) the log, hdr-plot (PyPI) the
# percentiles. Three short runs: a closed loop, an open one, and two processes merged.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT2'
Usage: scripts/readers.sh [options]
  --duration D  length of a run (default: 1s)
  --no-build    use the existing build
  -h, --help    this text
Needs python3 with venv (Debian: python3-venv), java and HdrHistogram's jar (default-jre-headless,
libhdrhistogram-java), and PyPI for the two Python packages, which go to target/readers/.
EOT2
}

duration=1s build=yes
while (($# > 0)); do
	case $1 in
	--duration)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		duration=$2
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

die() {
	echo "error: $*" >&2
	exit 1
}

run() {
	echo "+ $*" >&2
	timeout --kill-after=5 300 "$@"
}

readonly JAR=/usr/share/java/hdrhistogram.jar
command -v python3 >/dev/null || die "python3 is missing: install the package 'python3'"
python3 -c 'import ensurepip, venv' 2>/dev/null || die "python3 has no venv: install the package 'python3-venv'"
command -v java >/dev/null || die "java is missing: install the package 'default-jre-headless'"
[[ -r $JAR ]] || die "$JAR is missing: install the package 'libhdrhistogram-java'"

target=${CARGO_TARGET_DIR:-target}
# environment NAME PACKAGE...: creates a virtual environment with these packages, once.
environment() {
	local folder=$target/readers/$1
	shift
	if [[ ! -e $folder/complete ]] || [[ $(<"$folder/complete") != "$*" ]]; then
		rm -rf "$folder"
		run python3 -m venv "$folder"
		run "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
		echo "$*" >"$folder/complete"
	fi
}
environment hdrhistogram hdrhistogram==0.10.8
# hdr-plot imports pkg_resources, which newer versions of setuptools no longer have.
environment hdr-plot setuptools==65.5.0 hdr-plot==0.6.2

[[ $build == no ]] || run cargo build --release --locked --package loadgen --package server-demo
loadgen=$target/release/loadgen server=$target/release/server-demo

scratch=$(mktemp -d)
server_pid=
finish() {
	if [[ -n $server_pid ]]; then
		kill -KILL "$server_pid" 2>/dev/null || true
	fi
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# check NAME: compares the results of the three readers on NAME.hlog and NAME.hgrm with NAME.json.
check() {
	local file=$scratch/$1
	run "$target/readers/hdr-plot/bin/python" "$target/readers/hdr-plot/bin/hdr-plot" --output "$file.png" "$file.hgrm" >"$scratch/out" || {
		cat "$scratch/out" >&2
		die "hdr-plot does not read $1.hgrm"
	}
	[[ -s $file.png ]] || die "hdr-plot drew nothing"
	run "$target/readers/hdr-plot/bin/python" scripts/readers.py hgrm "$file.hgrm" >"$file.rows"
	run java -cp "$JAR" org.HdrHistogram.HistogramLogProcessor -i "$file.hlog" >"$file.java"
	run "$target/readers/hdrhistogram/bin/python" scripts/readers.py check \
		"$file.json" "$file.hlog" "$file.rows" "$file.java" || die "$1: a reader disagrees"
}

# outputs NAME: prints the flags for its three files.
outputs() {
	printf -- '-o %s/%s.json -o %s/%s.hgrm -o %s/%s.hlog' "$scratch" "$1" "$scratch" "$1" "$scratch" "$1"
}

# shellcheck disable=SC2046 # the flags are words, and the folder is mktemp's
{
	run "$loadgen" -c 50 -d "$duration" --warmup 100ms -q $(outputs closed) >/dev/null
	check closed
	run "$loadgen" -c 50 -d "$duration" --warmup 100ms -R 5k --arrivals poisson -q $(outputs open) >/dev/null
	check open

	"$server" echo --listen 127.0.0.1:0 >"$scratch/server.out" </dev/null &
	server_pid=$!
	deadline=$((SECONDS + 30)) address=
	until [[ -n $address ]]; do
		((SECONDS < deadline)) || die "the server does not say where it listens"
		sleep 0.05
		address=$(sed -n 's/^listening on //p' "$scratch/server.out")
	done
	loads=()
	for part in a b; do
		run "$loadgen" "$address" -c 20 -d "$duration" -R 1k -q -o "$scratch/$part.json" >/dev/null &
		loads+=($!)
	done
	for load in "${loads[@]}"; do
		wait "$load" || die "a load failed"
	done
	run "$loadgen" merge "$scratch/a.json" "$scratch/b.json" $(outputs merged) >/dev/null
	check merged
}
echo "readers: hdrhistogram, hdr-plot and HistogramLogProcessor agree with the reports"
