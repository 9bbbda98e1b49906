"""Routers: who computes what. Choices are made in NumPy on the values of the scores; only the weights are differentiated.

`route` takes z [g, t, d] and gives the pairs as three flat arrays: expert, token (g · T + t) and weight. `there` [g, t] is false for
masked tokens, which nothing counts and nobody chooses. Losses, metrics and new states are reported to `ctx` under their names, and so
is the margin of every comparison that decides something.
"""
import math
from fractions import Fraction

import numpy as np

import tape

SEQUENCE, BATCH = "sequence", "batch"


class Spec:
    def __init__(self, run, scores=True, **attributes):
        self.run = run
        self.scores = scores
        self.attributes = attributes


def attribute(router, name):
    from bfm_reader import Named
    spec = ROUTERS[router.name]
    known = dict(router.bound)
    if not set(known) <= set(spec.attributes):
        raise ValueError(f"{router.name} has no attribute {sorted(set(known) - set(spec.attributes))}")
    value = known.get(name, spec.attributes[name])
    return Named(value) if isinstance(value, str) else value


class Choice:
    """The attributes of a bound router by name, with the sizes at hand."""

    def __init__(self, router, experts, groups, tokens, context):
        for name in ROUTERS[router.name].attributes:
            value = attribute(router, name)
            setattr(self, name, value.name if hasattr(value, "name") else value)
        self.experts, self.groups, self.tokens, self.context = experts, groups, tokens, context

    def slots(self, per_token=1):
        """ceil(c · T / E) exactly; T is the declared context for sequences."""
        size = self.context if self.group == SEQUENCE else self.tokens
        asked = Fraction(self.capacity) * per_token * size
        slots = math.ceil(asked / self.experts)
        if self.group == SEQUENCE and not self.small_groups and slots * self.experts > 2 * asked:
            raise ValueError(f"{slots} slots of {self.experts} experts more than double the capacity asked for; small_groups allows it")
        return slots


def route(z, p, router, experts, ids, there, ctx):
    c = Choice(router, experts, z.shape[0], z.shape[1], ctx.context)
    c.there = there
    outer = ctx.path
    ctx.enter(outer + ".router")
    c.path = ctx.path
    pairs = ROUTERS[router.name].run(z, p, c, ids, ctx)
    ctx.enter(outer)
    return pairs


def mean_there(x, c):
    """The mean over the tokens that exist of x [g, t, …]."""
    keep = np.nonzero(c.there.ravel())[0]
    flat = tape.reshape(x, (c.there.size,) + x.shape[2:])
    return tape.mean(flat[keep], axis=0) if len(keep) else tape.Var(np.zeros(x.shape[2:]))


def note_scores(p, c, ctx):
    q = p.value[c.there]
    ctx.metric("score_entropy", -(q * np.log(np.where(q > 0, q, 1))).sum(axis=-1).mean() if len(q) else 0)


def note_drops(ctx, claim, kept):
    """Shares of the claims that found no slot, and of the claiming tokens that found none at all."""
    asked, served = claim >= 0, kept >= 0
    asking = asked.any(axis=-1)
    ctx.metric("dropped_assignments", (asked & ~served).sum() / max(asked.sum(), 1))
    ctx.metric("dropped_tokens", (asking & ~served.any(axis=-1)).sum() / max(asking.sum(), 1))


def drops_nothing(ctx):
    ctx.metric("dropped_assignments", 0)
    ctx.metric("dropped_tokens", 0)


def scores(z, p):
    a = tape.einsum("gti,ie->gte", z, p["router.w"])
    return a, tape.softmax(a, -1)


def best(values, k):
    """Indices of the k largest along the last axis, ties to the lower index."""
    return np.argsort(-values, axis=-1, kind="stable")[..., :k]


def note_margins(values, k, ctx, ordered):
    """The smallest relative gap that decides the k best: between neighbours if their order counts, else at the border. Scores that are 0 in f32 are near each other."""
    s = -np.sort(-values, axis=-1)
    gaps = (s[..., :-1] - s[..., 1:]) / np.maximum(np.abs(s[..., :-1]), 1e-30)
    last = min(k, gaps.shape[-1])
    used = gaps[..., :last] if ordered else gaps[..., last - 1:last] if k <= gaps.shape[-1] else gaps[..., :0]
    if used.size:
        ctx.margin(used.min())


