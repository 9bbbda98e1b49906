"""A reader of the block level of .bfm, independent of the compiler's.

`parse` gives the declarations of a text; `elaborate` turns one model into a tree of `Line`, `Parallel` and `At` nodes with
every attribute evaluated, every width known and every parameter's path and shape declared. What does not concern the block
level (spaces, recipes, searches, checks, layer definitions) is skipped by its braces.
"""
import math
import re
from dataclasses import dataclass, field
from fractions import Fraction

import layers

TOKEN = re.compile(r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<number>\d[\d_]*(?:\.(?!\.)[\d_]+)?(?:[eE][+-]?\d+)?(?:[KMGT]i?\b)?)
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<string>"[^"]*")
  | (?P<op>\.\.<|\.\.|->|<=|>=|==|!=|\+=|[{}()\[\],;:=|.+\-*/^%<>~])
""", re.X)
SUFFIX = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
FUNCTIONS = {"ceil": math.ceil, "floor": math.floor, "min": min, "max": max, "sqrt": lambda x: Fraction(math.sqrt(x))}


class ReadError(Exception):
    pass


@dataclass(frozen=True)
class Named:
    """A name in an attribute's place: a choice, or a definition with some attributes bound."""
    name: str
    bound: tuple = ()

    def get(self, key, default=None):
        return dict(self.bound).get(key, default)


@dataclass
class Definition:
    kind: str                 # block | model
    name: str
    attributes: list          # (name, type, default expression or None)
    norm: object              # expression or None
    wiring: object
    settings: dict            # vocab, context of a model
    body: list                # statements


@dataclass
class Line:
    """One sub-layer, wired. `params` maps the layer's own tensor names to full paths."""
    path: str
    kind: str
    attrs: dict
    wiring: str
    norm: object              # Named or None
    d_in: int
    d_out: int
    declared: dict = field(default_factory=dict)


@dataclass
class Parallel:
    path: str
    wiring: str
    norm: object
    branches: list            # of lists of nodes; each branch maps the normed input to a result
    declared: dict = field(default_factory=dict)


@dataclass
class At:
    path: str
    body: list
    declared: dict = field(default_factory=dict)


# ---- tokens and grammar ----------------------------------------------------------------------------------------------


def tokenize(text):
    out, at = [], 0
    while at < len(text):
        m = TOKEN.match(text, at)
        if not m:
            out.append(("other", text[at]))  # inside layer definitions anything may stand; skipped by braces
            at += 1
            continue
        at = m.end()
        if m.lastgroup != "space":
            out.append((m.lastgroup, m.group()))
    return out + [("end", "")]


def number(text):
    m = re.fullmatch(r"([\d_.]+(?:[eE][+-]?\d+)?)([KMGT]i?)?", text)
    return Fraction(m.group(1).replace("_", "")) * SUFFIX.get(m.group(2), 1)


