"""The named draws of the language, once more: Philox4x32-10 (Salmon et al. 2011) keyed by xxHash64 of the path and the tag.

`uniform(seed, path, tag, step, shape)` gives the draw at every logical index of a row-major shape, in [0, 1).
"""
import numpy as np

MASK = 2**64 - 1
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotate(x, by):
    return (x << by | x >> (64 - by)) & MASK


def _round(lane, word):
    return _rotate((lane + word * P2) & MASK, 31) * P1 & MASK


def xxh64(data, seed=0):
    """xxHash64, by its specification."""
    at, words = 0, lambda where: int.from_bytes(data[where:where + 8], "little")
    if len(data) >= 32:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while at + 32 <= len(data):
            lanes = [_round(lane, words(at + 8 * i)) for i, lane in enumerate(lanes)]
            at += 32
        h = sum(_rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            h = ((h ^ _round(0, lane)) * P1 + P4) & MASK
    else:
        h = (seed + P5) & MASK
    h = (h + len(data)) & MASK
    while at + 8 <= len(data):
        h = (_rotate(h ^ _round(0, words(at)), 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= len(data):
        h = (_rotate(h ^ int.from_bytes(data[at:at + 4], "little") * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = _rotate(h ^ byte * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32


def philox(counter, key):
    """Ten rounds on counters [4][n] of 32 bits with a key of two words."""
    c = [np.asarray(word, np.uint64) for word in counter]
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), b & low, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def halves(x):
    return x & 0xFFFFFFFF, x >> 32


def uniform(seed, path, tag, step, shape):
    stream = 0
    for part in f"{path}.{tag}".split("."):
        stream = xxh64(part.encode(), stream)
    block = philox([[halves(stream)[0]], [halves(stream)[1]], [0], [0]], halves(seed))
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    zeros = np.zeros_like(index)
    words = philox([index, zeros, zeros + np.uint64(halves(step)[0]), zeros + np.uint64(halves(step)[1])], (int(block[0][0]), int(block[1][0])))
    return ((words[0] << np.uint64(32) | words[1]) >> np.uint64(11)).astype(np.float64).reshape(shape) * 2.0**-53
