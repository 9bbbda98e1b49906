"""docs/howto-new-layer.md as written: its files, its commands, what they print. Then what it defines against NumPy, and the other layers of examples/howto."""
import os
import re
import shutil
import subprocess
import sys
import unittest

import numpy as np

from harness import BFMC, EXAMPLES, SOURCE, Case, log, read_safetensors, safetensors

sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
import tape  # reverse mode over NumPy arrays: shares nothing with bfmc

PAGE = os.path.join(SOURCE, "docs", "howto-new-layer.md")
FILES = os.path.join(EXAMPLES, "howto")
UPDATE = bool(os.environ.get("BFM_UPDATE"))
FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.S | re.M)


def about(text):
    """Numbers and the space before them left out: what a machine or a run may change."""
    text = re.sub(r"(?<![\w.])-?\d[\d.,]*(e[-+]?\d+)?(?= )( ?[KMGTm]?(B|s|flop|FLOP|GFLOP)?(?=\b))?", "#", text)
    return re.sub(r"[ \d.#eE+-]+", " ", text)


class Page(Case):
    """```bfm NAME is a file (of examples/howto, if it has one of the name), ```console a session: `$ ` before commands, then what they print.
    `fails`: with exit code 1; `about`: numbers may differ. BFM_UPDATE=1 writes files and outputs into the page."""

    def run_command(self, command, fails):
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, errors="replace", timeout=300,
                              env={**os.environ, "NO_COLOR": "1", "PATH": self.folder + os.pathsep + os.environ["PATH"]})
        self.assertEqual(done.returncode, 1 if fails else 0, f"{command}\n{done.stdout}{done.stderr}")
        return (done.stdout + done.stderr).strip("\n")

    def session(self, kind, text):
        commands, printed = [], []
        for line in text.splitlines():
            if line.startswith("$ "):
                commands.append(line[2:])
                printed.append([])
            else:
                printed[-1].append(line)
        result = ""
        for command, expected in zip(commands, printed):
            output = self.run_command(command, kind == "fails" and command == commands[-1])
            shown = "\n".join(expected)
            if not UPDATE:
                self.assertEqual(*(about(x) if kind == "about" else x for x in (shown, output)), msg=command)
            result += f"$ {command}\n" + (output + "\n" if output else "")
        return result

    def test_page(self):
        os.symlink(EXAMPLES, self.path("examples"))
        os.symlink(BFMC, self.path("bfmc"))
        with open(PAGE) as file:
            page = file.read()

        def block(match):
            language, what, text = match.groups()
            if language == "bfm":
                shipped = os.path.join(FILES, what)
                if os.path.exists(shipped):
                    with open(shipped) as file:
                        original = file.read()
                    text = original if UPDATE else text
                    self.assertEqual(text, original, what)
                self.write(what, text)
                self.ok("fmt", "--check", self.path(what))
            elif language == "console":
                text = self.session(what, text)
            return f"```{language}{' ' if what else ''}{what}\n{text}```"

        written = FENCE.sub(block, page)
        if UPDATE:
            with open(PAGE, "w") as file:
                file.write(written)
        self.assertGreater(page.count("```console"), 15)


# ---- what the page defines, written again in NumPy ----


def rms(x, g):
    return x * tape.power(tape.mean(x * x, -1, keepdims=True) + 1e-6, -0.5) * g


def gla(x, p, heads, head_dim):
    b, length, _ = x.shape
    q, k, v = (tape.reshape(tape.einsum("bli,io->blo", x, p[name]), (b, length, heads, head_dim)) for name in ("wq", "wk", "wv"))
    a = tape.sigmoid(tape.einsum("bli,ih->blh", x, p["wa"]) + 3.0)
    state, rows = np.zeros((b, heads, head_dim, head_dim)), []
    for t in range(length):
        key, value = tape.reshape(k[:, t], (b, heads, head_dim, 1)), tape.reshape(v[:, t], (b, heads, 1, head_dim))
        state = tape.var(state) * tape.reshape(a[:, t], (b, heads, 1, 1)) + key * value
        rows.append(tape.reshape(tape.total(state * tape.reshape(q[:, t], (b, heads, head_dim, 1)), 2), (b, 1, heads * head_dim)))
    return tape.einsum("blo,oc->blc", tape.concat(rows, 1) * head_dim ** -0.5, p["wo"])


