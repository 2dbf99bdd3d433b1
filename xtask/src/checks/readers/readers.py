"""What readers that others wrote make of loadgen's .hlog and .hgrm, against its JSON. Called by `cargo xtask readers`.

  readers.py hgrm FILE                         the rows hdr-plot reads, as JSON (in hdr-plot's environment)
  readers.py check JSON HLOG ROWS JAVA         all three against the JSON (in hdrhistogram's environment)

ROWS is what 'hgrm' printed, JAVA what HistogramLogProcessor printed for the same .hlog.
"""

import json
import re
import sys

NS_PER_MS = 1e6
# Three digits: two values differ if they are further apart than this. Tables are printed in
# microseconds.
RESOLUTION = 1e-3
PRINTED_MS = 0.0011


def hgrm(path):
    """hdr-plot's own parsing; it has no other way out than a picture."""
    from hdr_plot import hdr_plot

    rows = hdr_plot.parse_percentiles(path)
    return {
        "rows": [[float(row.Latency), float(row.Percentile), int(row.TotalCount)] for row in rows.itertuples()],
        "metadata": hdr_plot.parse_metadata(path),
    }


def table(path):
    """The rows and the footer of HistogramLogProcessor's output."""
    rows, metadata = [], {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            numbers = re.findall(r"^\s+([0-9.]+)\s+([0-9.]+)\s+([0-9]+)\s+([0-9.]+)\s*$", line)
            rows += [[float(n[0]), float(n[1]), int(n[2])] for n in numbers]
            metadata.update(re.findall(r"(\w[\w ]*\w)\s*=\s*([0-9.]+)", line))
    return {"rows": rows, "metadata": metadata}


class Checks:
    """Counts what was compared, and ends the program at the first difference."""

    def __init__(self):
        self.made = 0

    def same(self, what, theirs, ours, absolute=0.0):
        self.made += 1
        if abs(theirs - ours) > max(RESOLUTION * abs(ours), absolute):
            sys.exit(f"error: {what}: the reader says {theirs}, the report {ours}")

    def quantile(self, what, value, histogram, share, absolute=0.0):
        """A value at a share of the histogram. Which one of n that is, some round up and some to the nearest, so the
        neighbours count as well."""
        self.made += 1
        rank = 100 / max(histogram.get_total_count(), 1)
        low, high = (histogram.get_value_at_percentile(min(max(p, 0), 100)) for p in (share - rank, share + rank))
        room = max(RESOLUTION * value, absolute)
        if not low - room <= value <= high + room:
            sys.exit(f"error: {what}: {value} where the histogram has {low} to {high}")

    def rows(self, reader, read, expected, least):
        """A table of percentiles against the histogram in the JSON."""
        rows, metadata = read["rows"], read["metadata"]
        if len(rows) < least:
            sys.exit(f"error: {reader}: {len(rows)} rows, {least} expected at least")
        self.same(f"{reader}: total count", int(metadata["Total count"]), expected["count"])
        self.same(f"{reader}: max (ms)", float(metadata["Max"]), expected["max_ns"] / NS_PER_MS, PRINTED_MS)
        self.same(f"{reader}: mean (ms)", float(metadata["Mean"]), expected["mean_ns"] / NS_PER_MS, PRINTED_MS)
        for value, share, count in rows:
            ns = value * NS_PER_MS
            self.quantile(f"{reader}: {share:.6%}", ns, expected["histogram"], share * 100, PRINTED_MS * NS_PER_MS)
            if not 0 < count <= expected["count"]:
                sys.exit(f"error: {reader}: {count} of {expected['count']} latencies at {share:.6%}")


def check(report_path, hlog_path, rows_path, java_path):
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogReader

    checks = Checks()
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    expected = dict(report["latency"]["corrected"] or report["latency"]["raw"])
    expected["histogram"] = HdrHistogram.decode(expected["histogram_base64"])

    # The histogram in the JSON, read by hdrhistogram, has the percentiles that the JSON states.
    checks.same("JSON: count", expected["histogram"].get_total_count(), expected["count"])
    for share, field in [(50, "p50"), (75, "p75"), (90, "p90"), (99, "p99"), (99.9, "p99_9"), (99.99, "p99_99")]:
        checks.quantile(f"JSON: {field}", expected[f"{field}_ns"], expected["histogram"], share)

    # The log: every interval, and their sum.
    intervals = report["series"]["intervals"]
    total = HdrHistogram(1, 3_600_000_000_000, 3)
    log = HistogramLogReader(hlog_path, total)
    for at, interval in enumerate(intervals):
        histogram = log.get_next_interval_histogram()
        if histogram is None:
            sys.exit(f"error: hdrhistogram: {at} intervals instead of {len(intervals)}")
        checks.same(f"hdrhistogram: count of interval {at}", histogram.get_total_count(), interval["count"])
        # Stamps are relative to StartTime, and read as milliseconds since 1970.
        began = report["measured_unix_ms"] + interval["start_s"] * 1e3
        checks.same(f"hdrhistogram: begin of interval {at}", histogram.get_start_time_stamp(), began, 2.0)
        if interval["count"]:
            checks.quantile(f"hdrhistogram: p99 of interval {at}", interval["p99_ns"], histogram, 99)
        total.add(histogram)
    if log.get_next_interval_histogram() is not None:
        sys.exit(f"error: hdrhistogram: more than {len(intervals)} intervals")
    checks.same("hdrhistogram: count", total.get_total_count(), expected["count"])
    for share, field in [(50, "p50"), (99, "p99"), (99.9, "p99_9"), (100, "max")]:
        checks.quantile(f"hdrhistogram: {field}", expected[f"{field}_ns"], total, share)

    with open(rows_path, encoding="utf-8") as file:
        checks.rows("hdr-plot", json.load(file), expected, 20)
    checks.rows("HistogramLogProcessor", table(java_path), expected, 20)
    print(f"{checks.made} figures of {expected['count']} latencies in {len(intervals)} intervals agree")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hgrm", path]:
            print(json.dumps(hgrm(path)))
        case ["check", report, hlog, rows, java]:
            check(report, hlog, rows, java)
        case _:
            sys.exit(__doc__)
