"""Alerts: what the lab says of its own accord, what roles say, and that a webhook is told of each."""

import contextlib
import datetime
import fcntl
import http.server
import json
import os
import pathlib
import pty
import signal
import sqlite3
import struct
import subprocess
import termios
import threading
import time

import pytest
from program import PROGRAM, clean_environment
from test_lab import Lab

SECRET = "T000-B000-secretOfTheWebhook"


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def alerts(lab):
    with contextlib.closing(sqlite3.connect(lab.folder / ".lab/lab.db")) as db:
        rows = db.execute("SELECT level, title, text, subject, sent_us FROM alerts ORDER BY id")
        return [dict(zip(("level", "title", "text", "subject", "sent"), row, strict=True)) for row in rows]


def set_table(lab, name, text):
    path = lab.folder / "lab.toml"
    path.write_text(path.read_text() + f"\n[{name}]\n{text}\n")
    return lab.say("init")


# ---- what the lab says ----


# A job that nobody will try again waits for a person, who must hear of it; a try that failed is no news.
def test_a_job_that_is_dead(lab):
    lab.queued("wider")
    for attempt in (1, 2, 3):
        assert alerts(lab) == []
        job = lab.say("claim", "--worker", "w")[1]
        assert job["attempt"] == attempt
        lab.say("fail", job["job"], "--token", job["token"], "--why", "exit code 9")
    (alert,) = alerts(lab)
    assert alert["level"] == "error" and alert["subject"] == "job 1"
    assert alert["title"] == "job 1 (work) is dead after 3 attempts" and alert["text"] == "wider: exit code 9"
    assert [e["what"] for e in lab.report()["events"] if e["subject"] == "alert 1"] == ["error"]


# Also of a worker that is never heard of again.
def test_a_worker_that_is_lost_three_times(lab):
    lab.queued("slow")
    for _ in range(3):
        lab.say("claim", "--worker", "w", "--lease", "1")
        time.sleep(1.1)
    assert lab.say("claim", "--worker", "w")[0] == 1
    assert [a["text"] for a in alerts(lab)] == ["slow: its worker was not heard of any more"]


# The suspected cheat, with the judge's reason.
def test_an_idea_that_is_invalid(lab):
    number = lab.queued("cheat")
    job = lab.say("claim", "--worker", "w")[1]
    lab.say(
        "submit", job["job"], "--token", job["token"], given={"pairs": [{"candidate": 0.0, "block": "a"}] * 9}
    )
    assert lab.say("judge", number)[0] == 1
    (alert,) = alerts(lab)
    assert alert["level"] == "warn" and alert["title"] == "invalid, maybe a cheat: cheat"
    assert "the parent gave no finite number" in alert["text"] and alert["subject"] == f"hypothesis {number}"


# For who asks for all of it.
@pytest.mark.parametrize(("state", "words"), [("crashed", "crashed"), ("timed_out", "timed out")])
def test_an_idea_that_gave_no_number(state, words, lab):
    number = lab.queued("big")
    lab.say("claim", "--worker", "w")
    assert lab.say("decide", number, given={"state": state, "reason": "out of memory"})[0] == 0
    said = {
        "level": "info",
        "title": f"{words}: big",
        "text": "out of memory",
        "subject": f"hypothesis {number}",
    }
    assert alerts(lab) == [{**said, "sent": 0}]


# Once at 80 % and once at the end, however often a claim is refused; again when it was raised.
def test_a_budget(lab):
    path = lab.folder / "lab.toml"
    path.write_text(path.read_text().replace("runs = 1000", "runs = 5"))
    lab.say("init")
    for i in range(8):
        lab.queued(f"idea {i}")
    said = []
    for _ in range(7):
        lab.say("claim", "--worker", "w")
        said.append([a["title"] for a in alerts(lab)])
    nearly, spent = "the budget of runs is nearly spent", "the budget of runs is spent"
    assert said == [[], [], [], [nearly], [nearly, spent], [nearly, spent], [nearly, spent]]
    assert alerts(lab)[1]["text"].startswith("5 of 5 runs are used; nothing more")
    path.write_text(path.read_text().replace("runs = 5", "runs = 6"))
    lab.say("init")
    lab.say("claim", "--worker", "w")
    assert [a["title"] for a in alerts(lab)] == [nearly, spent, spent]


# ---- what roles say ----


