"""The layers of the library, written again from their formulas: what each owns and what it computes.

Every entry of `LAYERS` has `attributes` (name -> default; REQUIRED, or a function of the others), `declare(attrs, d)` giving
{tensor: (shape, init)}, `width(attrs, d)` of the result, and `forward(x, p, attrs, ctx)`. Init is a standard deviation, or
("one" | "zero" | "taps").
"""
import math
from fractions import Fraction

import numpy as np

import routers
import tape
from tape import einsum

REQUIRED = object()


# ---- activations -----------------------------------------------------------------------------------------------------


def relu(x):
    return tape.positive(x)


def gelu(x):
    return 0.5 * x * (1 + tape.erf(x * math.sqrt(0.5)))


def gelu_tanh(x):
    return 0.5 * x * (1 + tape.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def silu(x):
    return x * tape.sigmoid(x)


ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu, "squared_relu": lambda x: relu(x) * relu(x)}
GATED = {"reglu": relu, "geglu": gelu, "swiglu": silu}


def gated(attrs):
    return attrs["act"].name in GATED


def activate(attrs, value, gate, ctx):
    """act(value), or act(gate, value) for a gated one. `gate` is called only if there is one."""
    name = attrs["act"].name
    if name not in GATED:
        if "relu" in name:
            ctx.kink(value.value)
        return ACTIVATIONS[name](value)
    g = gate()
    if name == "reglu":
        ctx.kink(g.value)
    return GATED[name](g) * value


def size(attrs, key):
    """A whole number among the attributes."""
    value = Fraction(attrs[key])
    if value.denominator != 1:
        raise ValueError(f"{key} = {value} is not whole")
    return int(value)


# ---- norms -----------------------------------------------------------------------------------------------------------


class RmsNorm:
    unwired = True
    attributes = {"eps": Fraction(1, 10**6)}

    @staticmethod
    def declare(attrs, d):
        return {"g": ((d,), "one")}

    @staticmethod
    def width(attrs, d):
        return d

    @staticmethod
    def forward(x, p, attrs, ctx):
        r = tape.power(tape.mean(x * x, axis=-1, keepdims=True) + float(attrs["eps"]), -0.5)
        return x * r * p["g"]


class LayerNorm(RmsNorm):
    @staticmethod
    def declare(attrs, d):
        return {"g": ((d,), "one"), "b": ((d,), "zero")}

    @staticmethod
    def forward(x, p, attrs, ctx):
        c = x - tape.mean(x, axis=-1, keepdims=True)
        return c * tape.power(tape.mean(c * c, axis=-1, keepdims=True) + float(attrs["eps"]), -0.5) * p["g"] + p["b"]


# ---- attention -------------------------------------------------------------------------------------------------------


def relative_bucket(n):
    """T5's bucket of the distance n = i − j."""
    if n < 16:
        return max(n, 0)
    return min(31, 16 + math.floor(16 * math.log(n / 16) / math.log(8)))


def rotate(x, head_dim):
    """Rotary embedding of x [b, l, h, e]: halves (i, i + head_dim/2) turned by pos · 10000^(−2i/head_dim)."""
    half = head_dim // 2
    angle = np.arange(x.shape[1])[:, None] * 10000.0 ** (-2 * np.arange(half) / head_dim)
    cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    first, second = x[..., :half], x[..., half:]
    return tape.concat([first * cos - second * sin, second * cos + first * sin], axis=3)


# Score functions that cases define in their own text: (score, position of the query, of the key, head).
SCORES = {"cap": lambda s, i, j, h: 3.0 * tape.tanh(s * (1 / 3.0)), "lean": lambda s, i, j, h: s - 0.05 * (i - j) * (h + 1) + 0.1 * s * s}
SCORE_TEXT = {"cap": "fn cap(s, i, j, h) = 3 * tanh(s / 3)", "lean": "fn lean(s, i, j, h) = s - 0.05 * (i - j) * (h + 1) + 0.1 * s ^ 2"}


