#!/usr/bin/python3
"""The oracle checked against itself: golden cases to 1e-12, gradients by finite differences, optimisers against the plain
formulas at one step, published parameter counts."""
import math
import os
import sys
import unittest

import numpy as np

import bfm_reader
import compare
import draws
import generate_cases
import optimizers
import reference
import tape
import tensors

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden")
STDLIB = os.path.join(HERE, "..", "..", "stdlib")
EXAMPLES = os.path.join(HERE, "..", "..", "examples")


class Golden(unittest.TestCase):
    def test_all(self):
        names = [n for n in sorted(os.listdir(GOLDEN)) if os.path.isdir(os.path.join(GOLDEN, n))]
        self.assertGreaterEqual(len(names), 15)
        for name in names:
            with self.subTest(name):
                folder = os.path.join(GOLDEN, name)
                out, _ = reference.gradients(reference.load_model(os.path.join(folder, "model.bfm")),
                                             tensors.load(os.path.join(folder, "weights.safetensors")), np.load(os.path.join(folder, "tokens.npy")))
                _, bad = compare.differences(out, tensors.load(os.path.join(folder, "expected.safetensors")), 1e-12)
                self.assertEqual(bad, [])


class Differences(unittest.TestCase):
    """Every gradient along a random direction against a central difference of the loss."""

    def check(self, text, weights, tokens):
        model = bfm_reader.read(text)
        weights = {k: np.asarray(v, np.float64) for k, v in weights.items()}
        out, _ = reference.gradients(model, weights, tokens)
        size = max(np.abs(out[k]).max() for k in weights)
        rng = np.random.default_rng(0)
        for path in weights:
            direction = rng.standard_normal(weights[path].shape)
            slope = float((out[path] * direction).sum())
            measured = (self.loss(model, weights, path, direction, 1e-5, tokens) - self.loss(model, weights, path, direction, -1e-5, tokens)) / 2e-5
            self.assertLess(abs(slope - measured), 1e-6 * (abs(slope) + size), path)

    @staticmethod
    def loss(model, weights, path, direction, h, tokens):
        params = {k: tape.Var(v + h * direction if k == path else v) for k, v in weights.items()}
        _, ctx = reference.forward(model, params, tokens)
        return float(ctx.total_loss().value)

    def test_random_models(self):
        done = 0
        for i in range(40):
            text, weights, tokens, _, _ = generate_cases.draw_case(1000, i, "all")
            if len(weights) > 24 or "relu" in text or "reglu" in text or "act" not in text:
                continue  # small and smooth ones
            with self.subTest(i):
                self.check(text, weights, tokens)
            done += 1
        self.assertGreater(done, 3)

    def test_position_mixers(self):
        text = "model m { vocab = 11 context = 6 embed(d = 8) gmlp(hidden = 12) token_mixer(hidden = 10) rms_norm() head() }"
        model = bfm_reader.read(text)
        tokens = np.random.default_rng(3).integers(0, 11, (2, 6)).astype(np.int32)
        self.check(text, reference.make_weights(model, 5), tokens)

    def test_causal(self):
        text = "model m { vocab = 11 context = 6 embed(d = 8) gmlp(hidden = 12) token_mixer(hidden = 10) attention(heads = 2, head_dim = 4, conv = 3) head() }"
        model = bfm_reader.read(text)
        params = {k: tape.Var(v) for k, v in reference.make_weights(model, 5).items()}
        tokens = np.random.default_rng(3).integers(0, 11, (2, 7)).astype(np.int32)
        other = tokens.copy()
        other[:, 4:] = (other[:, 4:] + 1) % 11
        a, b = (reference.forward(model, params, t)[0].value for t in (tokens, other))
        self.assertTrue(np.array_equal(a[:, :4], b[:, :4]))
        self.assertFalse(np.allclose(a[:, 4:], b[:, 4:]))


class State(unittest.TestCase):
    def model(self, router):
        return bfm_reader.read("model m { vocab = 13 context = 6 embed(d = 8) attention(heads = 2, head_dim = 4) "
                               f"moe(experts = 3, hidden = 8, router = {router}) head() }}")

    def run_once(self, model, mode, **how):
        params = {k: tape.Var(v) for k, v in reference.make_weights(model, 2).items()}
        tokens = np.random.default_rng(1).integers(0, 13, (2, 7))
        return reference.forward(model, params, tokens, mode=mode, **how)

    def test_threshold_starts_at_the_first_value_and_then_moves(self):
        model, path = self.model("expert_threshold(decay = 0.9)"), "moe_0.router.c"
        c = self.run_once(model, "train")[1].nexts[path]
        again = self.run_once(model, "train", state={path: c + 1}, step=1)[1].nexts[path]
        np.testing.assert_allclose(again, 0.9 * (c + 1) + 0.1 * c)
        high, _ = self.run_once(model, "eval", state={path: c + 10})
        low, _ = self.run_once(model, "eval", state={path: c - 10})
        self.assertFalse(np.allclose(high.value, low.value))

    def test_loss_free_bias_follows_the_load(self):
        b = self.run_once(self.model("loss_free(k = 1, rate = 0.5)"), "train")[1].nexts["moe_0.router.b"]
        self.assertTrue(set(np.abs(b)) <= {0.0, 0.5})


