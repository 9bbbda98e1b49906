#!/usr/bin/python3
"""Random layers in the language, held against NumPy.

    random_layers.py --bfmc build/release/bfmc [--count N] [--seed S] [--engine interp|jit]… [--print] [--keep FOLDER]

Each case is a model of one or a few layers with random definitions. One random tree gives both the text that bfmc compiles and the value that NumPy works
out, point by point as docs/language.md says and with none of the compiler's transformations: a recurrence is stepped, each step reading what the steps before
stored; axes that meet by position are reshaped. Gradients are derivatives by a complex step along random directions, exact to rounding.
Some programs ask for what a recurrence cannot do: those must be refused with E0409, at the offending read. Some look up an integer that may be none as one term
of a result: refused with E0408. Some have extents that are sizes at certain lengths only: every engine must refuse the others, and say what the length must be.
Some tokens are padding: whole rows, the beginning, the end or the middle of rows, all of them. What is computed there must reach nothing.

To add a construct: write a function of a `Layer` that appends statements (and tensors for others to read), and give it a row in CONSTRUCTS; or a row in RESULTS,
WIRINGS, WRONG_READS, WRONG_RESULTS or VANISHING. Nodes of expressions are small classes with `text` and `value`.
"""
import argparse
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import tensors  # noqa: E402

TOLERANCE = {"interp": 1e-10, "jit": 2e-4}
VOCAB = 7
STEP = 1e-30  # of the complex derivative

# ---- expressions -----------------------------------------------------------------------------------------------------
# An `Env` has the tensors and, for each index in scope, its values: an array with one axis per index, all others of length 1.


class Env:
    def __init__(self, tensors, at, current=None):
        self.tensors, self.at, self.current = tensors, at, current  # current: the recurrence being stepped

    def inner(self, ranges):
        """With further indices, each on an axis of its own after the others."""
        depth = len(ranges)
        at = {k: v.reshape(v.shape + (1,) * depth) for k, v in self.at.items()}
        rank = max((v.ndim for v in at.values()), default=depth)
        for i, (name, low, high) in enumerate(ranges):
            at[name] = np.arange(low, high).reshape((1,) * (rank - depth + i) + (-1,) + (1,) * (depth - i - 1))
        return Env(self.tensors, at, self.current)


class Number:
    def __init__(self, value):
        self.number = value

    def text(self):
        return f"({self.number})" if self.number < 0 else f"{self.number}"

    def value(self, env):
        return np.float64(self.number)


# Numbers of the step, of which a float made of its parts would keep few digits: text, value at step 0.
SCALARS = [("1000 * (1 - 0.999 ^ (step + 1))", 1.0), ("1e5 * (1 - (1 - 1e-5) ^ (step + 1))", 1.0), ("(1 - 0.9 ^ (step + 1)) ^ 0.5", 0.1 ** 0.5), ("2 ^ -(step + 1)", 0.5)]


class Scalar:
    def __init__(self, row):
        self.row = row

    def text(self):
        return f"({self.row[0]})"

    def value(self, env):
        return np.float64(self.row[1])


class Index:
    """The number of a position, `i + by`."""

    def __init__(self, name, by=0):
        self.name, self.by = name, by

    def text(self):
        return self.name if not self.by else f"{self.name} {'+' if self.by > 0 else '-'} {abs(self.by)}"

    def value(self, env):
        return env.at[self.name] + self.by


class Mirror:
    """`high - i`"""

    def __init__(self, high_text, high, name):
        self.high_text, self.high, self.name = high_text, high, name

    def text(self):
        return f"{self.high_text} - {self.name}"

    def value(self, env):
        return self.high - env.at[self.name]


class Parts:
    """A compound subscript `(s, c)`, with the sizes of its parts, and `by` positions further, row-major."""

    def __init__(self, parts, sizes, by=0):
        self.parts, self.sizes, self.by = parts, sizes, by

    def text(self):
        inside = "(" + ", ".join(p.text() for p in self.parts) + ")"
        return inside if not self.by else f"{inside} {'+' if self.by > 0 else '-'} {abs(self.by)}"

    def value(self, env):
        at = 0
        for part, size in zip(self.parts, self.sizes):
            at = at * size + part.value(env)
        return at + self.by


class Read:
    """An element of a tensor; arrays hold each axis of the language as one."""

    def __init__(self, name, subscripts):
        self.name, self.subscripts = name, subscripts

    def text(self):
        return f"{self.name}[{', '.join(s.text() for s in self.subscripts)}]"

    def value(self, env):
        at = [np.asarray(s.value(env)) for s in self.subscripts]
        array = env.tensors[self.name]
        for position, size in zip(at, array.shape):
            assert position.min() >= 0 and position.max() < size, f"the generator made {self.text()} leave its axis"
        return array[tuple(at)]


class Self(Read):
    """A read of the recurrence being defined: 0 before its first point."""

    def value(self, env):
        at = [np.asarray(s.value(env)) for s in self.subscripts]
        array = env.tensors[self.name]
        inside = np.logical_and.reduce(np.broadcast_arrays(*[p >= 0 for p in at]))
        return np.where(inside, array[tuple(np.maximum(p, 0) for p in at)], 0)


class Call:
    """An operator or a function, with what it does in NumPy."""

    def __init__(self, form, function, *arguments):
        self.form, self.function, self.arguments = form, function, arguments

    def text(self):
        return self.form.format(*[a.text() for a in self.arguments])

    def value(self, env):
        return self.function(*[a.value(env) for a in self.arguments])


class Sum:
    """sum, mean or max over `ranges` (name, text of the range or None, low, high), where `condition` holds."""

    def __init__(self, kind, ranges, body, condition=None):
        self.kind, self.ranges, self.body, self.condition = kind, ranges, body, condition

    def text(self):
        indices = ", ".join(name + (f" in {stated}" if stated else "") for name, stated, _, _ in self.ranges)
        return f"({self.kind}[{indices}{' | ' + self.condition.text() if self.condition else ''}] {self.body.text()})"

    def value(self, env):
        inner = env.inner([(name, low, high) for name, _, low, high in self.ranges])
        shape = np.broadcast_shapes(*[v.shape for v in inner.at.values()])
        axes = tuple(range(len(shape) - len(self.ranges), len(shape)))
        holds = np.broadcast_to(self.condition.value(inner), shape) if self.condition else np.ones(shape, bool)
        body = np.where(holds, np.broadcast_to(self.body.value(inner), shape), 0)
        total = body.sum(axis=axes)
        return total / np.maximum(holds.sum(axis=axes), 1) if self.kind == "mean" else total


def select(condition, a, b):
    return np.where(condition, a, b)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def add(a, b): return Call("({} + {})", np.add, a, b)
def sub(a, b): return Call("({} - {})", np.subtract, a, b)
def mul(a, b): return Call("{} * {}" if isinstance(a, (Read, Number)) and isinstance(b, (Read, Number)) else "({}) * ({})", np.multiply, a, b)
def less(a, b): return Call("({} < {})", lambda x, y: np.real(x) < np.real(y), a, b)
def at_most(a, b): return Call("{} <= {}", lambda x, y: x <= y, a, b)
def both(a, b): return Call("{} and {}", np.logical_and, a, b)


# Functions of the library of each file: name, text, what it does, how many arguments.
FUNCTIONS = {
    "twice": ("fn twice(x) = x + x", lambda x: x + x),
    "mix": ("fn mix(a, x, y) = a * x + y", lambda a, x, y: a * x + y),
    "lean": ("fn lean(x) = 0.5 * tanh(x) + 0.1 * x", lambda x: 0.5 * np.tanh(x) + 0.1 * x),
}


def call(name, *arguments):
    return Call(name + "(" + ", ".join(["{}"] * len(arguments)) + ")", FUNCTIONS[name][1], *arguments)


# ---- layers ----------------------------------------------------------------------------------------------------------


class Axis:
    """An axis of a tensor: the indices that run over its parts on the left, [(name, text of a stated range or None, size)]. One part: a plain axis."""

    def __init__(self, *parts):
        self.parts = parts

    def left(self, inferred=()):
        texts = [name + (f" in {stated}" if stated and name not in inferred else "") for name, stated, _ in self.parts]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"

    def bare(self, by=0):
        if len(self.parts) == 1:
            return Index(self.parts[0][0], by)
        return Parts([Index(name) for name, _, _ in self.parts], [size for _, _, size in self.parts], by)

    def size(self):
        return int(np.prod([size for _, _, size in self.parts]))

    def reads(self, other):
        """Indices over this axis may subscript one like the other: a compound one with compound parts of the same sizes only."""
        return len(self.parts) == 1 or len(other.parts) == 1 or [p[2] for p in self.parts] == [p[2] for p in other.parts]


