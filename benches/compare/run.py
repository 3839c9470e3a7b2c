"""Measures nugate beside nginx and Varnish: the servers on one core, the clients and the feed on another.

python3 benches/compare/run.py [CASE...] [--nugate PATH] [--rounds N] [--seconds S]
                               [--json FILE] [--from FILE] [--markdown FILE] [--plot DIR]
python3 benches/compare/run.py --smoke [--nugate PATH]

Without a case, all of them. It needs nothing but Python 3, and installs nothing: what needs a program that is
not there is left out, and the Debian package named that has it. docs/performance.md says how to read the figures.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import machine
import plot
import report
from bench import Bench
from cases import CASES, Case
from client import LoadError
from feed import SMOKE, Scale
from process import Process
from servers import Place

# What may go wrong in a case, so that the others go on.
FAILURES = (OSError, RuntimeError, TimeoutError, LoadError, subprocess.SubprocessError)


def main() -> int:
    """Runs what was asked for."""
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    earlier = json.loads(arguments.earlier.read_text(encoding="utf-8")) if arguments.earlier else None
    names = arguments.case or ([] if earlier else [case.name for case in CASES])
    chosen = [case for case in CASES if case.name in names]
    whole = earlier or {"cases": []}
    failed = 0
    if chosen:
        if arguments.urgent:
            machine.hurry()
        failed = measure(chosen, arguments, whole)
    if arguments.json:
        report.save(arguments.json, whole)
    if arguments.markdown:
        report.publish(arguments.markdown, report.markdown(whole))
    if arguments.plot:
        if plot.available():
            print(*plot.draw(whole, arguments.plot), sep="\n")
        else:
            print("no pictures: matplotlib is not installed (Debian: python3-matplotlib)")
    if arguments.smoke:
        print(f"{passed(whole)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [case.name for case in CASES]
    parser.add_argument("case", nargs="*", choices=[*names, []], metavar="CASE", help=", ".join(names))
    parser.add_argument("--nugate", default="target/release/nugate", help="the program (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="samples of each server (%(default)s)")
    parser.add_argument("--seconds", type=float, default=Scale.seconds, help="how long one takes (%(default)s)")
    parser.add_argument("--json", type=Path, help="write everything that was found to this file")
    parser.add_argument("--from", type=Path, dest="earlier", help="begin with what such a file has")
    parser.add_argument("--markdown", type=Path, help="write tables to this file, between its marks if it has them")
    parser.add_argument("--plot", type=Path, help="write pictures to this folder")
    parser.add_argument("--scratch", type=Path, help="where files are put meanwhile, some GB; not in memory")
    parser.add_argument("--urgent", action="store_true", help="as root: take precedence over other programs")
    parser.add_argument("--smoke", action="store_true", help="run every case for a moment, with little of everything")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds and --seconds must be more than 0")
    return arguments


def measure(chosen: list[Case], arguments: argparse.Namespace, whole: report.Found) -> int:
    """Runs cases, and puts what they found in the place of what was there; how many failed."""
    programs = machine.programs(arguments.nugate)
    if "nugate" not in programs:
        sys.exit(f"{arguments.nugate} is no program; `cargo build --release` makes it")
    for name in machine.PACKAGES:
        if name not in programs:
            print(f"not installed: {name} (Debian: {machine.PACKAGES[name]})")
    scale = SMOKE if arguments.smoke else replace(Scale(), seconds=arguments.seconds)
    rounds = 1 if arguments.smoke else arguments.rounds
    whole |= {"machine": machine.describe(programs), "rounds": rounds, "seconds": scale.seconds}
    possible = [case for case in chosen if not case.lacks(programs)]
    for case in chosen:
        if lacking := case.lacks(programs):
            print(f"left out: {case.name}, which needs {', '.join(lacking)}")
    if not possible:
        return 0
    with tempfile.TemporaryDirectory(prefix="nugate-compare-", dir=arguments.scratch) as scratch:
        try:
            bench = Bench(place(programs, Path(scratch)), Path(scratch), rounds, scale)
            failed = 0
            for case in possible:
                failed += not attempt(case, bench, whole)
                # Whatever comes next, this stays.
                if arguments.json:
                    report.save(arguments.json, whole)
            return failed
        finally:
            for left in list(Process.running):
                left.end()


def place(programs: dict[str, str], scratch: Path) -> Place:
    """Where servers run, with a certificate of the kind that is used most."""
    cores = machine.Cores.choose()
    if cores.server == cores.client or "taskset" not in programs:
        print("servers and clients share their cores: read the processor time alone")
    certificate, key = scratch / "certificate.pem", scratch / "key.pem"
    if "openssl" in programs:
        command = [programs["openssl"], "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=localhost"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return Place(programs, cores, "", certificate, key)


def attempt(case: Case, bench: Bench, whole: report.Found) -> bool:
    """Runs a case and prints it; whether nothing went wrong."""
    began = time.monotonic()
    try:
        rows = case.measure(bench)
    except FAILURES as error:
        print(f"FAILED: {case.name}: {error}", flush=True)
        return False
    found = report.found(case, rows)
    others = {one["name"]: one for one in whole["cases"]} | {case.name: found}
    whole["cases"] = [others[one.name] for one in CASES if one.name in others]
    print(report.text(found), f"({time.monotonic() - began:.0f} s)\n", sep="", flush=True)
    return True


def passed(whole: report.Found) -> int:
    """How many servers went through a case."""
    return sum(bool(row["samples"]) for case in whole["cases"] for row in case["rows"])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