class Attention:
    unwired = False
    attributes = {"heads": REQUIRED, "head_dim": Fraction(64), "kv_heads": lambda a: a["heads"], "position": "rope",
                  "conv": Fraction(0), "causal": True, "qk_norm": False, "score": "identity"}

    @staticmethod
    def declare(a, d):
        h, n, e, conv = size(a, "heads"), size(a, "kv_heads"), size(a, "head_dim"), size(a, "conv")
        if h % n:
            raise ValueError("kv_heads must divide heads")
        out = {"wq": ((d, h * e), d ** -0.5), "wk": ((d, n * e), d ** -0.5), "wv": ((d, n * e), d ** -0.5),
               "wo": ((h * e, d), (h * e) ** -0.5)}
        if conv:
            out.update(conv_q=((h, e, conv), "taps"), conv_k=((n, e, conv), "taps"), conv_v=((n, e, conv), "taps"))
        if a["qk_norm"]:
            out.update(gq=((e,), "one"), gk=((e,), "one"))
        if a["position"].name == "relative":
            out["relative"] = ((32, h), 0.02)
        return out

    @staticmethod
    def width(a, d):
        return d

    @staticmethod
    def forward(x, p, a, ctx):
        h, n, e = size(a, "heads"), size(a, "kv_heads"), size(a, "head_dim")
        batch, length, _ = x.shape
        q = tape.reshape(einsum("bli,io->blo", x, p["wq"]), (batch, length, h, e))
        k = tape.reshape(einsum("bli,io->blo", x, p["wk"]), (batch, length, n, e))
        v = tape.reshape(einsum("bli,io->blo", x, p["wv"]), (batch, length, n, e))
        if size(a, "conv"):
            q, k, v = (Attention.convolve(t, p[name], segments(a, ctx)) for t, name in ((q, "conv_q"), (k, "conv_k"), (v, "conv_v")))
        if a["qk_norm"]:
            norm = lambda t, g: t * tape.power(tape.mean(t * t, axis=-1, keepdims=True) + 1e-6, -0.5) * g
            q, k = norm(q, p["gq"]), norm(k, p["gk"])
        if a["position"].name == "rope":
            q, k = rotate(q, e), rotate(k, e)
        owner = np.arange(h) // (h // n)  # the key head of each query head
        k, v = k[:, :, owner], v[:, :, owner]
        s = einsum("bihe,bjhe->bhij", q, k) * e ** -0.5
        distance = np.arange(length)[:, None] - np.arange(length)[None, :]
        if a["position"].name == "relative":
            bucket = np.vectorize(relative_bucket)(distance)
            s = s + tape.transpose(p["relative"][bucket], (2, 0, 1))
        elif a["position"].name == "alibi":
            s = s - 2.0 ** (-8 * (np.arange(h) + 1) / h)[:, None, None] * distance
        if a["score"].name != "identity":
            s = SCORES[a["score"].name](s, np.arange(length)[:, None], np.arange(length)[None, :], np.arange(h)[:, None, None])
        exists = distance >= 0 if a["causal"] else np.ones_like(distance, bool)
        if ctx.segment is not None and a.get("masked"):
            same = (ctx.segment[:, :, None] == ctx.segment[:, None, :]) & (ctx.segment >= 0)[:, :, None]
            exists = (exists & same)[:, None]
        o = einsum("bhij,bjhe->bihe", tape.softmax(s, -1, exists), v)
        return einsum("blc,co->blo", tape.reshape(o, (batch, length, h * e)), p["wo"])

    @staticmethod
    def convolve(t, taps, segment):
        """Σ_s taps[h, e, s] · t[b, l − s, h, e], over the positions of l's segment."""
        out, length = None, t.shape[1]
        for s in range(taps.shape[2]):
            part = tape.shift(t, 1, s) * taps[:, :, s]
            if segment is not None:
                before = np.full(segment.shape, -1)
                before[:, s:] = segment[:, :max(length - s, 0)]
                part = part * ((before == segment) & (segment >= 0))[:, :, None, None]
            out = part if out is None else out + part
        return out


# ---- position-wise networks ------------------------------------------------------------------------------------------


class Ffn:
    unwired = False
    attributes = {"hidden": lambda a: 4 * a["d"], "act": "relu"}

    @staticmethod
    def declare(a, d):
        f = size(a, "hidden")
        out = {"w_in": ((d, f), d ** -0.5), "w_out": ((f, d), f ** -0.5)}
        if gated(a):
            out["w_gate"] = ((d, f), d ** -0.5)
        return out

    @staticmethod
    def width(a, d):
        return d

    @staticmethod
    def forward(x, p, a, ctx):
        h = activate(a, einsum("bli,if->blf", x, p["w_in"]), lambda: einsum("bli,if->blf", x, p["w_gate"]), ctx)
        return einsum("blf,fo->blo", h, p["w_out"])


