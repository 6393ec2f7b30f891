"""``python -m tests.bench.profiled FILE``: the operator under cProfile, which counts CPU time, not waiting."""

import cProfile
import sys
import time

from runwright.operator.app import run


def main(path: str) -> int:
    """Run the operator until SIGTERM, then write the profile."""
    profile = cProfile.Profile(time.process_time)
    try:
        return profile.runcall(run)
    finally:
        profile.dump_stats(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
