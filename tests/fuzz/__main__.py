"""The command: `python -m tests.fuzz parser --seconds 60`.

With atheris (`pip install atheris`, not for every version of Python) its coverage leads the way. Without it
inputs are mutated at random, from the corpus and the target's words; which of the two it was is said.
What breaks a target is written into the corpus, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from importlib.util import find_spec
from pathlib import Path

from .corpus import FOLDER, inputs_of, keep
from .mutate import MOST, mutated
from .targets import TARGETS, Target


def by_chance(name: str, target: Target, seconds: float, seed: int) -> bool:
    """Mutate for so long; whether nothing broke it."""
    source = random.Random(seed)
    inputs = list(inputs_of(name).values())
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(source, inputs, target.words)
        done += 1
        try:
            target.run(data)
        except Exception:
            traceback.print_exc()
            print(f"{name}: broken by {keep(name, data)} after {done:,} inputs (--seed {seed})")
            return False
    print(
        f"{name}: {done:,} inputs, mutated at random (atheris is not installed), --seed {seed}: none broke it"
    )
    return True


def by_coverage(name: str, seconds: float, seed: int) -> bool:
    """Have atheris fuzz it, in a process of its own; whether nothing broke it."""
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "words")
        words.write_text("".join(f'"{_quoted(word)}"\n' for word in TARGETS[name].words if len(word) <= 64))
        command = [
            sys.executable, "-m", "tests.fuzz.covered", name, f"-max_total_time={max(1, int(seconds))}",
            f"-seed={seed}", f"-dict={words}", f"-max_len={MOST}", f"-artifact_prefix={FOLDER / name}/found-",
            "-print_final_stats=1", folder, str(FOLDER / name),
        ]  # fmt: skip
        status = os.spawnv(os.P_WAIT, sys.executable, command)
    print(f"{name}: by atheris, --seed {seed}: {'none broke it' if status == 0 else 'BROKEN, see above'}")
    return status == 0


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def main() -> int:
    """Fuzz what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all, one after the other"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--chance", action="store_true", help="without atheris, also where it is installed")
    given = parser.parse_args()
    if unknown := set(given.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    whole = True
    for name in given.targets or TARGETS:
        if find_spec("atheris") is None or given.chance:
            whole &= by_chance(name, TARGETS[name], given.seconds, given.seed)
        else:
            whole &= by_coverage(name, given.seconds, given.seed)
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
