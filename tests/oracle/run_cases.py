#!/usr/bin/python3
"""Hold `bfmc grad` against expected values.

    run_cases.py --bfmc build/release/bfmc --cases tests/golden [--only NAME]… [--engine interp|jit] [--tol T]
    run_cases.py --bfmc build/release/bfmc --random 50 --seed 7 [--scope dense|routing|attention|all]

A case is a folder with model.bfm, weights.safetensors, tokens.npy and expected.safetensors. Tolerances are relative to the
largest value of each tensor: by default 1e-10 for the interpreter (f64) and 3e-4 for the other engines (f32). Failed random
cases are kept in --keep. The last line is `N passed, M failed`.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import compare
import generate_cases
import tensors

TOLERANCE = {"interp": 1e-10, "jit": 3e-4}


def check(args, folder, out):
    """None where the case passes, else why not."""
    command = [args.bfmc, "grad", os.path.join(folder, "model.bfm"), "--weights", os.path.join(folder, "weights.safetensors"),
               "--tokens", os.path.join(folder, "tokens.npy"), "--out", out, "--engine", args.engine]
    if os.path.exists(out):
        os.remove(out)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return f"no answer in {args.timeout} s"
    if done.returncode != 0:
        message = (done.stderr or done.stdout).strip().splitlines()
        return f"exit {done.returncode}: " + "\n      ".join(message[:args.lines])
    worst, bad = compare.differences(tensors.load(out), tensors.load(os.path.join(folder, "expected.safetensors")), args.tol)
    if bad:
        return f"{len(bad)} tensors differ: " + "; ".join(bad[:3])
    if args.verbose:
        print(f"ok    {folder} ({worst:.2g})")
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bfmc", required=True)
    p.add_argument("--engine", default="interp")
    p.add_argument("--tol", type=float)
    p.add_argument("--cases", help="folder of cases")
    p.add_argument("--only", action="append", help="of --cases, just these")
    p.add_argument("--random", type=int, metavar="N", help="cases drawn anew")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--scope", choices=sorted(generate_cases.SCOPES), default="all")
    p.add_argument("--keep", help="folder for random cases that failed")
    p.add_argument("--timeout", type=float, default=120)
    p.add_argument("--lines", type=int, default=6, help="lines of the command's message to show")
    p.add_argument("-v", "--verbose", action="store_true")
    args = p.parse_args()
    if (args.cases is None) == (args.random is None):
        p.error("one of --cases and --random")
    args.tol = args.tol if args.tol is not None else TOLERANCE.get(args.engine, 3e-4)

    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out.safetensors")
        if args.cases:
            folders = args.only or sorted(n for n in os.listdir(args.cases) if os.path.exists(os.path.join(args.cases, n, "model.bfm")))
            folders = [os.path.join(args.cases, n) for n in folders]
        else:
            folders = [None] * args.random
        for i, folder in enumerate(folders):
            case = None
            if folder is None:
                case = generate_cases.draw_case(args.seed, i, args.scope)[:4]
                folder = os.path.join(scratch, f"case_{args.seed}_{i}")
                generate_cases.write_case(folder, *case)
            why = check(args, folder, out)
            passed, failed = passed + (why is None), failed + (why is not None)
            if why is not None:
                print(f"FAIL  {os.path.basename(folder) if case else folder}: {why}", flush=True)
                if case and args.keep:
                    generate_cases.write_case(os.path.join(args.keep, os.path.basename(folder)), *case)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
