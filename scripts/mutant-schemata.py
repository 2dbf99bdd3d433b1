#!/usr/bin/env python3
"""Runs all mutants that cargo-mutants lists, with one build instead of one for each.

Every mutant goes into a copy of the sources as a branch that the variable MUTANT turns on. Each test
first runs without a mutant and records the branches that it meets. Then each mutant runs against the
tests that meet it, the quick ones first, until one fails. A mutant that does not compile as a branch
is left out and listed; scripts/cargo-mutants.sh can build it alone.

Needs cargo-mutants, and the Python packages tree-sitter and tree-sitter-rust.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import tree_sitter
import tree_sitter_rust

# The switch: constant code takes the original branch.
SWITCH = r"""
#[doc(hidden)]
#[allow(warnings, clippy::all)]
pub mod __mutant {
    use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};
    const UNKNOWN: u32 = u32::MAX;
    static ACTIVE: AtomicU32 = AtomicU32::new(UNKNOWN);
    static MET: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
    pub const fn on(number: u32) -> bool {
        core::intrinsics::const_eval_select((number,), off, is_on)
    }
    const fn off(_: u32) -> bool { false }
    fn is_on(number: u32) -> bool {
        let mut active = ACTIVE.load(SeqCst);
        if active == UNKNOWN {
            active = start();
        }
        let met = MET.load(SeqCst);
        if !met.is_null() {
            unsafe { met.add(number as usize).write_volatile(1) };
        }
        active == number
    }
    fn start() -> u32 {
        unsafe {
            let path = libc::getenv(c"MUTANTS_MET".as_ptr());
            if !path.is_null() {
                let file = libc::open(path, libc::O_RDWR | libc::O_CLOEXEC);
                let map = libc::mmap(std::ptr::null_mut(), 65536, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file, 0);
                assert!(map != libc::MAP_FAILED);
                libc::close(file);
                MET.store(map.cast(), SeqCst);
            }
            let text = libc::getenv(c"MUTANT".as_ptr());
            let number = if text.is_null() { UNKNOWN - 1 } else { libc::atoi(text) as u32 };
            ACTIVE.store(number, SeqCst);
            number
        }
    }
}
"""
FOLDERS = {"shard-reactor": "reactor", "shard-asyncfd": "asyncfd"}
PACKAGES = list(FOLDERS)
# Tests of lost wakes wait, and do not compute.
JOBS = 12
RECORD_JOBS = 4


def run(command, **options):
    return subprocess.run(command, check=True, text=True, **options)


class Source:
    """A file, and its mutants as replacements of pieces of it."""

    def __init__(self, path, switch):
        self.switch = switch
        self.bytes = open(path, "rb").read()
        self.starts = [0]
        for line in self.bytes.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language())).parse(self.bytes)
        self.edits = []

    def offset(self, place):
        start = self.starts[place["line"] - 1]
        line = self.bytes[start : self.starts[place["line"]]].decode()
        return start + len(line[: place["column"] - 1].encode())

    def node(self, start, end, kinds):
        node = self.tree.root_node.named_descendant_for_byte_range(start, end)
        while node is not None and node.type not in kinds:
            node = node.parent
        return node

    def add(self, number, mutant):
        """Notes (start, end, number, form, text); returns false for a kind of mutant unknown here."""
        start, end = (self.offset(mutant["span"][side]) for side in ("start", "end"))
        text, genre = mutant["replacement"].encode(), mutant["genre"]
        if genre == "FnValue":
            # The branch would have another type than the rest of the function.
            if "impl " in mutant["function"]["return_type"]:
                return False
            node = self.node(start, start, ("block",))
            while node is not None and node.parent.type not in ("function_item",):
                node = node.parent
            if node is None:
                return False
            at = node.start_byte + 1
            self.edits.append((at, at, number, "return", text))
        elif genre in ("BinaryOperator", "UnaryOperator"):
            kinds = ("binary_expression", "compound_assignment_expr", "unary_expression")
            node = self.node(start, end, kinds)
            if node is None:
                return False
            whole = self.bytes[node.start_byte : start] + text + self.bytes[end : node.end_byte]
            self.edits.append((node.start_byte, node.end_byte, number, "choose", whole))
        elif genre == "MatchArmGuard":
            form = "or" if text == b"true" else "and"
            self.edits.append((start, end, number, form, b""))
        elif genre == "MatchArm":
            node = self.node(start, end, ("match_arm",))
            pattern = node.child_by_field_name("pattern")
            guard = pattern.child_by_field_name("condition")
            if guard is not None:
                self.edits.append((guard.start_byte, guard.end_byte, number, "and", b""))
            else:
                at = pattern.end_byte
                self.edits.append((at, at, number, "unless", b""))
        else:
            return False
        return True

    def on(self, number):
        return f"{self.switch}::__mutant::on({number})".encode()

    def text(self, dropped):
        edits = [edit for edit in self.edits if edit[2] not in dropped]
        edits.sort(key=lambda edit: (edit[0], -edit[1], edit[2]))
        return self.piece(0, len(self.bytes), edits)

    def piece(self, start, end, edits):
        """Returns the source from start to end with the edits within."""
        out, at, index = b"", start, 0
        while index < len(edits):
            first, last = edits[index][:2]
            same = [edit for edit in edits[index:] if edit[:2] == (first, last)]
            index += len(same)
            inner = []
            while first < last and index < len(edits) and edits[index][1] <= last and edits[index][0] < last:
                inner.append(edits[index])
                index += 1
            code = self.piece(first, last, inner)
            for _, _, number, form, text in same:
                mark, close = f"/*<{number}*/".encode(), f"/*{number}>*/".encode()
                on = self.on(number)
                if form == "return":
                    code += mark + b"if " + on + b" { return " + text + b"; }" + close
                elif form == "choose":
                    code = b"(if !" + on + b" {" + code + b"} else {" + mark + text + close + b"})"
                elif form == "unless":
                    code += mark + b" if !" + on + close
                else:
                    left = on + b" || (" if form == "or" else b"!" + on + b" && ("
                    code = mark + left + code + b")" + close
            out += self.bytes[at:first] + code
            at = last
        return out + self.bytes[at:end]


class Copy:
    """A copy of the sources with all mutants in it."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "copy")
        listed = run(["cargo", "mutants", "--list", "--json", "--workspace"], stdout=subprocess.PIPE)
        self.mutants = json.loads(listed.stdout)
        self.sources, self.dropped = {}, set()
        for number, mutant in enumerate(self.mutants):
            path = mutant["file"]
            if path not in self.sources:
                switch = "crate" if mutant["package"] == "shard-reactor" else "::reactor"
                self.sources[path] = Source(path, switch)
            if not self.sources[path].add(number, mutant):
                self.dropped.add(number)
        for path in run(["git", "ls-files"], stdout=subprocess.PIPE).stdout.splitlines():
            if path in self.sources or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                text = file.read()
            if path == "reactor/src/lib.rs":
                text = b"#![feature(core_intrinsics, const_eval_select)]\n" + text + SWITCH.encode()
            self.put(path, text)
        self.env = dict(os.environ, RUSTC_BOOTSTRAP="reactor", CARGO_PROFILE_DEV_DEBUG="0")

    def write(self):
        for path, source in self.sources.items():
            self.put(path, source.text(self.dropped))

    def put(self, path, text):
        """Writes a file, unless it is there: cargo compares times."""
        path = os.path.join(self.folder, path)
        if os.path.exists(path) and open(path, "rb").read() == text:
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text)

    def cargo(self, command, package, flags):
        env = dict(self.env, RUSTFLAGS=f"--cap-lints=allow {flags} {os.environ.get('RUSTFLAGS', '')}")
        arguments = ["cargo", *command, "--package", package, "--message-format=json"]
        # The simulation and the models take no features.
        arguments += [] if flags else ["--all-features"]
        done = subprocess.run(arguments, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def drop_broken(self):
        """Leaves out the mutants that do not compile, and those that an earlier run left out."""
        path = os.path.join(os.path.dirname(self.folder), "not-compiled.txt")
        if os.path.exists(path):
            names = set(open(path).read().splitlines())
            self.dropped |= {number for number, mutant in enumerate(self.mutants) if mutant["name"] in names}
        self.write()
        for package in PACKAGES:
            self.until_built(["check", "--lib", "--keep-going"], package, "")

    def until_built(self, command, package, flags):
        """Runs cargo, and leaves out mutants until it passes."""
        path = os.path.join(os.path.dirname(self.folder), "not-compiled.txt")
        while True:
            done, messages = self.cargo(command, package, flags)
            if done.returncode == 0:
                return messages
            errors = [m["message"] for m in messages if m["reason"] == "compiler-message" and m["message"]["level"] == "error"]
            broken = set().union(*map(self.within, errors)) - self.dropped
            if not broken:
                sys.exit("\n".join(e["rendered"] for e in errors) + done.stderr)
            self.dropped |= broken
            with open(path, "w") as file:
                file.writelines(self.mutants[number]["name"] + "\n" for number in sorted(self.dropped))
            print(f"{package}: {len(self.dropped)} do not compile", flush=True)
            self.write()

    def within(self, error):
        """Returns the innermost mutant of each span of an error."""
        found = set()
        if (error["code"] or {}).get("code") == "E0004":
            return self.arms_after(error["spans"][0])
        spans = sorted(error["spans"], key=lambda span: not span["is_primary"])
        for span in spans:
            while span.get("expansion") and not os.path.exists(os.path.join(self.folder, span["file_name"])):
                span = span["expansion"]["span"]
            if span["file_name"] not in self.sources:
                continue
            text = open(os.path.join(self.folder, span["file_name"]), "rb").read()
            open_marks, best = [], None
            for mark in re.finditer(rb"/\*(<?)(\d+)(>?)\*/", text):
                if mark[1]:
                    open_marks.append((mark.start(), int(mark[2])))
                elif mark[3]:
                    start, number = open_marks.pop()
                    inside = start <= span["byte_start"] and span["byte_end"] <= mark.end()
                    if inside and (best is None or start > best[0]):
                        best = (start, number)
            if best is not None:
                found.add(best[1])
                if span["is_primary"]:
                    break
        return found

    def arms_after(self, span):
        """Returns the deleted arms of a match that is no longer exhaustive."""
        with open(os.path.join(self.folder, span["file_name"]), "rb") as file:
            text = file.read()[span["byte_start"] :][:3000]
        numbers = {int(mark[1]) for mark in re.finditer(rb"/\*<(\d+)\*/", text)}
        return {number for number in numbers if self.mutants[number]["genre"] == "MatchArm"}

    def build(self, package, flags="", only=()):
        """Builds tests; returns (name, program, folder)."""
        messages = self.until_built(["test", "--no-run", *only], package, flags)
        built = [m for m in messages if m["reason"] == "compiler-artifact" and m["executable"] and m["profile"]["test"]]
        return [(m["target"]["name"], m["executable"], os.path.dirname(m["manifest_path"])) for m in built]


class Case:
    """A test, or a whole program of tests without libtest."""

    def __init__(self, program, name):
        self.binary, self.path, self.folder = program
        self.name = name
        self.seconds, self.met = 0.0, b""

    def __str__(self):
        return f"{self.binary} {self.name}".strip()

    def run(self, limit, **variables):
        """Returns "passed", "failed" or "timeout"."""
        env = dict(os.environ, CARGO_MANIFEST_DIR=self.folder, RUST_BACKTRACE="0", **variables)
        arguments = [self.path] + ([self.name, "--exact"] if self.name else [])
        begun = time.monotonic()
        process = subprocess.Popen(
            arguments, cwd=self.folder, env=env, start_new_session=True, preexec_fn=bound,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            result = "passed" if process.wait(limit) == 0 else "failed"
        except subprocess.TimeoutExpired:
            result = "timeout"
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        self.last = time.monotonic() - begun
        return result


def bound():
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def cases_of(programs):
    cases = []
    for program in programs:
        listed = subprocess.run([program[1], "--list", "--format", "terse"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        names = [line[: -len(": test")] for line in listed.stdout.splitlines() if line.endswith(": test")]
        cases += [Case(program, name) for name in names or [""]]
    return cases


def record(folder, number, case, count):
    """Runs a case without a mutant; returns true if it passes."""
    path = os.path.join(folder, f"met{number}")
    with open(path, "wb") as file:
        file.truncate(65536)
    passed = case.run(120, MUTANTS_MET=path) == "passed"
    case.seconds = case.last
    with open(path, "rb") as file:
        case.met = file.read()[:count]
    os.unlink(path)
    return passed


def judge(number, library, cases, patience):
    """Returns ("killed" | "timeout" | "survived" | "unmet", the test)."""
    # Unit tests of the same crate fail where others hang.
    meeting = [case for case in cases if case.met[number]]
    meeting.sort(key=lambda case: (case.seconds > 0.5, case.binary != library, case.seconds))
    begun = time.monotonic()
    for case in meeting:
        limit = 4 + 5 * case.seconds
        result = case.run(limit, MUTANT=str(number))
        if result == "failed":
            return "killed", str(case)
        if result == "timeout":
            return "timeout", str(case)
        if time.monotonic() - begun > patience:
            return "survived", f"of {meeting.index(case) + 1} of {len(meeting)} tests"
    return ("survived", f"of {len(meeting)} tests") if meeting else ("unmet", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="for the copy of the sources and the results")
    parser.add_argument("--file", action="append", default=[], help="only mutants of files with this prefix, in this order")
    parser.add_argument("--patience", type=float, default=90, help="seconds of tests for one mutant")
    parser.add_argument("--resume", action="store_true", help="not the mutants that an earlier run killed")
    parser.add_argument("--again", action="store_true", help="only the survivors of the last run, with loom and the simulation")
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    os.makedirs(folder, exist_ok=True)
    begun = time.monotonic()
    copy = Copy(folder)
    copy.drop_broken()
    viable = [number for number in range(len(copy.mutants)) if number not in copy.dropped]
    print(f"{len(copy.mutants)} mutants, {len(viable)} compile; {time.monotonic() - begun:.0f} s", flush=True)
    results_path = os.path.join(folder, "results.json")
    results = json.load(open(results_path)) if os.path.exists(results_path) else {}
    programs = []
    if arguments.resume or arguments.again:
        viable = [n for n in viable if results.get(copy.mutants[n]["name"], ["survived"])[0] in ("survived", "unmet")]
    if arguments.again:
        os.environ.update(CARGO_PROFILE_TEST_OPT_LEVEL="2")
        programs += [(f"{name}-sim", *rest) for name, *rest in copy.build("shard-reactor", "--cfg reactor_sim", ["--lib"])]
        programs += [(f"{name}-loom", *rest) for name, *rest in copy.build("shard-reactor", "--cfg reactor_loom", ["--lib"])]
    else:
        for package in PACKAGES:
            programs += copy.build(package, "", ["--lib", "--tests"])
    cases = cases_of(programs)
    print(f"{len(cases)} tests; {time.monotonic() - begun:.0f} s", flush=True)
    with concurrent.futures.ThreadPoolExecutor(RECORD_JOBS) as pool:
        passed = list(pool.map(lambda item: record(folder, item[0], item[1], len(copy.mutants)), enumerate(cases)))
    for case, has_passed in zip(cases, passed):
        if not has_passed:
            print(f"left out, since it fails without a mutant: {case}")
    cases = [case for case, has_passed in zip(cases, passed) if has_passed]
    cases.sort(key=lambda case: case.seconds)
    print(f"{len(cases)} tests pass, {sum(c.seconds for c in cases):.0f} s of tests; {time.monotonic() - begun:.0f} s", flush=True)
    if arguments.file:
        order = {n: next((i for i, f in enumerate(arguments.file) if copy.mutants[n]["file"].startswith(f)), None) for n in viable}
        viable = sorted((n for n in viable if order[n] is not None), key=lambda n: order[n])
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        waiting = {}
        for number in viable:
            library = FOLDERS[copy.mutants[number]["package"]]
            waiting[pool.submit(judge, number, library, cases, arguments.patience)] = number
        for future in concurrent.futures.as_completed(waiting):
            name = copy.mutants[waiting[future]]["name"]
            results[name] = future.result()
            print(f"{results[name][0]:<9} {name}  [{results[name][1]}]", flush=True)
            with open(results_path + ".new", "w") as file:
                json.dump(results, file, indent=0)
            os.replace(results_path + ".new", results_path)
    counts = collections.Counter(result[0] for result in results.values())
    print(f"{len(copy.mutants)} mutants, {len(copy.dropped)} do not compile as a branch, {dict(counts)}; {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
