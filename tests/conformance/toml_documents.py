"""Random TOML documents: valid ones that use every feature, and ones that are probably wrong.

Everything follows from the random.Random that comes in: the same seed gives the same documents.
"""

import itertools
import random
import re

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
# Quotes, escapes, blanks, controls, and characters of every UTF-8 length and boundary.
TEXT = "ab1 _.='\"\\#\t\n\r\x00\x1f\x7f\x80é\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
KEYS = ["a", "b", "c", "1", "-", "_x", "a b", "", "é", "a.b", 'q"', "q'", "t\t", "n\n", "😀"]
TOKENS = [
    "=", ".", ",", "[", "]", "[[", "]]", "{", "}", "{}", "[]", "#", '"', "'", '"""', "'''", "\\",
    "\n", "\r\n", "\r", "\t", " ", "_", "+", "-", "0", "00", "1e1", "0x", "inf", "true", ":", "T",
    "\\u12", "\\U0000d800", "\\\n", "a = 1\n", "a.b = 2\n", "[a]\n", "[a.b]\n", "[[a]]\n", "\x00",
    "\x7f", "é", "\ufeff", "2000-02-30", "12:00:00", "1979-05-27", "9223372036854775808",
]  # fmt: skip


class Writer:
    """Writes plain data (dict, list, scalars, Moment) as TOML, in random ways."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.newline = rng.choice(["\n", "\n", "\r\n"])

    def maybe(self, share: float) -> bool:
        return self.rng.random() < share

    def blank(self) -> str:
        return self.rng.choice(["", "", "", " ", "\t", "  "])

    def end(self) -> str:
        """The end of a line, perhaps with a comment and lines that say nothing."""
        comment = self.rng.choice(["", "", "", "# c", "#", '# é = "x" \' [a]\t'])
        more = self.rng.choice(["", "", "", self.newline, " # c" + self.newline])
        return self.blank() + comment + self.newline + more

    def gap(self) -> str:
        """What may stand between the parts of an array."""
        return self.end() + self.blank() if self.maybe(0.2) else self.blank()

    # --- keys and strings ---

    def escaped(self, c: str, multiline: bool) -> str:
        short = {"\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}
        code = ord(c)
        must = c in '"\\\r' or code < 32 and c not in "\t" + "\n" * multiline or code == 127
        if not must and not self.maybe(0.1):
            return self.newline if c == "\n" else c
        if c in short and self.maybe(0.6):
            return "\\" + short[c]
        digits = f"{code:04x}" if code < 0x10000 and self.maybe(0.7) else f"{code:08x}"
        digits = digits.upper() if self.maybe(0.5) else digits
        return ("\\u" if len(digits) == 4 else "\\U") + digits

    def basic(self, text: str) -> str:
        return '"' + "".join(self.escaped(c, False) for c in text) + '"'

    def multiline_basic(self, text: str) -> str:
        body = self.newline if text.startswith("\n") or self.maybe(0.3) else ""
        quotes = 0
        for c in text:
            quotes = quotes + 1 if c == '"' else 0
            if 0 < quotes <= 2 and self.maybe(0.5):
                body += '"'  # up to two may stand as they are
                continue
            quotes = 0
            if c not in " \t\n" and self.maybe(0.05):
                body += "\\" + self.blank() + self.newline + self.gap_of_blank_lines()
            body += self.escaped(c, True)
        return '"""' + body + '"""'

    def gap_of_blank_lines(self) -> str:
        return "".join(self.blank() + self.newline for _ in range(self.rng.randrange(3)))

    def literal(self, text: str) -> str:
        return "'" + text + "'"

    def string(self, text: str) -> str:
        plain = not any(ord(c) < 32 and c != "\t" or c == "\x7f" for c in text.replace("\n", ""))
        ways = [self.basic, self.multiline_basic]
        if plain and "\n" not in text and "'" not in text:
            ways.append(self.literal)
        if plain and "'''" not in text:
            start = "\n" if text.startswith("\n") else ""
            ways.append(lambda t: "'''" + (start + t).replace("\n", self.newline) + "'''")
        return self.rng.choice(ways)(text)

    def key(self, key: str) -> str:
        if BARE_KEY.match(key) and self.maybe(0.8):
            return key
        if "'" not in key and "\n" not in key and self.maybe(0.5):
            return self.literal(key)
        return self.basic(key)

    def path(self, keys: list[str]) -> str:
        dot = lambda: self.blank() + "." + self.blank()  # noqa: E731
        text = self.key(keys[0])
        for key in keys[1:]:
            text += dot() + self.key(key)
        return text

    # --- numbers ---

    def grouped(self, digits: str) -> str:
        out = digits[0]
        for c in digits[1:]:
            out += ("_" if self.maybe(0.1) else "") + c
        return out

    def integer(self, n: int) -> str:
        if n >= 0 and self.maybe(0.4):
            prefix, form = self.rng.choice([("0x", "x"), ("0x", "X"), ("0o", "o"), ("0b", "b")])
            zeros = "0" * self.rng.randrange(3)
            return prefix + self.grouped(zeros + format(n, form))
        sign = "-" if n < 0 else self.rng.choice(["", "", "+"])
        return sign + self.grouped(str(abs(n)))

    def float(self) -> str:
        sign = self.rng.choice(["", "", "+", "-"])
        if self.maybe(0.15):
            return sign + self.rng.choice(["inf", "nan"])
        whole = self.grouped(str(self.rng.choice([0, 1, 10, self.rng.getrandbits(60)])))
        point = "." + self.grouped(str(self.rng.getrandbits(40)).zfill(self.rng.randrange(1, 30)))
        power = (
            self.rng.choice("eE")
            + self.rng.choice(["", "+", "-"])
            + self.grouped(str(self.rng.choice([0, 1, 20, 307, 324, 400])).zfill(self.rng.randrange(1, 5)))
        )
        return sign + whole + self.rng.choice([point, power, point + power])

    # --- values ---

    def array(self, items: list) -> str:
        text = "[" + self.gap()
        for i, item in enumerate(items):
            text += self.value(item) + self.gap()
            if i + 1 < len(items) or self.maybe(0.3):
                text += "," + self.gap()
        return text + "]"

    def pairs(self, table: dict, prefix: list[str]):
        """(path, value) of everything below a table, some of its tables through dotted keys."""
        for key, value in table.items():
            if isinstance(value, dict) and value and self.maybe(0.5):
                yield from self.pairs(value, prefix + [key])
            else:
                yield prefix + [key], value

    def inline(self, table: dict) -> str:
        text = [
            self.blank() + self.path(path) + self.blank() + "=" + self.blank() + self.value(value)
            for path, value in self.pairs(table, [])
        ]
        return "{" + ",".join(t + self.blank() for t in text) + (self.blank()) + "}"

    def value(self, value) -> str:
        if isinstance(value, dict):
            return self.inline(value)
        if isinstance(value, list):
            return self.array(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return self.integer(value)
        if isinstance(value, float):
            return self.float()
        return value.text if isinstance(value, Moment) else self.string(value)

    # --- tables ---

    def header(self, path: list[str], brackets: int) -> str:
        text = self.blank() + self.path(path) + self.blank()
        return self.blank() + "[" * brackets + text + "]" * brackets + self.end()

    def body(self, table: dict, path: list[str]) -> tuple[str, list]:
        """The pairs of a table, and what has to follow under headers of its own."""
        text, later = "", []
        for key, value in table.items():
            tables = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
            if (isinstance(value, dict) or tables) and self.maybe(0.7):
                later.append((path + [key], value))
                continue
            pairs = [([key], value)]
            if isinstance(value, dict) and value and self.maybe(0.5):
                pairs = self.pairs(value, [key])
            for keys, item in pairs:
                text += self.blank() + self.path(keys) + self.blank() + "=" + self.blank()
                text += self.value(item) + self.end()
        return text, later

    def table(self, table: dict, path: list[str], brackets: int) -> str:
        text, later = self.body(table, path)
        self.rng.shuffle(later)
        before = ""
        # A header may stand behind those of its sub-tables, and be left out when it says nothing.
        if brackets == 1 and self.maybe(0.3):
            early = [item for item in later if isinstance(item[1], dict)]
            later = [item for item in later if not isinstance(item[1], dict)]
            before = "".join(self.table(value, keys, 1) for keys, value in early)
        if brackets and not (brackets == 1 and not text and (later or before) and self.maybe(0.5)):
            text = self.header(path, brackets) + text
        for keys, value in later:
            if isinstance(value, dict):
                text += self.table(value, keys, 1)
            else:
                text += "".join(self.table(item, keys, 2) for item in value)
        return before + text

    def document(self, table: dict) -> str:
        text = self.table(table, [], 0)
        return text.rstrip("\r\n") if self.maybe(0.2) else text


class Moment:
    """A date or time, by its text."""

    def __init__(self, rng: random.Random):
        month, leap = rng.randrange(1, 13), rng.random() < 0.1
        days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
        year = rng.choice([4, 1600, 2000, 2024, 9996]) if leap else rng.randrange(1, 10000)
        date = f"{year:04}-{month:02}-{rng.randrange(1, days + 1):02}"
        date = f"{year:04}-02-29" if leap else date
        time = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
        if rng.random() < 0.4:
            time += "." + str(rng.getrandbits(40)).zfill(rng.randrange(1, 15))
        offset = f"{rng.choice('+-')}{rng.randrange(24):02}:{rng.randrange(60):02}"
        joined = date + rng.choice("Tt ") + time
        self.text = rng.choice([date, time, joined, joined + rng.choice("Zz"), joined + offset])


def scalar(rng: random.Random):
    kind = rng.randrange(6)
    if kind == 0:
        return rng.random() < 0.5
    if kind == 1:
        return rng.choice([0, 1, -1, rng.randrange(-(2**63), 2**63), 2**63 - 1, -(2**63)])
    if kind == 2:
        return 0.0  # the writer makes it up
    if kind == 3:
        return Moment(rng)
    return "".join(rng.choice(TEXT) for _ in range(rng.choice([0, 1, 2, 5, 20])))


def value(rng: random.Random, depth: int):
    kind = rng.random()
    if depth >= 4 or kind < 0.55:
        return scalar(rng)
    if kind < 0.7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind < 0.8:
        return [table(rng, depth + 1) for _ in range(rng.randrange(4))]
    return table(rng, depth + 1)


def table(rng: random.Random, depth: int) -> dict:
    keys = rng.sample(KEYS, rng.randrange(5 if depth else 7))
    return {key: value(rng, depth) for key in keys}


def valid(rng: random.Random) -> bytes:
    return Writer(rng).document(table(rng, 0)).encode()


def mutated(rng: random.Random, document: bytes) -> bytes:
    """A document with one to three accidents: most no longer TOML, some still."""
    for _ in range(rng.randrange(1, 4)):
        at, other = sorted(rng.randrange(len(document) + 1) for _ in range(2))
        lines = document.splitlines(keepends=True)
        kind = rng.randrange(7)
        if kind == 0:
            document = document[:at] + document[min(other, at + 3) :]
        elif kind == 1:
            document = document[:at] + rng.choice(TOKENS).encode() + document[at:]
        elif kind == 2:
            document = document[:at] + bytes([rng.randrange(256)]) + document[at + 1 :]
        elif kind == 3:
            document = document[:at]
        elif kind == 4 and lines:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            document = b"".join(lines)
        elif kind == 5:
            rng.shuffle(lines)
            document = b"".join(lines)
        else:
            document = document[:other] + document[at:other] + document[other:]
    return document


def rules(rng: random.Random) -> bytes:
    """A few headers and pairs over few names: who may define and extend which table."""
    names = rng.choice(["ab", "abc"])
    path = lambda: ".".join(rng.choice(names) for _ in range(rng.choice([1, 1, 2, 2, 3])))  # noqa: E731
    small = ["1", "[]", "{}", "[{}]", "{a = 1}", "{a.b = 1}", "{a = {}, b = [{}]}", "[{a.b = {}}]"]
    lines = []
    for _ in range(rng.randrange(2, 8)):
        kind = rng.randrange(5)
        if kind < 2:
            lines.append(f"[{path()}]")
        elif kind == 2:
            lines.append(f"[[{path()}]]")
        elif kind == 3:
            lines.append(f"{path()} = {rng.choice(small)}")
        else:
            inner = ", ".join(f"{path()} = {rng.choice(small)}" for _ in range(rng.randrange(1, 4)))
            lines.append(f"{path()} = {{{inner}}}")
    return "\n".join(lines).encode()


def all_rules():
    """Every row of four statements out of these: the rules again, with nothing left to chance."""
    headers = ["[a]", "[a.b]", "[a.b.c]", "[[a]]", "[[a.b]]"]
    statements = headers + ["b.{} = 1", "a.b.{} = 1", "b = 1", "b = {{}}"]
    for row in itertools.product(statements, repeat=4):
        yield "\n".join(text.format(f"k{i}") for i, text in enumerate(row)).encode()


def structure(rng: random.Random) -> bytes:
    """Brackets, braces, commas and line ends in an order that is right, or nearly."""
    writer = Writer(rng)
    inner = structure_value(rng, 0)
    text = writer.value([inner] if rng.random() < 0.5 else {"a": inner})
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(text) + 1)
        token = rng.choice(["", ",", ",\n", "\n", "#\n", "[", "]", "{", "}", "1", "b = 1", "b = 1,"])
        text = text[:at] + token + text[at + rng.randrange(2) :]
    return f"a = {text}".encode()


def structure_value(rng: random.Random, depth: int):
    kind = rng.randrange(3) if depth < 3 else 0
    if kind == 0:
        return 1
    if kind == 1:
        return [structure_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {key: structure_value(rng, depth + 1) for key in rng.sample("bcde", rng.randrange(4))}


def number(rng: random.Random) -> bytes:
    """One value that looks like a number, a date or a time."""
    writer = Writer(rng)
    integer = rng.choice([0, 2**31, 2**63, -(2**63), 2**64]) + rng.randrange(-2, 3)
    text = rng.choice([writer.float(), Moment(rng).text, writer.integer(integer)])
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(text) + 1)
        c = rng.choice("0123456789_+-.:eETtZz xobinf60")
        text = text[:at] + c + text[at + rng.randrange(2) :]
    return f"a = {text}".encode()


def string(rng: random.Random) -> bytes:
    """One value made of the parts that strings of all kinds are made of."""
    parts = ['"', '"', "'", '"""', "'''", "\\", "\\\\", '\\"', "\\n", "\\x", "\\u12", "\\u00e9"]
    parts += ["\\U0001F600", "\\uD800", "\n", "\r\n", " ", "\t", "\\\n", "\\ \n", "a", "é", "#"]
    mark = rng.choice(['"', "'", '"""', "'''"])
    body = "".join(rng.choice(parts) for _ in range(rng.randrange(8)))
    return f"a = {mark}{body}{mark}".encode()