def drop(pick, order, slots, experts):
    """Which claims get a slot: granted by token and then choice, or by choice and then token. pick [g, t, c], −1 claims nothing."""
    groups, tokens, choices = pick.shape
    kept = np.full(pick.shape, -1)
    walk = [(t, c) for t in range(tokens) for c in range(choices)]
    if order == "choice":
        walk.sort(key=lambda tc: (tc[1], tc[0]))
    for g in range(groups):
        used = np.zeros(experts, int)
        for t, c in walk:
            e = pick[g, t, c]
            if e >= 0:
                if used[e] < slots:
                    kept[g, t, c] = e
                used[e] += 1
    return kept


def balance(p, first, c, ctx):
    """aux · E · Σ_e (mean score) (fraction chosen), the mean over groups. first [g, t, n]: the choices that count."""
    if c.aux == 0 or ctx.mode != "train":
        return
    present = np.maximum(c.there.sum(axis=1), 1)
    f = np.stack([np.bincount(first[g][c.there[g]].ravel(), minlength=c.experts) for g in range(c.groups)]) / (present * first.shape[2])[:, None]
    m = tape.total(p * c.there[..., None], axis=1) * (1 / present)[:, None]
    live = max(c.there.any(axis=1).sum(), 1)  # a group without tokens has no balance: its term is 0, and it is no group
    ctx.loss("balance", float(c.aux) * c.experts * tape.total(tape.total(m * f, axis=-1)) * (1 / live))


def z_loss(a, c, ctx):
    if c.z > 0 and ctx.mode == "train":
        lse = tape.logsumexp(a, -1)
        ctx.loss("router_z", float(c.z) * mean_there(lse * lse, c))


def pairs_of(kept, gate):
    """The pairs that exist, from kept [g, t, c] (−1: none) and gate [g, t, c]."""
    groups, tokens, _ = kept.shape
    where = np.nonzero(kept >= 0)
    return kept[where], where[0] * tokens + where[1], gate[where]


def picked(p, pick):
    """p[g, t, pick[g, t, c]]"""
    g, t = np.ogrid[:pick.shape[0], :pick.shape[1]]
    return p[g[..., None], t[..., None], pick]


# ---- token choice ----------------------------------------------------------------------------------------------------


def token_choice(z, p, c, ids, ctx, k, renormalise, counted):
    a, s = scores(z, p)
    pick = best(s.value, k)
    note_margins(s.value, k, ctx, ordered=True)
    gate = picked(s, pick)
    if renormalise:
        gate = gate / (tape.total(gate, axis=-1, keepdims=True) + 1e-9)
    claim = np.where(c.there[..., None], pick, -1)
    if getattr(c, "second", "all") == "sampled" and ctx.mode == "train":
        chance = ctx.draw("second", claim.shape[:2]) - 2 * gate.value[..., 1]
        ctx.margin(np.abs(chance).min())
        claim[..., 1] = np.where(chance < 0, claim[..., 1], -1)
    kept = claim
    if c.capacity != "none":
        kept = drop(claim, c.order, c.slots(k if c.convention == "assignments" else 1), c.experts)
    balance(s, pick[..., :counted], c, ctx)
    z_loss(a, c, ctx)
    note_drops(ctx, claim, kept)
    note_scores(s, c, ctx)
    return pairs_of(kept, gate)


def top2(z, p, c, ids, ctx):
    return token_choice(z, p, c, ids, ctx, 2, True, 1)


def topk(z, p, c, ids, ctx):
    return token_choice(z, p, c, ids, ctx, int(c.k), c.k > 1, int(c.k))  # one choice renormalised would be 1 whatever the router says


def top1(z, p, c, ids, ctx):
    return token_choice(z, p, c, ids, ctx, 1, False, 1)


def loss_free(z, p, c, ids, ctx):
    _, s = scores(z, p)
    k = int(c.k)
    bias = ctx.state("b", np.zeros(c.experts))
    biased = s.value + bias
    pick = best(biased, k)
    note_margins(biased, k, ctx, ordered=True)
    gate = picked(s, pick)
    if k > 1:
        gate = gate / (tape.total(gate, axis=-1, keepdims=True) + 1e-9)
    pick = np.where(c.there[..., None], pick, -1)
    kept = pick if c.capacity == "none" else drop(pick, "token", c.slots(), c.experts)
    load = np.bincount(pick[pick >= 0], minlength=c.experts)
    ctx.next("b", bias + float(c.rate) * np.sign(load.mean() - load))
    note_drops(ctx, pick, kept)
    note_scores(s, c, ctx)
    return pairs_of(kept, gate)


