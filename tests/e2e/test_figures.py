"""Every figure is of what it says: evaluations, logs and metrics against values computed here, with NumPy, from the files alone."""
import ctypes
import json
import math
import os
import shutil
import struct
import sys
import unittest

import numpy as np

from harness import EXAMPLES, SOURCE, Case, bfmc, checkpoint_files, log, read_safetensors, safetensors

sys.path.insert(0, os.path.join(SOURCE, "tests", "optimizers"))
import batches  # which tokens a step sees

# Bigrams: the loss of a target depends on the token before it only, so that NumPy needs three lines for it.
BIGRAM = """use std.layers
use std.recipes

model bigram {
    vocab   = VOCAB
    context = CONTEXT
    embed(d = 8)
    head(tied = false)
}

recipe quick {
    optimizer = adamw(rate = 0.1)
    batch     = BATCH
    context   = CONTEXT
    steps     = 6
}
"""

T_975 = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060, 9: 2.2622, 10: 2.2281, 12: 2.1788, 15: 2.1314, 20: 2.0860,
         30: 2.0423, 60: 2.0003, 120: 1.9799}


def read_tokens(path):
    """(ids, first id of each document and the number of ids, bytes of source text) of a token file."""
    with open(path, "rb") as file:
        data = file.read()
    width, = struct.unpack_from("<I", data, 12)
    count, documents, source = struct.unpack_from("<3Q", data, 24)
    table, = struct.unpack_from("<Q", data, 64)
    return (np.frombuffer(data, "<u2" if width == 2 else "<i4", count, 128).astype(int), np.frombuffer(data, "<u8", documents + 1, table).astype(int), source)


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """(number, value) of a protocol buffer; values of fixed width are left out."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
            yield key >> 3, value
        elif key & 7 == 2:
            size, at = varint(data, at)
            yield key >> 3, data[at:at + size]
            at += size
        else:
            at += 4 if key & 7 == 5 else 8


def piece_bytes(path):
    """Bytes of text of each id of a SentencePiece model: fields 1 of it are the pieces, each with its text (1) and kind (3: 6 is a byte, 2 unknown, 3 control)."""
    sizes = []
    with open(path, "rb") as file:
        for number, value in fields(file.read()):
            if number == 1:
                piece = dict(fields(value))
                kind = piece.get(3, 1)
                sizes.append(1 if kind == 6 else 0 if kind == 3 else math.nan if kind == 2 else len(piece[1].decode().replace("\u2581", " ").encode()))
    return np.array(sizes, dtype=float)


def bigram_losses(weights, ids):
    """Nats of ids[1], ids[2], …"""
    x = math.sqrt(8) * weights["embed_0.table"].astype(float)[ids[:-1]]
    scores = x @ weights["head_0.w"].astype(float).T
    top = scores.max(axis=1, keepdims=True)
    return (top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))) - scores[np.arange(len(ids) - 1), ids[1:]]


class Figures(Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(EXAMPLES, "data", "shakespeare.txt")) as file:
            self.text = file.read(40000)

    def model(self, vocab=256, context=16, batch=4):
        return self.write("m.bfm", BIGRAM.replace("VOCAB", str(vocab)).replace("CONTEXT", str(context)).replace("BATCH", str(batch)))

    def pack_documents(self, documents, name="data", *options):
        source = self.write(name + ".txt", "@@".join(documents))
        self.ok("data", "pack", source, "--document-separator", "@@", "--split", "70,20,10", "--out", self.path(name), "-q", *options)
        return self.path(name)

    def documents(self, count, seed=1):
        """Of very different lengths."""
        rng = np.random.default_rng(seed)
        cuts = np.sort(rng.choice(np.arange(1, len(self.text)), count - 1, replace=False))
        return [self.text[a:b] for a, b in zip([0, *cuts], [*cuts, len(self.text)])]

    def expected(self, run, step, data, part, targets, sizes=None):
        weights = read_safetensors(checkpoint_files(run, step)[0])
        ids, starts, _ = read_tokens(os.path.join(data, part + ".tok"))
        ids = ids[:targets + 1] if targets else ids
        nats = bigram_losses(weights, ids)
        document = np.searchsorted(starts, np.arange(1, len(ids)), side="right") - 1
        found = np.unique(document)
        sums, counts = (np.array([array[document == d].sum() for d in found]) for array in (nats, np.ones(len(nats))))
        mean, n, size = nats.mean(), len(found), len(nats) if sizes is None else sizes[ids[1:]].sum()
        interval = None
        if n > 1:
            interval = math.sqrt(n / (n - 1) * ((sums - mean * counts) ** 2).sum()) / len(nats)
            interval *= T_975[n - 1] if n - 1 in T_975 else math.nan
        return {"tokens": len(nats), "documents": n, "bytes": size, "nats_per_token": mean, "interval": interval, "perplexity": math.exp(mean),
                "bits_per_byte": nats.sum() / size / math.log(2)}

    def agree(self, got, expected, tolerance=1e-4):
        for name, value in expected.items():
            if value is None:
                self.assertIsNone(got[name], name)
            elif not math.isnan(value):
                self.assertLessEqual(abs(got[name] - value), tolerance * abs(value), (name, got[name], value))

    def test_evaluations_are_of_the_first_targets(self):
        """Whatever batch and context; over documents of every length, with one of them and with many."""
        data = self.pack_documents(self.documents(30))
        ids, starts, _ = read_tokens(os.path.join(data, "valid.tok"))
        for context, batch in ((16, 4), (7, 3), (32, 50)):
            run = self.path(f"run{context}")
            self.ok("train", self.model(context=context, batch=batch), data, "--out", run, "--eval-every", "0", "-q")
            for targets in (1, context, context + 1, 97, int(starts[1]) - 1, int(starts[1]), int(starts[3]) + 5, 0, 10 ** 9):
                expected = self.expected(run, 6, data, "valid", min(targets, len(ids) - 1))
                self.agree(self.json("eval", run, data, "--eval-tokens", targets), expected)
            self.agree(self.json("eval", run, data, "--eval-tokens", "97", "--engine", "interp"), self.expected(run, 6, data, "valid", 97))
            self.agree(self.json("eval", run, data, "--part", "test", "--threads", "1"), self.expected(run, 6, data, "test", 0))
            self.agree(log(run, "eval.jsonl")[-1], self.expected(run, 6, data, "valid", min(32768, len(ids) - 1)))
        said = self.ok("eval", run, data, "--eval-tokens", "97").stdout
        self.assertIn("97 tokens of", said)
        self.assertIn("no interval", self.ok("eval", run, data, "--eval-tokens", "1").stdout)

    def test_few_documents_widen_the_interval(self):
        for count in (12, 55):
            data = self.pack_documents(self.documents(count, count), f"data{count}")
            run = self.path(f"run{count}")
            self.ok("train", self.model(), data, "--out", run, "--eval-every", "0", "-q")
            ids, starts, _ = read_tokens(os.path.join(data, "valid.tok"))
            for documents in range(1, len(starts)):
                expected = self.expected(run, 6, data, "valid", int(starts[documents]) - 1)
                self.assertEqual(expected["documents"], documents)
                self.agree(self.json("eval", run, data, "--eval-tokens", int(starts[documents]) - 1), expected)
                if documents > 6 and documents - 1 not in T_975:
                    break

    def test_losses_of_other_forms(self):
        """One that leaves targets out is over those that it counts; one that is no mean over targets has no interval, and every target still weighs alike."""
        head = """layer own_head(x[b, l, d]; vocab: count, tokens[b, l]: vocab, targets[b, l]: vocab) -> logits[b, l, vocab]  wiring = none {
    param w[vocab, d] ~ normal(0, d ^ -0.5)
    let logits[b, l, v] = sum[i] x[b, l, i] * w[v, i]
    let z[b, l]         = lse[v] logits[b, l, v]
    loss cross_entropy  = LOSS
    return logits
}
"""
        data, mean = self.pack_documents(self.documents(30)), "(mean[b, l{}] (z[b, l] - logits[b, l, targets[b, l]]))"
        ids, starts, _ = read_tokens(os.path.join(data, "valid.tok"))
        count = int(starts[3]) + 5
        for name, loss in (("some", mean.format(" | tokens[b, l] != 32")), ("parts", f"0.25 * {mean.format('')} + 0.75 * {mean.format('')}"),
                           ("written", "(sum[b, l] (z[b, l] - logits[b, l, targets[b, l]])) / (sum[b, l] exists(targets[b, l]))")):
            text = BIGRAM.replace("VOCAB", "256").replace("CONTEXT", "16").replace("BATCH", "3").replace("head(tied = false)", "own_head()")
            run = self.path(name)
            self.ok("train", self.write("m.bfm", text + head.replace("LOSS", loss)), data, "--out", run, "--eval-every", "0", "--eval-tokens", "100", "-q")
            weights = {key.replace("own_head", "head"): value for key, value in read_safetensors(checkpoint_files(run, 6)[0]).items()}
            nats = bigram_losses(weights, ids[:count + 1])
            counted = ids[:count] != 32 if name == "some" else np.ones(count, bool)
            for engine in ("jit", "interp"):
                got = self.json("eval", run, data, "--eval-tokens", count, "--engine", engine)
                self.agree(got, {"tokens": counted.sum(), "bytes": counted.sum(), "nats_per_token": nats[counted].mean()})
                self.assertEqual(got["interval"] is None, name == "parts", name)
                self.assertEqual(got["documents"], 4)

    def test_bits_per_byte_are_over_the_bytes_of_the_targets(self):
        """Tokens of several bytes, then of one byte each: the first half of a part has other bytes per token than the whole."""
        english = [self.text[i:i + 400].replace("\n\n", "\n") for i in range(0, 24000, 400)]
        other = ["".join(chr(0x4E00 + (7 * i + 131 * k) % 5000) if k % 5 else " " for k in range(100)) for i in range(60)]
        learnt = bfmc("data", "pack", self.write("learn.txt", self.text), "--tokenizer", "train:420", "--out", self.path("learn"), "-q")
        if learnt.returncode == 3 and "SentencePiece" in learnt.stderr:
            self.skipTest("built without SentencePiece")
        self.assertEqual(learnt.returncode, 0, learnt.stderr)
        data = self.pack_documents(english + other, "data", "--tokenizer", self.path("learn", "tokenizer.model"))
        run = self.path("run")
        self.ok("train", self.model(vocab=420), data, "--out", run, "--eval-every", "0", "--eval-tokens", "500", "-q")
        sizes = piece_bytes(os.path.join(data, "tokenizer.model"))
        ids, _, source = read_tokens(os.path.join(data, "valid.tok"))
        self.assertEqual(sizes[ids].sum(), source)
        for targets in (500, 1600, 0):
            self.agree(self.json("eval", run, data, "--eval-tokens", targets), self.expected(run, 6, data, "valid", targets, sizes))
        self.agree(log(run, "eval.jsonl")[-1], self.expected(run, 6, data, "valid", 500, sizes))


COUNTED = """use std.layers
use std.routers
use std.recipes

