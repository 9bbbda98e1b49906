#!/usr/bin/python3
"""compare.py A B --tol T: do two safetensors files hold the same tensors, each within T of its largest value in B?"""
import argparse
import sys

import numpy as np

import tensors


ZERO = 1e-12  # of the largest value of all tensors: what is smaller in B is rounding of a 0


def differences(a, b, tol, least=0.0):
    """(worst relative difference, list of complaints). A tensor of B that is 0 but for rounding must be so in A too; one whose values are all below
    `least` is taken as if its largest were that."""
    worst, bad = 0.0, []
    largest = max((np.abs(t).max(initial=0.0) for t in b.values()), default=0.0)
    noise = (1e-14 if tol < 1e-8 else 1e-6) * max(largest, 1e-30)  # of f64 and of f32
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            bad.append(f"{name}: only in {'the first' if name in a else 'the second'}")
            continue
        x, y = np.asarray(a[name], np.float64), np.asarray(b[name], np.float64)
        if x.size != y.size or (x.size > 1 and x.shape != y.shape):
            bad.append(f"{name}: shapes {x.shape} and {y.shape}")
            continue
        scale, apart = np.abs(y).max(initial=0.0), np.abs(x.ravel() - y.ravel()).max(initial=0.0)
        if scale <= ZERO * largest:
            if not apart <= noise:
                bad.append(f"{name}: {apart:.3g} where 0 is expected")
            continue
        scale = max(scale, least)
        error = apart / scale
        worst = error if not error <= worst else worst
        if not error <= tol:
            bad.append(f"{name}: differs by {error:.3g} of its largest value {scale:.3g}")
    return worst, bad


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("--tol", type=float, default=1e-10)
    args = p.parse_args()
    worst, bad = differences(tensors.load(args.a), tensors.load(args.b), args.tol)
    for line in bad:
        print(line)
    print(f"largest relative difference {worst:.3g}, tolerance {args.tol:g}: {'differ' if bad else 'agree'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
