"""What the library defines, read from its text: names, attributes and choices; and a copy of it without metrics."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
STDLIB = os.path.join(HERE, "..", "..", "stdlib")
HEAD = re.compile(r"^(layer|router|norm|fn|wiring)\s+(\w+)\s*\(", re.M)
NEXT = re.compile(r"^(layer|router|norm|fn|wiring|optimizer|schedule|check|model|block|space|recipe|search|use)\b", re.M)
READ_AGAIN = ("load", "last", "asked")  # metrics that the definitions themselves read


def text_of(folder=STDLIB):
    """All files, without comments."""
    out = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".bfm"):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                out.append(re.sub(r"//[^\n]*", "", f.read()))
    return "\n".join(out)


class Definition:
    def __init__(self, kind, name, text):
        self.kind, self.name, self.text = kind, name, text
        depth, at = 0, text.index("(")
        for end in range(at, len(text)):
            depth += (text[end] in "({[") - (text[end] in ")}]")
            if depth == 0:
                break
        header = text[at + 1:end].split(";", 1)
        self.attributes = {}   # name -> the values that must be tried, None: any
        for item in split(header[1] if len(header) > 1 else ""):
            m = re.match(r"\s*(\w+)\s*:\s*(\{[^}]*\}|[\w |]+)", item)
            if m:
                kinds = m.group(2).strip()
                choice = re.findall(r"\w+", kinds) if kinds.startswith("{") else ["true", "false"] if kinds == "bool" else ["none"] if "none" in kinds else None
                self.attributes[m.group(1)] = choice


def split(text):
    """At commas outside brackets."""
    out, depth = [""], 0
    for c in text:
        depth += (c in "({[") - (c in ")}]")
        if c == "," and depth == 0:
            out.append("")
        else:
            out[-1] += c
    return [t for t in out if t.strip()]


def definitions(text):
    out = []
    for m in HEAD.finditer(text):
        end = NEXT.search(text, m.end())
        out.append(Definition(m.group(1), m.group(2), text[m.start():end.start() if end else len(text)]))
    return out


def used(definition, models):
    """Does a model use it itself, in the way its kind is used?"""
    name = definition.name
    how = {"layer": rf"(?<![=\w] )(?<!\w)(?:masked_)?{name}\(", "router": rf"(?:router|\br|\br:\srouter)\s*=\s*{name}\b", "norm": rf"norm = {name}\b", "wiring": rf"wiring = {name}\b", "fn": rf"(?:act|score|\ba) = {name}\b"}
    if name in ("enter", "leave"):  # the two sides of `at`
        how["layer"] = r"\bat \d"
    return any(re.search(how[definition.kind], m) for m in models)


def uncovered(text, models):
    """Definitions that no model reaches, themselves or through definitions that use them; and attributes and choices that no model gives."""
    everything = definitions(text)
    reached = {d.name for d in everything if used(d, models)}
    while True:
        more = {d.name for d in everything if d.kind == "fn" and d.name not in reached
                for user in everything if user.name in reached and re.search(rf"\b{d.name}\b", user.text[user.text.index("("):])}
        if not more:
            break
        reached |= more
    out = [f"{d.kind} {d.name}" for d in everything if d.name not in reached]
    for d in everything:
        if d.kind == "fn" or d.name in ("enter", "leave"):
            continue
        lines = [m for m in models if re.search(rf"\b{d.name}\(", m)]
        calls = " ".join(re.findall(rf"\b{d.name}(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))", "\n".join(lines)))
        for attribute, choices in d.attributes.items():
            if attribute in ("vocab", "context") or (d.kind == "router" and attribute == "experts"):
                continue  # taken by name from what is around
            for value in choices or [None]:
                if not re.search(rf"\b{attribute} = " + (rf"{value}\b" if value else ""), calls):
                    out.append(f"{d.kind} {d.name}: {attribute}" + (f" = {value}" if value else ""))
    return out


def without_metrics(folder):
    """Writes the library into `folder` without the metrics that nothing reads. How many lines went."""
    removed = 0
    os.makedirs(folder, exist_ok=True)
    for name in sorted(os.listdir(STDLIB)):
        if not name.endswith(".bfm"):
            continue
        lines = []
        with open(os.path.join(STDLIB, name), encoding="utf-8") as f:
            for line in f:
                m = re.match(r"\s*metric (\w+)", line)
                if m and m.group(1) not in READ_AGAIN:
                    removed += 1
                else:
                    lines.append(line)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.writelines(lines)
    return removed
