"""Ten thousand mutated checkpoints, encoders, data folders and bundles.

    python -m tests.bench.mutated_inputs [--count 10000] [--seed 0] [--only N] [--memory-mib 1536]

Each goes through the entry points that a real one goes through. What is allowed: success, or one
of the package's own errors with one line. Everything else is printed with its number; `--only N`
runs that case again. Cases run in a process of their own, limited in memory and time, so that a
hang, a crash or a growth is a finding as well. Exit code 1 if there is any.
"""

import argparse
import json
import os
import pickle
import queue
import resource
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

SPACE_BYTES: Final = 4 * 1024**3
"""Address space that the cases' process may take beyond what it has at its start."""
CASE_LIMIT_S: Final = 20.0
MAKING_LIMIT_S: Final = 300.0
"""The first case waits for torch; some inputs take seconds to be made."""

Report = dict[str, Any]


@dataclass
class Tally:
    """What all cases came to."""

    results: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    problems: list[Report] = field(default_factory=list)
    slowest: Report = field(default_factory=dict)
    largest: Report = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, report: Report) -> None:
        self.results[report["kind"]]["problem" if report["problem"] else report["result"]] += 1
        self.seconds += report["seconds"]
        if report["seconds"] > self.slowest.get("seconds", -1.0):
            self.slowest = report
        if report["grown_mib"] > self.largest.get("grown_mib", -1.0):
            self.largest = report
        if report["problem"]:
            self.problems.append(report)


def cases(folder: Path, numbers: Sequence[int], seed: int, memory_mib: int) -> None:
    """The cases' process: one line before and one after each case."""
    import cv2
    import torch

    from tests.mutations.cases import empty, judge, make_case
    from tests.mutations.seeds import Seeds

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    seeds = Seeds(folder)
    _warm_up(seeds, folder / "warm")
    _limit_space()
    for number in numbers:
        place = folder / "case"
        empty(place)
        kind, mutation = make_case(number, seed, seeds, place)
        _say({"begin": number, "kind": kind, "note": mutation.note})
        before = _resident_mib("VmRSS", reset=True)
        report = asdict(judge(kind, mutation))
        grown = _resident_mib("VmHWM") - before
        if grown > memory_mib and not report["problem"]:
            report["problem"] = f"memory grew by {grown:.0f} MiB"
        _say({"end": number, **report, "grown_mib": grown})


def _warm_up(seeds: Any, place: Path) -> None:
    """Valid inputs are accepted, and the tripwire notices what a pickle is able to do."""
    from tests.mutations import pickles
    from tests.mutations.cases import Mutation, empty, judge, valid_inputs

    empty(place)
    for note, enter in valid_inputs(seeds):
        outcome = judge(note, Mutation(note, enter, place / "mark"))
        if outcome.problem or outcome.result != "accepted":
            raise SystemExit(f"a valid input is not accepted: {outcome}")
    mark = place / "mark"
    calls = ("os", "system", f"touch {mark}"), ("builtins", "eval", "1"), ("builtins", "open", mark)
    for module, attribute, argument in calls:
        empty(place)
        arguments = (str(argument), "w") if attribute == "open" else (str(argument),)
        program = pickles.program(pickles.call(pickles.name(module, attribute), arguments))
        outcome = judge("", Mutation("", lambda p=program: pickle.loads(p), mark))  # type: ignore[misc]
        if not outcome.problem.startswith("code was run"):
            raise SystemExit(f"the tripwire did not notice {module}.{attribute}: {outcome}")


def _say(report: Report) -> None:
    print(json.dumps(report), flush=True)


def _limit_space() -> None:
    with suppress(OSError):
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + SPACE_BYTES, size + SPACE_BYTES))


def _resident_mib(field: str, *, reset: bool = False) -> float:
    """Memory of this process now (VmRSS) or at most since the last reset (VmHWM)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reports(folder: Path, numbers: Sequence[int], options: argparse.Namespace) -> Iterator[Report]:
    """One report a case; the process is started again after a case that ended it."""
    rest = list(numbers)
    while rest:
        begun: Report = {}
        command = [sys.executable, "-m", "tests.bench.mutated_inputs", "--folder", str(folder)]
        command += ["--seed", str(options.seed), "--memory-mib", str(options.memory_mib)]
        with subprocess.Popen(
            [*command, "--cases"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(rest))
            process.stdin.close()
            lines = _lines(process)
            end = ""
            while True:
                try:
                    line = lines.get(timeout=CASE_LIMIT_S if begun else MAKING_LIMIT_S)
                except queue.Empty:
                    process.kill()
                    end = f"took more than {CASE_LIMIT_S:.0f} s"
                    break
                if line is None:
                    break
                said = json.loads(line)
                if "begin" in said:
                    begun = said
                elif "end" in said:
                    yield said
                    rest.remove(said["end"])
                    begun = {}
        if not rest:
            return
        if not begun:
            raise SystemExit(f"the cases' process ended with {process.returncode} before a case")
        yield {
            **begun, "end": begun["begin"], "result": "ended", "message": "", "grown_mib": 0.0,
            "problem": end or f"the process ended with {process.returncode}",
            "seconds": CASE_LIMIT_S if end else 0.0,
        }  # fmt: skip
        rest.remove(begun["begin"])


def _lines(process: "subprocess.Popen[str]") -> "queue.Queue[str | None]":
    lines: queue.Queue[str | None] = queue.Queue()

    def read(stream: IO[str]) -> None:
        for line in stream:
            if line.startswith("{"):
                lines.put(line)
        lines.put(None)

    assert process.stdout is not None
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return lines


def show(report: Report) -> None:
    """One finding."""
    print(f"\ncase {report['end']}: {report['kind']} ({report['note']}): {report['result']}")
    print(f"  {report['seconds']:.1f} s, {report['grown_mib']:.0f} MiB; {report['message'][:300]}")
    if report["problem"]:
        print("  " + report["problem"].rstrip().replace("\n", "\n  "), flush=True)


def summary(tally: Tally) -> None:
    """Counts a kind and error class, and the extremes."""
    names = sorted({name for counts in tally.results.values() for name in counts})
    print(f"\n{'kind of mutation':34} {'cases':>6}  results")
    for kind, counts in tally.results.items():
        parts = ", ".join(f"{name} {counts[name]}" for name in names if counts[name])
        print(f"{kind:34} {counts.total():6}  {parts}")
    whole = sum(tally.results.values(), Counter[str]())
    print(f"{'all':34} {whole.total():6}")
    for name, count in whole.most_common():
        print(f"    {name:30} {count:6}")
    slow, large = tally.slowest, tally.largest
    print(f"slowest: case {slow['end']}, {slow['kind']}, {slow['seconds']:.2f} s "
          f"({tally.seconds:.0f} s in all)")  # fmt: skip
    print(f"most memory: case {large['end']}, {large['kind']}, "
          f"{large['grown_mib']:.0f} MiB more than before")  # fmt: skip
    print(f"code run, untyped errors, hangs, crashes, growth: {len(tally.problems)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", metavar="N")
    parser.add_argument("--memory-mib", type=int, default=1536, help="that a case may take")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cases", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cases:
        cases(options.folder, json.loads(sys.stdin.read()), options.seed, options.memory_mib)
        return 0
    from tests.mutations.seeds import Seeds

    with tempfile.TemporaryDirectory(prefix="mutated-") as temporary:
        folder = Path(temporary)
        Seeds.make(folder)
        tally = Tally()
        for report in reports(folder, options.only or range(options.count), options):
            tally.add(report)
            if report["problem"] or options.only:
                show(report)
        summary(tally)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