class Parser:
    def __init__(self, text):
        self.tokens = tokenize(text)
        self.at = 0

    def peek(self, ahead=0):
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)][1]

    def next(self):
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, text):
        if self.peek() == text:
            self.at += 1
            return True
        return False

    def expect(self, text):
        if not self.accept(text):
            raise ReadError(f"expected {text!r}, found {self.peek()!r}")

    def name(self):
        kind, text = self.next()
        if kind != "name":
            raise ReadError(f"expected a name, found {text!r}")
        return text

    # expressions: nested tuples, evaluated later
    def expression(self):
        left = self.term()
        while self.peek() in ("+", "-"):
            op = self.next()[1]
            left = (op, left, self.term())
        return left

    def term(self):
        left = self.factor()
        while self.peek() in ("*", "/"):
            op = self.next()[1]
            left = (op, left, self.factor())
        return left

    def factor(self):
        if self.accept("-"):
            return ("-", ("const", Fraction(0)), self.factor())
        base = self.primary()
        if self.accept("^"):
            return ("^", base, self.factor())
        return base

    def primary(self):
        kind, text = self.next()
        if kind == "number":
            return ("const", number(text))
        if text == "(":
            e = self.expression()
            self.expect(")")
            return e
        if kind == "name":
            return ("call", text, self.arguments()) if self.peek() == "(" else ("name", text)
        raise ReadError(f"unexpected {text!r} in an expression")

    def arguments(self):
        """(…, name = value): a list of (name or None, expression)."""
        self.expect("(")
        out = []
        while not self.accept(")"):
            key = None
            if self.tokens[self.at][0] == "name" and self.peek(1) == "=":
                key = self.name()
                self.expect("=")
            out.append((key, self.expression()))
            if not self.accept(","):
                self.expect(")")
                break
        return out

    # declarations
    def skip_declaration(self):
        """To the end of the braces that open next, or to the next declaration where none do."""
        starts = {"use", "block", "model", "space", "search", "recipe", "check", "layer", "norm", "fn", "router", "wiring",
                  "optimizer", "schedule"}
        self.at += 1
        depth = 0
        while self.tokens[self.at][0] != "end":
            text = self.peek()
            if depth == 0 and text in starts and self.tokens[self.at + 1][0] in ("name", "string") and self.tokens[self.at - 1][1] not in ("=", ":", ","):
                return
            depth += text in "{([" and text != ""
            depth -= text in "})]" and text != ""
            self.at += 1

    def file(self):
        out = {}
        while self.tokens[self.at][0] != "end":
            if self.peek() in ("block", "model"):
                d = self.definition()
                out[d.name] = d
            else:
                self.skip_declaration()
        return out

    def definition(self):
        kind, name = self.name(), self.name()
        attributes = []
        if self.accept("("):
            while not self.accept(")"):
                key, type_, default = self.name(), None, None
                if self.accept(":"):
                    type_ = self.attribute_type()
                if self.accept("="):
                    default = self.expression()
                attributes.append((key, type_, default))
                if not self.accept(","):
                    self.expect(")")
                    break
        norm, wiring = self.wires()
        settings, body = {}, []
        self.expect("{")
        self.statements(body, settings)
        return Definition(kind, name, attributes, norm, wiring, settings, body)

    def attribute_type(self):
        if self.accept("{"):
            while not self.accept("}"):
                self.next()
            return "choice"
        type_ = self.name()
        while self.accept("|"):
            self.name()
        return type_

    def wires(self):
        norm = wiring = None
        while self.peek() in ("norm", "wiring") and self.peek(1) == "=":
            if self.name() == "norm":
                self.expect("=")
                norm = self.primary()
            else:
                self.expect("=")
                wiring = self.name()
        return norm, wiring

    def statements(self, body, settings=None, until=("}",)):
        while self.peek() not in until:
            if settings is not None and self.tokens[self.at][0] == "name" and self.peek(1) == "=":
                key = self.name()
                self.expect("=")
                settings[key] = self.expression()
            else:
                body.append(self.statement())
        if until == ("}",):
            self.expect("}")

    def braced(self):
        self.expect("{")
        body = []
        self.statements(body)
        return body

    def statement(self):
        label = None
        if self.tokens[self.at][0] == "name" and self.peek(1) == ":":
            label = self.name()
            self.expect(":")
        if self.accept("repeat"):
            count = self.expression()
            return ("repeat", count, self.accept("shared"), self.braced())
        if self.accept("parallel"):
            self.expect("{")
            branches = []
            while True:
                branch = []
                self.statements(branch, until=("|", "}"))
                branches.append(branch)
                if not self.accept("|"):
                    break
            self.expect("}")
            return ("parallel", label, branches) + self.wires()
        if self.accept("at"):
            width = self.expression()
            return ("at", label, width, self.braced())
        name = self.name()
        arguments = self.arguments() if self.peek() == "(" else []
        return ("line", label, name, arguments) + self.wires()