# ---- expert choice ---------------------------------------------------------------------------------------------------


def chosen_by_experts(s, c, ctx):
    """Pairs of the k best tokens of each expert, and the chosen tokens [g, e, k]."""
    by_expert = np.where(c.there[:, None, :], np.moveaxis(s.value, 2, 1), -1.0)  # [g, e, t]; what is masked comes last
    k = min(c.tokens, c.slots())
    token = best(by_expert, k)
    for g in range(c.groups):
        note_margins(by_expert[g][:, c.there[g]], k, ctx, ordered=False)
    g, e, _ = np.ogrid[:c.groups, :c.experts, :k]
    group, expert = np.broadcast_to(g, token.shape), np.broadcast_to(e, token.shape)
    real = np.nonzero(c.there[group, token])
    group, expert, chosen = group[real], expert[real], token[real]
    note_scores(s, c, ctx)
    drops_nothing(ctx)
    return (expert, group * c.tokens + chosen, s[group, chosen, expert]), token


def expert_choice(z, p, c, ids, ctx):
    _, s = scores(z, p)
    return chosen_by_experts(s, c, ctx)[0]


def expert_threshold(z, p, c, ids, ctx):
    _, s = scores(z, p)
    old, decay = ctx.state("c", np.zeros(c.experts)), float(c.decay)
    if ctx.mode == "train":
        pairs, token = chosen_by_experts(s, c, ctx)
        taken = np.where(np.take_along_axis(c.there[:, None, :], token, axis=2), np.take_along_axis(np.moveaxis(s.value, 2, 1), token, axis=2), np.inf)
        live = c.there.any(axis=1)  # a group without tokens has no score that got a slot
        last = taken.min(axis=2)[live].mean(axis=0) if live.any() else np.zeros(c.experts)
        ctx.next("c", old if not live.any() else last if ctx.step == 0 else decay * old + (1 - decay) * last)
        return pairs
    ctx.margin(np.abs(s.value - old)[c.there].min(initial=np.inf))
    g, t, e = np.nonzero(((s.value > old) | (c.experts == 1)) & c.there[..., None])
    note_scores(s, c, ctx)
    drops_nothing(ctx)
    return e, g * c.tokens + t, s[g, t, e]


# ---- baselines -------------------------------------------------------------------------------------------------------


def soft(z, p, c, ids, ctx):
    _, s = scores(z, p)
    g, t, e = np.nonzero(np.broadcast_to(c.there[..., None], s.shape))
    note_scores(s, c, ctx)
    drops_nothing(ctx)
    return e, g * c.tokens + t, s[g, t, e]


def one_each(c, ctx, expert, entropy):
    """Every token to the expert given [g · t], with weight 1."""
    token = np.nonzero(c.there.ravel())[0]
    ctx.metric("score_entropy", entropy)
    drops_nothing(ctx)
    return expert[token], token, tape.Var(np.ones(len(token)))


def hashed(z, p, c, ids, ctx):
    return one_each(c, ctx, ids.ravel() % c.experts, 0)


def random(z, p, c, ids, ctx):
    return one_each(c, ctx, np.floor(ctx.draw("expert", ids.shape) * c.experts).astype(int).ravel(), math.log(c.experts))


TOKEN_CHOICE = dict(group=SEQUENCE, order="token", convention="slots", aux=Fraction(1, 100), z=Fraction(0), small_groups=False)
ROUTERS = {
    "top2": Spec(top2, capacity=Fraction(2), second="all", **TOKEN_CHOICE),
    "topk": Spec(topk, k=Fraction(2), capacity=Fraction(2), **TOKEN_CHOICE),
    "top1": Spec(top1, capacity=Fraction(5, 4), **TOKEN_CHOICE),
    "expert_choice": Spec(expert_choice, capacity=Fraction(1), group=BATCH, small_groups=False),
    "expert_threshold": Spec(expert_threshold, capacity=Fraction(1), decay=Fraction(99, 100), group=BATCH, small_groups=False),
    "loss_free": Spec(loss_free, k=Fraction(2), capacity="none", rate=Fraction(1, 1000), group=SEQUENCE, small_groups=False),
    "soft": Spec(soft, group=BATCH),
    "hash": Spec(hashed, scores=False, group=BATCH),
    "random": Spec(random, scores=False, group=BATCH),
}
