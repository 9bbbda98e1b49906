"""The systematic cases: every definition of the library with its options, in tiny models of odd sizes.

`FAMILIES` maps a name to a function that gives its cases. Options that are named `full` meet each other in every combination; all others in
every pair of values (a covering drawn greedily from a fixed seed).
"""
import itertools
import random
from fractions import Fraction

import numpy as np

import cases
import layers
import routers

ACTS = list(layers.ACTIVATIONS) + list(layers.GATED)
POSITIONS = ["rope", "relative", "alibi", "none"]
GROUPS = ["sequence", "batch", "position"]
CAPACITIES = ["0.5", "0.75", "1", "4/3", "3"]
NORMS = ["rms_norm", "layer_norm", "rms_norm(eps = 0.01)", "layer_norm(eps = 0.001)"]
WIRINGS = ["pre", "post", "pre_post", "none"]
USES = "use std.layers\nuse std.routers\n"


# ---- combinations ----------------------------------------------------------------------------------------------------


def pairs_of(row):
    return {(a, row[a], b, row[b]) for a, b in itertools.combinations(sorted(row), 2)}


def covering(seed, options, full=(), allowed=lambda row: True):
    """Rows of {option: value}: every combination of the options in `full`, and every pair of values of the others (and with those)."""
    rng = random.Random(seed)
    names = list(options)
    rows, met = [], set()

    def finish(start):
        """The row from `start` that meets the most new pairs, among some drawn ones."""
        best, score = None, -1
        for _ in range(40):
            row = {k: start.get(k, rng.choice(options[k])) for k in names}
            if allowed(row):
                new = len(pairs_of(row) - met)
                if new > score:
                    best, score = row, new
        return best, score

    for values in itertools.product(*[options[k] for k in full]):
        row, _ = finish(dict(zip(full, values)))
        if row is not None:
            rows.append(row)
            met |= pairs_of(row)
    wanted = [(a, x, b, y) for a, b in itertools.combinations(sorted(names), 2) for x in options[a] for y in options[b]]
    for a, x, b, y in wanted:
        if (a, x, b, y) not in met:
            row, _ = finish({a: x, b: y})
            if row is not None:
                rows.append(row)
                met |= pairs_of(row)
    return rows


def arguments(row):
    return "(" + ", ".join(f"{k} = {v}" for k, v in row.items() if v is not None) + ")"


def some(row, *names):
    return {k: row[k] for k in names if k in row}


def model(lines, *, d=7, vocab=11, context=5, head="head(tied = true, z_loss = 0.01)", before="", norm=""):
    body = "\n    ".join([f"embed(d = {d})", *lines, *([norm] if norm else []), head])
    return f"{USES}\n{before}\nmodel m {{\n    vocab = {vocab}\n    context = {context}\n    {body}\n}}\n"


def built(family, texts, *, seed=1, **how):
    """Drawn cases of (name, text) or (name, text, how)."""
    out = []
    for i, (name, text, *more) in enumerate(texts):
        given = {**how, **(more[0] if more else {})}
        case = cases.draw(f"{family} {name}", text, np.random.default_rng([seed, i]), **given)
        if case is None:
            raise SystemExit(f"{family} {name}: no draw was decided\n{text}")
        out.append(case)
    return out


def lines_in_models(family, lines, per_model, *, heads=("head()", "head(tied = false, z_loss = 0.02)", "head(tied = true, z_loss = 0.001)"), **how):
    """Models of a few lines each, with widths, vocabularies and lengths in turn."""
    texts = []
    for i in range(0, len(lines), per_model):
        n = i // per_model
        wide = dict(d=(7, 5, 9, 6, 11)[n % 5], vocab=(11, 7, 13)[n % 3], context=(5, 6, 7)[n % 3 - 1], head=heads[n % len(heads)])
        part = lines[i:i + per_model]
        text, before = [], []
        for line in part:
            line, *needs = line if isinstance(line, tuple) else (line,)
            text.append(line)
            before += [b for b in needs if b not in before]
        texts.append((f"{n}: {'; '.join(text)}", model(text, before="\n".join(before), norm="rms_norm()" if n % 2 else "", **wide), {"batch": (2, 3, 1)[n % 3]}))
    return built(family, texts, **how)


# ---- attention -------------------------------------------------------------------------------------------------------


