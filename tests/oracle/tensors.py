"""Reading and writing of safetensors and npy files with nothing but NumPy."""
import json
import struct

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
NAMES = {np.dtype(v): k for k, v in DTYPES.items()}


def load(path):
    """{name: array} of a safetensors file."""
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        body = f.read()
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        lo, hi = entry["data_offsets"]
        out[name] = np.frombuffer(body[lo:hi], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def save(path, arrays, metadata=None):
    """Tensors in the order of their names, their bytes one after another; metadata is a table of texts."""
    header, parts, at = {"__metadata__": metadata} if metadata else {}, [], 0
    for name in sorted(arrays):
        a = np.asarray(arrays[name])
        raw = a.tobytes()  # C order, whatever the layout in memory
        header[name] = {"dtype": NAMES[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