def parse(text):
    return Parser(text).file()


# ---- evaluation ------------------------------------------------------------------------------------------------------


def evaluate(e, env):
    kind = e[0]
    if kind == "const":
        return e[1]
    if kind == "name":
        if e[1] in ("true", "false"):
            return e[1] == "true"
        return env[e[1]] if e[1] in env else Named(e[1])
    if kind == "call":
        if e[1] in FUNCTIONS:
            return Fraction(FUNCTIONS[e[1]](*[evaluate(x, env) for _, x in e[2]]))
        return Named(e[1], tuple((k, evaluate(x, env)) for k, x in e[2]))
    a, b = evaluate(e[1], env), evaluate(e[2], env)
    if kind == "^":
        return a ** int(b) if b.denominator == 1 else Fraction(float(a) ** float(b))
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[kind]()


def whole(value, what):
    if not isinstance(value, Fraction) or value.denominator != 1:
        raise ReadError(f"{what} is {value}, not a whole number")
    return int(value)


# ---- elaboration -----------------------------------------------------------------------------------------------------


class Scope:
    """Where paths are built: the prefix of enclosing labels, and the ordinals used in the body at hand."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.counts = {}

    def label(self, name, given, indices):
        ordinal = self.counts.get(name, 0)  # labelled lines count too
        self.counts[name] = ordinal + 1
        if given is None:
            given = f"{name}_{ordinal}"
        return self.prefix + given + indices


class Elaborator:
    def __init__(self, definitions, model):
        self.definitions = definitions
        self.model = model
        self.params = {}      # path -> (shape, deviation or constant)

    def declare(self, prefix, tensors):
        """Record {name: (shape, init)} under a path; gives {name: full path}."""
        out = {}
        for name, spec in tensors.items():
            path = f"{prefix}.{name}"
            if self.params.setdefault(path, spec)[0] != spec[0]:
                raise ReadError(f"{path} is declared with two shapes")
            out[name] = path
        return out

    def run(self, overrides=None):
        m = self.model
        env = self.bind(m, [(k, ("const", Fraction(v))) for k, v in (overrides or {}).items()], {})
        self.vocab = whole(evaluate(m.settings["vocab"], env), "vocab")
        self.context = whole(evaluate(m.settings["context"], env), "context")
        self.table = None
        nodes, _ = self.body(m.body, Scope(""), "", env, self.wires_of(m, env), None)
        return nodes

    def bind(self, definition, arguments, outer):
        env = {"d": outer["d"]} if "d" in outer else {}
        given = {}
        names = [a[0] for a in definition.attributes]
        for i, (key, e) in enumerate(arguments):
            key = key or names[i]
            if key not in names:
                raise ReadError(f"{definition.name} has no attribute {key}")
            given[key] = evaluate(e, outer)
        for name, _, default in definition.attributes:
            if name in given:
                env[name] = given[name]
            elif default is not None:
                if not (name == "d" and "d" in env):  # d is bound by the stream
                    env[name] = evaluate(default, env)
            elif name not in env:
                raise ReadError(f"{definition.name} needs {name}")
        return env

    def wires_of(self, definition, env):
        norm = evaluate(definition.norm, env) if definition.norm else Named("rms_norm")
        return definition.wiring or "pre", norm

    def body(self, statements, scope, indices, env, wires, d):
        """Nodes of a body and the width after it. `indices` is what repetitions add to the first label inside them."""
        nodes = []
        for s in statements:
            if d is not None:
                env = {**env, "d": Fraction(d)}
            made, d = getattr(self, "do_" + s[0])(s, scope, indices, env, wires, d)
            nodes += made
        return nodes, d

    def do_repeat(self, s, scope, indices, env, wires, d):
        _, count, shared, body = s
        start, nodes = dict(scope.counts), []
        for r in range(whole(evaluate(count, env), "repeat")):
            scope.counts = dict(start)  # the labels of a repeated line are the same each time
            made, d = self.body(body, scope, indices + ("" if shared else f"[{r}]"), env, wires, d)
            nodes += made
        return nodes, d

    def do_parallel(self, s, scope, indices, env, wires, d):
        _, label, branches, norm, wiring = s
        path = scope.label("parallel", label, indices)
        kind = wiring or wires[0]
        norm = evaluate(norm, env) if norm else wires[1]
        inner = Scope(path + ".")
        made = []
        for branch in branches:
            alone = ("none", wires[1], wires) if len(branch) == 1 else wires  # a line alone is wired by the whole; in a sequence each by itself
            nodes, width = self.body(branch, inner, "", env, alone, d)
            if width != d:
                raise ReadError(f"{path}: a branch gives width {width}, the stream has {d}")
            made.append(nodes)
        return [Parallel(path, kind, norm, made, self.declare_norms(path, kind, norm, d))], d

    def do_at(self, s, scope, indices, env, wires, d):
        _, label, width, body = s
        inner = whole(evaluate(width, env) * d, "the width of `at`")
        path = scope.label("at", label, indices)
        declared = self.declare(path, {"w_in": ((d, inner), d ** -0.5), "w_out": ((inner, d), inner ** -0.5)})
        nodes, out = self.body(body, Scope(path + "."), "", env, wires[2] if len(wires) > 2 else wires, inner)
        if out != inner:
            raise ReadError(f"{path}: the body ends at width {out}, not {inner}")
        return [At(path, nodes, declared)], d

    def do_line(self, s, scope, indices, env, wires, d):
        _, label, name, arguments, norm, wiring = s
        path = scope.label(name, label, indices)
        if name in self.definitions:
            block = self.definitions[name]
            inner = self.bind(block, arguments, env)
            return self.body(block.body, Scope(path + "."), "", inner, self.wires_of(block, inner), d)
        if name not in layers.LAYERS:
            raise ReadError(f"unknown layer {name}")
        layer = layers.LAYERS[name]
        attrs = layers.attributes_of(name, [(k, evaluate(e, env)) for k, e in arguments],
                                     {"d": d, "vocab": self.vocab, "context": self.context})
        kind = wiring or ("none" if layer.unwired else wires[0])
        norm = evaluate(norm, env) if norm else wires[1]
        out = layer.width(attrs, d)
        line = Line(path, name, attrs, kind, norm, d, out)
        line.declared = {**self.declare(path, layer.declare(attrs, d)), **self.declare_norms(path, kind, norm, d)}
        self.tie(line)
        return [line], out

    def declare_norms(self, path, kind, norm, d):
        if norm is None or norm.name == "none" or kind == "none":
            return {}
        roles = {"pre": ["norm"], "post": ["norm"], "pre_post": ["norm", "post_norm"]}[kind]
        tensors = layers.LAYERS[norm.name].declare({}, d)
        return self.declare(path, {f"{role}.{k}": v for role in roles for k, v in tensors.items()})

    def tie(self, line):
        """The embedding's table is one tensor for the whole model, under the path of the first line that declares it."""
        if "table" in line.declared:
            if self.table is None:
                self.table = line.declared["table"]
            else:
                del self.params[line.declared["table"]]
                line.declared["table"] = self.table


@dataclass
class Model:
    name: str
    vocab: int
    context: int
    nodes: list
    params: dict


def read(text, name=None, overrides=None):
    """The model `name` (or the only one) of a text, elaborated."""
    definitions = parse(text)
    models = [d for d in definitions.values() if d.kind == "model" and name in (None, d.name)]
    if len(models) != 1:
        raise ReadError(f"{len(models)} models fit the name {name!r}")
    blocks = {k: v for k, v in definitions.items() if v.kind == "block"}
    e = Elaborator(blocks, models[0])
    nodes = e.run(overrides)
    return Model(models[0].name, e.vocab, e.context, nodes, e.params)
