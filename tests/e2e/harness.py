"""What the end-to-end tests share: running bfmc, scratch folders, small inputs."""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import numpy as np

BFMC = os.environ.get("BFMC", "bfmc")
SOURCE = os.environ.get("BFM_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
EXAMPLES = os.path.join(SOURCE, "examples")
GOLDEN = os.path.join(SOURCE, "tests", "golden")

TINY = """use std.layers
use std.recipes

model tiny {
    vocab   = 256
    context = 16
    embed(d = 16)
    attention(heads = 2, head_dim = 8)
    ffn(hidden = 32, act = gelu)
    rms_norm()
    head(tied = true)
}

recipe quick {
    optimizer = adamw(rate = 0.003)
    schedule  = cosine(warmup = 2, floor = 0.1)
    batch     = 2
    context   = 16
    steps     = 12
    clip_norm = 1
}
"""


def bfmc(*args, env=None, timeout=300, **kwargs):
    """The finished process; text, both streams captured."""
    return subprocess.run([BFMC, *map(str, args)], capture_output=True, text=True, errors="replace", timeout=timeout,
                          env={**os.environ, "NO_COLOR": "1", **(env or {})}, **kwargs)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bfm_e2e_")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, data):
        mode = "wb" if isinstance(data, bytes) else "w"
        with open(self.path(name), mode) as file:
            file.write(data)
        return self.path(name)

    def ok(self, *args, code=0, **kwargs):
        done = bfmc(*args, **kwargs)
        self.assertEqual(done.returncode, code, f"bfmc {' '.join(map(str, args))}\n{done.stdout}\n{done.stderr}")
        return done

    def fails(self, code, says, *args, **kwargs):
        """Exit code, a message that holds every word of `says`, nothing on standard output."""
        done = self.ok(*args, code=code, **kwargs)
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")
        return done

    def json(self, *args, code=0, **kwargs):
        return json.loads(self.ok(*args, "--json", code=code, **kwargs).stdout)

    def pack(self, text=None, name="data"):
        """A data folder of a few thousand bytes."""
        if text is None:
            with open(os.path.join(EXAMPLES, "data", "shakespeare.txt")) as file:
                text = file.read(30000)
        shutil.rmtree(self.path(name), ignore_errors=True)
        self.ok("data", "pack", self.write(name + ".txt", text), "--split", "80,10,10", "--out", self.path(name), "-q")
        return self.path(name)


def same_files(a, b):
    with open(a, "rb") as x, open(b, "rb") as y:
        return x.read() == y.read()


def checkpoint_files(run, step):
    return [os.path.join(run, "ckpt", str(step), name) for name in ("model.safetensors", "state.safetensors")]


def steps(run):
    """Steps of the checkpoints of a run."""
    return sorted(int(name) for name in os.listdir(os.path.join(run, "ckpt")) if name.isdigit())


def log(run, name="log.jsonl"):
    with open(os.path.join(run, name)) as file:
        return [json.loads(line) for line in file]


def safetensors(tensors):
    """A file's bytes: {name: array}."""
    header, blocks, offset = {}, [], 0
    for name, array in tensors.items():
        data = np.asarray(array, order="C")
        header[name] = {"dtype": {"float32": "F32", "float64": "F64"}[data.dtype.name], "shape": list(data.shape), "data_offsets": [offset, offset + data.nbytes]}
        blocks.append(data.tobytes())
        offset += data.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(blocks)


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    kinds = {"F32": np.float32, "F64": np.float64}
    return {name: np.frombuffer(data, kinds[entry["dtype"]], offset=8 + size + entry["data_offsets"][0],
                                count=int(np.prod(entry["shape"], dtype=np.int64))).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def sentencepiece(pieces, **normalizer):
    """A SentencePiece model (unigram) as bytes: pieces [(text, score, type)], of which type 1 is text, 2 unknown, 3 control, 6 a byte; `add_dummy_prefix` and
    `remove_extra_whitespaces` are true, as in SentencePiece, unless given."""
    def varint(value):
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    def field(number, data):
        return varint(number << 3 | 2) + varint(len(data)) + data

    def flag(number, value):
        return varint(number << 3) + varint(int(value))

    body = b"".join(field(1, field(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + flag(3, kind)) for text, score, kind in pieces)
    trainer = flag(3, 1) + (flag(35, True) if any(kind == 6 for _, _, kind in pieces) else b"")
    rules = field(1, b"identity") + flag(3, normalizer.get("add_dummy_prefix", True)) + flag(4, normalizer.get("remove_extra_whitespaces", True))
    return body + field(2, trainer) + field(3, rules)