layer counted(x[b, l, d]; tokens[b, l]: 256) -> [b, l, d] {
    param a[d] = 0
    metric hits  = (sum[b, l] (tokens[b, l] == 101)) sum
    metric share = (mean[b, l] (tokens[b, l] == 101)) mean
    metric top   = (max[b, l] (select(tokens[b, l] > 115, tokens[b, l], 0))) max
    metric each[i in 0 ..< 4] = (sum[b, l] (tokens[b, l] == 101 + i)) sum
    metric odds  = hits / (1 + each[1]) mean
    return y[b, l, o] = a[o] * x[b, l, o]
}

model m {
    vocab   = 256
    context = 16
    embed(d = 8)
    counted()
    moe(experts = 3, hidden = 4, router = top2(capacity = 1, group = sequence))
    head(tied = false)
}

recipe r {
    optimizer  = sgd(rate = 1e-12)
    batch      = BATCH
    accumulate = PARTS
    context    = 16
    steps      = 100
    seed       = 7
}
"""


# A model whose scores grow with `step`: what it computes says which step it was given.
STEPPED = """use std.layers
use std.recipes

layer grow(x[b, l, d]) -> [b, l, d] {
    loss ramp = 0.001 * step
    return y[b, l, o] = x[b, l, o] * (1 + step)
}

