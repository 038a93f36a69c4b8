"""`kernmill lab papers`: the Hub's index of papers, on a server whose answers stand here."""

import json
import subprocess

import pytest
from faulty_server import BUILD, Reply, closed_port

SEARCH = "/api/papers/search"
ONE = {
    "id": "2401.12345",
    "title": "Faster\n  norms",
    "summary": "We do\nless.  Much less.\n",
    "ai_summary": "Less work.",
}
WRAPPED = {"title": "Other norms", "paper": {"id": "2312.00001", "title": "x", "summary": "Abstract."}}
STUBS = [
    {"key": "paper:2401.12345", "title": "Faster norms", "source": "arXiv:2401.12345",
     "text": "We do less. Much less.\n\nIn short: Less work.", "payload": {}},
    {"key": "paper:2312.00001", "title": "Other norms", "source": "arXiv:2312.00001", "text": "Abstract.", "payload": {}},
]  # fmt: skip


def answer(document, status=200):
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def lines(done):
    return [json.loads(line) for line in done.out.splitlines()]


# One line a paper, whatever line ends its abstract has, and nobody is told the token for it.
def test_a_search(server, kernmill):
    server.on(SEARCH, answer([ONE, WRAPPED]))
    done = kernmill("lab", "papers", "RMS norm", "&c=1", "--limit", 7)
    assert done.code == 0 and lines(done) == STUBS
    (request,) = server.requests
    assert (
        request.path == f"{SEARCH}?q=RMS%20norm%20%26c%3D1&limit=7" and "Authorization" not in request.headers
    )
    assert kernmill("lab", "papers", "norm", "--json").json == {"schema": 1, "papers": STUBS}


def test_by_ids(server, kernmill):
    server.on("/api/papers/2401.12345", answer(ONE))
    server.on("/api/papers/2312.00001", answer(WRAPPED["paper"] | {"title": "Other norms"}))
    done = kernmill("lab", "papers", "arXiv:2401.12345v3", "2312.00001")
    assert done.code == 0 and lines(done) == STUBS
    assert server.paths() == ["/api/papers/2401.12345", "/api/papers/2312.00001"]


# What is not an id is a query, also beside one.
@pytest.mark.parametrize("words", [["2401.123"], ["2401.12345", "norm"], ["2401.12345v"], ["12345.1234"]])
def test_what_is_no_id(server, kernmill, words):
    server.on(SEARCH, answer([]))
    done = kernmill("lab", "papers", *words)
    assert done.code == 1 and done.out == "" and "no paper" in done.err
    assert server.paths()[0].startswith(SEARCH)


# The stubs are what `lab propose` takes, and --propose does the same; twice is once.
def test_propose(server, kernmill, tmp_path):
    server.on(SEARCH, answer([ONE, WRAPPED]))
    kernmill("lab", "init", tmp_path / "lab")
    first = kernmill("lab", "papers", "norm").out.splitlines()[0]
    done = subprocess.run([BUILD / "bin/kernmill", "lab", "propose", "-C", tmp_path / "lab"], input=first,
                          capture_output=True, text=True)  # fmt: skip
    assert json.loads(done.stdout) == {"schema": 1, "hypothesis": 1, "made": True}
    done = kernmill("lab", "papers", "norm", "--propose", "-C", tmp_path / "lab")
    assert done.code == 0
    assert lines(done) == [
        {**STUBS[0], "hypothesis": 1, "made": False},
        {**STUBS[1], "hypothesis": 2, "made": True},
    ]
    ideas = kernmill("lab", "report", "-C", tmp_path / "lab").json["hypotheses"]
    assert [(h["state"], h["source"], h["text"]) for h in ideas] == [
        ("proposed", s["source"], s["text"]) for s in STUBS
    ]


def test_without_a_lab_nobody_is_asked(server, kernmill, tmp_path):
    done = kernmill("lab", "papers", "norm", "--propose", "-C", tmp_path)
    assert done.code == 5 and "there is no lab" in done.err and not server.requests


def test_offline(server, kernmill):
    done = kernmill("lab", "papers", "norm", HF_HUB_OFFLINE="1")
    assert done.code == 3 and "offline" in done.err.lower() and done.out == "" and not server.requests


def test_no_answer(kernmill):
    done = kernmill("lab", "papers", "norm", HF_ENDPOINT=f"http://127.0.0.1:{closed_port()}")
    assert done.code == 5 and "127.0.0.1" in done.err and done.out == ""


def test_no_such_paper(server, kernmill, tmp_path):
    kernmill("lab", "init", tmp_path / "lab")
    server.on("/api/papers/2401.12345", answer(ONE))
    server.on("/api/papers/2401.99999", answer({"error": "Paper not found"}, 404))
    done = kernmill("lab", "papers", "2401.12345", "2401.99999", "--propose", "-C", tmp_path / "lab")
    assert done.code == 5 and "Paper not found" in done.err and done.out == ""
    assert kernmill("lab", "report", "-C", tmp_path / "lab").json["hypotheses"] == []


# A hub that answers something else is an error, or that paper is left out: nothing of it reaches a lab unseen.
def test_strange_answers(server, kernmill):
    for body in ({"papers": [ONE]}, "x", None):
        server.on(SEARCH, Reply(200, json.dumps(body).encode()))
        assert kernmill("lab", "papers", "norm").code == 4
    strange = (
        {"id": "../../etc/passwd", "title": "t"},
        {"id": "2401.12345"},
        7,
        {"paper": 1},
        {"id": 5, "title": "t"},
    )
    server.on(
        SEARCH,
        answer([*strange, {**ONE, "title": "a\x1b[31m\u202eb", "summary": "s" * 100000, "ai_summary": None}]),
    )
    (stub,) = lines(kernmill("lab", "papers", "norm"))
    assert stub["title"] == "a?[31m???b" and len(stub["text"]) == 65536
    server.on("/api/papers/2312.00001", answer(ONE))
    done = kernmill("lab", "papers", "2312.00001")
    assert done.code == 4 and "not that paper" in done.err


@pytest.mark.parametrize("words", [[], ["x", "--limit", "101"], ["x", "--limit", "-1"], ["x", "-C", "."]])
def test_usage(server, kernmill, words):
    assert kernmill("lab", "papers", *words).code == 2 and not server.requests