def test_a_role_escalates(lab):
    given = {"title": "the hub does not answer", "text": "since noon", "level": "error", "key": "hub",
             "subject": "job 7"}  # fmt: skip
    assert lab.say("alert", given=given)[1] == {"schema": 1, "alert": 1, "made": True}
    assert lab.say("alert", given={**given, "text": "other"})[1] == {"schema": 1, "alert": 1, "made": False}
    assert lab.say("alert", given={"title": "again"})[1]["made"]
    assert lab.say("alert", given={"title": "again"})[1]["made"]  # without a key each is one of its own
    first, second, _ = alerts(lab)
    assert first == {
        "level": "error",
        "title": given["title"],
        "text": "since noon",
        "subject": "job 7",
        "sent": 0,
    }
    assert second["level"] == "warn" and second["subject"] == "campaign 1"


WRONG = {
    "no title": ({}, "title"),
    "level": ({"title": "x", "level": "fatal"}, "'level' is"),
    "long key": ({"title": "x", "key": "k" * 129}, "'key' and 'subject'"),
    "empty key": ({"title": "x", "key": ""}, "'key' and 'subject'"),
    "long text": ({"title": "x", "text": "t" * 70000}, "longer than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_alert(lab, case):
    given, text = WRONG[case]
    code, _, err = lab.say("alert", given=given)
    assert code == 4 and text in err and alerts(lab) == []


# ---- the webhook ----


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answers = self.server.answers
        status = answers.pop(0) if answers else 200
        if status is None:  # taken, and the answer is lost
            self.server.posts.append(json.loads(body))
            self.close_connection = True
            return
        if 200 <= status < 300:
            assert self.headers["Content-Type"] == "application/json"
            self.server.posts.append(json.loads(body))
        self.server.asked.append((self.path, status))
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.server.elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.posts, server.answers, server.asked = [], [], []
    server.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def notify(lab, url=None, *words):
    """Nothing that it says may hold the address's secret part."""
    environment = {**clean_environment(), **({"KERNMILL_WEBHOOK_URL": url} if url else {})}
    done = subprocess.run([PROGRAM, "lab", "notify", *words], cwd=lab.folder, env=environment, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)  # fmt: skip
    assert SECRET not in done.stdout + done.stderr
    return done


GIVEN = {"title": "blocked & <!channel>", "text": "the hub\ndoes not answer", "level": "error",
         "subject": "job 7", "key": "k"}  # fmt: skip


# The bodies of trackio/alerts.py, but for Slack's three characters.
def body_of(form, campaign):
    if form == "slack":
        return {"blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": "🚨 *[ERROR] blocked &amp; &lt;!channel&gt;*"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": GIVEN["text"]}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"Project: {campaign}  •  Run: job 7"}]},
        ]}  # fmt: skip
    if form == "discord":
        return {"embeds": [{"title": "🚨 [ERROR] blocked & <!channel>", "color": 15158332,
                            "footer": {"text": f"Project: {campaign}  •  Run: job 7"}, "description": GIVEN["text"]}]}  # fmt: skip
    return {"level": "error", "title": GIVEN["title"], "text": GIVEN["text"], "project": campaign, "run": "job 7",
            "step": None, "timestamp": ...}  # fmt: skip


@pytest.mark.parametrize("form", ["slack", "discord", "plain"])
def test_the_three_forms(form, lab, hook):
    campaign = lab.folder.name
    assert set_table(lab, "alerts", f'webhook = "{hook.url}"\nform = "{form}"')[0] == 0
    lab.say("alert", given=GIVEN)
    done = notify(lab)
    assert (done.returncode, done.stdout) == (0, "1 alerts sent\n"), done.stderr
    (post,), expected = hook.posts, body_of(form, campaign)
    if form == "plain":
        at = datetime.datetime.fromisoformat(post["timestamp"])
        assert abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) < 60
        expected["timestamp"] = post["timestamp"]
    assert post == expected
    assert notify(lab).stdout == "0 alerts sent\n" and len(hook.posts) == 1


