#!/usr/bin/python3
"""The oracle's `grad`: loss, cross-entropy, logits and every gradient of a model, in float64.

    reference.py MODEL.bfm[:NAME] --weights W.safetensors --tokens T.npy --out G.safetensors
    reference.py MODEL.bfm[:NAME] --make-weights SEED --weights W.safetensors      writes weights to check with
    reference.py MODEL.bfm[:NAME] --parameters                                     lists paths, shapes and their total

The output is that of `bfmc grad`. Made weights are not the library's initial values: gains, biases and taps are perturbed
too, so that nothing is hidden behind a factor of one.
"""
import argparse
import sys
import zlib

import numpy as np

import bfm_reader
import draws
import layers
import tape
import tensors


class Context:
    """What a pass carries beside the stream: tokens, targets, losses, router state, and the margins of its decisions.

    Negative targets and segments are `none`: masked. States, losses and metrics are kept under their full paths; the second use of a line
    in `repeat … shared` adds `[1]`.
    """

    def __init__(self, tokens, targets, context, mode="train", state=None, seed=1, step=0, segment=None):
        self.tokens, self.targets, self.segment, self.context, self.mode = tokens, targets, segment, context, mode
        self.cross_entropy = None
        self.losses, self.metrics, self.nexts = {}, {}, {}
        self.states = state or {}
        self.smallest_margin = self.smallest_kink = np.inf
        self.seed, self.step = seed, step
        self.uses, self.use = {}, ""
        self.path = ""

    def line(self, path):
        """Losses, metrics, states and draws belong to the line at `path`, from here on."""
        number = self.uses.get(path, 0)
        self.uses[path] = number + 1
        self.use = f"[{number}]" if number else ""
        self.path = path

    def enter(self, path):
        """A definition within the line."""
        self.path = path

    def named(self, table, name, value):
        table[f"{self.path}.{name}{self.use}"] = value

    def loss(self, name, value):
        self.named(self.losses, name, value)

    def metric(self, name, value):
        self.named(self.metrics, name, np.asarray(value, np.float64))

    def state(self, name, absent):
        return self.states.get(f"{self.path}.{name}{self.use}", absent)

    def next(self, name, value):
        self.named(self.nexts, name, np.asarray(value, np.float64))

    def draw(self, tag, shape):
        return draws.uniform(self.seed, self.path, tag, self.step, shape)

    def total_loss(self):
        parts = list(self.losses.values())
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def margin(self, gap):
        self.smallest_margin = min(self.smallest_margin, float(gap))

    def kink(self, values):
        """How near an argument of relu comes to 0, measured in the tensor's own size."""
        scale = np.sqrt(np.mean(values ** 2)) if values.size else 0
        if scale > 0:
            self.smallest_kink = min(self.smallest_kink, float(np.abs(values).min() / scale))


def local(declared, params, prefix=""):
    return {k[len(prefix):]: params[v] for k, v in declared.items() if k.startswith(prefix)}


def normed(x, norm, declared, params, role, ctx):
    if norm is None or norm.name == "none":
        return x
    layer = layers.LAYERS[norm.name]
    attrs = {**layer.attributes, **dict(norm.bound)}
    return layer.forward(x, local(declared, params, role + "."), attrs, ctx)


def wire(wiring, x, f, norm):
    if wiring == "none":
        return f(x)
    if wiring == "pre":
        return x + f(norm(x, "norm"))
    if wiring == "post":
        return norm(x + f(x), "norm")
    return x + norm(f(norm(x, "norm")), "post_norm")


def run(nodes, x, params, ctx):
    for node in nodes:
        def norm(t, role, node=node):
            return normed(t, node.norm, node.declared, params, role, ctx)
        if isinstance(node, bfm_reader.Line):
            def f(t, node=node):
                ctx.line(node.path)
                return layers.LAYERS[node.kind].forward(t, local(node.declared, params), node.attrs, ctx)
            x = wire(node.wiring, x, f, norm)
        elif isinstance(node, bfm_reader.Parallel):
            def branches(t, node=node):
                out = None
                for branch in node.branches:
                    y = run(branch, t, params, ctx)
                    out = y if out is None else out + y
                return out
            x = wire(node.wiring, x, branches, norm)
        else:
            inner = run(node.body, tape.einsum("bli,io->blo", x, params[node.declared["w_in"]]), params, ctx)
            x = x + tape.einsum("bli,io->blo", inner, params[node.declared["w_out"]])
    return x


def forward(model, params, tokens, **how):
    """(logits, context) for tokens [b, l + 1] or (inputs, targets); `params` are variables of the tape, `how` is Context's."""
    inputs, targets = tokens if isinstance(tokens, tuple) else (tokens[:, :-1], tokens[:, 1:])
    ctx = Context(inputs, targets, model.context, **how)
    return run(model.nodes, None, params, ctx), ctx


def gradients(model, weights, tokens, **how):
    """({tensor: value} as `bfmc grad` writes it, context)."""
    params = {}
    for path, (shape, _) in model.params.items():
        if path not in weights or tuple(weights[path].shape) != tuple(shape):
            raise SystemExit(f"{path}: expected {tuple(shape)}, found {tuple(weights[path].shape) if path in weights else 'nothing'}")
        params[path] = tape.Var(np.asarray(weights[path], np.float64))
    logits, ctx = forward(model, params, tokens, **how)
    loss = ctx.total_loss()
    tape.backward(loss)
    out = {"loss": loss.value, "cross_entropy": ctx.cross_entropy.value, "logits": logits.value}
    out.update({path: np.zeros(v.shape) if v.grad is None else v.grad for path, v in params.items()})
    return out, ctx


def make_weights(model, seed):
    """Float32 values for every parameter: each tensor from its own stream, named by the seed and the path."""
    out = {}
    for path, (shape, init) in model.params.items():
        rng = np.random.default_rng([seed, zlib.crc32(path.encode())])
        noise = rng.standard_normal(shape)
        if init == "one":
            value = 1 + 0.2 * noise
        elif init == "zero":
            value = 0.2 * noise
        elif init == "taps":
            taps = shape[-1]
            value = np.where(np.arange(taps) == 0, 0.5, 0.5 / taps) + 0.1 * noise
        else:
            value = init * noise
        out[path] = value.astype(np.float32)
    return out


def load_model(spec):
    path, _, name = spec.partition(":")
    with open(path, encoding="utf-8") as f:
        return bfm_reader.read(f.read(), name or None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--weights")
    p.add_argument("--tokens")
    p.add_argument("--out")
    p.add_argument("--make-weights", type=int, metavar="SEED")
    p.add_argument("--parameters", action="store_true")
    args = p.parse_args()
    model = load_model(args.model)
    if args.parameters:
        for path, (shape, _) in sorted(model.params.items()):
            print(path, list(shape))
        print("total", sum(int(np.prod(shape, dtype=object)) for shape, _ in model.params.values()))
        return 0
    if args.make_weights is not None:
        tensors.save(args.weights, make_weights(model, args.make_weights))
        return 0
    if not (args.weights and args.tokens and args.out):
        p.error("--weights, --tokens and --out are needed")
    out, ctx = gradients(model, tensors.load(args.weights), np.load(args.tokens))
    tensors.save(args.out, out)
    print(f"loss {out['loss']:.12g}, cross-entropy {out['cross_entropy']:.12g}, smallest routing margin {ctx.smallest_margin:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