class Draws(unittest.TestCase):
    def test_published_hashes(self):
        self.assertEqual(draws.xxh64(b""), 0xEF46DB3751D8E999)
        self.assertEqual(draws.xxh64(b"abc"), 0x44BC2CF5AD770999)
        self.assertEqual(draws.xxh64(b"Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1)

    def test_published_blocks(self):
        """The known answers of the Random123 distribution."""
        zeros, ones = draws.philox([[0]] * 4, (0, 0)), draws.philox([[0xFFFFFFFF]] * 4, (0xFFFFFFFF, 0xFFFFFFFF))
        self.assertEqual([int(w[0]) for w in zeros], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
        self.assertEqual([int(w[0]) for w in ones], [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD])


class Optimizers(unittest.TestCase):
    def test_first_steps(self):
        w, g = np.array([1.0, -2.0]), np.array([0.5, 0.25])
        np.testing.assert_allclose(optimizers.make("adamw(weight_decay = 0, eps = 0)").update(w, g, 0.1), w - 0.1 * np.sign(g))
        np.testing.assert_allclose(optimizers.make("lion()").update(w, g, 0.1), w - 0.1)
        np.testing.assert_allclose(optimizers.make("sgd(momentum = 0.9, weight_decay = 0.1)").update(w, g, 0.1), w - 0.1 * (g + 0.1 * w))
        for decay in ("adam", "power"):  # the first decay is 0 in both forms: the update is the sign, of RMS 1
            np.testing.assert_allclose(optimizers.make(f"adafactor(decay = {decay})").update(w, g, 0.1), w - 0.1 * np.sign(g))

    def test_adafactor_is_exact_on_rank_one_squares(self):
        g = np.outer([1.0, 2.0, -3.0], [0.5, -4.0])
        w = np.zeros((3, 2))
        np.testing.assert_allclose(optimizers.make("adafactor()").update(w, g, 1.0), -np.sign(g))

    def test_stacks_are_separate_matrices(self):
        one = optimizers.trajectory("adafactor(beta1 = 0.5, scale_parameter = true, clip = 0.5)", (2, 3, 4), 0.1, 5, 7)
        alone = optimizers.make("adafactor(beta1 = 0.5, scale_parameter = true, clip = 0.5)")
        w = one["w"][1]
        for s in range(5):
            w = alone.update(w, one["g"][s, 1], 0.1)
        np.testing.assert_allclose(w, one["expected"][-1, 1])

    def test_schedules(self):
        self.assertEqual(optimizers.inverse_sqrt(40_000), 0.5)
        self.assertEqual(optimizers.cosine(99, warmup=100, steps=1000), 1.0)
        self.assertAlmostEqual(optimizers.cosine(550, warmup=100, floor=0.1, steps=1001), 0.55)
        self.assertAlmostEqual(optimizers.linear(999, warmup=100, floor=0.1, steps=1000), 0.1)


class Counts(unittest.TestCase):
    """The table of published models: total and activated, without embeddings, gains and position tables."""
    TABLE = {"dense_0_1b": ("113.2", "113.2"), "dense_1_7b": ("1610.6", "1610.6"), "dense_8b": ("8589.9", "8589.9"),
             "glam_0_1b_32e": ("976.9", "127.5"), "glam_1_7b_64e": ("26778.0", "1813.5"), "glam_8b_64e": ("142811.9", "9667.9"),
             "brainformer_1_100m_32e": ("1928.6", "173.3"), "brainformer_1_1b_64e": ("29924.5", "1386.5"), "brainformer_1_8b_64e": ("159591.2", "7388.3")}

    def test_models(self):
        with open(os.path.join(STDLIB, "models.bfm"), encoding="utf-8") as f:
            text = f.read()
        for name, expected in self.TABLE.items():
            model = bfm_reader.read(text, name)
            total, active = counts(model)
            self.assertEqual((f"{total / 1e6:.1f}", f"{active / 1e6:.1f}"), expected, name)

    def test_every_file_reads(self):
        for folder in (STDLIB, EXAMPLES):
            for name in sorted(n for n in os.listdir(folder) if n.endswith(".bfm")):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    text = f.read()
                for definition in bfm_reader.parse(text).values():
                    if definition.kind == "model":
                        bfm_reader.read(text, definition.name)


def counts(model):
    size = {p: math.prod(shape) for p, (shape, _) in model.params.items() if p.rsplit(".", 1)[1] not in ("g", "b", "gq", "gk", "table", "relative")}
    total = active = sum(size.values())
    for line in lines_of(model.nodes):
        if line.kind == "moe":
            router, experts = line.attrs["router"], line.attrs["experts"]
            met = {"top1": 1, "top2": 2}.get(router.name) or router.get("k") or router.get("capacity", 1)
            active -= sum(size[p] * (1 - met / experts) for k, p in line.declared.items() if k in ("w_in", "w_gate", "w_out"))
    return total, float(active)


def lines_of(nodes):
    for node in nodes:
        if isinstance(node, bfm_reader.Line):
            yield node
        else:
            for body in ([node.body] if isinstance(node, bfm_reader.At) else node.branches):
                yield from lines_of(body)


if __name__ == "__main__":
    sys.path.insert(0, HERE)
    unittest.main()