class LowRank(Ffn):
    attributes = {"rank": REQUIRED, "hidden": lambda a: 4 * a["d"], "act": "relu"}

    @staticmethod
    def declare(a, d):
        r, f = size(a, "rank"), size(a, "hidden")
        out = {"w_in_a": ((d, r), d ** -0.5), "w_in_b": ((r, f), r ** -0.5), "w_out_a": ((f, r), f ** -0.5), "w_out_b": ((r, d), r ** -0.5)}
        if gated(a):
            out.update(w_gate_a=((d, r), d ** -0.5), w_gate_b=((r, f), r ** -0.5))
        return out

    @staticmethod
    def forward(x, p, a, ctx):
        two = lambda t, name: einsum("blr,rf->blf", einsum("bli,ir->blr", t, p[name + "_a"]), p[name + "_b"])
        return two(activate(a, two(x, "w_in"), lambda: two(x, "w_gate"), ctx), "w_out")


class MultiBranch(Ffn):
    attributes = {"branches": REQUIRED, "hidden": lambda a: 4 * a["d"], "act": "relu"}

    @staticmethod
    def declare(a, d):
        m, f = size(a, "branches"), size(a, "hidden")
        if f % m:
            raise ValueError("branches must divide hidden")
        f //= m
        out = {"w_in": ((m, d, f), d ** -0.5), "w_out": ((m, f, d), f ** -0.5)}
        if gated(a):
            out["w_gate"] = ((m, d, f), d ** -0.5)
        return out

    @staticmethod
    def forward(x, p, a, ctx):
        h = activate(a, einsum("bli,mif->blmf", x, p["w_in"]), lambda: einsum("bli,mif->blmf", x, p["w_gate"]), ctx)
        return einsum("blmf,mfo->blo", h, p["w_out"])


# ---- mixture of experts ----------------------------------------------------------------------------------------------


class Moe(Ffn):
    attributes = {"experts": REQUIRED, "hidden": lambda a: 4 * a["d"], "act": "gelu", "router": REQUIRED}

    @staticmethod
    def declare(a, d):
        n, f = size(a, "experts"), size(a, "hidden")
        out = {name: ((n,) + shape, init) for name, (shape, init) in Ffn.declare(a, d).items()}
        if routers.ROUTERS[a["router"].name].scores:
            out["router.w"] = ((d, n), d ** -0.5)
        return out

    @staticmethod
    def forward(x, p, a, ctx):
        batch, length, d = x.shape
        group = routers.attribute(a["router"], "group").name
        flat = np.arange(batch * length).reshape(batch, length)  # the number of a token in plain order
        order = {"batch": flat.reshape(1, -1), "sequence": flat, "position": flat.T}[group]  # [g, t]
        there = np.ones(batch * length, bool) if ctx.segment is None or not a.get("masked") else ctx.segment.reshape(-1) >= 0
        rows = tape.reshape(x, (batch * length, d))
        experts = size(a, "experts")
        expert, token, weight = routers.route(rows[order], p, a["router"], experts, ctx.tokens.reshape(-1)[order], there[order], ctx)
        source = order.reshape(-1)[token]
        Moe.metrics(ctx, expert, source, experts, there)
        out = None
        for e in range(experts):
            pairs = np.nonzero(expert == e)[0]
            if len(pairs) == 0:
                continue
            u = rows[source[pairs]]
            h = activate(a, einsum("pi,if->pf", u, p["w_in"][e]), lambda: einsum("pi,if->pf", u, p["w_gate"][e]), ctx)
            y = einsum("pf,fo->po", h, p["w_out"][e]) * tape.reshape(weight[pairs], (len(pairs), 1))
            part = tape.scatter(y, source[pairs], batch * length)
            out = part if out is None else out + part
        if out is None:
            out = tape.Var(np.zeros((batch * length, d)))
        return tape.reshape(out, (batch, length, d))

    @staticmethod
    def metrics(ctx, expert, source, experts, there):
        """What every router is measured by; masked tokens are not counted."""
        load = np.bincount(expert, minlength=experts).astype(float)
        share = load / max(load.sum(), 1)
        used = np.bincount(source, minlength=there.size)[there]
        ctx.metric("load", load)
        ctx.metric("load_entropy", -sum(q * math.log(q) for q in share if q > 0))
        ctx.metric("experts_per_token", used.mean() if used.size else 0)
        ctx.metric("idle_tokens", (used == 0).mean() if used.size else 0)