def cosine_mixture(x, p, experts, k):
    """The mixture and its balance loss; groups are sequences."""
    u = tape.einsum("bti,ic->btc", x, p["router.down"])
    unit = u * tape.power(tape.total(u * u, -1, keepdims=True) + 1e-12, -0.5)
    centre = p["router.centre"]
    centre = centre * tape.power(tape.total(centre * centre, -1, keepdims=True) + 1e-12, -0.5)
    scores = tape.softmax(tape.einsum("btc,ec->bte", unit, centre) * tape.exp(-p["router.log_temperature"]), -1)
    best = np.argsort(-scores.value, axis=-1, kind="stable")[..., :k]
    chosen = np.zeros(scores.shape)
    np.put_along_axis(chosen, best, 1.0, -1)
    gates = scores * chosen / tape.total(scores * chosen, -1, keepdims=True)
    y = 0.0
    for e in range(experts):
        h = tape.einsum("bti,if->btf", x, p["w_in"][e])
        h = 0.5 * h * (1 + tape.erf(h * 0.5 ** 0.5))
        y = y + tape.einsum("btf,fo->bto", h, p["w_out"][e]) * gates[:, :, e:e + 1]
    balance = 0.01 * experts * tape.mean(tape.total(tape.mean(scores, 1) * (chosen.mean(1) / k), -1))
    return y, balance


