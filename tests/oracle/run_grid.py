#!/usr/bin/python3
"""Hold the probe against the systematic cases.

    run_grid.py --probe build/release/tests/oracle/bfm_oracle_probe [--engine interp|jit]… [FAMILY]…

    run_grid.py --probe … --bits [FAMILY]…
    run_grid.py --probe … --random N [--seed S] [--large] [--threads N] [--keep DIR]

Without families: all. --bits runs cases with the library as it is and with one whose metrics are taken out: nothing else may change a bit.
--random draws models with any options in any structure. Each family prints how many cases passed and the largest error relative to a tensor's largest value; tolerances are 1e-10
for the interpreter (f64), 5e-5 for the compiled engine (f32; 3e-4 with --random), and 1e-6 for slopes.
"""
import argparse
import os
import sys
import tempfile
import time

import cases
import grid
import library
import random_models
import tensors

TOLERANCE = {"interp": 1e-10, "jit": 5e-5}  # of the systematic cases: tighter than what is promised of f32


def slopes(family):
    """Wrong ones among the oracle's own difference quotients."""
    wrong = 0
    for case in family:
        if not case.reach:
            continue
        gradient = {k: case.expected[f"0/{k}"] for k in case.weights}
        size = max(abs(g).max() for g in gradient.values())
        for path, measured in case.slopes().items():
            claimed = float((gradient[path] * case.directions[path]).sum())
            if not abs(claimed - measured) <= cases.SLOPE_TOLERANCE * (abs(claimed) + size):
                print(f"FAIL  oracle {case.name}: {path}: the loss moves by {measured:.9g}, its gradient says {claimed:.9g}")
                wrong += 1
    return wrong


def bits(family, probe, engine):
    """(cases, wrong ones): every result but the metrics, with and without metrics in the library."""
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        bare = os.path.join(scratch, "stdlib")
        if library.without_metrics(bare) == 0:
            raise SystemExit("the library has no metrics to take out")
        folders = [os.path.join(scratch, str(i)) for i in range(len(family))]
        for folder, case in zip(folders, family):
            case.write(folder)
        results = []
        for extra in ((), ("--library", bare)):
            verdicts = cases.run_probe(probe, engine, folders, extra)
            results.append([{k: v.tobytes() for k, v in tensors.load(os.path.join(f, f"out.{engine}.safetensors")).items() if "/metric/" not in k} if verdicts[f] is None else verdicts[f]
                            for f in folders])
        for case, with_metrics, without in zip(family, *results):
            if with_metrics != without:
                print(f"FAIL  {engine} {case.name}: metrics change other results: {with_metrics if isinstance(with_metrics, str) else without if isinstance(without, str) else [k for k in without if with_metrics.get(k) != without[k]][:4]}")
                wrong += 1
    return len(family), wrong


def campaign(args):
    """In portions, so that what fails is seen early."""
    portion, totals = 20 if args.large else 100, {engine: [0, 0, 0.0] for engine in args.engine or sorted(cases.TOLERANCE)}
    for start in range(0, args.random, portion):
        drawn = [random_models.draw_case(args.seed, i, args.large) for i in range(start, min(args.random, start + portion))]
        for engine, total in totals.items():
            passed, failed, worst = cases.check(drawn, args.probe, engine, extra=("--threads", str(args.threads)), lenient=True, keep=args.keep, verbose=args.verbose)
            total[:] = total[0] + passed, total[1] + failed, max(total[2], worst)
    for engine, (passed, failed, worst) in totals.items():
        print(f"random, {engine}: {passed} passed, {failed} failed, largest error {worst:.2g}")
    return 1 if any(total[1] for total in totals.values()) else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("families", nargs="*", metavar="FAMILY")
    p.add_argument("--probe", required=True)
    p.add_argument("--engine", action="append", choices=sorted(cases.TOLERANCE))
    p.add_argument("--bits", action="store_true", help="compare with and without metrics")
    p.add_argument("--every", type=int, default=1, metavar="N", help="every N-th case of a family")
    p.add_argument("--only", help="cases whose name holds this")
    p.add_argument("--keep", help="folder for cases that failed")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("--random", type=int, metavar="N", help="N random models instead")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--large", action="store_true", help="widths and lengths that fill tiles and vectors (slow with the interpreter)")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    failures = 0
    if args.random:
        return campaign(args)
    for name in args.families or grid.FAMILIES:
        began = time.monotonic()
        family = [c for c in grid.FAMILIES[name]() if not args.only or args.only in c.name][::args.every]
        failures += 0 if args.bits else slopes(family)
        drawn = time.monotonic() - began
        for engine in args.engine or sorted(cases.TOLERANCE):
            began = time.monotonic()
            if args.bits:
                count, wrong = bits(family, args.probe, engine)
                failures += wrong
                print(f"{name}, {engine}: {count - wrong} the same without metrics, {wrong} not", flush=True)
                continue
            passed, failed, worst = cases.check(family, args.probe, engine, tol=TOLERANCE[engine], keep=args.keep, verbose=args.verbose)
            failures += failed
            print(f"{name}, {engine}: {passed} passed, {failed} failed, largest error {worst:.2g} ({drawn:.1f} s drawing, {time.monotonic() - began:.1f} s)", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
