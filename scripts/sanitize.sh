#!/usr/bin/env bash
# Runs the libraries' tests under a sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/sanitize.sh [address|leak|thread] [CARGO TEST OPTIONS...]
       scripts/sanitize.sh thread --seeds
  address  AddressSanitizer, which also finds leaks (the default)
  leak     LeakSanitizer alone, which is quicker
  thread   ThreadSanitizer, with the standard library compiled for it
'address' and 'leak' need a nightly toolchain. 'thread' needs Debian's packages rustc-web, cargo-web and rust-web-src
in a version from 1.88 on, clang-19 and libclang-rt-19-dev.
Options are passed to cargo test, for instance -p shard-asyncfd --test parity. Without options, all tests of the two
libraries run, except doc tests. With 'thread' it is reactor/tests/races.rs, because libtest's own threads are reported.
--seeds turns on each race of scripts/tsan-seeds.txt, which ThreadSanitizer has to find in ten runs.
EOT
}

sanitizer=address seeds=no
case ${1:-} in
-h | --help) usage && exit 0 ;;
address | leak | thread) sanitizer=$1 && shift ;;
esac
if [[ $sanitizer == thread && ${1:-} == --seeds ]]; then
	seeds=yes
	shift
fi
if (($# == 0)); then
	if [[ $sanitizer == thread ]]; then
		set -- -p shard-reactor --test races
	else
		set -- -p shard-reactor -p shard-asyncfd --tests --features shard-asyncfd/full
	fi
fi

# A separate target folder, since the flags apply to every crate.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
flags="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg reactor_sanitize"
cargo=(cargo +nightly)
options=(--quiet --target x86_64-unknown-linux-gnu --no-fail-fast)

if [[ $sanitizer == thread ]]; then
	# The prebuilt standard library has fences in its reference counts, which ThreadSanitizer does
	# not understand. So it is compiled too, by a compiler whose package has the sources.
	export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
	for tool in "$RUSTC" /usr/bin/cargo "$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" /usr/bin/clang-19; do
		[[ -e $tool ]] || { echo "error: $tool is missing: see --help for the packages" >&2 && exit 1; }
	done
	CARGO_TARGET_DIR+=-thread
	flags+=" -Zexternal-clangrt -Clinker=clang-19 -Clink-arg=-fsanitize=thread"
	cargo=(/usr/bin/cargo)
	options+=(-Zbuild-std)
	export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
elif ! cargo +nightly --version >/dev/null 2>&1; then
	echo "error: a nightly toolchain is needed: 'rustup toolchain install nightly' installs one" >&2
	exit 1
fi
export RUSTFLAGS="$flags ${RUSTFLAGS:-}"

if [[ $seeds == yes ]]; then
	readonly RUNS_MAX=10
	missed=0
	while read -r seed; do
		[[ -n $seed && $seed != \#* ]] || continue
		result=MISSED
		# A race is seen only in a run in which it happens.
		for ((run = 0; run < RUNS_MAX; run++)); do
			report=$(REACTOR_MUTANT=$seed timeout 300 "${cargo[@]}" test "${options[@]}" "$@" 2>&1 || true)
			if [[ $report == *"WARNING: ThreadSanitizer: data race"* ]]; then
				result=found
				break
			fi
		done
		printf '%-7s %s\n' "$result" "$seed"
		[[ $result == found ]] || missed=1
	done <scripts/tsan-seeds.txt
	exit "$missed"
fi
echo "+ RUSTFLAGS='$RUSTFLAGS' ${cargo[*]} test ${options[*]} $*" >&2
"${cargo[@]}" test "${options[@]}" "$@"
