"""Reverse-mode differentiation over NumPy arrays in float64, small enough to be checked by eye.

A `Var` holds a value and, for each of its parents, the function that turns the gradient of the value into the gradient of
that parent. `backward` walks the variables in the reverse of the order in which they were made.
"""
import heapq
import itertools
import math

import numpy as np

_order = itertools.count()
_erf = np.vectorize(math.erf, otypes=[np.float64])


class Var:
    """A value on the tape. `parents` is a list of (variable, pull-back)."""

    __slots__ = ("value", "parents", "grad", "order")
    __array_priority__ = 100  # so that `array + var` asks Var and not NumPy

    def __init__(self, value, parents=()):
        self.value = np.asarray(value, dtype=np.float64)
        self.parents = parents
        self.grad = None
        self.order = next(_order)

    @property
    def shape(self):
        return self.value.shape

    def __add__(self, other):
        return add(self, other)

    __radd__ = __add__

    def __neg__(self):
        return mul(self, -1.0)

    def __sub__(self, other):
        return add(self, mul(var(other), -1.0))

    def __rsub__(self, other):
        return add(var(other), mul(self, -1.0))

    def __mul__(self, other):
        return mul(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return mul(self, power(var(other), -1.0))

    def __getitem__(self, key):
        return take(self, key)


def var(x):
    return x if isinstance(x, Var) else Var(x)


def backward(root):
    """Fill `.grad` of every variable that the scalar `root` depends on."""
    root.grad = np.ones_like(root.value)
    heap = [(-root.order, root)]
    seen = {root.order}
    while heap:
        _, node = heapq.heappop(heap)
        for parent, pull in node.parents:
            part = pull(node.grad)
            parent.grad = part if parent.grad is None else parent.grad + part
            if parent.order not in seen:
                seen.add(parent.order)
                heapq.heappush(heap, (-parent.order, parent))


def _unbroadcast(grad, shape):
    """Sum a gradient over the axes along which its operand was repeated."""
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and grad.shape[axis] != 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return grad


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def add(a, b):
    a, b = var(a), var(b)
    return Var(a.value + b.value, [(a, lambda g: _unbroadcast(g, a.shape)), (b, lambda g: _unbroadcast(g, b.shape))])


def mul(a, b):
    a, b = var(a), var(b)
    return Var(a.value * b.value,
               [(a, lambda g: _unbroadcast(g * b.value, a.shape)), (b, lambda g: _unbroadcast(g * a.value, b.shape))])


def power(a, exponent):
    """a to a constant power."""
    return Var(a.value ** exponent, [(a, lambda g: g * exponent * a.value ** (exponent - 1))])


def exp(a):
    y = np.exp(a.value)
    return Var(y, [(a, lambda g: g * y)])


def log(a):
    return Var(np.log(a.value), [(a, lambda g: g / a.value)])


def tanh(a):
    y = np.tanh(a.value)
    return Var(y, [(a, lambda g: g * (1 - y * y))])


def sigmoid(a):
    small = np.exp(-np.abs(a.value))
    y = np.where(a.value >= 0, 1, small) / (1 + small)
    return Var(y, [(a, lambda g: g * y * (1 - y))])


def erf(a):
    return Var(_erf(a.value), [(a, lambda g: g * (2 / math.sqrt(math.pi)) * np.exp(-a.value ** 2))])


def positive(a):
    """max(a, 0); the derivative at 0 is that of the first argument."""
    on = a.value >= 0
    return Var(np.where(on, a.value, 0.0), [(a, lambda g: g * on)])


# ---- shapes and indices ----------------------------------------------------------------------------------------------


def reshape(a, shape):
    return Var(a.value.reshape(shape), [(a, lambda g: g.reshape(a.shape))])


def transpose(a, axes):
    inverse = np.argsort(axes)
    return Var(a.value.transpose(axes), [(a, lambda g: g.transpose(inverse))])


def take(a, key):
    """Any NumPy index; what is read twice collects both gradients."""
    def pull(g):
        out = np.zeros_like(a.value)
        np.add.at(out, key, g)
        return out
    return Var(a.value[key], [(a, pull)])


def scatter(a, rows, count):
    """out[rows[i]] += a[i] over the leading axis, out of `count` rows."""
    out = np.zeros((count,) + a.shape[1:])
    np.add.at(out, rows, a.value)
    return Var(out, [(a, lambda g: g[rows])])


def concat(parts, axis):
    ends = np.cumsum([p.shape[axis] for p in parts])
    starts = np.concatenate([[0], ends[:-1]])

    def pull(lo, hi):
        return lambda g: np.take(g, np.arange(lo, hi), axis=axis)
    return Var(np.concatenate([p.value for p in parts], axis=axis), [(p, pull(lo, hi)) for p, lo, hi in zip(parts, starts, ends)])


def shift(a, axis, by):
    """out[…, l, …] = a[…, l − by, …], 0 where l < by."""
    if by == 0:
        return a
    size = a.shape[axis]

    def moved(x, to_later):
        out = np.zeros_like(x)
        late = [slice(None)] * x.ndim
        early = [slice(None)] * x.ndim
        late[axis], early[axis] = slice(min(by, size), None), slice(0, max(size - by, 0))
        if to_later:
            out[tuple(late)] = x[tuple(early)]
        else:
            out[tuple(early)] = x[tuple(late)]
        return out
    return Var(moved(a.value, True), [(a, lambda g: moved(g, False))])


# ---- reductions and contractions -------------------------------------------------------------------------------------


def total(a, axis=None, keepdims=False):
    def pull(g):
        if axis is not None and not keepdims:
            g = np.expand_dims(g, axis)
        return np.broadcast_to(g, a.shape).copy()
    return Var(a.value.sum(axis=axis, keepdims=keepdims), [(a, pull)])


def mean(a, axis=None, keepdims=False):
    y = total(a, axis, keepdims)
    return mul(y, y.value.size / a.value.size)


def logsumexp(a, axis):
    """Along one axis, without it in the result. Minus infinity marks what does not exist."""
    top = a.value.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    e = np.exp(a.value - top)
    s = e.sum(axis=axis, keepdims=True)
    share = e / s
    return Var(np.squeeze(np.log(s) + top, axis), [(a, lambda g: np.expand_dims(g, axis) * share)])


def softmax(a, axis, exists=None):
    """Along one axis, over the points that exist; a row without points gives zeros."""
    x = a.value if exists is None else np.where(exists, a.value, -np.inf)
    top = x.max(axis=axis, keepdims=True)
    e = np.exp(x - np.where(np.isfinite(top), top, 0.0))
    s = e.sum(axis=axis, keepdims=True)
    y = e / np.where(s == 0, 1.0, s)
    return Var(y, [(a, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True)))])


def einsum(spec, a, b):
    """A contraction of two tensors. Every letter of an operand stands in the result or in the other operand."""
    ins, out = spec.replace(" ", "").split("->")
    left, right = ins.split(",")
    return Var(np.einsum(spec, a.value, b.value, optimize=True),
               [(a, lambda g: np.einsum(f"{out},{right}->{left}", g, b.value, optimize=True)),
                (b, lambda g: np.einsum(f"{out},{left}->{right}", g, a.value, optimize=True))])
