#!/usr/bin/python3
"""compare.py A B --tol T: do two safetensors files hold the same tensors, each within T of its largest value in B?"""
import argparse
import sys

import numpy as np

import tensors


def differences(a, b, tol):
    """(worst relative difference, list of complaints). A tensor that is 0 throughout in B must be near 0 in A too."""
    worst, bad = 0.0, []
    floor = 1e-12 * max((np.abs(t).max(initial=0.0) for t in b.values()), default=0.0)  # below it a tensor is rounding only
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            bad.append(f"{name}: only in {'the first' if name in a else 'the second'}")
            continue
        x, y = np.asarray(a[name], np.float64), np.asarray(b[name], np.float64)
        if x.size != y.size or (x.size > 1 and x.shape != y.shape):
            bad.append(f"{name}: shapes {x.shape} and {y.shape}")
            continue
        scale = max(np.abs(y).max(initial=0.0), floor)
        error = np.abs(x.ravel() - y.ravel()).max(initial=0.0) / (scale if scale > 0 else 1.0)
        worst = error if not error <= worst else worst
        if not error <= tol:
            bad.append(f"{name}: differs by {error:.3g} of its largest value {scale:.3g}")
    return worst, bad


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--tol", type=float, default=1e-9)
    args = p.parse_args()
    worst, bad = differences(tensors.load(args.a), tensors.load(args.b), args.tol)
    for line in bad:
        print(line)
    print(f"largest relative difference {worst:.3g}, tolerance {args.tol:g}: {'differ' if bad else 'agree'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
