"""Replay one seed, or run a campaign: `python -m tests.unit.model.replay SEED`, `… --campaign 200 --first 1000`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.unit.model.api_server import Violation
from tests.unit.model.world import Disturbance, World

STEPS = 1_500


def play(
    seed: int, steps: int = STEPS, disturbance: Disturbance | None = None, eager: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Run one seed; return the steps it took and the story of what went wrong, empty when nothing did."""
    world = World(seed, disturbance, eager)
    try:
        world.run(steps)
    except Violation as found:
        cause = "".join(traceback.format_exception(found.__cause__)) if found.__cause__ else ""
        trace = "\n".join(world.trace)
        return world.steps, f"seed {seed} after {world.steps} steps: {found}\n{trace}\n{cause}"
    return world.steps, ""


def main() -> int:
    """Play the seeds of the command line; return 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.model.replay", description=__doc__)
    parser.add_argument("seed", nargs="*", type=int)
    parser.add_argument("--campaign", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--short", action="store_true", help="only the first line of each story")
    given = parser.parse_args()
    seeds = given.seed or range(given.first, given.first + given.campaign)
    began, total, failed = time.monotonic(), 0, 0
    for seed in seeds:
        steps, story = play(seed, given.steps)
        total += steps
        if story:
            failed += 1
            print(story.splitlines()[0] if given.short else story, flush=True)
    took = time.monotonic() - began
    print(f"{len(seeds)} seeds, {failed} failed, {total} steps in {took:.1f} s, {total / took:.0f} a second")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
