#!/usr/bin/env bash
# Checks the pages of loadgen in headless Chromium: no network request, nothing on the console,
# every section present, light and dark as the reader prefers, and on a wide and a narrow screen no
# label over another or outside its plot, and nothing wider than the screen.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT2'
Usage: scripts/page.sh [options]
  --keep FOLDER  leave the pages and pictures of them (light and dark, wide and narrow) in FOLDER
  --no-build     use the existing build
  -h, --help     this text
Needs Chromium (Debian: chromium) and python3.
EOT2
}

keep='' build=yes
while (($# > 0)); do
	case $1 in
	--keep)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		keep=$2
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

command -v chromium >/dev/null || die "chromium is missing: install the package 'chromium'"
command -v python3 >/dev/null || die "python3 is missing: install the package 'python3'"
if [[ $build == yes ]]; then
	echo "+ cargo build --release --locked --package loadgen" >&2
	cargo build --release --locked --package loadgen
fi
loadgen=${CARGO_TARGET_DIR:-target}/release/loadgen

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# browse SCHEME WIDTH PAGE FLAGS...: opens a page; scheme 0 is dark, 1 is light.
browse() {
	local scheme=$1 width=$2 page=$3
	shift 3
	rm -rf "$scratch/profile"
	timeout --kill-after=5 90 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
		--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
		--user-data-dir="$scratch/profile" --blink-settings=preferredColorScheme="$scheme" \
		--window-size="$width",3000 "$@" "file://$page"
}

# The checks that run inside a copy of the page; their findings end up in the document.
cat >"$scratch/probe.html" <<'EOT2'
<script>
const shown = [...document.querySelectorAll('figure > svg')].filter(svg => svg.getBoundingClientRect().width > 0);
const problems = [];
for (const svg of shown) {
  const frame = svg.getBoundingClientRect();
  const title = svg.querySelector('title').textContent;
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  for (const [label, box] of boxes)
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      problems.push(`${title}: "${label}" is outside`);
  boxes.forEach(([one, a], at) => boxes.slice(at + 1).forEach(([other, b]) => {
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)
      problems.push(`${title}: "${one}" is over "${other}"`);
  }));
}
if (document.documentElement.scrollWidth > innerWidth) problems.push(`the page is ${document.documentElement.scrollWidth} wide`);
document.body.insertAdjacentHTML('beforeend', '<pre id="probe"></pre>');
document.getElementById('probe').textContent = JSON.stringify({
  plots: shown.length,
  background: getComputedStyle(document.body).backgroundColor,
  problems,
});
</script>
EOT2

# judge DOM SCHEME PLOTS: reads the findings.
judge() {
	python3 - "$@" <<'EOT2'
import html, json, re, sys

dom, scheme, plots = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2], int(sys.argv[3])
# The last match: the first is in the probe itself.
found = re.findall(r'<pre id="probe">(.*?)</pre>', dom, re.S)[-1]
if not found:
    sys.exit("error: the probe did not run")
probe = json.loads(html.unescape(found))
red = int(re.search(r"\d+", probe["background"])[0])
if (red < 128) != (scheme == "0"):
    probe["problems"].append(f"the background is {probe['background']}")
if probe["plots"] != plots:
    probe["problems"].append(f"{probe['plots']} plots are shown, and {plots} expected")
if probe["problems"]:
    sys.exit("error: " + "\nerror: ".join(probe["problems"]))
EOT2
}

# check PAGE PLOTS SECTION...: checks one page.
check() {
	local name=$1 plots=$2 page=$scratch/$1.html section scheme width
	shift 2
	if grep -Eq 'https?:|<script|url\(|src=' "$page"; then
		die "$name: something comes from elsewhere"
	fi
	browse 1 1000 "$page" --enable-logging=stderr --log-net-log="$scratch/net.json" --dump-dom \
		>"$scratch/dom" 2>"$scratch/log" || die "$name: Chromium did not open it"
	for section in "$@"; do
		grep -q "<section id=\"$section\"" "$scratch/dom" || die "$name: no section '$section'"
	done
	if grep 'CONSOLE' "$scratch/log" >&2; then
		die "$name: the console is not empty"
	fi
	# Chromium contacts its vendor for updates and the time, whatever the flags; the page requests
	# nothing.
	if grep -o '"url":"[^"]*"' "$scratch/net.json" | grep -Ev '"url":"(file:|data:|https?://[a-z0-9.]*\.(google|googleapis)\.com/)' >&2; then
		die "$name: it asks the network"
	fi
	{
		sed 's|</body>||; s|</html>||' "$page"
		cat "$scratch/probe.html"
	} >"$scratch/probed.html"
	for scheme in 0 1; do
		for width in 1000 500; do
			browse "$scheme" "$width" "$scratch/probed.html" --dump-dom >"$scratch/dom" 2>/dev/null ||
				die "$name: Chromium did not open it"
			judge "$scratch/dom" "$scheme" "$plots" || die "$name: see above (scheme $scheme, $width wide)"
			if [[ -n $keep ]]; then
				browse "$scheme" "$width" "$page" --screenshot="$keep/$name-$scheme-$width.png" 2>/dev/null
				cp "$page" "$keep/"
			fi
		done
	done
	echo "page: $name is as it should be"
}

# load FLAGS...: a short run; its exit code does not matter here.
load() {
	local status=0
	echo "+ $loadgen $*" >&2
	timeout --kill-after=5 60 "$loadgen" -q "$@" >/dev/null 2>"$scratch/err" || status=$?
	((status <= 3)) || { cat "$scratch/err" >&2 && die "loadgen ended with $status"; }
}

[[ -z $keep ]] || mkdir -p "$keep"
load -c 50 -d 2s --warmup 100ms -R 2k -o "$scratch/open.html"
check open 3 latency time errors run

# A server that stops for a while and then closes every connection.
cat >"$scratch/server.py" <<'EOT2'
import socket, threading, time

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
begun = time.monotonic()

def serve(client):
    while data := client.recv(65536):
        now = time.monotonic() - begun
        if 1 < now < 1.2:
            time.sleep(0.4)
        if now > 2.2:
            break
        client.sendall(data)
    client.close()

while time.monotonic() - begun < 60:
    threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
EOT2
timeout 60 python3 "$scratch/server.py" >"$scratch/port" 2>/dev/null &
server=$!
deadline=$((SECONDS + 20))
until [[ -s $scratch/port ]]; do
	((SECONDS < deadline)) || die "the server does not start"
	sleep 0.05
done
load "127.0.0.1:$(<"$scratch/port")" -c 4 -d 3s --warmup 0s -R 200 -o "$scratch/failing.html"
kill "$server" 2>/dev/null || true
check failing 4 latency time errors run

for side in a b; do
	for _ in 1 2 3 4 5 6; do
		echo "+ $loadgen -n 2000 > $side.json" >&2
		timeout --kill-after=5 60 "$loadgen" -q -c 10 -n 2000 --format json >>"$scratch/$side.json"
	done
done
echo "+ $loadgen compare" >&2
"$loadgen" compare "$scratch/a.json" "$scratch/b.json" -o "$scratch/comparison.html" >/dev/null
check comparison 3 ratios latency rounds

# Up to a rate that no machine sustains, and beyond it.
load -c 20 --sweep '2k..32m*20' -d 300ms --warmup 50ms -o "$scratch/sweep.html"
check sweep 2 knee steps
