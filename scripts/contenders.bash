# shellcheck shell=bash
# Sourced by wrk.sh and peers.sh: the end of their server, and facts about the machine.

SERVER_PID=
SCRATCH=$(mktemp -d)

# No server and no file outlives the script, however it ends.
finish() {
	[[ -z $SERVER_PID ]] || kill -KILL "$SERVER_PID" 2>/dev/null || true
	rm -rf "$SCRATCH"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	exit 1
}

# need TOOL PACKAGE: exits with advice if TOOL is not installed.
need() {
	command -v "$1" >/dev/null || die "$1 is needed: install it with 'apt-get install $2'" \
		"(or your system's package of that name)"
}

# target_dir: prints cargo's build folder, which need not be ./target.
target_dir() {
	if [[ -n ${CARGO_TARGET_DIR:-} ]]; then
		echo "$CARGO_TARGET_DIR"
	else
		echo target
	fi
}

# commit: prints the measured commit, with a mark if the working tree differs from it.
commit() {
	git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown
}

# machine_json COMMAND: prints a JSON object with the machine and the software of the figures.
machine_json() {
	local model
	model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	printf '{"commit":"%s","cpu":"%s","cores":%d,"kernel":"%s","rustc":"%s","date":"%s","command":"%s"}' \
		"$(commit)" "${model:-unknown}" "$(nproc)" "$(uname -srm)" "$(rustc --version)" \
		"$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1"
}