model stepped {
    vocab   = 256
    context = 16
    embed(d = 8)
    grow() norm = none wiring = none
    head(tied = false)
}

recipe r {
    optimizer  = sgd(rate = 1e-30)
    batch      = BATCH
    accumulate = PARTS
    context    = 16
    steps      = 5
}
"""


class Steps(Case):
    """What is logged of a step is of all its micro-batches."""

    def test_metrics_of_a_step(self):
        data = self.pack()
        ids = read_tokens(os.path.join(data, "train.tok"))[0]
        records = {}
        for batch, parts in ((8, 1), (4, 2), (1, 8)):
            for engine in ("jit", "interp") if batch == 4 else ("jit",):
                run = self.path(f"run{parts}{engine}")
                self.ok("train", self.write("m.bfm", COUNTED.replace("BATCH", str(batch)).replace("PARTS", str(parts))), data, "--out", run, "--engine", engine, "--eval-every", "0",
                        "--eval-tokens", "16", *(("--budget", "50step") if engine == "interp" else ()), "-q")
                metrics, steps = log(run, "metrics.jsonl"), log(run)
                self.assertEqual([record["step"] for record in metrics], [50] if engine == "interp" else [50, 100])
                for record in metrics:
                    tokens = np.concatenate([batches.batch(ids, batch, 16, 7, (record["step"] - 1) * parts + micro)[:, :-1] for micro in range(parts)])
                    hits, following = (tokens == 101).sum(), (tokens == 102).sum()
                    self.assertEqual(tokens.size, 128)
                    self.assertEqual(record["counted_0.hits"], hits)
                    self.assertAlmostEqual(record["counted_0.share"], hits / tokens.size, places=6)
                    self.assertEqual(record["counted_0.top"], tokens.max())
                    self.assertEqual(record["counted_0.each"], [(tokens == 101 + i).sum() for i in range(4)])
                    self.assertAlmostEqual(record["counted_0.odds"], hits / (1 + following), places=5)
                    load = np.array(record["moe_0.load"])
                    self.assertAlmostEqual(record["moe_0.experts_per_token"], load.sum() / 128, places=6)
                    self.assertAlmostEqual(record["moe_0.router.dropped_assignments"], 1 - load.sum() / 256, places=6)
                    share = load / load.sum()
                    self.assertAlmostEqual(record["moe_0.load_entropy"], -(share[share > 0] * np.log(share[share > 0])).sum(), places=5)
                for record in steps:
                    self.assertEqual(record["tokens"], 128 * record["step"])
                records[parts, engine] = (metrics[0], steps[:50])
        first, begun = records[1, "jit"]
        for metrics, steps in records.values():  # the sequences of a step are the same however it is cut
            self.assertEqual(metrics["moe_0.load"], first["moe_0.load"])
            self.assertAlmostEqual(metrics["moe_0.load_entropy"], first["moe_0.load_entropy"], places=5)
            for a, b in zip(steps, begun):
                for name in ("loss", "cross_entropy", "gradient_norm"):
                    self.assertAlmostEqual(a[name], b[name], delta=1e-4 * b[name])

    def test_counters(self):
        """Of the whole training, resumptions included; `loss` is of the last step, `evaluation` says of which it is."""
        data, model = self.pack(), self.write("m.bfm", BIGRAM.replace("VOCAB", "256").replace("CONTEXT", "16").replace("BATCH", "3").replace("steps     = 6", "steps = 6  accumulate = 2"))
        run = self.path("run")
        report = self.json("train", model, data, "--out", run, "--budget", "2step")
        self.assertEqual((report["step"], report["tokens"], report["stopped"]), (2, 2 * 96, "budget"))
        self.assertEqual(report["evaluation"]["step"], 2)
        report = self.json("train", model, data, "--out", run, "--resume", "--budget", "0.0003Mtok")  # 300 tokens: the step that reaches them is finished
        self.assertEqual((report["step"], report["tokens"]), (4, 4 * 96))
        self.assertAlmostEqual(report["loss"], log(run)[-1]["loss"], places=6)
        report = self.json("train", model, data, "--out", run, "--resume", "--budget", "0.0003Mtok")
        self.assertEqual((report["step"], report["loss"]), (4, None))
        flops = self.json("check", model, "--batch", "3", "--length", "16")["models"][0]["work"]["forward_flops"]
        for steps in (1, 3):  # three times a forward pass, for each micro-batch
            report = self.json("train", model, data, "--out", self.path(f"flops{steps}"), "--budget", f"{3 * flops * 2 * (steps - 0.5):.0f}flop")
            self.assertEqual(report["step"], steps)
        with open(os.path.join(run, "ckpt", "4", "meta.json")) as file:
            meta = json.load(file)
        self.assertEqual((meta["step"], meta["position"], meta["tokens"]), (4, 8, 384))
        self.assertAlmostEqual(meta["seconds"], log(run)[-1]["seconds"], places=6)
        self.assertEqual(sorted(record["seconds"] for record in log(run)), [record["seconds"] for record in log(run)])

    def test_step_counts_updates(self):
        """The model's input `step`: updates done, whatever a step is made of, in training, evaluation, generation and after a resume."""
        data = self.pack()
        for parts in (1, 3):
            for engine in ("jit", "interp"):
                model, run = self.write("m.bfm", STEPPED.replace("BATCH", str(6 // parts)).replace("PARTS", str(parts))), self.path(f"run{parts}{engine}")
                self.ok("train", model, data, "--out", run, "--engine", engine, "--eval-every", "2", "--budget", "3step", "-q")
                self.ok("train", model, data, "--out", run, "--engine", engine, "--eval-every", "2", "--resume", "-q")
                for record in log(run):
                    self.assertAlmostEqual(record["loss"] - record["cross_entropy"], 0.001 * (record["step"] - 1), places=5)
                ids = read_tokens(os.path.join(data, "valid.tok"))[0]
                tensors = {name: value.astype(float) for name, value in read_safetensors(os.path.join(run, "ckpt", "5", "model.safetensors")).items()}
                table, norm = tensors["embed_0.table"] * math.sqrt(8), tensors.get("head_0.norm.g")
                self.assertIsNone(norm)
                targets = min(len(ids) - 1, 32768)

                def nats(step):
                    scores = table[ids[:targets]] * (1 + step) @ tensors["head_0.w"].T
                    scores -= scores.max(axis=1, keepdims=True)
                    return (np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(targets), ids[1:targets + 1]]).mean()

                evaluations = log(run, "eval.jsonl")
                self.assertEqual([record["step"] for record in evaluations], [2, 3, 4, 5])
                for record in evaluations:
                    self.assertAlmostEqual(record["nats_per_token"], nats(record["step"]), places=4)
                self.assertAlmostEqual(self.json("eval", run, data)["nats_per_token"], nats(5), places=4)
                self.ok("generate", run, "-n", "30", "--verify")

    def test_no_evaluation_without_a_step(self):
        data, model, run = self.pack(), self.write("m.bfm", BIGRAM.replace("VOCAB", "256").replace("CONTEXT", "16").replace("BATCH", "3")), self.path("run")
        report = self.json("train", model, data, "--out", run, "--budget", "1e-9s")
        self.assertEqual((report["step"], "evaluation" in report, log(run, "eval.jsonl")), (0, False, []))
        self.ok("train", model, data, "--out", run, "--resume", "--budget", "2step", "-q")
        self.ok("train", model, data, "--out", run, "--resume", "--budget", "2step", "-q")
        self.assertEqual([record["step"] for record in log(run, "eval.jsonl")], [2])

    def test_generated(self):
        data, run = self.pack(), self.path("run")
        self.ok("train", self.write("m.bfm", BIGRAM.replace("VOCAB", "256").replace("CONTEXT", "16").replace("BATCH", "3")), data, "--out", run, "-q")
        report = self.json("generate", run, "-n", "40")
        self.assertEqual((report["tokens"], len(report["text"])), (40, 40))
        self.assertGreater(report["tokens_per_second"], 0)
        self.assertGreater(report["seconds_to_first"], 0)
        self.assertIsNone(self.json("generate", run, "-n", "1")["tokens_per_second"])
        self.assertIsNone(self.json("generate", run, "-n", "0")["seconds_to_first"])


class Bad(Case):
    """Numbers that are not finite are never kept, never used, and named as the user knows them."""
    TINY = """use std.layers
use std.recipes

model tiny {
    vocab   = 256
    context = 16
    embed(d = 16)
    ffn(hidden = 32)
    rms_norm()
    head(tied = false)
}

recipe r {
    optimizer = OPTIMIZER
    batch     = 2
    context   = 16
    steps     = 3
}
"""

    def setUp(self):
        super().setUp()
        self.data = self.pack()

    def model(self, optimizer="adamw(rate = 0.003)"):
        return self.write("m.bfm", self.TINY.replace("OPTIMIZER", optimizer))

    def finite(self, run):
        steps = os.listdir(os.path.join(run, "ckpt"))
        for step in steps:
            for name in checkpoint_files(run, step):
                self.assertTrue(all(np.isfinite(value).all() for value in read_safetensors(name).values()), name)
        return sorted(map(int, steps))

    def test_an_update_that_is_not_finite(self):
        """eps = 0: rows of the table without a gradient become 0/0, while loss and gradients are finite."""
        model = self.model("adamw(rate = 0.003, eps = 0)")
        for engine in ("jit", "interp"):
            for options in ((), ("--checkpoint-every", "1", "--keep", "1"), ("--set", "r.steps=1"), ("--budget", "1step"), ("--eval-every", "1", "--checkpoint-every", "0")):
                run = self.path(f"{engine}{len(os.listdir(self.folder))}")
                self.fails(1, ["embed_0.table", "nan at [", "step 0"], "train", model, self.data, "--out", run, "--engine", engine, "-q", *options)
                self.assertEqual(self.finite(run), [0])
                self.ok("eval", run, self.data)
                self.fails(1, "embed_0.table", "train", model, self.data, "--out", run, "--resume", "-q", "--engine", engine, *options)

    def test_a_state_that_is_not_finite(self):
        model = self.write("m.bfm", self.TINY.replace("OPTIMIZER", "odd(rate = 0.001)") + """
optimizer odd(w[], g[]; rate: real) {
    state s = 1e30
    next s  = s * s
    return w - rate * g
}
""")
        self.fails(1, ["the optimiser's state", ".s`", "inf at"], "train", model, self.data, "--out", self.path("run"), "-q")
        self.assertEqual(self.finite(self.path("run")), [0])

    def test_a_layers_state_that_is_not_finite(self):
        layer = """layer odd(x[b, l, d]) -> [b, l, d] {
    state c[d] = 1e20
    next c[d]  = c[d] * c[d]
    return y[b, l, o] = x[b, l, o]
}
"""
        model = self.write("m.bfm", self.TINY.replace("OPTIMIZER", "sgd(rate = 0.1)").replace("ffn(hidden = 32)", "odd()") + layer)
        for options in ((), ("--checkpoint-every", "1", "--keep", "1")):
            run = self.path(f"run{len(options)}")
            self.fails(1, ["the state `odd_0.c` is inf at [0]"], "train", model, self.data, "--out", run, "-q", *options)
            self.assertEqual(self.finite(run), [0])

    def test_checkpoints_with_such_numbers_are_refused(self):
        """As an earlier version could write them: eval, generate and --resume name the file, the tensor and the element."""
        run, model = self.path("run"), self.model()
        self.ok("train", model, self.data, "--out", run, "-q")
        hashes = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
        hashes.argtypes, hashes.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_uint64
        for number, tensor in ((0, "ffn_0.w_in"), (1, "optimizer/ffn_0.w_in.root")):
            bad = self.path(f"bad{number}")
            shutil.copytree(run, bad)
            path = checkpoint_files(bad, 3)[number]
            tensors = {name: value.copy() for name, value in read_safetensors(path).items()}
            tensors[tensor].reshape(-1)[-1] = np.nan
            data = safetensors(tensors)
            self.write(path, data)
            meta = os.path.join(bad, "ckpt", "3", "meta.json")
            with open(meta) as file:
                values = json.load(file)
            values["files"][os.path.basename(path)] = f"{hashes(data, len(data)):016x}"
            self.write(meta, json.dumps(values))
            says = [path, tensor, "nan at ["]
            self.fails(1, says, "train", model, self.data, "--out", bad, "--resume", "-q")
            if number == 0:
                self.fails(1, says, "eval", bad, self.data)
                self.fails(1, says, "generate", bad, "-n", "4")
                self.fails(1, says, "train", model, self.data, "--init", os.path.join(bad, "ckpt", "3"), "--out", self.path("next"), "-q")

    def test_initial_values(self):
        layer = "layer odd(x[b, l, d]) -> [b, l, d] {\n    param q[d] = 1e39\n    return y[b, l, o] = x[b, l, o] * q[o]\n}\n"
        model = self.write("m.bfm", self.TINY.replace("OPTIMIZER", "sgd(rate = 0.1)").replace("ffn(hidden = 32)", "odd()") + layer)
        self.fails(1, ["odd_0.q", "inf at [0]"], "train", model, self.data, "--out", self.path("run"), "-q")
        self.fails(1, ["odd_0.q", "inf at [0]"], "build", model, "-o", self.path("lib.so"))
        self.assertFalse(os.path.exists(self.path("run")))

    def test_initial_values_that_a_build_draws(self):
        """A linked program draws with any seed: none may give a number that f32 cannot hold."""
        layer = "layer odd(x[b, l, d]) -> [b, l, d] {\n    param q[d] ~ normal(%s)\n    return y[b, l, o] = x[b, l, o] * q[o]\n}\n"
        for values, fits in (("0, 1e39", False), ("0, 1e38", False), ("3.4e38, 1e37", False), ("0, 1e36", True), ("1e38, 1", True)):
            model = self.write("m.bfm", self.TINY.replace("OPTIMIZER", "sgd(rate = 0.1)").replace("ffn(hidden = 32)", "odd()") + layer % values)
            if fits:
                self.ok("build", model, "-o", self.path("lib.so"), "--emit", "header")
            else:
                self.fails(1, ["odd_0.q", "normal", "f32"], "build", model, "-o", self.path("lib.so"))

    def test_a_line_is_named(self):
        layer = "layer root(x[b, l, d]) -> [b, l, d] {\n    return y[b, l, o] = (x[b, l, o] - 1e4) ^ 0.5\n}\n"
        model = self.write("m.bfm", self.TINY.replace("OPTIMIZER", "sgd(rate = 0.1)").replace("ffn(hidden = 32)", "root()") + layer)
        for engine in ("jit", "interp"):
            self.fails(1, ["`root_0`", "m.bfm:8"], "train", model, self.data, "--out", self.path(engine), "--engine", engine, "-q")
            self.fails(1, ["`root_0`", "model.bfm:"], "eval", self.path(engine), self.data, "--engine", engine)

    def test_files_with_such_numbers_are_refused(self):
        run, model = self.path("run"), self.model()
        self.ok("train", model, self.data, "--out", run, "-q")
        path, state = checkpoint_files(run, 3)
        weights = read_safetensors(path)
        tokens = self.write("t.npy", b"")
        np.save(tokens, np.zeros((1, 9), np.int32))
        for value, says in ((np.nan, "nan at [2, 5]"), (np.inf, "inf at [2, 5]"), (-np.inf, "-inf at [2, 5]"), (1e300, "F32")):
            bad = {name: array.astype(np.float64) for name, array in weights.items()}
            bad["ffn_0.w_in"][2, 5] = value
            file = self.write("bad.safetensors", safetensors(bad))
            self.fails(1, ["ffn_0.w_in", says], "train", model, self.data, "--init", file, "--out", self.path("next"), "-q")
            self.assertFalse(os.path.exists(self.path("next")))
            self.fails(1, ["ffn_0.w_in", says], "grad", model, "--weights", file, "--tokens", tokens, "--out", self.path("g.safetensors"))

    def test_a_held_out_loss_that_is_not_finite(self):
        """Of tokens that training never sees: the parameters are finite, the loss of the part is not."""
        layer = """layer odd(x[b, l, d]; tokens[b, l]: 256) -> [b, l, d] {
    return y[b, l, o] = x[b, l, o] / select(tokens[b, l] == 122, 0, 1)
}
"""
        model = self.write("m.bfm", self.TINY.replace("OPTIMIZER", "sgd(rate = 0.1)").replace("ffn(hidden = 32)", "odd()") + layer)
        text = self.write("z.txt", "@@".join(["abcdefgh" * 40 + str(i) for i in range(30)] + ["zz zz zz" * 60]))
        for seed in range(20):
            self.ok("data", "pack", text, "--document-separator", "@@", "--split", "50,50", "--seed", seed, "--out", self.path("z"), "-q")
            if 122 in read_tokens(self.path("z", "valid.tok"))[0]:
                break
        self.assertNotIn(122, read_tokens(self.path("z", "train.tok"))[0])
        self.fails(1, ["odd_0", "held-out"], "train", model, self.path("z"), "--out", self.path("run"), "-q")
        self.assertEqual(self.finite(self.path("run"))[-1], 3)
        self.fails(1, ["loss", "odd_0"], "eval", self.path("run"), self.path("z"))


if __name__ == "__main__":
    unittest.main()