# What the service takes no more of is cut, between characters.
@pytest.mark.parametrize(("form", "most"), [("slack", 3000), ("discord", 4096)])
def test_a_long_text(form, most, lab, hook):
    set_table(lab, "alerts", f'webhook = "{hook.url}"\nform = "{form}"')
    lab.say("alert", given={"title": "ü" * 5000, "text": "€" * 5000})
    lab.say("alert", given={"title": "x", "text": "<" * 5000})
    assert notify(lab).returncode == 0
    plain, hostile = hook.posts
    if form == "slack":
        texts = [block["text"]["text"] for block in plain["blocks"][:2]]
        assert hostile["blocks"][1]["text"]["text"].strip("&lt;") == "..."
        assert len(hostile["blocks"][1]["text"]["text"]) <= most
    else:
        texts = [plain["embeds"][0]["title"], plain["embeds"][0]["description"]]
        assert len(texts[0]) <= 256
    assert all(len(text) <= most for text in texts) and texts[1].strip("€") == "..."


# Sent is what was taken: a service that is down, refuses, or whose answer is lost hears of it again.
def test_failing_then_succeeding(lab, hook):
    lab.say("alert", given={"title": "first"})
    lab.say("alert", given={"title": "second"})
    hook.answers[:] = [404]
    done = notify(lab, hook.url)
    assert done.returncode == 5 and "answered 404" in done.stderr and "127.0.0.1" in done.stderr
    assert [a["sent"] for a in alerts(lab)] == [0, 0] and len(hook.asked) == 1
    hook.answers[:] = [503, 200, None, 200]  # busy, taken; taken without an answer, and once more
    assert notify(lab, hook.url).stdout == "2 alerts sent\n"
    assert [post["title"] for post in hook.posts] == ["first", "second", "second"]
    assert all(a["sent"] for a in alerts(lab))


# One that the service does not like does not stand in the way of the next.
def test_one_is_refused(lab, hook):
    lab.say("alert", given={"title": "first"})
    lab.say("alert", given={"title": "second"})
    hook.answers[:] = [400]
    done = notify(lab, hook.url)
    assert done.returncode == 5 and "answered 400: 1 of 2 alerts not taken" in done.stderr
    assert [bool(a["sent"]) for a in alerts(lab)] == [False, True]


def test_nobody_there(lab, hook):
    lab.say("alert", given={"title": "first"})
    hook.answers[:] = [307]
    hook.elsewhere = f"http://127.0.0.1:1/{SECRET}"
    done = notify(lab, hook.url)
    assert done.returncode == 5 and "127.0.0.1" in done.stderr
    assert [a["sent"] for a in alerts(lab)] == [0]


# The level that is asked for, and above; the variable wins over lab.toml.
def test_levels_and_where_to(lab, hook):
    set_table(lab, "alerts", f'webhook = "http://127.0.0.1:1/{SECRET}"\nlevel = "error"')
    for level in ("info", "warn", "error"):
        lab.say("alert", given={"title": level, "level": level})
    assert json.loads(notify(lab, hook.url, "--json").stdout) == {"schema": 1, "sent": 1}
    assert [post["title"] for post in hook.posts] == ["error"]


@pytest.mark.parametrize(
    "url", [None, f"http://example.com/{SECRET}", f"ftp://127.0.0.1/{SECRET}", f"{SECRET}"]
)
def test_no_address(url, lab):
    done = notify(lab, url)
    assert done.returncode == (4 if url else 2) and "webhook" in done.stderr


@pytest.mark.parametrize("line", ['level = "fatal"', 'form = "teams"', "webhook = 1", 'wbhook = ""'])
def test_settings_that_are_none(line, lab):
    code, _, err = set_table(lab, "alerts", line)
    assert code == 4 and "lab.toml" in err


# The jobs of a lab are anybody's programs: they do not hear where alerts go.
def test_no_worker_is_handed_the_address(lab, hook):
    lab.queued("a")
    worker = "env > seen; echo {}"
    done = subprocess.run([PROGRAM, "lab", "run", "--worker", worker], cwd=lab.folder, capture_output=True, text=True,
                          env={**os.environ, "KERNMILL_WEBHOOK_URL": hook.url}, timeout=60)  # fmt: skip
    seen = (lab.folder / "seen").read_text()
    assert done.returncode == 0 and "KERNMILL_RUN_DIR" in seen and SECRET not in seen


# ---- watch ----


class Terminal:
    """`lab watch` on a terminal of its own."""

    def __init__(self, lab, columns, rows):
        self.main, other = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen([PROGRAM, "lab", "watch", "-n1"], cwd=lab.folder, stdin=other, stdout=other,
                                        stderr=other, env={**os.environ, "TERM": "xterm"}, start_new_session=True)  # fmt: skip
        os.close(other)
        self.text = ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, text, count=1):
        deadline = time.monotonic() + 20
        while self.text.count(text) < count:
            assert time.monotonic() < deadline, repr(self.text)
            with contextlib.suppress(OSError):
                self.text += os.read(self.main, 65536).decode()

    def frames(self):
        return [frame.partition("\033[J")[0].splitlines() for frame in self.text.split("\033[H")[1:]]

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        with contextlib.suppress(OSError):
            self.text += os.read(self.main, 65536).decode()
        os.close(self.main)
        return code