def attention_rows(extra=()):
    options = {"position": POSITIONS, "conv": [None, 1, 2, 3], "qk_norm": ["true", "false"], "causal": ["true", "false"], "heads_kv": [(1, 1), (2, 1), (3, 3), (4, 2), (6, 3)],
               "head_dim": [2, 3, 4, 5, 6], "score": ["identity", "cap", "lean"], **dict(extra)}
    rows = covering(3, options, full=("position", "conv", "qk_norm"), allowed=lambda r: r["position"] != "rope" or r["head_dim"] % 2 == 0)
    for r in rows:
        r["heads"], r["kv_heads"] = r.pop("heads_kv")
    return rows


def attention_line(row):
    kv = row["kv_heads"] if row["kv_heads"] != row["heads"] else None
    line = "attention" + arguments({"heads": row["heads"], "head_dim": row["head_dim"], "kv_heads": kv, **some(row, "position", "conv", "qk_norm", "causal", "score")})
    return (line, layers.SCORE_TEXT[row["score"]]) if row["score"] in layers.SCORE_TEXT else line


def attention():
    return lines_in_models("attention", [attention_line(r) for r in attention_rows()], 2)


# ---- position-wise networks, mixers, norms, wirings ------------------------------------------------------------------


def networks():
    lines = []
    for i, act in enumerate(ACTS):
        lines += [f"ffn(hidden = {(9, 7, 1)[i % 3]}, act = {act})", f"low_rank(rank = {(3, 1, 5)[i % 3]}, hidden = {(8, 5, 3)[i % 3]}, act = {act})",
                  f"multi_branch(branches = {(3, 1, 2)[i % 3]}, hidden = {(9, 5, 6)[i % 3]}, act = {act})", f"gmlp(hidden = {(6, 2, 10)[i % 3]}, act = {act})" if act in layers.ACTIVATIONS else "gmlp(hidden = 4)",
                  f"token_mixer(hidden = {(7, 1, 5)[i % 3]}, act = {act})" if act in layers.ACTIVATIONS else "token_mixer(hidden = 3)",
                  f"moe(experts = 3, hidden = {(5, 3, 1)[i % 3]}, act = {act}, router = soft())"]
    lines += ["ffn()", "low_rank(rank = 2)", "multi_branch(branches = 2)", "gmlp()", "token_mixer()", "moe(experts = 2, router = top2(group = batch))", "dropout(rate = 0)"]
    return lines_in_models("networks", lines, 3)


def norms_wirings():
    """Every norm under every wiring, set by the line, by the block around and by the model; norms on lines of their own."""
    texts = []
    kinds = ["ffn(hidden = 6, act = gelu)", "attention(heads = 1, head_dim = 4)", "moe(experts = 2, hidden = 3, router = soft())"]
    for i, (norm, wiring) in enumerate(itertools.product(NORMS + ["none"], WIRINGS)):
        line, inner, third = kinds[i % 3], kinds[(i + 1) % 3], kinds[(i + 2) % 3]
        texts.append((f"{norm} {wiring}", model([f"{line} norm = {norm} wiring = {wiring}", "b()", f"parallel {{ {third} | {line} }} norm = {norm} wiring = {wiring}", NORMS[i % 2] + "()"],
                                                before=f"block b() norm = {norm} wiring = {wiring} {{\n    {inner}\n    {line} norm = rms_norm\n    {third} wiring = pre\n}}")))
    return built("norms", texts)


# ---- structure -------------------------------------------------------------------------------------------------------