class Numbers(Case):
    def setUp(self):
        super().setUp()
        for name in os.listdir(FILES):
            shutil.copy(os.path.join(FILES, name), self.path(name))

    def test_layer_and_router(self):
        """Loss, logits and gradients of the page's model, f64: 1e-10."""
        rng = np.random.default_rng(7)
        d, vocab, heads, head_dim, hidden, experts, dim = 24, 31, 3, 5, 20, 5, 6
        sets = ["--set", f"mixed.vocab={vocab}", "--set", f"embed_0.d={d}", "--set", f"gla_0.heads={heads}", "--set", f"gla_0.head_dim={head_dim}",
                "--set", f"moe_0.hidden={hidden}", "--set", f"moe_0.experts={experts}", "--set", f"moe_0.router.dim={dim}"]
        shapes = {"embed_0.table": (vocab, d), "rms_norm_0.g": (d,)}
        for r in range(2):
            shapes |= {f"gla_0[{r}].{n}": s for n, s in {"norm.g": (d,), "wq": (d, heads * head_dim), "wk": (d, heads * head_dim), "wv": (d, heads * head_dim),
                                                         "wa": (d, heads), "wo": (heads * head_dim, d)}.items()}
            shapes |= {f"moe_0[{r}].{n}": s for n, s in {"norm.g": (d,), "router.down": (d, dim), "router.centre": (experts, dim), "router.log_temperature": (),
                                                         "w_in": (experts, d, hidden), "w_out": (experts, hidden, d)}.items()}
        weights = {name: 0.4 * rng.standard_normal(shape) for name, shape in shapes.items()}
        tokens = rng.integers(0, vocab, (3, 12)).astype(np.int32)
        np.save(self.path("t.npy"), tokens)
        self.ok("grad", self.path("mixed.bfm"), "--weights", self.write("w.safetensors", safetensors(weights)), "--tokens", self.path("t.npy"), "--engine", "interp",
                "--out", self.path("g.safetensors"), *sets)
        got = read_safetensors(self.path("g.safetensors"))

        p = {name: tape.Var(value) for name, value in weights.items()}
        at = lambda scope: {name[len(scope) + 1:]: value for name, value in p.items() if name.startswith(scope + ".")}
        x, losses = p["embed_0.table"][tokens[:, :-1]] * d ** 0.5, 0.0
        for r in range(2):
            own = at(f"gla_0[{r}]")
            x = x + gla(rms(x, own["norm.g"]), own, heads, head_dim)
            own = at(f"moe_0[{r}]")
            y, balance = cosine_mixture(rms(x, own["norm.g"]), own, experts, 2)
            x, losses = x + y, losses + balance
        logits = tape.einsum("bli,vi->blv", rms(x, p["rms_norm_0.g"]), p["embed_0.table"])
        hit = np.zeros(logits.shape)
        np.put_along_axis(hit, tokens[:, 1:, None].astype(np.int64), 1.0, -1)
        entropy = tape.mean(tape.logsumexp(logits, -1)) - tape.mean(tape.total(logits * hit, -1))
        loss = entropy + losses
        tape.backward(loss)
        expected = {"loss": loss.value, "cross_entropy": entropy.value, "logits": logits.value, **{name: value.grad for name, value in p.items()}}
        self.assertEqual(set(got), set(expected))
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], np.reshape(value, got[name].shape), rtol=1e-10, atol=1e-10 * max(1, np.abs(value).max()), err_msg=name)

    def test_optimiser(self):
        """Weights after every step of the page's recipe, with its schedule and clipping, f64: 1e-10."""
        rng = np.random.default_rng(8)
        shapes, steps = {"matrix": (3, 5), "row": (1, 7), "vector": (4,), "scalar": (), "experts": (2, 3, 4)}, 9
        weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        gradients = {name: rng.standard_normal((steps, *shape)) * np.reshape(0.02 * np.arange(1, steps + 1), (-1, *[1] * len(shape))) for name, shape in shapes.items()}
        self.ok("update", self.path("mixed.bfm"), "--recipe", "short", "--weights", self.write("w.safetensors", safetensors(weights)),
                "--gradients", self.write("g.safetensors", safetensors(gradients)), "--engine", "interp", "--out", self.path("o.safetensors"))
        got = read_safetensors(self.path("o.safetensors"))
        moment = {name: np.zeros(shape) for name, shape in shapes.items()}
        for t in range(steps):
            norm = np.sqrt(sum((g[t] ** 2).sum() for g in gradients.values()))
            factor = min(1, (t + 1) / 5) * (1 - 0.9 * min(1, max(0, t - 5) / 54))
            for name in shapes:
                moment[name] = 0.9 * moment[name] + (1 - 0.9) * gradients[name][t] * min(1, 1 / norm)
                weights[name] = weights[name] - 0.001 * factor * np.sign(moment[name])
                np.testing.assert_allclose(got[name][t], weights[name], rtol=1e-10, atol=1e-12, err_msg=f"{name} after step {t}")
        for name in shapes:
            np.testing.assert_allclose(got[f"optimizer/{name}.m"].ravel(), moment[name].ravel(), rtol=1e-10, atol=1e-12)

    def test_leak_is_refused(self):
        """The page's leaky variant: trained, but no text from it, and the way of the future is told."""
        with open(os.path.join(FILES, "gla.bfm")) as file:
            text = file.read()
        self.write("gla.bfm", text.replace("v[b, l, h, f] = sum[i] x[b, l, i]", "v[b, l, h, f] = sum[i, s in 0 ..< 2 | l + s < size(l)] x[b, l + s, i]"))
        self.ok("train", self.path("mixed.bfm"), self.pack(), "--out", self.path("run"), "--set", "short.steps=5", "-q")
        self.fails(1, ["reads the future", "S reads v"], "generate", self.path("run"), "-n", "5")


# ---- the other layers ----

SHAPES = """use std.layers
use std.recipes
use more_layers

model m {
    vocab   = 256
    context = 32
    embed(d = 32)
    LINE
    ffn(hidden = 32) norm = max_norm wiring = half
    rms_norm()
    smooth_head()
}

recipe r {
    optimizer = adamw(rate = 0.003)
    batch     = 4
    steps     = 4
}
"""

LINES = ["selective()", "window()", "mixture_of_heads()", "centred()", "depthwise()", "retention()", "retention_recurrent()",
         "attention(heads = 2, head_dim = 16, position = none, score = capped)"]


