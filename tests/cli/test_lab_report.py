"""`kernmill lab report --html`: a lab that was driven by its commands, as one page, in a browser too."""

import contextlib
import html
import json
import re
import shutil
import sqlite3
import statistics
import subprocess

import pytest
from program import PROGRAM
from test_lab import Lab
from test_lab_judge import BETTER, SAME, pairs
from test_report import Page
from tree_lab import TreeLab

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">&amp; \u202etxt"
BASE, FIRST, SECOND = "a" * 40, "b" * 40, "c" * 40
MORE = [(p - 1, c - 1.2) for p, c in BETTER]
SECTIONS = ["progress", "work", "costs", "tree", "not-taken", "alerts", "holdout", "board"]


def insert(lab, *statements):
    with contextlib.closing(sqlite3.connect(lab.folder / ".lab/lab.db")) as db, db:
        for sql, *values in statements:
            db.execute(sql, values)


def claim(lab, worker="gpu-0"):
    return lab.say("claim", "--worker", worker)[1]


def judged(lab, key, values, commit, **fields):
    """Its jobs' runs, and what the judge said of them."""
    number = lab.queued(key, **fields)
    job = claim(lab)
    lab.say("submit", job["job"], "--token", job["token"], given={"pairs": pairs(values)})
    rows = [(job["job"], i, arm, where, i, "h100 a", value, None, 40)
            for i, pair in enumerate(values) for arm, where, value in
            zip(("parent", "candidate"), (fields["parent"], commit), pair, strict=True)]  # fmt: skip
    insert(lab, *[("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?)", *row) for row in rows])
    return number, lab.say("judge", number)[1]


def promote(lab, number, previous, commit):
    assert lab.say("decide", number, given={"state": "promoted", "reason": "holdout passed"})[0] == 0
    insert(
        lab,
        ("INSERT INTO holdouts VALUES (NULL, ?, 10.5, 9.6, 1, 1764195600000000)", number),
        ("INSERT INTO champions SELECT NULL, 1, ?, ?, ?, max(created_us) + 1 FROM decisions", previous, number, commit),
    )  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two promotions; and one each of what may become of an idea. `said` is what the judge said."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    toml = (lab.folder / "lab.toml").read_text()
    toml = toml.replace('metric = "metric"', 'metric = "latency_us"').replace("runs = 1000", "runs = 12")
    (lab.folder / "lab.toml").write_text(toml)
    lab.say("init")
    insert(lab, ("INSERT INTO champions VALUES (1, 1, NULL, NULL, ?, 1)", BASE))
    first, said_first = judged(lab, "first", BETTER, FIRST, title="vector loads", parent=BASE)
    same, _ = judged(lab, "same", SAME, "d" * 40, title="no change at all", parent=BASE)
    promote(lab, first, 1, FIRST)
    second, said_second = judged(lab, "second", MORE, SECOND, title="one pass", parent=FIRST)
    promote(lab, second, 2, SECOND)
    cheat = lab.queued("cheat", title=HOSTILE, parent=SECOND[:12])
    job = claim(lab, "worker <b>&</b>")
    lab.say(
        "submit",
        job["job"],
        "--token",
        job["token"],
        given={"pairs": [{"candidate": 0.0, "block": "h100 a"}] * 3},
    )
    lab.say("judge", cheat)
    refused = lab.idea("refused", title="edit the evaluator", author="<ada>")
    lab.say("review", refused, given={"verdict": "reject", "text": "not <allowed> & known", "reviewer": "r"})
    copy = lab.idea("copy", title="vector loads again")
    lab.say("decide", copy, given={"state": "duplicate", "reason": "the same as #1"})
    dead = lab.queued("dead", title="crashes")
    for _ in range(3):
        job = claim(lab, "gpu-1")
        subprocess.run([PROGRAM, "lab", "fail", str(job["job"]), "--token", str(job["token"]), "--why", b"exit \xff 9"],
                       cwd=lab.folder, check=True)  # fmt: skip
    lab.queued("open", title="still running", parent=SECOND)
    claim(lab, "gpu-2")
    lab.queued("waiting", title="waiting")
    lab.say("alert", given={"title": "the hub <hangs>", "text": HOSTILE, "level": "error"})
    lab.ids = {"first": first, "same": same, "second": second, "cheat": cheat, "refused": refused, "copy": copy,
               "dead": dead}  # fmt: skip
    lab.said = [said_first, said_second]
    code, _, err = lab.say("report", "--html", "page.html")
    assert code == 0, err
    lab.page = (lab.folder / "page.html").read_text()
    return lab