STRUCTURES = {
    "repeat": ("repeat 3 { ffn(hidden = 5, act = gelu) }", ""),
    "repeat once": ("repeat 1 { ffn(hidden = 5, act = gelu) attention(heads = 1, head_dim = 2) }", ""),
    "repeat shared": ("repeat 3 shared { attention(heads = 2, head_dim = 4) ffn(hidden = 5, act = silu) }", ""),
    "repeat shared routers": ("repeat 2 shared { moe(experts = 3, hidden = 5, router = top2(capacity = 1, aux = 0.5, z = 0.1)) }", ""),
    "repeat of shared": ("repeat 2 { ffn(hidden = 3, act = gelu) repeat 2 shared { ffn(hidden = 5, act = gelu) } }", ""),
    "shared of repeat": ("repeat 2 shared { repeat 2 { ffn(hidden = 5, act = gelu) } attention(heads = 1, head_dim = 4) }", ""),
    "repeat of blocks": ("repeat 2 { b() b() }", "block b() { ffn(hidden = 5, act = gelu) ffn(hidden = 3, act = gelu) }"),
    "repeat shared of blocks": ("repeat 2 shared { b() c() }", "block b() norm = layer_norm { ffn(hidden = 5, act = gelu) }\nblock c() wiring = post { attention(heads = 2, head_dim = 2) }"),
    "lines before and after": ("ffn(hidden = 3, act = gelu) repeat 2 { ffn(hidden = 5, act = gelu) } ffn(hidden = 4, act = gelu)", ""),
    "parallel": ("parallel { ffn(hidden = 5, act = gelu) | attention(heads = 2, head_dim = 4) | ffn(hidden = 3, act = silu) }", ""),
    "parallel of one": ("parallel { ffn(hidden = 5, act = gelu) }", ""),
    "parallel of sequences": ("parallel { ffn(hidden = 5, act = gelu) attention(heads = 2, head_dim = 4) | ffn(hidden = 3, act = silu) }", ""),
    "parallel in parallel": ("parallel { ffn(hidden = 5, act = gelu) | parallel { ffn(hidden = 2, act = gelu) | attention(heads = 1, head_dim = 2) } }", ""),
    "parallel post": ("parallel { ffn(hidden = 5, act = gelu) | attention(heads = 2, head_dim = 4) } wiring = post norm = layer_norm", ""),
    "parallel pre_post": ("parallel { ffn(hidden = 5, act = gelu) | attention(heads = 2, head_dim = 4) } wiring = pre_post", ""),
    "parallel none": ("parallel { ffn(hidden = 5, act = gelu) | attention(heads = 2, head_dim = 4) } norm = none", ""),
    "parallel of routers": ("parallel { moe(experts = 3, hidden = 4, router = top1(group = batch)) | moe(experts = 2, hidden = 3, router = expert_choice(capacity = 1)) | ffn(hidden = 3, act = gelu) }", ""),
    "parallel of blocks": ("parallel { b() | b() }", "block b() { ffn(hidden = 5, act = gelu) }"),
    "residual mixture": ("parallel { ffn(hidden = 6, act = gelu) | moe(experts = 3, hidden = 4, router = top1(capacity = 1.25, group = batch)) }", ""),
    "parallel with at": ("parallel { at 1/2 { ffn(hidden = 3, act = gelu) } | ffn(hidden = 5, act = gelu) }", ""),
    "at below": ("at 2/3 { ffn(hidden = 5, act = gelu) attention(heads = 2, head_dim = 2) }", ""),
    "at above": ("at 3/2 { moe(experts = 3, hidden = 3, router = soft()) ffn(act = gelu) }", ""),
    "at one": ("at 1 { ffn(hidden = 3, act = gelu) }", ""),
    "at to one": ("at 1/6 { ffn(hidden = 3, act = gelu) wiring = none norm = none }", ""),
    "at in at": ("at 3/2 { at 1/3 { ffn(hidden = 4, act = gelu) } ffn(hidden = 2, act = gelu) }", ""),
    "at in repeat": ("repeat 2 { at 1/2 { ffn(hidden = 4, act = gelu) } }", ""),
    "at in shared": ("repeat 2 shared { at 1/2 { ffn(hidden = 4, act = gelu) } }", ""),
    "repeat in at": ("at 1/2 { repeat 2 { ffn(hidden = 4, act = gelu) } }", ""),
    "block in at": ("at 1/2 { b() }", "block b(m: width = 2 * d) norm = layer_norm { ffn(hidden = m, act = gelu) }"),
    "two at": ("at 1/2 { ffn(hidden = 4, act = gelu) } at 3/2 { ffn(hidden = 2, act = gelu) }", ""),
    "project": ("ffn(hidden = 5, act = gelu) project(d = 9) ffn(hidden = 5, act = gelu) project(d = 6)", ""),
    "project to one": ("project(d = 1) ffn(hidden = 3, act = gelu) norm = none project(d = 6)", ""),
    "project wired": ("project(d = 6) wiring = pre project(d = 6) wiring = pre_post norm = layer_norm", ""),
    "labels": ("mix: moe(experts = 2, hidden = 4, router = soft()) ffn(hidden = 5, act = gelu) second: ffn(hidden = 3, act = gelu) ffn(hidden = 2, act = gelu) side: parallel { left: ffn(hidden = 2, act = gelu) | ffn(hidden = 3, act = gelu) } narrow: at 1/2 { inner: ffn(hidden = 3, act = gelu) }", ""),
    "labels in repeat": ("repeat 2 { mix: ffn(hidden = 5, act = gelu) ffn(hidden = 3, act = gelu) }", ""),
    "labelled block": ("top: b() b()", "block b() { low: ffn(hidden = 5, act = gelu) ffn(hidden = 2, act = gelu) }"),
    "blocks in blocks": ("a(m = 7)", "block a(m: width) norm = layer_norm { b(k = 2 * m) ffn(hidden = m, act = gelu) b() }\nblock b(k: width = d + 1) wiring = post { ffn(hidden = k, act = gelu) repeat 2 { c() } }\nblock c() { attention(heads = 1, head_dim = 4) }"),
    "block attributes": ("b(r = expert_choice(capacity = 1), a = geglu, n = 3, tied = 4/2)", "block b(r: router, a: fn, n: count, tied: int = 3, w: wiring = post) { moe(experts = n, hidden = ceil(5 * n / tied), act = a, router = r) ffn(hidden = max(n, 2) + min(4, tied), act = a) }"),
    "router of a block": ("b() b(r = top1(group = batch))", "block b(r: router = soft()) { moe(experts = 2, hidden = 3, router = r) }"),
    "embedding alone": ("", ""),
    "norms alone": ("rms_norm() layer_norm() rms_norm(eps = 0.5) layer_norm(eps = 0.25)", ""),
    "norm in shared": ("repeat 2 shared { layer_norm() ffn(hidden = 3, act = gelu) }", ""),
    "norm wired": ("rms_norm() wiring = pre layer_norm() wiring = pre norm = layer_norm", ""),
}