class Shapes(Case):
    def grad(self, engine, model="m.bfm", weights="w.safetensors"):
        self.ok("grad", self.path(model), "--weights", self.path(weights), "--tokens", self.path("t.npy"), "--engine", engine, "--out", self.path("g.safetensors"))
        return read_safetensors(self.path("g.safetensors"))

    def test_every_layer(self):
        """Derivatives against differences, compiled against interpreted, trained, decoded bit for bit."""
        shutil.copy(os.path.join(FILES, "more_layers.bfm"), self.path("more_layers.bfm"))
        self.ok("check", self.path("more_layers.bfm") + ":all", "--gradients")
        np.save(self.path("t.npy"), np.random.default_rng(0).integers(0, 256, (2, 19)).astype(np.int32))
        data, gradients = self.pack(), {}
        for line in LINES:
            run = self.path("run_" + line.split("(")[0])
            with self.subTest(line):
                model = self.write("m.bfm", SHAPES.replace("LINE", line))
                report = self.json("check", model, "--gradients", "--length", "6", "--explain-schedule")["models"][0]
                self.assertEqual([note["line"] for note in report["schedule"]["stored"] if note["slow"]], ["smooth_head_0"])  # its mean keeps scores from being streamed
                self.assertEqual([row for row in report["gradients"] if not row["agrees"]], [])
                self.ok("train", model, data, "--out", run, "-q")
                self.assertLess(log(run)[-1]["loss"], log(run)[0]["loss"])
                self.assertIn("agree in every bit", self.ok("generate", run, "-n", "40", "--verify").stderr)
                weights = os.path.join(run, "ckpt", "4", "model.safetensors")
                wide, narrow = (self.grad(engine, weights=weights) for engine in ("interp", "jit"))
                for name in wide:
                    np.testing.assert_allclose(narrow[name], wide[name], rtol=1e-4, atol=3e-4 * max(1e-3, np.abs(wide[name]).max()), err_msg=name)
        self.ok("train", self.write("m.bfm", SHAPES.replace("LINE", "retention()")), data, "--out", self.path("run"), "--budget", "1step", "-q")
        weights = read_safetensors(self.path("run", "ckpt", "1", "model.safetensors"))
        for name in ("retention", "retention_recurrent"):
            self.write("m.bfm", SHAPES.replace("LINE", f"mix: {name}()"))
            self.write("w.safetensors", safetensors({key.replace("retention_0", "mix"): value for key, value in weights.items()}))
            gradients[name] = self.grad("interp")
        for name, value in gradients["retention"].items():
            np.testing.assert_allclose(gradients["retention_recurrent"][name], value, rtol=1e-9, atol=1e-12 + 1e-10 * np.abs(value).max(), err_msg=name)

    def test_many_at_once(self):
        """Further shapes in one model: shapes.bfm. Quantisation hides its choice from the derivative, so differences see more than it does."""
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes.bfm"), self.path("m.bfm"))
        self.ok("fmt", "--check", self.path("m.bfm"))
        self.ok("check", self.path("m.bfm") + ":smooth", "--gradients", "--length", "6")
        report = self.json("check", self.path("m.bfm") + ":quantised", "--gradients", "--length", "6")["models"][0]
        self.assertIn(True, [row["by_intention"] for row in report["gradients"]])
        self.assertRegex(self.ok("check", self.path("m.bfm"), "--explain-schedule").stdout, r"everything_0 .* stream 4, .*stream backward 4")  # sink, differential, latent, slots
        self.ok("train", self.path("m.bfm"), self.pack(), "--out", self.path("run"), "-q")
        self.assertIn("agree in every bit", self.ok("generate", self.path("run"), "-n", "40", "--verify").stderr)
        np.save(self.path("t.npy"), np.random.default_rng(0).integers(0, 256, (2, 19)).astype(np.int32))
        weights = os.path.join(self.path("run"), "ckpt", "4", "model.safetensors")
        wide, narrow = (self.grad(engine, weights=weights) for engine in ("interp", "jit"))
        for name in wide:
            np.testing.assert_allclose(narrow[name], wide[name], rtol=1e-4, atol=3e-4 * max(1e-3, np.abs(wide[name]).max()), err_msg=name)


if __name__ == "__main__":
    unittest.main()
