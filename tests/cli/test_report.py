"""kernmill report: plots and one HTML file of a record."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from program import ROOT

RECORD = ROOT / "benchmarks/results/h100/rmsnorm.jsonl"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "br", "img", "link"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps text and what refers to other files."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.references = [], [], []

    def handle_starttag(self, tag, attributes):
        self.references += [
            v for k, v in attributes if k in ("src", "href", "xlink:href") and not v.startswith("#")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_report(kernmill, tmp_path):
    folder = tmp_path / "a folder's name"
    answer = kernmill("report", "--json", "--output", folder, RECORD)
    assert answer.code == 0, answer.err
    assert len(answer.json["plots"]) == 3
    for plot in answer.json["plots"]:
        svg = ElementTree.parse(plot["svg"]).getroot()
        text = " ".join(svg.itertext())
        assert "kernmill" in text or "time over" in plot["title"]
        assert "flashinfer" in text and "4096 x 65536" in text
        assert Path(plot["png"]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


# The page needs no other file, and says of each call what the record says.
def test_page(kernmill, tmp_path):
    answer = kernmill("report", "--output", tmp_path, RECORD)
    page = Page()
    source = (tmp_path / "index.html").read_text()
    assert answer.out.splitlines()[-1] == str(tmp_path / "index.html")
    page.feed(source)
    page.close()
    assert page.open == [] and page.references == [] and source.count("<svg") == 3
    cells = [json.loads(line) for line in RECORD.read_text().splitlines()]
    assert sum(text == "flashinfer" for text in page.texts) >= len(cells)
    first = cells[0]["calls"][0]["columns"]["cold"]["median_us"]
    assert f"{first:.2f}" in page.texts and source.count('class="best"') == len(cells)
    assert "NVIDIA H100 80GB HBM3" in page.texts


MEASURE = """<script>
const box = e => e.getBoundingClientRect();
document.body.dataset.layout = JSON.stringify({
    window: innerWidth, page: document.documentElement.scrollWidth,
    plots: [...document.querySelectorAll("svg")].map(e => [box(e).width, box(e).height]),
    lines: [...document.querySelectorAll("svg path")].filter(e => box(e).width > 100).length,
    bold: getComputedStyle(document.querySelector("tr.best")).fontWeight,
    rows: [...document.querySelectorAll("tr")].filter(e => box(e).height > 10).length,
});
</script>"""


# In a browser the plots are drawn, of a size to read, nothing leaves the window, and the best is bold.
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_in_a_browser(kernmill, tmp_path):
    kernmill("report", "--output", tmp_path, RECORD)
    page = tmp_path / "index.html"
    page.write_text(page.read_text().replace("</body>", f"{MEASURE}</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,800"]
    command += [f"--user-data-dir={tmp_path}/profile", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    layout = json.loads(html.unescape(re.search('data-layout="(.*?)"', done.stdout)[1]))
    assert layout["page"] <= layout["window"] and layout["bold"] == "700"
    assert len(layout["plots"]) == 3 and all(w > 700 and h > 350 for w, h in layout["plots"])
    assert layout["lines"] >= 3 * 6  # axes and grid, and a line a call
    cells = [json.loads(line) for line in RECORD.read_text().splitlines()]
    assert layout["rows"] >= sum(1 + len(cell["calls"]) for cell in cells)


# Names with a meaning to gnuplot or to HTML are names; a wrong call is shown as wrong.
def test_hostile_names(kernmill, tmp_path):
    cell = json.loads(RECORD.read_text().splitlines()[0])
    cell["calls"][1] |= {"name": "a<b>&'c_d", "state": "wrong", "why": "<script>"}
    cell["calls"][2]["name"] = "x'; system('touch injected'); print '\n\"y"
    cell["op"] = "../op'\nwith 'quotes'"
    record = tmp_path / "r.jsonl"
    record.write_text(json.dumps(cell))
    answer = kernmill("report", record)
    assert answer.code == 0, answer.err
    assert (
        not list(tmp_path.rglob("*injected*"))
        and len(list((tmp_path / "r").glob("___op__with__quotes_-*.svg"))) == 3
    )
    source = (tmp_path / "r/index.html").read_text()
    assert "<script>" not in source and "wrong: &lt;script" in source


@pytest.mark.parametrize("path", ["README.md", "absent.jsonl"])
def test_no_record(kernmill, tmp_path, path):
    answer = kernmill("report", "--output", tmp_path / "out", ROOT / path)
    assert answer.code in (4, 5) and not (tmp_path / "out").exists()
    assert re.search("holds no measured cell|unable to open", answer.err)


def test_without_gnuplot(kernmill, tmp_path):
    answer = kernmill("report", "--output", tmp_path / "out", RECORD, env={"PATH": "/nonexistent"})
    assert answer.code == 3 and "apt-get install gnuplot-nox" in answer.err