def structure():
    texts = [(name, model([body] if body else [], d=6, before=before, head="head()" if i % 2 else "head(tied = false)")) for i, (name, (body, before)) in enumerate(STRUCTURES.items())]
    texts.append(("model settings", f"{USES}\nmodel m(d: width = 7, n: count = 2) norm = layer_norm wiring = post {{\n    vocab = 2 * 5 + 1\n    context = 5\n    embed(d = d)\n    repeat n {{ ffn(hidden = d + n, act = gelu) }}\n    head()\n}}\n"))
    return built("structure", texts)


# ---- routers ---------------------------------------------------------------------------------------------------------

BASE = {"experts": [2, 3, 5], "hidden": [3, 1, 5], "act": ["gelu", "swiglu", "silu"]}


def moe_line(kind, row, context):
    """A line of moe; small_groups where rounding needs it, and sometimes where it does not."""
    given = {k: v for k, v in row.items() if k in routers.ROUTERS[kind].attributes and v is not None}
    spec = routers.ROUTERS[kind].attributes
    capacity = given.get("capacity", spec.get("capacity", "none"))
    if given.get("group", spec["group"]) == "sequence" and capacity != "none":
        choices = {"top2": 2, "topk": given.get("k", 2)}.get(kind, 1) if given.get("convention") == "assignments" else 1
        asked = Fraction(capacity) * choices * context
        if -(-asked // row["experts"]) * row["experts"] > 2 * asked:
            given["small_groups"] = "true"
    return "moe" + arguments({**some(row, *BASE), "router": kind + (arguments(given) if given else "")})


ROUTER_OPTIONS = {
    "top2": dict(order=["token", "choice"], group=GROUPS, capacity=["none"] + CAPACITIES, second=["all", None], convention=["slots", "assignments"], aux=["0", "0.5", None], z=["0", "0.1"],
                 small_groups=["true", "false"]),
    "topk": dict(order=["token", "choice"], group=GROUPS, capacity=["none"] + CAPACITIES, k=[1, 2, 3, 4], convention=["slots", "assignments"], aux=["0", "0.5", None], z=["0", "0.1"],
                 small_groups=["true", "false"]),
    "top1": dict(order=["token", "choice"], group=GROUPS, capacity=["none"] + CAPACITIES, convention=["slots", "assignments"], aux=["0", "0.5", None], z=["0", "0.1"], small_groups=["true", "false"]),
    "expert_choice": dict(group=GROUPS, capacity=CAPACITIES, small_groups=["true", "false"]),
    "expert_threshold": dict(group=GROUPS, capacity=CAPACITIES, decay=["0.9", None], small_groups=["true", "false"]),
    "loss_free": dict(group=GROUPS, capacity=["none"] + CAPACITIES, k=[1, 2, 3], rate=["0.05", None], small_groups=["true", "false"]),
    "soft": dict(group=GROUPS),
    "hash": dict(group=GROUPS),
    "random": dict(group=GROUPS),
}


def router_rows(kind):
    full = [k for k in ("order", "group", "capacity") if k in ROUTER_OPTIONS[kind]]
    return covering(kind, {**ROUTER_OPTIONS[kind], **BASE}, full=full, allowed=lambda r: r.get("k", 1) <= r["experts"])


def routing(kind):
    """Each line alone decides for its own model's context, so lines are grouped after the fact by three."""
    def make():
        rows, texts = router_rows(kind), []
        for n, i in enumerate(range(0, len(rows), 3)):
            context, length = (5, 6, 7)[n % 3], (5, 4, 7)[n % 3]
            lines = [moe_line(kind, r, context) for r in rows[i:i + 3]]
            text = model(["attention(heads = 1, head_dim = 4)", *lines], d=(7, 5, 9)[n % 3], vocab=(11, 13)[n % 2], context=context, head=("head()", "head(tied = false)")[n % 2])
            texts.append((f"{n}: {'; '.join(lines)}", text, {"batch": (3, 2, 1)[(n + i) % 3], "length": length, "step": n}))
        return built(kind, texts)
    return make


# ---- edges, masks, states, draws -------------------------------------------------------------------------------------


def edges():
    """Axes of one element, more experts than tokens, lengths below the context."""
    texts = []

    def add(name, text, **how):
        texts.append((name, text, how))
    one = dict(d=6, context=1)
    add("one position", model(["attention(heads = 2, head_dim = 4, conv = 3)", "ffn(hidden = 3, act = gelu)"], **one), length=1)
    add("one row", model(["attention(heads = 2, head_dim = 4)", "moe(experts = 3, hidden = 3, router = expert_choice())"]), batch=1)
    add("one token", model(["moe(experts = 3, hidden = 3, router = top1(small_groups = true))", "moe(experts = 2, hidden = 3, router = expert_choice())", "gmlp(hidden = 4)", "token_mixer(hidden = 3)"], **one), batch=1, length=1)
    for router in ("top1(small_groups = true)", "expert_choice()", "expert_threshold()", "soft()", "hash()", "random()", "topk(k = 1, capacity = none)"):
        add(f"one expert {router}", model(["ffn(hidden = 3, act = gelu)", f"moe(experts = 1, hidden = 4, router = {router})"]))
    add("more experts than tokens", model(["moe(experts = 13, hidden = 3, router = expert_choice(group = batch))", "moe(experts = 11, hidden = 2, router = top2(small_groups = true, aux = 0.5))",
                                           "moe(experts = 9, hidden = 2, router = topk(k = 9, capacity = none))"]), batch=1)
    add("all experts of top2", model(["moe(experts = 2, hidden = 3, router = top2(capacity = 0.5))", "moe(experts = 2, hidden = 3, router = top2(capacity = none, aux = 0))"]))
    add("one of everything", model(["attention(heads = 1, head_dim = 1, position = none)", "ffn(hidden = 1, act = geglu)", "low_rank(rank = 1, hidden = 1, act = gelu)", "multi_branch(branches = 1, hidden = 1, act = silu)"]))
    add("width one", model(["ffn(hidden = 3, act = gelu) norm = none", "attention(heads = 2, head_dim = 2) norm = none"], d=1))
    add("two words", model(["ffn(hidden = 3, act = gelu)"], vocab=2))
    add("taps beyond the row", model(["attention(heads = 1, head_dim = 3, position = none, conv = 5)"], context=3))
    add("shorter than the context", model(["attention(heads = 2, head_dim = 4, position = relative)", "gmlp(hidden = 4)", "token_mixer(hidden = 3)", "moe(experts = 2, hidden = 3, router = top2(capacity = 1))"], context=9), length=4)
    add("far distances", model(["attention(heads = 2, head_dim = 3, position = relative)", "attention(heads = 3, head_dim = 2, position = alibi)", "attention(heads = 1, head_dim = 4)"], context=37), batch=1)
    add("wide table, few rows", model(["attention(heads = 1, head_dim = 4, position = relative)"], context=2))
    add("positions of one row", model(["moe(experts = 3, hidden = 3, router = expert_choice(group = position))", "moe(experts = 2, hidden = 3, router = top1(group = position))"]), batch=1)
    return built("edges", texts)


def mask_of(kind):
    """Targets or segments as drawn arrays: some masked, some rows wholly."""
    def targets(rng, runs, batch, length, vocab):
        out = rng.integers(0, vocab, (runs, batch, length))
        out[rng.random(out.shape) < 0.4] = -1
        if kind == "row":
            out[:, 0] = -1
        return out

    def segment(rng, runs, batch, length, vocab):
        out = np.sort(rng.integers(0, 3, (runs, batch, length)), axis=2)
        out[rng.random(out.shape) < 0.3] = -1
        if kind == "row":
            out[:, 0] = -1
        if kind == "tail":
            out[:, :, -2:] = -1
        return out
    return {"targets": targets, "segment": segment}


def masks():
    texts = []
    kinds = ["", "row", "tail"]
    rows = [r for r in attention_rows() if r["score"] == "identity"][::3]
    for i in range(0, len(rows), 2):
        lines = ["masked_" + attention_line({**r, "score": None}) for r in rows[i:i + 2]]
        texts.append((f"attention {i // 2}: {'; '.join(lines)}", model(lines, before=layers.MASKED_TEXT), mask_of(kinds[(i // 2) % 3])))
    for kind in ROUTER_OPTIONS:
        rows = covering("masks", {k: v for k, v in {**ROUTER_OPTIONS[kind], **BASE}.items() if k not in ("small_groups", "convention")}, full=("group",),
                        allowed=lambda r: r.get("k", 1) <= r["experts"])[:9]
        for i in range(0, len(rows), 3):
            lines = ["masked_" + moe_line(kind, r, 5) for r in rows[i:i + 3]]
            texts.append((f"{kind} {i // 3}: {'; '.join(lines)}", model(["attention(heads = 1, head_dim = 4)", *lines], before=layers.MASKED_TEXT), {**mask_of(kinds[(i // 3) % 3]), "batch": 3}))
    for i, kind in enumerate(kinds):
        texts.append((f"mixing of positions {kind}", model(["masked_gmlp(hidden = 4)", "masked_token_mixer(hidden = 3, act = silu)"], before=layers.MASKED_TEXT), mask_of(kind)))
    texts.append(("targets only", model(["attention(heads = 1, head_dim = 4)"]), {"targets": mask_of("")["targets"]}))
    texts.append(("rows of targets", model(["ffn(hidden = 3, act = gelu)"], head="head(z_loss = 0.5)"), {"targets": mask_of("row")["targets"]}))
    return built("masks", texts)


def evaluated(trained):
    """The same model with the weights and states that it ends with; none where a threshold and a score are near each other."""
    if not hasattr(trained, "last"):
        return []
    weights, held = trained.last
    tokens = np.concatenate([trained.tokens, trained.targets[:, :, -1:]], axis=2)[:2]
    case = cases.Case(trained.name + " evaluated", trained.text, weights, tokens, mode="eval", gradient=False, states=held).solve()
    return [case] if case.decided() else []


def states():
    """Several steps with plain gradient descent between them, then the trained model in evaluation."""
    out = []
    for n, (kind, group, capacity) in enumerate(itertools.product(("expert_threshold", "loss_free"), GROUPS, ("0.75", "2"))):
        lines = [f"moe(experts = {(3, 4, 5)[n % 3]}, hidden = 4, router = {kind}(capacity = {capacity}, group = {group}, {'decay = 0.8' if kind == 'expert_threshold' else 'rate = 0.02, k = 2'}{', small_groups = true'}))",
                 f"repeat 2 {('', 'shared ')[n % 2]}{{ moe(experts = 3, hidden = 2, act = silu, router = {kind}()) }}"]
        text = model(["attention(heads = 2, head_dim = 4)", *lines], head="head(tied = false)")
        trained = built("states", [(f"{kind} {group} {capacity}", text)], seed=n, runs=5, rate=0.1, batch=2)[0]
        out += [trained] + evaluated(trained)
    later = "moe(experts = 3, hidden = 4, router = expert_threshold(decay = 0.5))"
    out += built("states", [("later step", model([later])), ("evaluated", model(["attention(heads = 2, head_dim = 4)", "moe(experts = 3, hidden = 3, router = top2(aux = 1, z = 1, capacity = 0.75))", "dropout(rate = 0.5)"]), {"mode": "eval", "gradient": False})], step=7)
    return out


def sampled():
    """Named draws, each one the same as the oracle's: dropout, a sampled second expert, experts at random."""
    texts = []
    for i, (group, order) in enumerate(itertools.product(GROUPS, ("token", "choice"))):
        texts.append((f"second {group} {order}", model([f"moe(experts = 3, hidden = 3, router = top2(second = sampled, order = {order}, group = {group}, capacity = {('1', 'none', '0.75')[i % 3]}))",
                                                       "repeat 2 { moe(experts = 2, hidden = 3, router = top2(second = sampled)) }"]), {"seed": 1000003 * i + 5, "step": i * i}))
        texts.append((f"random {group} {order}", model([f"moe(experts = {(3, 2, 5)[i % 3]}, hidden = 3, router = random(group = {group}))", "b()"], before="block b() { moe(experts = 4, hidden = 2, router = random()) }"), {"seed": i, "step": 3 * i}))
    for i, rate in enumerate(("0.1", "1/3", "0.5", "0.9")):
        texts.append((f"dropout {rate}", model([f"dropout(rate = {rate})", "attention(heads = 2, head_dim = 4)", "repeat 2 { dropout(rate = 1/4) ffn(hidden = 4, act = gelu) }", "repeat 2 shared { dropout(rate = 1/4) }"]),
                      {"seed": 2**40 + i, "step": i, "runs": 2}))
    texts.append(("dropout wired", model(["dropout(rate = 0.25) wiring = pre"])))
    return built("sampled", texts, decide={"margin": 1e-6})


def degenerate_lines():
    """Every layer with one of everything, and every router with one expert, as many choices as experts, and more experts than tokens."""
    heads = [(1, None, 2), (2, 1, 2), (1, None, 4)]
    lines = [attention_line({"heads": heads[i % 3][0], "kv_heads": heads[i % 3][1] or heads[i % 3][0], "head_dim": heads[i % 3][2], "position": position, "conv": conv, "qk_norm": norm, "causal": causal,
                             "score": None}) for i, (position, conv, norm, causal) in enumerate(itertools.product(POSITIONS, (None, 2), ("false", "true"), ("true", "false")))]
    lines += ["attention(heads = 1, head_dim = 1, position = none)", "attention(heads = 3, head_dim = 1, position = alibi, kv_heads = 1)"]
    for i, act in enumerate(ACTS):
        lines += [f"ffn(hidden = 1, act = {act})", (f"low_rank(rank = 1, hidden = 1, act = {act})", f"multi_branch(branches = 1, hidden = 1, act = {act})", f"moe(experts = 1, hidden = 1, act = {act}, router = soft())")[i % 3]]
    for i, act in enumerate(layers.ACTIVATIONS):
        lines.append((f"gmlp(hidden = 2, act = {act})", f"token_mixer(hidden = 1, act = {act})")[i % 2])
    lines += ["multi_branch(branches = 3, hidden = 3, act = gelu)", "dropout(rate = 0)", "rms_norm()", "layer_norm()", "project(d = 6)"]
    for kind, options in ROUTER_OPTIONS.items():
        counts = options.get("k", [None])
        for i, (experts, group) in enumerate(itertools.product((1, 2, 5), GROUPS)):
            if kind == "top2" and experts == 1:
                continue
            given = {"group": group, "k": experts if counts != [None] else None, "small_groups": "true" if "small_groups" in options else None}
            capacities = [None] + [c for c in ("0.5", "none") if c in options.get("capacity", ())]
            given["capacity"] = capacities[(i + i // 3) % len(capacities)]
            lines.append("moe" + arguments({"experts": experts, "hidden": 1, "act": "gelu", "router": kind + arguments(given)}))
    return lines


def degenerate():
    """Every layer where there is one position, one token, one row or one word; every norm and wiring there; groups without a token."""
    sizes = [("context 1", {"context": 1}, {"length": 1, "batch": 2}), ("one token", {"context": 1}, {"length": 1, "batch": 1}), ("length 1", {"context": 4}, {"length": 1, "batch": 3}),
             ("one row", {"context": 3}, {"length": 3, "batch": 1})]
    texts, lines = [], degenerate_lines()
    for n, i in enumerate(range(0, len(lines), 4)):
        for name, wide, how in (sizes[n % 4], sizes[(n + 1 + n // 4) % 4]):
            head = ("head()", "head(tied = false, z_loss = 0.1)")[n % 2]
            tie = {"decide": {"margin": -1}} if any("experts = 1," in line for line in lines[i:i + 4]) else {}  # one expert's scores are 1, exactly: ties go to the lowest
            texts.append((f"{name} {'; '.join(lines[i:i + 4])}", model(lines[i:i + 4], d=6, vocab=(5, 2)[n % 2], head=head, **wide), {**how, **tie}))
    texts.append(("one word", model(["attention(heads = 1, head_dim = 2)", "moe(experts = 2, hidden = 2, router = topk(k = 2, capacity = none))"], d=6, vocab=1, context=2), {"batch": 2}))
    texts.append(("one word, one token", model(["ffn(hidden = 2, act = gelu)"], d=6, vocab=1, context=1, head="head(tied = false, z_loss = 0.5)"), {"batch": 1}))
    for i, (norm, wiring) in enumerate(itertools.product(NORMS + ["none"], WIRINGS)):
        name, wide, how = sizes[i % 4]
        body = ["ffn(hidden = 5, act = gelu)", "attention(heads = 1, head_dim = 2)", "moe(experts = 1, hidden = 2, router = soft())"][i % 3]
        texts.append((f"{name} {norm} {wiring}", model([f"{body} norm = {norm} wiring = {wiring}", f"repeat 1 {{ parallel {{ {body} }} norm = {norm} wiring = {wiring} }}", f"at 1/6 {{ ffn(hidden = 1, act = silu) norm = none }}"], d=6, **wide), how))

    def nobody(of):
        """In the first row no position is a token; in all rows, where there is one."""
        def draw(rng, runs, batch, length, vocab):
            out = rng.integers(0, vocab if of == "targets" else 2, (runs, batch, length))
            out[:, 0] = -1
            return out
        return draw
    for i, kind in enumerate(ROUTER_OPTIONS):
        for group, (name, wide, how) in zip(GROUPS, sizes[i % 2:] + sizes[:i % 2]):
            given = {"group": group, "k": 2 if "k" in ROUTER_OPTIONS[kind] else None, "small_groups": "true" if "small_groups" in ROUTER_OPTIONS[kind] else None}
            line = "masked_moe" + arguments({"experts": 2, "hidden": 2, "act": "gelu", "router": kind + arguments(given)})
            texts.append((f"{name} no token, {line}", model([line], d=6, before=layers.MASKED_TEXT, **wide), {**how, "targets": nobody("targets"), "segment": nobody("segment")}))
    for name, wide, how in sizes:
        texts.append((f"{name} no token, mixing", model(["masked_attention(heads = 1, head_dim = 2)", "masked_gmlp(hidden = 2)", "masked_token_mixer(hidden = 1)"], d=6, before=layers.MASKED_TEXT, **wide),
                      {**how, "targets": nobody("targets"), "segment": nobody("segment")}))
    return built("degenerate", texts)


# ---- difference quotients --------------------------------------------------------------------------------------------


def quotients():
    """Each layer × activation, each router × activation, attention's options, norms × wirings: small, smooth where it stands, with directions."""
    lines = [f"{layer.format(act)}" for act in ACTS for layer in ("ffn(hidden = 3, act = {})", "low_rank(rank = 2, hidden = 3, act = {})", "multi_branch(branches = 2, hidden = 4, act = {})")]
    lines += [f"{layer.format(act)}" for act in layers.ACTIVATIONS for layer in ("gmlp(hidden = 4, act = {})", "token_mixer(hidden = 3, act = {})")]
    for kind in ROUTER_OPTIONS:
        for i, act in enumerate(ACTS):
            extra = {"top2": "capacity = 1, aux = 0.5, z = 0.1, group = batch", "topk": "k = 2, capacity = 1, aux = 0.5, z = 0.1, group = batch", "top1": "capacity = 1, aux = 0.5, z = 0.1, group = batch",
                     "loss_free": "group = batch, capacity = 1"}.get(kind, f"group = {GROUPS[i % 3]}" + (", small_groups = true" if "small_groups" in routers.ROUTERS[kind].attributes else ""))
            lines.append(f"moe(experts = 3, hidden = 2, act = {act}, router = {kind}({extra}))")
    options = {"position": POSITIONS, "conv": [None, 2], "qk_norm": ["true", "false"], "causal": ["true", "false"], "heads_kv": [(2, 1), (2, 2)], "head_dim": [4], "score": ["identity", "cap", "lean"]}
    for r in covering(5, options, full=("position", "score")):
        r["heads"], r["kv_heads"] = r.pop("heads_kv")
        lines.append(attention_line(r))
    lines += [f"ffn(hidden = 3, act = gelu) norm = {norm} wiring = {wiring}" for norm in NORMS[:2] for wiring in WIRINGS]
    lines += ["at 3/5 { ffn(hidden = 2, act = silu) }", "parallel { ffn(hidden = 2, act = gelu) | attention(heads = 1, head_dim = 2) }", "repeat 2 shared { ffn(hidden = 2, act = gelu) }", "project(d = 3)", "dropout(rate = 0.25)",
              "layer_norm()"]
    texts = []
    for i, line in enumerate(lines):
        line, *needs = line if isinstance(line, tuple) else (line,)
        head = "head(tied = false, z_loss = 0.1)" if i % 2 or "project" in line else "head(tied = true)"
        texts.append((line, model([line], d=5, vocab=5, context=3, before="\n".join(needs), head=head)))
    out = built("quotients", texts, reach=1e-5, decide={"margin": 1e-3, "kink": 1e-3})
    for i, case in enumerate(out):
        case.aim(i)
    return out


FAMILIES = {"attention": attention, "networks": networks, "norms": norms_wirings, "structure": structure, "edges": edges, "degenerate": degenerate, "masks": masks, "states": states, "sampled": sampled, "quotients": quotients,
            **{kind: routing(kind) for kind in ROUTER_OPTIONS}}