def plain(line):
    for mark in ("\033[K", "\033[0m", "\033[1m", "\033[31m", "\033[33m"):
        line = line.replace(mark, "")
    return line.strip("\r\n")


# Never wider or longer than the terminal, also after it changed its size; what was there comes back.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_on_a_terminal(number, lab):
    for i in range(12):
        lab.queued(f"an idea with a long title, {i} " + "x" * 80)
        lab.say("claim", "--worker", f"worker-{i}-" + "y" * 40)
    lab.say("alert", given={"title": "\033[2Jboo\r\n" + "z" * 200})
    terminal = Terminal(lab, 80, 24)
    terminal.read_until("\033[J")
    terminal.resize(40, 10)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.read_until("\033[J", terminal.text.count("\033[J") + 1)
    assert terminal.end(number) == 0
    frames = terminal.frames()
    for frame, columns, rows in ((frames[0], 80, 24), (frames[-1], 40, 10)):
        assert 5 < len(frame) <= rows and all(len(plain(line)) <= columns for line in frame)
    assert "and 4 more" in "".join(frames[0]) and "?[2Jboo" in "".join(frames[0])
    assert terminal.text.startswith("\033[?1049h\033[?25l") and terminal.text.endswith("\033[?25h\033[?1049l")


# Into a pipe or a file each event is one line, once, when it happens.
def test_watch_as_lines(lab, tmp_path):
    lab.idea("a")
    seen = tmp_path / "seen"
    with seen.open("w") as out:
        process = subprocess.Popen([PROGRAM, "lab", "watch", "-n", "1"], cwd=lab.folder, stdout=out)
    wait_for(lambda: "hypothesis 1 proposed: a" in seen.read_text())
    lab.idea("b")
    wait_for(lambda: "hypothesis 2 proposed: b" in seen.read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    lines = seen.read_text().splitlines()
    assert len(lines) == len(lab.report()["events"]) and lines[0].endswith(" campaign 1 settings")


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_watch_is_no_json(lab):
    assert lab.say("watch", "--json")[0] == 2 and lab.say("watch", "--interval", "4000")[0] == 2


def test_status_on_one_screen(lab):
    for i in range(30):
        lab.queued(f"idea {i} " + "x" * 80)
        lab.say("claim", "--worker", f"w{i}")
        lab.say("alert", given={"title": f"alert {i}", "level": ["info", "warn", "error"][i % 3]})
    lines = lab.say("status")[1].splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert "  and 22 more" in lines and "alerts        error 10, info 10, warn 10" in lines
    with contextlib.closing(sqlite3.connect(lab.folder / ".lab/lab.db")) as db, db:
        for number in range(1, 21):  # ideas of many states take a line more, and lose none
            state = f"state-number-{number % 7}"
            db.execute("UPDATE hypotheses SET state = ? WHERE id = ?", (state, number))
    more = lab.say("status")[1]
    assert max(map(len, more.splitlines())) <= 80 and all(f"state-number-{i} " in more for i in range(7))
    assert pathlib.Path(lab.folder).name in lines[0] and "none yet" in lines[1]


# `lab run` sends what happens while it runs, by itself; the address is in none of its words, nor in its workers' environment.
@pytest.mark.parametrize("place", ["environment", "lab.toml"])
def test_lab_run_sends(place, lab, hook):
    lab.queued("bad")
    environment = clean_environment()
    if place == "lab.toml":
        assert set_table(lab, "alerts", f'webhook = "{hook.url}"')[0] == 0
    else:
        environment["KERNMILL_WEBHOOK_URL"] = hook.url
    done = subprocess.run([PROGRAM, "lab", "run", "--worker", "env > seen; exit 3"], cwd=lab.folder, env=environment,
                          text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)  # fmt: skip
    assert done.returncode == 0 and SECRET not in done.stdout + done.stderr
    assert SECRET not in (lab.folder / "seen").read_text()
    assert [(post["level"], "dead" in post["title"]) for post in hook.posts] == [("error", True)]
