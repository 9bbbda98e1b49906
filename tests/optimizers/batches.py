"""Which tokens `bfmc train` sees at a step, computed a second time: runtime/data/batches.h and permute.h say what is computed here.

A data file is a header of 128 bytes (runtime/data/tokens_format.h) and the ids. An epoch cuts the ids into windows of context + 1, begun at an
offset of its own, and visits them in an order that a Feistel network makes of the seed and the epoch.
"""
import struct

import numpy as np

MASK = 2**64 - 1
# bytes 24 to 56 of the default secret of XXH3 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)
SECRET = bytes.fromhex("7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e")


def hash_pair(a, b, seed):
    """XXH3, 64 bits, of two 64-bit numbers: the specification's case of 9 to 16 bytes."""
    k = struct.unpack("<4Q", SECRET)
    low = (a ^ ((k[0] ^ k[1]) + seed)) & MASK
    high = (b ^ ((k[2] ^ k[3]) - seed)) & MASK
    product = low * high
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    x = (16 + swapped + high + ((product & MASK) ^ (product >> 64))) & MASK
    x = ((x ^ (x >> 37)) * 0x165667919E3779F9) & MASK
    return x ^ (x >> 32)


def mix(x, key):
    x ^= key
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16) ^ (key >> 7)


def permuted(index, count, seed, stream):
    bits = 1
    while (count - 1) >> (2 * bits):
        bits += 1
    keys = [hash_pair(stream, r, seed) >> 32 for r in range(8)]
    mask = (1 << bits) - 1
    while True:
        left, right = index >> bits, index & mask
        for key in keys:
            left, right = right, left ^ (mix(right, key) & mask)
        index = left << bits | right
        if index < count:
            return index


def read_ids(path):
    """The ids of a part of a data folder."""
    with open(path, "rb") as file:
        data = file.read()
    width, = struct.unpack_from("<I", data, 12)
    count, = struct.unpack_from("<Q", data, 24)
    return np.frombuffer(data, {2: "<u2", 4: "<i4"}[width], count, 128).astype(np.int64)


def batch(ids, size, context, seed, position):
    """Tokens [size, context + 1] of the micro-batch at a position, counted from 0 over the whole training."""
    windows = max((len(ids) - context) // context, 1)
    slack = min(len(ids) - 1 - windows * context, context - 1)
    rows = []
    for sample in range(position * size, (position + 1) * size):
        epoch = sample // windows
        offset = hash_pair(epoch, 0x74657366666F, seed) % (slack + 1)
        start = offset + permuted(sample % windows, windows, seed, epoch) * context
        rows.append(ids[start:start + context + 1])
    return np.stack(rows)