def data_of(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", "", re.sub("<title>.*?</title>", "", page))))


def section(page, name):
    return re.search(f'<section id="{name}">(.*?)</section>', page, re.DOTALL)[1]


# ---- what it says ----


# The gain is the chain of what the judge measured, never a difference of records; the champion is all its runs.
def test_the_headline(lab):
    standing = data_of(lab.page)["overview"]["standing"]
    for key, of in (("gain", lambda d: d["gain"]), ("low", lambda d: d["interval"][0]),
                    ("high", lambda d: d["interval"][1])):  # fmt: skip
        assert standing[key] == pytest.approx(sum(map(of, lab.said)))
    runs = [c for _, c in MORE]
    champion = standing["champion"]
    assert champion["hypothesis"] == lab.ids["second"] and champion["n"] == len(runs)
    assert champion["mean"] == pytest.approx(statistics.mean(runs))
    assert champion["sd"] == pytest.approx(statistics.stdev(runs))
    status = lab.say("status", "--json")[1]["standing"]
    assert status["gain"] == pytest.approx(standing["gain"]) and status["champion"]["n"] == champion["n"]
    head = text_of(lab.page.partition("<header>")[2].partition("</header>")[0])
    assert f"+{standing['gain']:.2f} latency_us" in head and "the sum of 2 promotions" in head
    assert "mean of 10 runs" in head and "latency_us, lower is better" in head and "one pass" in head


# A champion that ran on two machines: their difference is no noise of a run.
def test_the_spread_is_that_within_a_block(lab, tmp_path):
    other = Lab(tmp_path)
    insert(other, ("INSERT INTO champions VALUES (1, 1, NULL, NULL, ?, 1)", BASE))
    _, said = judged(other, "a", BETTER, FIRST, parent=BASE)
    other.queued("b")
    job = claim(other)["job"]
    far = [110.0, 110.1, 110.4]
    insert(other, *[("INSERT INTO runs VALUES (?,?,'parent',?,0,'h200 b',?,NULL,1)", job, i, BASE, v)
                    for i, v in enumerate(far)])  # fmt: skip
    champion = other.say("status", "--json")[1]["standing"]["champion"]
    near = [p for p, _ in BETTER]
    squares = sum((v - statistics.mean(block)) ** 2 for block in (near, far) for v in block)
    assert champion["n"] == 13 and champion["sd"] == pytest.approx((squares / 11) ** 0.5)
    assert [(b["block"], b["n"]) for b in champion["blocks"]] == [("h100 a", 10), ("h200 b", 3)]
    assert said["verdict"] == "accepted"


# Of each idea that was not taken, what became of it and why.
def test_every_reason(lab):
    rows = text_of(section(lab.page, "not-taken"))
    for state, reason in (("rejected", "not <allowed> & known"), ("rejected", "no gain of"), ("duplicate", "the same as #1"),
                          ("invalid", "the parent gave no finite number"), ("failed", "exit ? 9")):  # fmt: skip
        assert state in rows and reason in rows
    for key in ("same", "cheat", "refused", "copy", "dead"):
        assert f"#{lab.ids[key]} " in rows
    for key in ("first", "second"):
        assert f"#{lab.ids[key]} " not in rows


# On its champion stands what changed it: by the commit, shortened too.
def test_the_tree(lab):
    trunk = re.split(r'<li(?: class="last[^"]*")?><div class="champion', section(lab.page, "tree"))[1:]
    base, first, second, loose = map(text_of, trunk)
    assert "baseline" in base and "no change at all" in base and "1 idea: 1 rejected" in base
    assert "vector loads" in first and "promoted" in first and "0 idea" not in first
    assert "one pass" in second and "still running" in second and "hacked" in second
    assert "edit the evaluator" in loose and "crashes" in loose and "one pass" not in loose


def test_the_tables(lab):
    board = text_of(section(lab.page, "board"))
    head = ["wave", "bead", "job", "stage", "mode", "worker", "created", "hypothesis"]
    assert re.findall(r"<th[^>]*>(\w+)", section(lab.page, "board")) == head
    assert "second" in board and "dead" in board and "leased" in board and "queued" in board
    assert len(re.findall("<tr>", section(lab.page, "holdout"))) == 3 and "passed" in section(
        lab.page, "holdout"
    )
    alerts = text_of(section(lab.page, "alerts"))
    assert "the hub <hangs>" in alerts and "is dead after 3 attempts" in alerts and "maybe a cheat" in alerts
    costs = text_of(section(lab.page, "costs"))
    assert "8 of 12 (67" in costs and "this machine" in costs
    work = section(lab.page, "work")
    assert [work.count(f'class="l-{how}" x="') for how in ("done", "failed", "running")] == [
        4 + 1,
        3 + 1,
        1 + 1,
    ]


# Real commits: a promotion by its command, a commit that people put on top of it, and one more promotion on that.
def test_another_baseline(tmp_path):
    tree = TreeLab(tmp_path)
    said = []
    for key, level in (("a", 9.0), ("b", 8.0)):
        number = tree.work(key, lambda folder, level=level: set_level(folder, level))
        assert tree.measure()[1] == 0 and tree.say("promote", number)[0] == 0
        said.append(decision(tree, number))
        if key == "a":
            assert tree.say("status", "--json")[1]["standing"]["gain"] == pytest.approx(said[0][0])
            (tmp_path / "README").write_text("by hand")
            tree.git("add", "README")
            tree.git("commit", "-q", "-m", "by hand")
            assert tree.say("init")[0] == 0
    standing = tree.say("status", "--json")[1]["standing"]
    assert [row["hypothesis"] for row in standing["chain"]] == [None, 1, None, 2]
    assert standing["promotions"] == 1
    assert (standing["gain"], standing["low"], standing["high"]) == pytest.approx(said[1])
    champion = tree.say("champion", "--json")[1]
    assert standing["champion"]["n"] == champion["n"] == 8
    assert standing["champion"]["mean"] == pytest.approx(champion["mean"])
    assert tree.say("report", "--html", "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    for name, count in (("progress", 2), ("tree", 1)):
        assert section(page, name).count("another baseline") == count
    assert "+1.000 [+1.000, +1.000]" in text_of(
        section(page, "progress")
    )  # the noise is the pair's, and is gone
    assert "the sum of 1 promotion<br>" in page and "on none of these commits" not in page


def set_level(folder, level):
    text = (folder / "train.py").read_text()
    (folder / "train.py").write_text(re.sub(r"LEVEL = \S+", f"LEVEL = {level}", text))


def decision(lab, number):
    with contextlib.closing(sqlite3.connect(lab.folder / ".lab/lab.db")) as db:
        return db.execute("SELECT gain, low, high FROM decisions WHERE hypothesis = ? AND verdict = 'accepted'"
                          " ORDER BY id DESC", (number,)).fetchone()  # fmt: skip


# ---- that it is safe, alone, and whole ----


def test_the_page_is_whole(lab):
    for name in SECTIONS:
        assert section(lab.page, name)
    page = Page()
    page.feed(re.sub(r"<(tr|td|th|thead)(?= |>)[^>]*>|</(tr|thead)>|<br>", "", lab.page))
    page.close()
    assert page.open == [] and page.references == []
    assert not re.search(r"https?://|@import|url\(", lab.page.replace("http-equiv", ""))
    assert lab.page.count("<script") == 1 and "<img" not in lab.page and "\u202e" not in lab.page
    assert "default-src &#39;none&#39;" in lab.page or "default-src 'none'" in lab.page
    assert len(data_of(lab.page)["ideas"]) == 9


def test_an_empty_lab(tmp_path):
    lab = Lab(tmp_path)
    code, out, err = lab.say("report", "-o", "page.html", "--json")
    assert code == 0 and out == {"schema": 1, "html": "page.html"}, err
    page = (tmp_path / "page.html").read_text()
    for text in (
        "none yet",
        "Nothing was judged yet",
        "Nobody took a job yet",
        "Nobody proposed anything yet",
    ):
        assert text in page


# A history that was changed is not shown as if nothing were; nor is the old page touched.
def test_a_changed_history(tmp_path):
    lab = Lab(tmp_path)
    lab.idea("a")
    (tmp_path / "page.html").write_text("old")
    insert(lab, ("DROP TRIGGER events_stay",), ("UPDATE events SET body = '{}' WHERE id = 2",))
    code, _, err = lab.say("report", "--html", "page.html")
    assert code == 4 and "history was changed" in err and (tmp_path / "page.html").read_text() == "old"


def test_no_place_for_it(lab):
    assert lab.say("report", "--html", "absent/page.html")[0] == 5
    assert lab.say("report", "--html", "x.html", "--events", "3")[0] == 2


# Numbers that no run gives but that a store may hold: a page all the same, and soon.
@pytest.mark.parametrize("gain", [1e308, -1e308, 1e-300, 0.0])
def test_extreme_gains(gain, tmp_path):
    lab = Lab(tmp_path)
    for key in ("a", "b", "c"):
        lab.idea(key)
    sql = "INSERT INTO decisions VALUES (NULL, ?, ?, '', 3, ?, ?, ?, 0.1, NULL, ?)"
    insert(
        lab,
        ("INSERT INTO champions VALUES (1, 1, NULL, NULL, ?, 1)", BASE),
        (sql, 1, "accepted", gain, gain, gain, 1),
        (sql, 2, "rejected", -gain, None, None, 2),
        (sql, 3, "rejected", -1e308, -1e308, 1e308, 3),
        ("INSERT INTO champions VALUES (2, 1, 1, 1, ?, 2)", FIRST),
    )
    assert lab.say("report", "--html", "page.html")[0] == 0
    assert len((tmp_path / "page.html").read_text()) < 100_000


# ---- in a browser ----

LOOK = """<script>
const box = e => e.getBoundingClientRect(), all = s => [...document.querySelectorAll(s)];
const outside = e => { const t = box(e), s = box(e.ownerSVGElement);
    return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1; };
const overlap = (a, b) => { const p = box(a), q = box(b);
    return p.left < q.right && q.left < p.right && p.top < q.bottom - 2 && q.top < p.bottom - 2; };
const labels = all(".wide > svg text");
document.body.dataset.seen = JSON.stringify({
    window: innerWidth, page: document.documentElement.scrollWidth, title: document.title,
    background: getComputedStyle(document.body).backgroundColor,
    sections: all("section").filter(e => box(e).height > 60).map(e => e.id),
    charts: all(".wide > svg").map(e => [box(e).width, box(e).height]),
    dots: all("#progress .wide .dot").length, outside: all(".wide > svg text").filter(outside).map(e => e.textContent),
    overlaps: labels.flatMap((a, i) => labels.slice(i + 1).filter(b => a.ownerSVGElement == b.ownerSVGElement && overlap(a, b))
        .map(b => a.textContent + " / " + b.textContent)),
    bars: all("#work rect[rx]").filter(e => box(e).width > 0).length,
    script: all("script").length, images: all("img").length,
    names: all("#tree .name").map(e => e.textContent),
});
</script>"""


def browse(path, profile, width, *words):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", *words,
               "--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def look(lab, tmp_path, width, *words):
    """Measured by a script that the page's own policy would not let run."""
    page = tmp_path / "look.html"
    free = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", lab.page)
    page.write_text(free.replace("</body>", LOOK + "</body>"))
    dom, console = browse(page, tmp_path / "profile", width, *words)
    assert console == []
    return json.loads(html.unescape(re.search('data-seen="(.*?)"', dom)[1]))


needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")


@needs_chromium
def test_as_it_is_nothing_is_said_on_the_console(lab, tmp_path):
    dom, console = browse(lab.folder / "page.html", tmp_path / "profile", 1200)
    assert console == [] and all(f'<section id="{name}">' in dom for name in SECTIONS)


# Drawn, of a size to read, no word cut off or upon another; and what a title says is text.
@needs_chromium
def test_in_a_browser(lab, tmp_path):
    seen = look(lab, tmp_path, 1200)
    assert seen["sections"] == SECTIONS and seen["page"] <= seen["window"]
    assert len(seen["charts"]) == 2 and seen["charts"][0][0] > 900 and seen["charts"][0][1] > 300
    assert seen["dots"] == 2 and seen["bars"] == 8 + 3 and seen["outside"] == [] and seen["overlaps"] == []
    assert seen["title"] == lab.folder.name and seen["script"] == 2 and seen["images"] == 0
    assert f"#{lab.ids['cheat']} " + HOSTILE.replace("\u202e", "???") in seen["names"]


# On a phone only charts and tables scroll, never the page.
@needs_chromium
def test_on_a_phone(lab, tmp_path):
    seen = look(lab, tmp_path, 400)
    assert seen["window"] <= 500 and seen["page"] <= seen["window"] and seen["sections"] == SECTIONS
    assert seen["charts"][0][0] >= 880


@needs_chromium
def test_in_the_dark(lab, tmp_path):
    light, dark = (look(lab, tmp_path, 1200, f"--blink-settings=preferredColorScheme={n}")["background"]
                   for n in (1, 0))  # fmt: skip
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (light, dark)]
    assert brightness[0] > 700 > 150 > brightness[1], (light, dark)


@needs_chromium
def test_a_long_campaign_is_readable(tmp_path):
    """150 ideas, 24 promotions with long titles: labels give way to each other."""
    lab = Lab(tmp_path)
    statements = [("INSERT INTO champions VALUES (1, 1, NULL, NULL, ?, 1)", BASE)]
    for i in range(1, 151):
        won, gain = i % 6 == 0, 0.01 + 0.005 * (i % 5)
        statements += [
            ("INSERT INTO hypotheses (id, campaign, key, title, text, payload, author, source, parent, state, priority,"
             " created_us, updated_us) VALUES (?, 1, ?, ?, '', '{}', '', '', '', ?, 0, ?, ?)",
             i, f"k{i}", f"idea {i} with a rather long title of its own", "promoted" if won else "rejected", i, i),
            ("INSERT INTO decisions VALUES (NULL, ?, ?, '', 9, ?, ?, ?, 0.01, NULL, ?)", i,
             "accepted" if won else "rejected", gain if won else -gain, (gain if won else -gain) - 0.01,
             (gain if won else -gain) + 0.01, i * 10),
        ]  # fmt: skip
        if won:
            statements.append(("INSERT INTO champions SELECT NULL, 1, max(id), ?, ?, ? FROM champions", i,
                               f"{i:040x}", i * 10 + 1))  # fmt: skip
    insert(lab, *statements)
    assert lab.say("report", "--html", "page.html")[0] == 0
    lab.page = (tmp_path / "page.html").read_text()
    seen = look(lab, tmp_path, 1200)
    assert seen["dots"] == 25 and seen["overlaps"] == [] and seen["outside"] == []
    assert (tmp_path / "page.html").stat().st_size < 500_000