# ---- mixing of positions ---------------------------------------------------------------------------------------------


def segments(a, ctx):
    """The segments [b, l] that a layer sees; None where it sees none."""
    return ctx.segment if a.get("masked") else None


def mix(w, v, segment):
    """Σ_{j ≤ l} w[l, j] · v[b, j, f], over the positions of l's segment."""
    length = v.shape[1]
    if segment is None:
        return einsum("lj,bjf->blf", w[:length, :length] * np.tri(length), v)
    same = (segment[:, :, None] == segment[:, None, :]) & (segment >= 0)[:, :, None]
    return einsum("blj,bjf->blf", tape.reshape(w[:length, :length], (1, length, length)) * (np.tri(length) * same), v)


class Gmlp(Ffn):
    attributes = {"hidden": lambda a: 4 * a["d"], "act": "gelu"}

    @staticmethod
    def declare(a, d):
        f, c = size(a, "hidden"), a["context"]
        return {"w_in": ((d, f), d ** -0.5), "w_out": ((f // 2, d), (f // 2) ** -0.5), "w_mix": ((c, c), 0.01 * c ** -0.5),
                "b_mix": ((c,), "one"), "g": ((f // 2,), "one")}

    @staticmethod
    def forward(x, p, a, ctx):
        half, length = size(a, "hidden") // 2, x.shape[1]
        h = activate(a, einsum("bli,if->blf", x, p["w_in"]), None, ctx)
        u, v = h[..., :half], h[..., half:]
        v = v * tape.power(tape.mean(v * v, axis=-1, keepdims=True) + 1e-6, -0.5) * p["g"]
        m = mix(p["w_mix"], v, segments(a, ctx))
        return einsum("blf,fo->blo", u * (m + tape.reshape(p["b_mix"][:length], (length, 1))), p["w_out"])


class TokenMixer(Ffn):
    attributes = {"hidden": lambda a: 4 * a["d"], "act": "gelu"}

    @staticmethod
    def declare(a, d):
        f, c = size(a, "hidden"), a["context"]
        return {"w_in": ((d, f), d ** -0.5), "w_mix": ((c, c), c ** -0.5), "w_out": ((f, d), f ** -0.5)}

    @staticmethod
    def forward(x, p, a, ctx):
        h = einsum("bli,if->blf", x, p["w_in"])
        m = mix(p["w_mix"], h, segments(a, ctx))
        return einsum("blf,fo->blo", activate(a, m, None, ctx), p["w_out"])


# ---- both ends, changes of width -------------------------------------------------------------------------------------


class Embed:
    unwired = True
    attributes = {"d": REQUIRED}

    @staticmethod
    def declare(a, d):
        w = size(a, "d")
        return {"table": ((a["vocab"], w), w ** -0.5)}

    @staticmethod
    def width(a, d):
        return size(a, "d")

    @staticmethod
    def forward(x, p, a, ctx):
        return math.sqrt(size(a, "d")) * p["table"][ctx.tokens]


class Head:
    unwired = True
    attributes = {"tied": True, "z_loss": Fraction(0)}

    @staticmethod
    def declare(a, d):
        return {"table" if a["tied"] else "w": ((a["vocab"], d), d ** -0.5)}

    @staticmethod
    def width(a, d):
        return a["vocab"]

    @staticmethod
    def forward(x, p, a, ctx):
        logits = einsum("bli,vi->blv", x, p["table" if a["tied"] else "w"])
        there = np.nonzero(ctx.targets >= 0)  # a negative target is masked
        z = tape.logsumexp(logits, -1)[there]
        picked = logits[there + (ctx.targets[there],)]
        none = len(there[0]) == 0  # the mean of nothing is 0
        ctx.cross_entropy = tape.Var(0.0) if none else tape.mean(z - picked)
        ctx.loss("cross_entropy", ctx.cross_entropy)
        if a["z_loss"] > 0:
            ctx.loss("z", tape.Var(0.0) if none else float(a["z_loss"]) * tape.mean(z * z))
        return logits


class Project:
    unwired = True
    attributes = {"d": REQUIRED}

    @staticmethod
    def declare(a, d):
        return {"w": ((d, size(a, "d")), d ** -0.5)}

    @staticmethod
    def width(a, d):
        return size(a, "d")

    @staticmethod
    def forward(x, p, a, ctx):
        return einsum("bli,io->blo", x, p["w"])


class Dropout:
    unwired = True
    attributes = {"rate": REQUIRED}

    @staticmethod
    def declare(a, d):
        return {}

    @staticmethod
    def width(a, d):
        return d

    @staticmethod
    def forward(x, p, a, ctx):
        rate = float(a["rate"])
        if ctx.mode != "train" or rate == 0:
            return x
        return x * np.where(ctx.draw("keep", x.shape) < rate, 0, 1 / (1 - rate))


def masked(layer, name):
    """A layer applied by a definition of the case's own, `masked_NAME`, that gives it the input `segment`."""
    class Masked(layer):
        @staticmethod
        def declare(a, d):
            return {f"{name}.{k}": v for k, v in layer.declare(a, d).items()}

        @staticmethod
        def forward(x, p, a, ctx):
            outer = ctx.path
            ctx.enter(f"{outer}.{name}")
            y = layer.forward(x, {k[len(name) + 1:]: v for k, v in p.items() if k.startswith(name + ".")}, {**a, "masked": True}, ctx)
            ctx.enter(outer)
            return y
    return Masked


MASKED_TEXT = """layer masked_attention(x[b, l, d]; heads: count, head_dim: width, kv_heads: count = heads, position: { rope, relative, alibi, none } = rope,
                       conv: count = 0, causal: bool = true, qk_norm: bool = false, segment[b, l]: vocab) -> [b, l, d] {
    let y = attention(x, heads = heads, head_dim = head_dim, kv_heads = kv_heads, position = position, conv = conv, causal = causal, qk_norm = qk_norm)
    return y
}

layer masked_gmlp(x[b, l, d]; hidden: width, act: fn = gelu, context: count, segment[b, l]: vocab) -> [b, l, d] {
    let y = gmlp(x, hidden = hidden, act = act)
    return y
}

layer masked_token_mixer(x[b, l, d]; hidden: width, act: fn = gelu, context: count, segment[b, l]: vocab) -> [b, l, d] {
    let y = token_mixer(x, hidden = hidden, act = act)
    return y
}

layer masked_moe(x[b, l, d]; experts: count, hidden: width, act: fn = gelu, router: router, tokens[b, l]: vocab, segment[b, l]: vocab) -> [b, l, d] {
    let y = moe(x, experts = experts, hidden = hidden, act = act, router = router)
    return y
}
"""

LAYERS = {"dropout": Dropout, "masked_attention": masked(Attention, "attention"), "masked_moe": masked(Moe, "moe"), "masked_gmlp": masked(Gmlp, "gmlp"), "masked_token_mixer":
          masked(TokenMixer, "token_mixer"), "attention": Attention, "ffn": Ffn, "moe": Moe, "low_rank": LowRank, "multi_branch": MultiBranch, "gmlp": Gmlp,
          "token_mixer": TokenMixer, "rms_norm": RmsNorm, "layer_norm": LayerNorm, "embed": Embed, "head": Head, "project": Project}


def attributes_of(name, given, known):
    """All attributes of a layer: what the line gives (named or in order), then defaults. `known` has d, vocab, context."""
    from bfm_reader import Named, ReadError
    table = LAYERS[name].attributes
    order = list(table)
    out = dict(known)
    seen = set()
    for i, (key, value) in enumerate(given):
        key = key or order[i]
        if key not in table:
            raise ReadError(f"{name} has no attribute {key}")
        out[key] = value
        seen.add(key)
    for key, default in table.items():
        if key in seen:
            continue
        if default is REQUIRED:
            raise ReadError(f"{name} needs {key}")
        value = default(out) if callable(default) else default
        out[key] = Named(value) if isinstance(value, str) else value
    return out