class Layer:
    """A definition under construction: statements as (text, function of the tensors that adds what it defines)."""

    def __init__(self, rng, name, sizes, padded=False):
        self.rng, self.name, self.padded = rng, name, padded  # padded: sees the segments, and lets no position of another one in
        self.b, self.l, self.d = sizes
        self.lines, self.steps = [], []
        self.known = {"x": self.axis_i()}  # tensors [b, l, d], and how the width is made of parts
        self.rows = []          # tensors [b, l]
        self.params = {}        # path: shape
        self.refused = None     # holds what must be refused with this code,
        self.wrong = None       # at this text, None: anywhere
        self.needs = []         # (text of what the length must be, whether it is)
        self.losses = []        # tensors without axes
        self.serial = itertools.count()
        self.result = None

    def fresh(self, stem):
        return f"{stem}{next(self.serial)}"

    def axis_b(self): return Axis(("b", None, self.b))
    def axis_l(self): return Axis(("l", None, self.l))
    def axis_i(self): return Axis(("i", "0 ..< d", self.d))

    def axis_halves(self):
        """The width as a compound axis, where it is a multiple of 2."""
        return self.axis_i() if self.d % 2 else Axis(("s", "0 ..< 2", 2), ("c", "0 ..< d / 2", self.d // 2))

    def axis_thirds(self):
        return self.axis_i() if self.d % 3 else Axis(("c", "0 ..< d / 3", self.d // 3), ("s", "0 ..< 3", 3))

    def statement(self, text, step):
        self.lines.append(text)
        self.steps.append(step)

    def param(self, shape_text, *shape):
        name = self.fresh("w")
        self.lines.append(f"param {name}[{shape_text}] ~ normal(0, 0.5)")
        self.params[name] = shape
        return name

    def need(self, text, holds):
        self.needs.append((text, holds))

    def run(self, x, tokens, params):
        """The result, each axis of the language one of the array, and the sum of the losses."""
        store = {"x": x, "tokens": tokens, "segment": np.where(tokens < 0, -1, 0), **params}
        for step in self.steps:
            step(store)
        return store[self.result], sum(store[name] for name in self.losses)

    # ---- expressions over b, l and the width ----

    def position(self, axis, exact=False):
        """A subscript of the width for the axis on the left."""
        r = self.rng
        if len(axis.parts) == 1:
            name = axis.parts[0][0]
            return Mirror("d - 1", self.d - 1, name) if not exact and r.random() < 0.25 else Index(name)
        if exact or r.random() < 0.4:
            return axis.bare()
        parts = [Index(name) for name, _, _ in axis.parts]
        name, _, size = axis.parts[0]
        if size == 2:
            parts[0] = Mirror("1", 1, name)
        return Parts(parts, [size for _, _, size in axis.parts])

    def pick(self, axis=None):
        """A tensor that indices over the axis may subscript."""
        return self.rng.choice([name for name, own in self.known.items() if axis is None or axis.reads(own)])

    def leaf(self, axis):
        r = self.rng
        kind = r.random()
        if kind < 0.5:
            return Read(self.pick(axis), [Index("b"), Index("l"), self.position(axis)])
        if kind < 0.65 and self.rows:
            return Read(r.choice(self.rows), [Index("b"), Index("l")])
        if kind < 0.8:
            return Read(self.param("d", self.d), [self.position(axis)])
        if kind < 0.84:  # a parameter that no loss reaches
            return Call("stop({})", np.real, Read(self.param("d", self.d), [self.position(axis)]))
        if kind < 0.88:
            return Scalar(r.choice(SCALARS))
        return Number(r.choice([0.5, 0.25, -0.75, 1.5]))

    def expression(self, axis, depth):
        r = self.rng
        if depth == 0:
            return self.leaf(axis)
        a = self.expression(axis, depth - 1)
        kind = r.randrange(9)
        if kind in (0, 1):
            return r.choice([add, sub])(a, self.leaf(axis))
        if kind in (2, 3):
            return mul(a, self.leaf(axis))
        if kind == 4:
            return Call(*r.choice([("tanh({})", np.tanh), ("sigmoid({})", sigmoid), ("sin({})", np.sin)]), a)
        if kind == 5:
            return Call("select({}, {}, {})", select, less(Index("l"), Number(r.randrange(3))), a, self.leaf(axis))
        if kind == 6:
            return call("lean", a)
        if kind == 7:
            return self.sum(axis)
        return a

    def sum(self, axis):
        """Over the width, with a matrix, or over the positions up to this one."""
        r = self.rng
        if r.random() < 0.5:
            w = self.param("d, d", self.d, self.d)
            return Sum(r.choice(["sum", "mean"]), [("k", None, 0, self.d)], mul(Read(self.pick(), [Index("b"), Index("l"), Index("k")]), Read(w, [Index("k"), self.position(axis)])))
        return Sum(r.choice(["sum", "mean"]), [("t", None, 0, self.l)], Read(self.pick(axis), [Index("b"), Index("t"), self.position(axis)]), self.before())

    def before(self):
        """Positions t up to this one, of the same segment."""
        if not self.padded:
            return at_most(Index("t"), Index("l"))
        at, to = Read("segment", [Index("b"), Index("l")]), Read("segment", [Index("b"), Index("t")])
        return both(at_most(Index("t"), Index("l")), Call("{} == {}", lambda a, b: (a == b) & (a >= 0), to, at))

    # ---- definitions ----

    def left(self, name, axes, value):
        """`name[b, l, i in 0 ..< d]`; the range is left out at times, where a read gives it."""
        inferred = ["i"] if re.search(r"\bx\[b, l, i\]", value.text()) and self.rng.random() < 0.7 else []
        return f"{name}[{', '.join(a.left(inferred) for a in axes)}]"

    def define(self, keyword, name, axes, value):
        """let, or the last line's `return`."""
        left = self.left(name, axes, value)
        self.statement(f"{keyword} {left} = {value.text()}", lambda store: store.__setitem__(name, evaluate(store, axes, value)))

    def recurrence(self, name, axes, scan, value, where=None):
        left = self.left(name, axes, value)
        text = f"recur {left} = {value.text()}" + (f" where {where.text()}" if where else "")
        self.statement(text, lambda store: step_through(store, name, axes, scan, value, where))


def left_ranges(axes):
    return [(name, 0, size) for axis in axes for name, _, size in axis.parts]


def joined(array, axes):
    return array.reshape([a.size() for a in axes])


def evaluate(store, axes, value):
    env = Env(store, {}).inner(left_ranges(axes))
    shape = [size for _, _, size in left_ranges(axes)]
    return joined(np.array(np.broadcast_to(value.value(env), shape)), axes)


def step_through(store, name, axes, scan, value, where):
    """The points of the scan one after another; the steps before are in the array."""
    ranges = left_ranges(axes)
    sizes = [size for _, _, size in ranges]
    before = sum(len(a.parts) for a in axes[:scan])
    scanned = list(range(before, before + len(axes[scan].parts)))
    store[name] = np.zeros([a.size() for a in axes], complex)
    for point in itertools.product(*[range(sizes[k]) for k in scanned]):
        env = Env(store, {}).inner(ranges)
        for k, at in zip(scanned, point):
            env.at[ranges[k][0]] = np.full([1] * len(ranges), at)
        shape = [1 if k in scanned else size for k, size in enumerate(sizes)]
        new = np.broadcast_to(value.value(env), shape)
        old = np.broadcast_to(Self(name, [a.bare(-1 if i == scan else 0) for i, a in enumerate(axes)]).value(env), shape)
        if where:
            new = np.where(where.value(env), new, old)
        place = [slice(None)] * len(axes)
        flat = 0
        for k, at in zip(scanned, point):
            flat = flat * sizes[k] + at
        place[scan] = slice(flat, flat + 1)
        store[name][tuple(place)] = new.reshape([1 if i == scan else a.size() for i, a in enumerate(axes)])


# ---- recurrences -----------------------------------------------------------------------------------------------------


def previous(name, axes, scan):
    return Self(name, [a.bare(-1 if i == scan else 0) for i, a in enumerate(axes)])


def affine(layer, own, factor, depth):
    """An expression affine in `own`, which reads it once or more often. factor, free: how to draw what does not read it."""
    r = layer.rng
    if depth == 0:
        return mul(*r.choice([(own, factor()), (factor(), own)])) if r.random() < 0.6 else own
    a = affine(layer, own, factor, depth - 1)
    kind = r.randrange(10)
    if kind == 0:
        return add(a, affine(layer, own, factor, depth - 1))
    if kind == 1:
        return sub(factor(), a)
    if kind == 2:
        return Call("(-{})", np.negative, a)
    if kind == 3:
        return Call("select({}, {}, {})", select, less(factor(), Number(0.2)), a, affine(layer, own, factor, depth - 1))
    if kind == 4:
        return call("mix", factor(), a, affine(layer, own, factor, 0))
    if kind == 5:
        return call("twice", mul(Number(0.25), a))
    if kind == 6:
        return Call("({}) / {}", np.divide, a, Number(2))
    if kind == 7:
        return Call("(if d > 0 {{ {} }} else {{ {} }})", lambda x, y: x, a, factor())
    if kind == 8:
        return mul(factor(), a)
    return add(a, factor())


def recurrence_axes(layer):
    """What is on the left, and which axis is scanned."""
    r = layer.rng
    width = r.choice([layer.axis_i, layer.axis_i, layer.axis_halves])()
    kind = r.randrange(4)
    if kind == 0 and len(width.parts) == 1:  # along the width
        return [layer.axis_b(), layer.axis_l(), width], 2
    if kind == 1:  # along the width as a compound axis
        return [layer.axis_b(), layer.axis_l(), layer.axis_halves()], 2
    return [layer.axis_b(), layer.axis_l(), width], 1


def recurrence(layer, wrong=None):
    r = layer.rng
    name = layer.fresh("h")
    axes, scan = recurrence_axes(layer)
    own = previous(name, axes, scan)

    def factor():
        return Call("{}", lambda x: x, Call("tanh({})", np.tanh, layer.leaf(axes[2]))) if r.random() < 0.6 else Number(r.choice([0.5, -0.25, 0.75]))

    value = affine(layer, own, factor, r.randrange(4))
    drive = layer.expression(axes[2], r.randrange(2))
    value = r.choice([lambda: add(value, drive), lambda: add(drive, value), lambda: sub(drive, value)])()
    where = less(Index("l"), Number(r.randrange(1, 4))) if r.random() < 0.15 else None
    if layer.padded:
        there = Call("exists({})", lambda a: a >= 0, Read("segment", [Index("b"), Index("l")]))
        where = both(where, there) if where else there
    if wrong:
        bad = wrong(layer, name, axes, scan)
        if bad is None:
            return
        layer.refused, (layer.wrong, expression) = "E0409", bad
        value = r.choice([lambda: add(value, expression), lambda: add(expression, value), lambda: sub(value, expression)])()
    layer.recurrence(name, axes, scan, value, where)
    layer.known[name] = axes[2]
    if not wrong and r.random() < 0.4:  # and read later, one step back
        late = layer.fresh("p")
        layer.define("let", late, axes, add(previous(name, axes, scan), layer.leaf(axes[2])))
        layer.known[late] = axes[2]


# Reads of its own value that no recurrence can do: (the text that the error points at, the expression it stands in).


def at_offset(axis_of, by):
    def make(layer, name, axes, scan):
        axis = scan if axis_of == "scan" else 3 - scan
        if len(axes[axis].parts) > 1 and axis != scan:
            return None
        subscripts = [a.bare(by if i == axis else 0) for i, a in enumerate(axes)]
        along_another = axis != scan and layer.rng.random() < 0.5 and by == -1  # then the later one of two good reads is wrong
        if axis != scan and not along_another:
            subscripts[scan] = axes[scan].bare(-1)
        read = Self(name, subscripts)
        return None if along_another else read.text(), mul(Number(0.25), read)
    return make


def at_start(layer, name, axes, scan):
    read = Self(name, [Number(0) if i == scan else a.bare() for i, a in enumerate(axes)])
    return read.text(), mul(read, Number(0.5))


def in_a_sum(layer, name, axes, scan):
    other = 3 - scan
    read = Self(name, [Index("k") if i == other else a.bare(-1 if i == scan else 0) for i, a in enumerate(axes)])
    return read.text(), Sum("sum", [("k", None, 0, axes[other].size())], mul(read, Number(0.5)))


def beside_a_sum(layer, name, axes, scan):
    read = previous(name, axes, scan)
    return None, Sum("sum", [("k", "0 ..< 3", 0, 3)], mul(Index("k"), Self(name, read.subscripts)))


def squared(layer, name, axes, scan):
    read = previous(name, axes, scan)
    return None, mul(read, read)


def in_a_condition(layer, name, axes, scan):
    read = previous(name, axes, scan)
    return None, Call("select({}, {}, {})", select, less(read, Number(0.1)), Number(1), Number(2))


WRONG_READS = [at_offset("scan", -2), at_offset("scan", 0), at_offset("scan", 1), at_offset("scan", -3), at_offset("other", -1), at_offset("other", 1), at_start, in_a_sum, beside_a_sum, squared,
               in_a_condition]


# ---- other constructs ------------------------------------------------------------------------------------------------


def let_map(layer):
    """let y[b, l, i] = e, or with the width as a compound axis."""
    axes = [layer.axis_b(), layer.axis_l(), layer.rng.choice([layer.axis_i, layer.axis_i, layer.axis_halves, layer.axis_thirds])()]
    name = layer.fresh("y")
    layer.define("let", name, axes, layer.expression(axes[2], layer.rng.randrange(1, 3)))
    layer.known[name] = axes[2]


def let_row(layer):
    """let r[b, l] = sum[k] …"""
    name = layer.fresh("r")
    x = Read(layer.pick(), [Index("b"), Index("l"), Index("k")])
    layer.define("let", name, [layer.axis_b(), layer.axis_l()], Sum(layer.rng.choice(["sum", "mean"]), [("k", None, 0, layer.d)], mul(x, Number(0.25))))
    layer.rows.append(name)


def accumulate(layer):
    """y[b, t, i] += e: each element once, whose axes are those that the subscripts have."""
    name, axis = layer.fresh("a"), layer.axis_i()
    value = mul(Read(layer.pick(), [Index("b"), Index("l"), Index("i")]), Read(layer.param("d", layer.d), [Index("i")]))
    axes = [layer.axis_b(), layer.axis_l(), axis]
    layer.statement(f"{name}[b, l, i] += {value.text()}", lambda store: store.__setitem__(name, evaluate(store, axes, value)))
    layer.known[name] = axis


# Layers that others call: their results are [b, l, d], whatever axes they were made with.
CALLED = {
    "exchanged": ("layer exchanged(x[b, l, d]) -> [b, l, d] {\n    return y[b, l, (s in 0 ..< 2, c in 0 ..< d / 2)] = x[b, l, (1 - s, c)]\n}", lambda x: np.roll(x, x.shape[-1] // 2, -1)),
    "summed": ("layer summed(x[b, l, d]) -> [b, l, d] {\n    recur h[b, l, (s in 0 ..< 2, c in 0 ..< d / 2)] = h[b, l - 1, (s, c)] + x[b, l, (s, c)]\n    return h\n}", lambda x: np.cumsum(x, 1)),
    "rolled": ("layer rolled(x[b, l, d]) -> [b, l, d] {\n    return y[b, l, i in 0 ..< d] = x[b, l, d - 1 - i]\n}", lambda x: x[..., ::-1]),
}

# Routers, whose three results are taken apart: text, token at place p of l, expert by place.
SEVERAL = {
    "straight": ("router straight(x[g, t, d]) -> pairs {\n    return expert[g, t] = index[3](2 * t - 1), token[g, t] = t, weight[g, t] = mean[k] x[g, t, k]\n}", lambda p, l: p, lambda p: 2 * p - 1),
    "mirrored": ("router mirrored(x[g, t, d]) -> pairs {\n    return expert[g, t] = index[3](t - 1), token[g, t] = index[size(t)](size(t) - 1 - t), weight[g, t] = mean[k] x[g, t, k]\n}",
                 lambda p, l: l - 1 - p, lambda p: p - 1),
}


def call_layer(layer):
    """let z = layer(x)"""
    called, of, name = layer.rng.choice(["rolled"] if layer.d % 2 else ["exchanged", "rolled"] if layer.padded else list(CALLED)), layer.pick(), layer.fresh("z")
    layer.statement(f"let {name} = {called} as {name}_of ({of})", lambda store: store.__setitem__(name, CALLED[called][1](store[of])))
    layer.known[name] = layer.axis_i()


def call_several(layer):
    """let (expert[b, p], …) = router(x), with indices or names alone; then what the pairs say is added up, and nothing where the expert is none."""
    r = layer.rng
    called, of, y = "straight" if layer.padded else r.choice(list(SEVERAL)), layer.pick(layer.axis_i()), layer.fresh("y")
    names, w = [layer.fresh(stem) for stem in ("e", "q", "v")], layer.param("3, d", 3, layer.d)
    left = ", ".join(name + r.choice(["", "[b, p]"]) for name in names)
    layer.lines.append(f"let ({left}) = {called} as {y}_of ({of})")
    layer.lines.append(f"{y}a[b, {names[1]}[b, p], i] += {names[2]}[b, p] * {w}[{names[0]}[b, p], i]")
    layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {y}a[b, l, i] + {of}[b, l, i]")
    _, token, expert = SEVERAL[called]

    def step(store):
        out = np.array(store[of], complex)
        for p in range(layer.l):
            if 0 <= expert(p) < 3:
                out[:, token(p, layer.l)] += store[of][:, p].mean(1, keepdims=True) * store[w][expert(p)]
        store[y] = out
    layer.steps.append(step)
    layer.known[y] = layer.axis_i()


# ---- extents that depend on the length -------------------------------------------------------------------------------


def some_divisor(layer):
    """2, 3 or 4; more often one that divides the length."""
    good = [n for n in (2, 3, 4) if layer.l % n == 0]
    return layer.rng.choice(good if good and layer.rng.random() < 0.7 else [2, 3, 4])


def in_patches(layer):
    """Patches of positions, something of each, and back to positions: the length must be a multiple."""
    r, n = layer.rng, some_divisor(layer)
    patches, of, back, y = layer.fresh("p"), layer.pick(layer.axis_i()), layer.fresh("q"), layer.fresh("u")
    q, s, i = f"q in 0 ..< size(l) / {n}", f"s in 0 ..< {n}", "i in 0 ..< d"
    kind = r.choice(["sum", "mean"])
    scanned, strided = r.random() < 0.4, r.random() < 0.3
    if strided:
        at = r.randrange(n)
        layer.lines.append(f"let {patches}[b, {q}, {i}] = {of}[b, {n} * q{f' + {at}' if at else ''}, i]")
    else:
        layer.lines.append(f"let {patches}[b, {q}, {i}] = {kind}[{s}] {of}[b, (q, s), i]")
    if scanned:
        layer.lines.append(f"recur {back}s[b, {q}, {i}] = 0.5 * {back}s[b, q - 1, i] + {patches}[b, q, i]")
    layer.lines.append(f"let {back}[b, ({q}, {s}), {i}] = {patches if not scanned else back + 's'}[b, q, i] * {of}[b, (q, s), i]")
    layer.lines.append(f"let {y}[b, l in 0 ..< size(l), {i}] = {back}[b, l, i]")

    def step(store):
        x = store[of]
        parts = x.reshape(layer.b, layer.l // n, n, layer.d)
        z = parts[:, :, at] if strided else parts.sum(2) / (n if kind == "mean" else 1)
        if scanned:
            z = np.array(z)
            for k in range(1, z.shape[1]):
                z[:, k] += 0.5 * z[:, k - 1]
        store[y] = (z[:, :, None] * parts).reshape(x.shape)
    layer.steps.append(step)
    layer.need(f"the length must be a multiple of {n}; it is {layer.l}", layer.l % n == 0)
    layer.known[y] = layer.axis_i()


def shortened(layer):
    """Differences over some distance: there must be as many positions."""
    r = layer.rng
    far = r.randrange(2, 4) if r.random() < 0.3 else r.randrange(1, max(2, min(layer.l, 4)))
    z, of, y, kind = layer.fresh("z"), layer.pick(layer.axis_i()), layer.fresh("y"), r.choice(["sum", "mean"])
    layer.lines.append(f"let {z}[b, q in 0 ..< size(l) - {far}, i in 0 ..< d] = {of}[b, q + {far}, i] - 0.5 * {of}[b, q + {far - 1}, i]")
    layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {kind}[q | q <= l] {z}[b, q, i]")

    def step(store):
        x = store[of]
        ends = np.cumsum(x[:, far:] - 0.5 * x[:, far - 1:-1], 1)
        count = np.minimum(np.arange(layer.l), layer.l - far - 1)  # the last one summed
        total = ends[:, np.maximum(count, 0)] if layer.l > far else 0 * x
        store[y] = total / (count[:, None] + 1) if kind == "mean" and layer.l > far else total
    layer.steps.append(step)
    layer.need(f"the length must be at least {far}; it is {layer.l}", layer.l >= far)
    layer.known[y] = layer.axis_i()


def stretched(layer):
    """An axis of several times the length."""
    n = layer.rng.randrange(2, 4)
    z, of, y = layer.fresh("z"), layer.pick(layer.axis_i()), layer.fresh("y")
    layer.lines.append(f"let {z}[b, (t in 0 ..< size(l), s in 0 ..< {n}), i in 0 ..< d] = {of}[b, t, i] * (s + 1)")
    layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = mean[s in 0 ..< {n}] {z}[b, (l, s), i]")
    layer.steps.append(lambda store: store.__setitem__(y, store[of] * (n + 1) / 2))
    layer.known[y] = layer.axis_i()


# ---- integers that may be none ---------------------------------------------------------------------------------------
# In NumPy none is -1.


def integer(layer, into=None):
    """let k[b, l] = …, which points into an axis: its name, the axis' extent as text and number."""
    r, name = layer.rng, layer.fresh("k")
    kind = r.randrange(3)
    if into is None and kind == 0:
        back = r.randrange(1, 3)
        layer.statement(f"let {name}[b, l] = tokens[b, l - {back}] where l >= {back}",
                        lambda store: store.__setitem__(name, np.concatenate([np.full((layer.b, min(back, layer.l)), -1), store["tokens"][:, :max(layer.l - back, 0)]], 1)))
        return name, "vocab", VOCAB
    text, size = into or r.choice([("d", layer.d), ("3", 3), ("4", 4)])
    by, off = r.randrange(1, 3), r.randrange(4)
    off = max(off, 1) if size >= VOCAB else off  # none at some token
    value, number = (f"tokens[b, l] - {off}", lambda store: store["tokens"] - off) if kind == 1 and into is None else (
        f"{by} * l - {off}", lambda store: np.broadcast_to(by * np.arange(layer.l) - off, (layer.b, layer.l)))

    def step(store):
        at = number(store)
        store[name] = np.where((at >= 0) & (at < size), at, -1)
    layer.statement(f"let {name}[b, l] = index[{text}]({value})", step)
    return name, text, size


def table(layer):
    """An integer and a matrix that it looks rows up in: (k, w, its rows as text, what NumPy finds: 0 where k is none, where k exists)."""
    k, text, size = integer(layer)
    w = layer.param(f"{text}, d", size, layer.d)
    return k, w, text, lambda store: np.where((store[k] >= 0)[..., None], store[w][np.maximum(store[k], 0)], 0), lambda store: (store[k] >= 0)[..., None]


def lookup_term(layer):
    """One term among others: a sum over the rows."""
    k, w, rows, found, _ = table(layer)
    of, y = layer.pick(layer.axis_i()), layer.fresh("y")
    times = layer.rng.random() < 0.5
    layer.statement(f"let {y}[b, l, i in 0 ..< d] = {of}[b, l, i] + (sum[v | v == {k}[b, l]] {w}[v, i]{f' * {of}[b, l, i]' if times else ''})",
                    lambda store: store.__setitem__(y, store[of] + found(store) * (store[of] if times else 1)))
    layer.known[y] = layer.axis_i()


def lookup_reduced(layer):
    """A reduction over positions leaves out those whose integer is none, with all terms; by itself, or through a tensor that lacks them."""
    r = layer.rng
    k, w, _, found, there = table(layer)
    of, y, kind = layer.pick(layer.axis_i()), layer.fresh("y"), r.choice(["sum", "mean"])
    sign, apply = r.choice([("+", np.add), ("-", np.subtract), ("*", np.multiply)])
    body = "{0}[b, {2}, i] {1} {3}[{4}[b, {2}], i]"
    if r.random() < 0.5:
        partial = layer.fresh("p")
        layer.lines.append(f"let {partial}[b, l, i in 0 ..< d] = " + body.format(of, sign, "l", w, k))
        layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {kind}[t | t <= l] {partial}[b, t, i]")
    else:
        layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {kind}[t | t <= l] (" + body.format(of, sign, "t", w, k) + ")")

    def step(store):
        total, count = np.cumsum(np.where(there(store), apply(store[of], found(store)), 0), 1), np.cumsum(there(store), 1)
        store[y] = total / np.maximum(count, 1) if kind == "mean" else total
    layer.steps.append(step)
    layer.known[y] = layer.axis_i()


def lookup_condition(layer):
    """Comparisons with none are false, of unequal too."""
    r = layer.rng
    k, _, size = integer(layer)
    of, y, number = layer.pick(layer.axis_i()), layer.fresh("y"), r.randrange(size)
    text, holds = r.choice([("{} == {}", np.equal), ("{} != {}", np.not_equal), ("{} < {}", np.less), ("{} >= {}", np.greater_equal), ("exists({})", lambda a, b: a >= 0)])
    layer.statement(f"let {y}[b, l, i in 0 ..< d] = select({text.format(f'{k}[b, l]', number)}, {of}[b, l, i], 0.5 * {of}[b, l, i] - 1)",
                    lambda store: store.__setitem__(y, np.where((holds(store[k], number) & (store[k] >= 0))[..., None], store[of], 0.5 * store[of] - 1)))
    layer.known[y] = layer.axis_i()


def pointed(layer, at="l"):
    """index[n](e) of positions `at` (l or t), written where it is read: text, what NumPy finds at every [b, l], -1 where it is none. Halves go to the even number."""
    r, size, by, off = layer.rng, layer.rng.randrange(1, 6), layer.rng.randrange(1, 3), layer.rng.randrange(-1, 4)
    of, numbers = r.choice([(f"tokens[b, {at}]", lambda store: store["tokens"]), (at, lambda store: np.broadcast_to(np.arange(layer.l), (layer.b, layer.l)))])
    moved = f"{by} * {of} - {off}" if off >= 0 else f"{by} * {of} + {-off}"
    text, number = r.choice([(moved, lambda store: by * numbers(store) - off), (of, numbers), (f"({moved}) / 2", lambda store: (by * numbers(store) - off) / 2),
                             (f"0.75 * {of} - 1", lambda store: 0.75 * numbers(store) - 1)])
    stated, number_of = r.choice([(str(size), lambda: size), ("vocab", lambda: VOCAB), ("size(l)", lambda: layer.l)])

    def found(store):
        at = np.rint(number(store))
        return np.where((at >= 0) & (at < number_of()), at, -1)
    return f"index[{stated}]({text})", found


# What asks for an integer that may be none: text, what NumPy does with it and a number. All are false of none, but the negations.
ASKED = [("{} == {}", lambda a, n: a == n), ("{} != {}", lambda a, n: (a != n) & (a >= 0)), ("{} < {}", lambda a, n: (a < n) & (a >= 0)), ("{1} > {0}", lambda a, n: (a < n) & (a >= 0)),
         ("{1} <= {0}", lambda a, n: a >= max(n, 0)), ("exists({})", lambda a, n: a >= 0), ("not exists({})", lambda a, n: a < 0), ("not {} == {}", lambda a, n: a != n),
         ("{0} + 1 <= {1}", lambda a, n: (a >= 0) & (a + 1 <= n)), ("(exists({0}) and 2 * {0} > {1})", lambda a, n: (a >= 0) & (2 * a > n))]


def asked(layer, at="l"):
    """A condition on an integer in place: text, whether it holds at every [b, l]."""
    (of, found), (text, holds), number = pointed(layer, at), layer.rng.choice(ASKED), layer.rng.randrange(1, 5)
    return text.format(of, number), lambda store: holds(found(store), number)


def pointed_value(layer):
    """The number itself where it exists, in a condition and in arithmetic."""
    (of, found), x, y = pointed(layer), layer.pick(layer.axis_i()), layer.fresh("y")
    text, holds = asked(layer)
    layer.statement(f"let {y}[b, l, i in 0 ..< d] = select({text}, {x}[b, l, i], 0.5 * {x}[b, l, i]) * select(exists({of}), 0.25 * {of}, -1)",
                    lambda store: store.__setitem__(y, store[x] * (np.where(holds(store), 1, 0.5) * np.where(found(store) >= 0, 0.25 * found(store), -1))[..., None]))
    layer.known[y] = layer.axis_i()


def pointed_factor(layer):
    """The integer times what is learned, where it exists; what is not chosen has no derivative. In place or through a `let`."""
    (of, found), x, y, w = pointed(layer), layer.pick(layer.axis_i()), layer.fresh("y"), layer.param("d", layer.d)
    k, part, condition, there = of, layer.fresh("v"), "exists({})", lambda at: at >= 0
    if layer.rng.random() < 0.5:
        k = layer.fresh("k")
        layer.lines.append(f"let {k}[b, l] = {of}")
        k += "[b, l]"
    if layer.rng.random() < 0.5:
        condition, there = "0 < {}", lambda at: at > 0
    form, apply = layer.rng.choice([("{w} * {k}", np.multiply), ("sin({w} * {k})", lambda w, k: np.sin(w * k)), ("{w} / (1 + {k})", lambda w, k: w / (1 + k)), ("tanh({w} + 0.5 * {k})", lambda w, k: np.tanh(w + 0.5 * k))])
    value = form.format(w=f"{w}[i]", k=k)
    if layer.rng.random() < 0.5:
        layer.lines.append(f"let {part}[b, l, i in 0 ..< d] = {value}")
        value = f"{part}[b, l, i]"
    layer.statement(f"let {y}[b, l, i in 0 ..< d] = {x}[b, l, i] + select({condition.format(k)}, {value}, 0)",
                    lambda store: store.__setitem__(y, store[x] + np.where(there(found(store))[..., None], apply(store[w], found(store)[..., None] + (found(store)[..., None] < 0)), 0)))
    layer.known[y] = layer.axis_i()


def pointed_reduced(layer):
    """The condition of a reduction, or of what a reduction reads."""
    r, x, y, kind = layer.rng, layer.pick(layer.axis_i()), layer.fresh("y"), layer.rng.choice(["sum", "mean"])
    apart = r.random() < 0.5
    text, holds = asked(layer, "l" if apart else "t")
    if apart:
        part = layer.fresh("p")
        layer.lines.append(f"let {part}[b, l, i in 0 ..< d] = {x}[b, l, i] where {text}")
        layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {kind}[t | t <= l] {part}[b, t, i]")
    else:
        layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {kind}[t | t <= l and {text}] {x}[b, t, i]")

    def step(store):
        there = np.broadcast_to(holds(store)[..., None], store[x].shape)
        total = np.cumsum(np.where(there, store[x], 0), 1)
        store[y] = total / np.maximum(np.cumsum(there, 1), 1) if kind == "mean" else total
    layer.steps.append(step)
    layer.known[y] = layer.axis_i()


def pointed_recurrence(layer):
    """Where a recurrence goes on, and with what factor."""
    r, x, h = layer.rng, layer.pick(layer.axis_i()), layer.fresh("h")
    (factor, large), (text, holds) = asked(layer), asked(layer)
    where = r.random() < 0.5
    layer.lines.append(f"recur {h}[b, l, i in 0 ..< d] = select({factor}, 0.5, -0.25) * {h}[b, l - 1, i] + {x}[b, l, i]{f' where {text}' if where else ''}")

    def step(store):
        by, on, out = np.where(large(store), 0.5, -0.25), holds(store) | (not where), np.zeros(store[x].shape, complex)
        for l in range(layer.l):
            before = out[:, l - 1] if l else 0 * out[:, 0]
            out[:, l] = np.where(on[:, l, None], by[:, l, None] * before + store[x][:, l], before)
        store[h] = out
    layer.steps.append(step)
    layer.known[h] = layer.axis_i()


def pointed_added(layer):
    """At a `+=`."""
    x, a, y = layer.pick(layer.axis_i()), layer.fresh("a"), layer.fresh("y")
    (text, holds), (of, found) = asked(layer), pointed(layer)
    layer.lines.append(f"{a}[b, l, i] += {x}[b, l, i] * select(exists({of}), {of}, 0.5) where {text}")
    layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {a}[b, l, i]")
    layer.steps.append(lambda store: store.__setitem__(y, store[x] * (holds(store) * np.where(found(store) >= 0, found(store), 0.5))[..., None]))
    layer.known[y] = layer.axis_i()


def pointed_loss(layer):
    """A loss over the points that the condition allows."""
    x, name, (text, holds) = layer.pick(layer.axis_i()), layer.fresh("loss"), asked(layer)
    layer.lines.append(f"loss {name} = 0.125 * (sum[b, l, i in 0 ..< d | {text}] {x}[b, l, i]) + select(exists(index[3]({layer.l})), 1, 0.5)")
    layer.steps.append(lambda store: store.__setitem__(name, 0.125 * np.where(holds(store)[..., None], store[x], 0).sum() + (1 if layer.l < 3 else 0.5)))
    layer.losses.append(name)


def lookup_recurrence(layer):
    """Where its input is none, a recurrence keeps its value."""
    k, w, _, found, there = table(layer)
    of, h = layer.pick(layer.axis_i()), layer.fresh("h")
    layer.lines.append(f"recur {h}[b, l, i in 0 ..< d] = 0.5 * {h}[b, l - 1, i] + {of}[b, l, i] + {w}[{k}[b, l], i]")

    def step(store):
        value, holds, out = store[of] + found(store), there(store), np.zeros(store[of].shape, complex)
        for l in range(layer.l):
            before = out[:, l - 1] if l else 0 * out[:, 0]
            out[:, l] = np.where(holds[:, l], 0.5 * before + value[:, l], before)
        store[h] = out
    layer.steps.append(step)
    layer.known[h] = layer.axis_i()


def lookup_accumulate(layer):
    """Positions added to others: to none at none."""
    k, _, _ = integer(layer, ("size(l)", layer.l))
    of, a, y = layer.pick(layer.axis_i()), layer.fresh("a"), layer.fresh("y")
    w = layer.param("d", layer.d)
    layer.lines.append(f"{a}[b, {k}[b, l], i] += {of}[b, l, i] * {w}[i]")
    layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {a}[b, l, i]")

    def step(store):
        out = np.zeros(store[of].shape, complex)
        for b, l in itertools.product(range(layer.b), range(layer.l)):
            if store[k][b, l] >= 0:
                out[b, store[k][b, l]] += store[of][b, l] * store[w]
        store[y] = out
    layer.steps.append(step)
    layer.known[y] = layer.axis_i()


def lookup_loss(layer):
    """A loss over the points that exist; 0 over none."""
    r = layer.rng
    k, w, _, found, there = table(layer)
    of, name, kind = layer.pick(layer.axis_i()), layer.fresh("loss"), r.choice(["sum", "mean"])
    sign, apply = r.choice([("+", np.add), ("*", np.multiply)])
    layer.lines.append(f"loss {name} = 0.125 * ({kind}[b, l, i in 0 ..< d] ({of}[b, l, i] {sign} {w}[{k}[b, l], i]))")

    def step(store):
        value = np.where(there(store), apply(store[of], found(store)), 0).sum() * 0.125
        store[name] = value / max(there(store).sum() * layer.d, 1) if kind == "mean" else value
    layer.steps.append(step)
    layer.losses.append(name)


# Products with what is looked up, and what else is 0 with it: text of the expression with {a} (total) and {p} (lacks points), what NumPy does.
VANISHING = [
    ("{a} * {p}", lambda a, p: a * p),
    ("{p}", lambda a, p: p),
    ("{p} - {a} * {p}", lambda a, p: p - a * p),
    ("tanh({p}) / (1.5 + sin({a}))", lambda a, p: np.tanh(p) / (1.5 + np.sin(a))),
    ("select({a} < 0.25, {p}, 2 * {p})", lambda a, p: np.where(np.real(a) < 0.25, p, 2 * p)),
    ("-{p} * {p}", lambda a, p: -p * p),
    ("max({p}, 0)", lambda a, p: np.where(np.real(p) >= 0, p, 0)),
    ("select({a} < 0.25, {p}, 0)", lambda a, p: np.where(np.real(a) < 0.25, p, 0)),
]
# Others lose a term at those points.
LOSING = ["{a} + {p}", "{p} - {a}", "{a} * (1 + {p})", "select({a} < 0.25, {a}, {p})", "exp({p})", "max({a}, {p})", "{a} * cos({p})", "{p} + {other}"]


def looked_up(layer):
    """What reads a table through an integer, where it stands or through a `let`: text, what NumPy finds."""
    k, w, _, found, _ = table(layer)
    text = f"{w}[{k}[b, l], i]"
    if layer.rng.random() < 0.5:
        partial = layer.fresh("p")
        layer.statement(f"let {partial}[b, l, i in 0 ..< d] = {text}", lambda store: store.__setitem__(partial, found(store)))
        text = f"{partial}[b, l, i]"
    return text, found


def vanishing_result(layer):
    """A result that is 0 where the integer is none; true if the layer has it now."""
    form, apply = layer.rng.choice(VANISHING)
    of, (text, found) = layer.pick(layer.axis_i()), looked_up(layer)
    layer.result = layer.fresh("out")
    layer.statement(f"return {layer.result}[b, l, i in 0 ..< d] = {form.format(a=f'{of}[b, l, i]', p=text)}", lambda store: store.__setitem__(layer.result, apply(store[of], found(store))))


def losing_result(layer):
    """A result, or a `let` before it, with a term that would be lost where an integer is none."""
    r = layer.rng
    of, (text, _), other = layer.pick(layer.axis_i()), looked_up(layer), "0"
    form = r.choice(LOSING)
    if "{other}" in form:
        other, _ = looked_up(layer)
    value = form.format(a=f"{of}[b, l, i]", p=text, other=other)
    layer.refused, layer.result = "E0408", "out"
    if r.random() < 0.5:
        layer.lines.append(f"let lossy[b, l, i in 0 ..< d] = {value}")
        value = r.choice(["lossy[b, l, i]", f"lossy[b, l, i] * {of}[b, l, i]"])
    layer.wrong = f"out[b, l, i in 0 ..< d] = {value}"
    layer.lines.append(f"return {layer.wrong}")


def losing_loss(layer):
    """The same of a loss and of a metric, which have to exist."""
    k, w, _, _, _ = table(layer)
    of = layer.pick(layer.axis_i())
    layer.refused = "E0408"
    layer.wrong = layer.rng.choice([f"loss lossy = {of}[0, 0, 0] + {w}[{k}[0, 0], 0]", f"metric lossy[b, l] = {of}[b, l, 0] + {w}[{k}[b, l], 0] mean"])
    layer.lines.append(layer.wrong)


def seen(layer, store):
    """Whether position t is of the same segment as l: [b, l, t]."""
    live = store["segment"] >= 0
    return live[:, :, None] & live[:, None, :] if layer.padded else np.ones((layer.b, layer.l, layer.l), bool)


def beside_scores(layer):
    """A log-sum-exp of scores around a common number of any size, less scores, with other terms before, between and behind."""
    r, name, z, scores = layer.rng, layer.fresh("y"), layer.fresh("z"), layer.fresh("s")
    of, other, w = layer.pick(layer.axis_i()), layer.pick(layer.axis_i()), layer.param("d", layer.d)
    size, apart = r.choice([(0, 0.25), (2 ** 13, 0.125), (-2 ** 16, 0.125), (1e6, 0.5), (-1e7, 1), (1e8, 8), (-1e20, 0), (1e30, 0)])
    mine = f"{scores}[b, l, l]"  # the largest where apart <= 0, by (l - t) * apart above the others
    form, apply = r.choice([
        ("{z} - {mine} + {a}", lambda n, a, w: n + a), ("{a} + {z} - {mine}", lambda n, a, w: a + n), 
        ("{w} * ({z} - {mine}) - {a}", lambda n, a, w: w * n - a), ("tanh({a} + ({z} - {mine})) * {w}", lambda n, a, w: np.tanh(a + n) * w),
        ("exp({mine} - {z}) * {a} + {w}", lambda n, a, w: np.exp(-n) * a + w), ("{a} * -({mine} - {z}) + {w} * ({z} - {mine})", lambda n, a, w: a * n + w * n),
        ("select({a} < 0.25, {z} - {mine}, {a})", lambda n, a, w: np.where(np.real(a) < 0.25, n, a))])
    if abs(size) <= 2 ** 16 and r.random() < 0.2:  # rounded at the size of the score before the log-sum-exp comes
        form, apply = "({a} - {mine}) + {z}", lambda n, a, w: a + n
    form = form.format(z=f"{z}[b, l]", mine=mine, a=f"{other}[b, l, i]", w=f"{w}[i]")
    layer.lines.append(f"let {scores}[b, l, t in 0 ..< size(l)] = ({size}) + {apart} * (l - t)")
    layer.lines.append(f"let {z}[b, l] = lse[t | {layer.before().text()}] {scores}[b, l, t]")
    where = "exists(segment[b, l])" if layer.padded else "l >= 0"
    layer.lines.append(f"let {name}[b, l, i in 0 ..< d] = select({where}, {form}, 0) + {of}[b, l, i]")

    def step(store):
        there = seen(layer, store) & (np.arange(layer.l)[None, :] <= np.arange(layer.l)[:, None])
        gap = apart * (np.arange(layer.l)[:, None] - np.arange(layer.l)[None, :])
        live = there.any(2)
        high = np.where(live, np.where(there, gap, -np.inf).max(2), 0)
        n = np.log(np.where(there, np.exp(np.where(there, gap - high[..., None], 0)), 0).sum(2) + ~live) + high
        store[name] = np.where(live[..., None], apply(np.where(live, n, 0)[..., None], store[other], store[w]), 0) + store[of]
    layer.steps.append(step)
    layer.known[name] = layer.axis_i()


def chosen_factor(layer):
    """What is learned times what is infinite or no number wherever it is not chosen: the one not chosen has no derivative."""
    r, y, of, w, n = layer.rng, layer.fresh("y"), layer.pick(layer.axis_i()), layer.param("d", layer.d), layer.rng.randrange(3)
    text, number = r.choice([("log({})", np.log), ("(1 / {})", lambda k: 1 / k), ("rsqrt({})", lambda k: k ** -0.5), ("({}) ^ -1.5", lambda k: k ** -1.5)])
    factor = text.format(f"(l - {n})")
    form, apply = r.choice([("{w} * {f}", lambda w, f: w * f), ("sin({w} * {f})", lambda w, f: np.sin(w * f)), ("{w} * {f} * {f}", lambda w, f: w * f * f), ("{f} / (2 + tanh({w}))", lambda w, f: f / (2 + np.tanh(w)))])
    if r.random() < 0.4:
        apart = layer.fresh("f")
        layer.lines.append(f"let {apart}[l in 0 ..< size(l)] = {factor}")
        factor = f"{apart}[l]"
    value = form.format(w=f"{w}[i]", f=factor)
    if r.random() < 0.4:
        apart = layer.fresh("p")
        layer.lines.append(f"let {apart}[b, l, i in 0 ..< d] = {value}")
        value = f"{apart}[b, l, i]"
    condition, mixed = f"l > {n}", r.random() < 0.3
    if mixed:
        value = f"select({of}[b, l, i] < 0.25, {value}, {w}[i])"
    out = f"select({condition}, {value}, {of}[b, l, i])" if r.random() < 0.5 else f"select(not {condition}, {of}[b, l, i], {value})"
    layer.lines.append(f"let {y}[b, l, i in 0 ..< d] = {out}")

    def step(store):
        k = np.arange(layer.l) - n + 0.0
        f = number(np.where(k > 0, k, 1))[None, :, None]
        part = apply(store[w], f)
        if mixed:
            part = np.where(np.real(store[of]) < 0.25, part, store[w])
        store[y] = np.where((k > 0)[None, :, None], part, store[of])
    layer.steps.append(step)
    layer.known[y] = layer.axis_i()


def live_loss(layer):
    """A loss over what is no padding; 0 over nothing."""
    of, name, kind = layer.pick(layer.axis_i()), layer.fresh("loss"), layer.rng.choice(["sum", "mean"])
    layer.lines.append(f"loss {name} = 0.125 * ({kind}[b, l, i in 0 ..< d | exists(segment[b, l])] {of}[b, l, i])")

    def step(store):
        live = store["segment"] >= 0
        total = np.where(live[..., None], store[of], 0).sum() * 0.125
        store[name] = total / max(live.sum() * layer.d, 1) if kind == "mean" else total
    layer.steps.append(step)
    layer.losses.append(name)


def weighted(layer):
    """A mean under a softmax over the positions up to this one: scores of any size, equal or as near to each other as floats of that size are; of the data; and
    rows that have no score above -inf, where the weights are 0."""
    r, name = layer.rng, layer.fresh("y")
    of, by = layer.pick(layer.axis_i()), r.choice([n for n in layer.known])
    empty = r.choice([0, 0, 1, layer.l // 2, layer.l])  # so many rows have none
    size, apart = r.choice([(0, 0.25), (1e8, 0), (-1e8, 8), (1e8, -8), (1e20, 0), (-1e30, 0), (1e4, 0.125), (None, 0)])
    second = min(1, layer.d - 1)
    score = f"{by}[b, l, 0] * {by}[b, t, {second}]" if size is None else f"({size}) + {apart} * (l - t)"
    if empty:
        score = f"select(l < {empty}, log(0), {score})"
    scores = layer.fresh("s")
    if by != "x" and layer.known[by].parts[0][0] != "i" and size is None:
        score = score.replace(by, "x")
        by = "x"
    layer.lines.append(f"let {scores}[b, l, t in 0 ..< size(l)] = {score}   where {layer.before().text()}")
    layer.lines.append(f"let {name}[b, l, i in 0 ..< d] = sum[t] softmax[t]({scores}[b, l, t]) * {of}[b, t, i]")

    def step(store):
        at, to = np.arange(layer.l)[:, None], np.arange(layer.l)[None, :]
        x = store[by]
        value = np.broadcast_to(apart * (at - to), (layer.b, layer.l, layer.l)) if size is not None else x[:, :, None, 0] * x[:, None, :, second]
        there = (to <= at) & (at >= empty) & seen(layer, store)
        high = np.where(there, value.real, -1e300).max(axis=2, keepdims=True)
        e = np.where(there, np.exp(np.where(there, value - high, 0)), 0)
        total = e.sum(axis=2, keepdims=True)
        store[name] = np.einsum("blt,bti->bli", e / np.where(total == 0, 1, total), store[of])
    layer.steps.append(step)
    layer.known[name] = layer.axis_i()


def integer_wanted(layer):
    """An integer that may be none where a number leaves the layer."""
    of, _ = pointed(layer)
    k = f"{layer.fresh('k')}"
    layer.lines.append(f"let {k}[b, l] = {of.replace('size(l)', '4').replace('vocab', '4')}")
    layer.refused = "E0408"
    kind = layer.rng.randrange(4)
    if kind == 0:
        layer.wrong, layer.result = f"out[b, l, i in 0 ..< d] = {k}[b, l]", "out"
        layer.lines.append(f"return {layer.wrong}")
        return
    if kind == 1:
        layer.lines.append("state kept = 0")
    layer.wrong = ["", f"next kept = {k}[0, 0]", f"loss lossy = {k}[0, 0]", f"metric lossy[b, l] = {k}[b, l] mean"][kind]
    layer.lines.append(layer.wrong)


CONSTRUCTS = [(weighted, 2), (beside_scores, 2), (call_several, 1), (chosen_factor, 1), (accumulate, 1), (call_layer, 1), (let_map, 3), (let_row, 2), (recurrence, 4), (in_patches, 2), (shortened, 1), (stretched, 1), (lookup_term, 1), (lookup_reduced, 1),
              (lookup_condition, 1), (lookup_recurrence, 1), (lookup_accumulate, 1), (lookup_loss, 1), (pointed_value, 1), (pointed_reduced, 1), (pointed_recurrence, 1),
              (pointed_added, 1), (pointed_loss, 1), (pointed_factor, 1)]  # with how often
# Those that look at their own position only, or at others of the same segment.
PADDED = [(weighted, 3), (beside_scores, 2), (live_loss, 2), (chosen_factor, 1), (recurrence, 4), (let_map, 3), (let_row, 1), (accumulate, 1), (call_layer, 1), (call_several, 1), (lookup_term, 1), (lookup_condition, 1),
          (pointed_value, 1), (pointed_added, 1), (pointed_factor, 1)]
WRONG_RESULTS = [losing_result, losing_result, losing_loss, integer_wanted]


def result_plain(layer): return layer.axis_i()
def result_halves(layer): return layer.axis_halves()
def result_thirds(layer): return layer.axis_thirds()


RESULTS = [result_plain, result_halves, result_thirds]

# How a result joins the stream: text, and what it does.
WIRINGS = {
    "pre": (None, lambda x, f: x + f),
    "none": (None, lambda x, f: f),
    "post": (None, lambda x, f: x + f),
    "halved": ("wiring halved(x, f, norm) = 0.5 * f(norm(x)) + x", lambda x, f: 0.5 * f + x),
    "apart": ("wiring apart(x, f, norm) = x - f(x)", lambda x, f: x - f),
}


def random_layer(rng, name, sizes, wrong=False, padded=False):
    layer = Layer(rng, name, sizes, padded)
    names, often = zip(*(PADDED if padded else CONSTRUCTS))
    for construct in rng.choices(names, often, k=rng.randrange(1, 4)):
        construct(layer)
    if wrong and rng.random() < 0.6:
        recurrence(layer, rng.choice(WRONG_READS))
    elif wrong:
        rng.choice(WRONG_RESULTS)(layer)
    if layer.result:
        return layer
    returned = [n for n in layer.known if n != "x"]
    if returned and rng.random() < 0.3:  # a name, with whatever axes it has
        layer.result = rng.choice(returned)
        layer.lines.append(f"return {layer.result}")
    elif rng.random() < 0.15:
        vanishing_result(layer)
    else:
        layer.result = "out"
        axis = rng.choice(RESULTS)(layer)
        layer.define("return", "out", [layer.axis_b(), layer.axis_l(), axis], layer.expression(axis, rng.randrange(1, 3)))
    return layer


# Which of the ids [b, l + 1] are padding.


def pad_rows(rng, b, l):
    return np.broadcast_to(rng.random((b, 1)) < 0.5, (b, l))


def pad_ends(rng, b, l):
    return np.arange(l) >= rng.integers(0, l + 1, (b, 1))


def pad_beginnings(rng, b, l):
    return np.arange(l) < rng.integers(0, l + 1, (b, 1))


def pad_middles(rng, b, l):
    return rng.random((b, l)) < 0.3


def pad_all(rng, b, l):
    return np.ones((b, l), bool)


PADDINGS = [pad_rows, pad_ends, pad_ends, pad_beginnings, pad_middles, pad_middles, pad_all]

# ---- models ----------------------------------------------------------------------------------------------------------


class Case:
    def __init__(self, seed, index, wrong=False):
        rng = self.rng = random.Random(f"layers/{seed}/{index}/{'wrong' if wrong else 'right'}")
        self.name = f"{seed}/{index}{' (refused)' if wrong else ''}"
        self.b, self.l, self.d = rng.choice([1, 2, 3]), rng.choice([1, 2, 3, 4, 5, 6, 8, 12]), rng.choice([6, 12] if wrong else [1, 6, 12])
        if rng.random() < 0.06 and not wrong:
            self.b = self.l = self.d = 1
        padding = rng.choice(PADDINGS) if rng.random() < 0.3 and not wrong else None
        count = rng.randrange(1, 3)
        self.layers = [random_layer(rng, f"layer{i}", (self.b, self.l, self.d), wrong and i == 0, bool(padding)) for i in range(count)]
        self.wired = [rng.choice(list(WIRINGS)) for _ in self.layers]
        self.branches = count == 2 and rng.random() < 0.25
        self.default = rng.choice(self.wired + list(WIRINGS)) if rng.random() < 0.4 else None  # declared; lines of it say nothing
        numbers = np.random.default_rng([seed, index])
        self.weights = {f"layer{i}_0.{k}": numbers.normal(0, 0.5, shape) for i, layer in enumerate(self.layers) for k, shape in layer.params.items()}
        if self.branches:
            self.weights = {f"parallel_0.{k}": v for k, v in self.weights.items()}
        self.weights["embed_0.table"] = numbers.normal(0, 0.4, (VOCAB, self.d))
        self.weights["head_0.w"] = numbers.normal(0, 0.4, (VOCAB, self.d))
        self.weights = {k: v.astype(np.float32) for k, v in self.weights.items()}
        self.directions = {k: numbers.normal(0, 1, v.shape) for k, v in self.weights.items()}
        self.tokens = numbers.integers(0, VOCAB, (self.b, self.l + 1)).astype(np.int32)
        if padding:
            self.tokens[padding(numbers, self.b, self.l + 1)] = -1

    def text(self):
        out = ["use std.layers", "use std.recipes"] + [text for text, _ in FUNCTIONS.values()] + [text for text, _ in WIRINGS.values() if text]
        out += [text for text, *_ in (*CALLED.values(), *SEVERAL.values())]
        for layer in self.layers:
            out += [f"layer {layer.name}(x[b, l, d]; vocab: count, tokens[b, l]: vocab{', segment[b, l] = 0' if layer.padded else ''}) -> [b, l, d] {{"] + ["    " + line for line in layer.lines] + ["}"]
        if self.default:
            out += [f"default wiring = {self.default}"]
        said = ["" if wired == (self.default or "pre") else f" wiring = {wired}" for wired in self.wired]
        lines = [f"layer{i}() norm = none{text}" for i, text in enumerate(said)]
        if self.branches:
            lines = ["parallel { layer0() | layer1() } norm = none" + said[0]]
        out += ["model m {", f"    vocab = {VOCAB}", "    context = 16", f"    embed(d = {self.d})"] + ["    " + line for line in lines] + ["    head(tied = false)", "}"]
        return "\n".join(out) + "\n"

    def apply(self, number, x, weights):
        prefix = f"{'parallel_0.' if self.branches else ''}layer{number}_0."
        layer = self.layers[number]
        result, loss = layer.run(x, self.tokens[:, :-1], {k: weights[prefix + k] for k in layer.params})
        self.losses = self.losses + loss
        return result

    def forward(self, weights):
        inputs = self.tokens[:, :-1]
        targets = np.where(inputs < 0, -1, self.tokens[:, 1:])  # what follows padding is no target
        x = np.sqrt(self.d) * weights["embed_0.table"][inputs]
        self.losses = 0
        if self.branches:
            x = WIRINGS[self.wired[0]][1](x, self.apply(0, x, weights) + self.apply(1, x, weights))
        else:
            for number, wired in enumerate(self.wired):
                x = WIRINGS[wired][1](x, self.apply(number, x, weights))
        logits = x @ weights["head_0.w"].T
        high = logits.real.max(axis=2, keepdims=True)
        lse = np.log(np.exp(logits - high).sum(axis=2)) + high[..., 0]
        nll = np.where(targets < 0, 0, lse - np.take_along_axis(logits, np.maximum(targets, 0)[..., None], 2)[..., 0])
        return logits, nll.sum() / max((targets >= 0).sum(), 1) + self.losses

    def solve(self):
        """(logits, loss, {path: the loss's derivative along its direction})"""
        base = {k: v.astype(complex) for k, v in self.weights.items()}
        logits, loss = self.forward(base)
        slopes = {k: self.forward({**base, k: base[k] + 1j * STEP * self.directions[k]})[1].imag / STEP for k in base}
        return logits.real, loss.real, slopes

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "model.bfm"), "w", encoding="utf-8") as file:
            file.write(self.text())
        tensors.save(os.path.join(folder, "weights.safetensors"), self.weights)
        np.save(os.path.join(folder, "tokens.npy"), self.tokens)


# ---- checking --------------------------------------------------------------------------------------------------------


def grad(bfmc, folder, engine):
    out = os.path.join(folder, f"{engine}.safetensors")
    command = [bfmc, "grad", os.path.join(folder, "model.bfm"), "--weights", os.path.join(folder, "weights.safetensors"), "--tokens", os.path.join(folder, "tokens.npy"), "--out", out,
               "--engine", engine, "--threads", "1", "--color", "never"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)
    return done, tensors.load(out) if done.returncode == 0 else None


def message(done):
    return f"exit {done.returncode}: " + " / ".join(done.stderr.strip().splitlines()[:6])


def differences(case, got, engine):
    """What is wrong with the numbers of one engine."""
    logits, loss, slopes = case.solve()
    tolerance, out = TOLERANCE[engine], []
    live = case.tokens[:, :-1] >= 0
    apart, scale = np.abs(got["logits"].astype(float) - logits)[live].max(initial=0), max(1.0, np.abs(logits[live]).max(initial=0))
    if not apart <= tolerance * scale:
        out.append(f"logits differ by {apart:.3g} of {scale:.3g}")
    if not abs(float(got["loss"].reshape(-1)[0]) - loss) <= tolerance * max(1.0, abs(loss)):
        out.append(f"loss is {float(got['loss'].reshape(-1)[0]):.12g}, not {loss:.12g}")
    largest = max(np.linalg.norm(v) for k, v in got.items() if k in slopes)
    for path, slope in slopes.items():
        gradient = got[path].astype(float).ravel()
        claimed, size = gradient @ case.directions[path].ravel(), np.linalg.norm(gradient) * np.linalg.norm(case.directions[path])
        if not abs(claimed - slope) <= tolerance * max(size, 1e-3 * largest, 1e-9):
            out.append(f"gradient of {path}: {claimed:.12g} along a direction, not {slope:.12g}")
    return out


def refusal(case, done):
    """None if the program was refused with the code that it must be, at what is wrong."""
    layer = next(layer for layer in case.layers if layer.refused)
    if done.returncode != 1 or f"error[{layer.refused}]" not in done.stderr:
        return f"not refused with {layer.refused}, but {message(done)}"
    if not layer.wrong:
        return None
    places = [(int(line), int(column)) for line, column in re.findall(rf"error\[{layer.refused}\][^\n]*\n *--> [^\n]*?:(\d+):(\d+)", done.stderr)]
    lines = case.text().splitlines()
    if any(lines[line - 1][column - 1:].startswith(layer.wrong) for line, column in places):
        return None
    return f"{layer.refused} points at {places}, not at `{layer.wrong}`"


def size_refusal(unmet, done, wrote):
    """None if the length was refused before anything was computed, with what it must be."""
    if done.returncode != 1 or wrote or not any(text in done.stderr for text in unmet):
        return f"not refused with {' or '.join(unmet)}, but {message(done)}"
    return None


def check(bfmc, case, folder, engines):
    case.write(folder)
    if any(layer.refused for layer in case.layers):
        done, _ = grad(bfmc, folder, engines[0])
        why = refusal(case, done)
        return [why] if why else []
    unmet = [text for layer in case.layers for text, holds in layer.needs if not holds]
    if unmet:
        answers = [(engine, size_refusal(unmet, grad(bfmc, folder, engine)[0], os.path.exists(os.path.join(folder, f"{engine}.safetensors")))) for engine in engines]
        return [f"{engine}: {why}" for engine, why in answers if why]
    out = []
    for engine in engines:
        done, got = grad(bfmc, folder, engine)
        out += [f"{engine}: {why}" for why in (differences(case, got, engine) if got else [message(done)])]
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bfmc", required=True)
    p.add_argument("--count", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--first", type=int, default=0, help="the first case")
    p.add_argument("--engine", action="append", choices=sorted(TOLERANCE))
    p.add_argument("--print", action="store_true", help="the texts")
    p.add_argument("--keep", help="folder for cases that failed")
    args = p.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for index in range(args.first, args.first + args.count):
            for wrong in (False, True):
                case = Case(args.seed, index, wrong)
                folder = os.path.join(scratch, f"{args.seed}_{index}_{'wrong' if wrong else 'right'}")
                if args.print:
                    print(case.text())
                why = check(args.bfmc, case, folder, args.engine or sorted(TOLERANCE))
                failed += bool(why)
                if why:
                    print(f"FAIL  case {case.name}: " + "; ".join(why[:4]) + "\n" + case.text(), flush=True)
                    if args.keep:
                        shutil.copytree(folder, os.path.join(args.keep, os.path.basename(folder)), dirs_exist_ok=True)
                shutil.rmtree(folder)
    print(f"{2 * args.count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
