"""Hugging Face's API of Jobs on 127.0.0.1, as the official client speaks it; a job's command really runs, here.

with Jobs(folder) as hub:
    hub.faults.append(...)     of the next request to begin a job: "503", "503 after", "402"
    hub.stages["..."]          a stage to be told instead of a job's own
    hub.jobs, hub.requests     what there is, what was asked
"""

import datetime
import http.server
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import urllib.parse

TOKEN = "hf_testingTOKENofJobs"
PAGE = 3
HARDWARE = [
    {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB", "ephemeralStorage": "50 GB",
     "accelerator": None, "unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute"},
    {"name": "h200x2", "prettyName": "2x Nvidia H200", "cpu": "46 vCPU", "ram": "512 GB", "ephemeralStorage": "6 TB",
     "accelerator": {"type": "gpu", "model": "H200", "quantity": "2", "vram": "282 GB", "manufacturer": "Nvidia"},
     "unitCostMicroUSD": 166667, "unitCostUSD": 0.166667, "unitLabel": "minute"},
]  # fmt: skip
KEPT = ["command", "arguments", "environment", "flavor", "labels", "volumes", "dockerImage", "spaceId"]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Job:
    """A process of its own group; its log is the events of its stream."""

    def __init__(self, hub, number: str, owner: str, spec: dict):
        self.hub, self.number, self.owner, self.spec = hub, number, owner, spec
        self.created, self.started, self.ended = now(), None, None
        self.stage, self.message, self.events = "SCHEDULING", None, []
        self.process, self.began, self.seconds = None, None, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def log(self, line: str) -> None:
        self.events.append({"data": line, "timestamp": now()})

    def run(self) -> None:
        time.sleep(self.hub.scheduling_s)
        for volume in self.spec.get("volumes", []):
            mount = pathlib.Path(volume["mountPath"])
            if not mount.is_symlink():
                mount.symlink_to(self.hub.folder / volume["source"] / volume.get("path", ""))
        with self.hub.lock:
            if self.stage != "SCHEDULING":
                return
            environment = {"PATH": os.environ["PATH"], "JOB_ID": self.number,
                           **self.spec["environment"], **self.spec.get("secrets", {})}  # fmt: skip
            self.process = subprocess.Popen([*self.spec["command"], *self.spec["arguments"]], env=environment, cwd=self.hub.folder,
                                            text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
            self.stage, self.started, self.began = "RUNNING", now(), time.monotonic()
        self.log(f"===== Job started at {self.started} =====")
        for line in self.process.stdout:
            self.log(line.rstrip("\n"))
        code = self.process.wait()
        self.end(
            "COMPLETED" if code == 0 else "ERROR", None if code == 0 else f"Job failed with exit code: {code}"
        )

    def end(self, stage: str, message: str | None = None) -> None:
        with self.hub.lock:
            if self.ended:
                return
            self.stage, self.message, self.ended = stage, message, now()
            self.seconds = int(time.monotonic() - self.began) if self.began else 0
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def told(self) -> dict:
        running = self.seconds if self.ended or not self.began else int(time.monotonic() - self.began)
        return {
            "id": self.number, "createdAt": self.created, "startedAt": self.started, "finishedAt": self.ended,
            "owner": {"id": "1", "name": self.owner, "type": "user"}, "initiator": {"type": "user", "id": "1", "name": self.owner},
            **{key: self.spec[key] for key in KEPT if key in self.spec},
            "secrets": list(self.spec.get("secrets", {})),
            "status": {"stage": self.hub.stages.get(self.number, self.stage), "message": self.message},
            "durations": {"schedulingSecs": 0, "runningSecs": running, "totalSecs": running},
        }  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, document, **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def route(self, body: dict | None) -> None:
        hub, url = self.server.hub, urllib.parse.urlsplit(self.path)
        hub.requests.append((self.command, self.path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid credentials"})
            return
        parts = url.path.strip("/").split("/")
        query = urllib.parse.parse_qs(url.query)
        if parts == ["api", "whoami-v2"]:
            self.answer(200, {"name": "acme", "type": "user", "id": "1", "orgs": []})
        elif parts == ["api", "jobs", "hardware"]:
            self.answer(200, HARDWARE)
        elif len(parts) == 3 and self.command == "POST":
            self.begin(hub, parts[2], body)
        elif len(parts) == 3:
            self.list(hub, parts[2], query)
        elif parts[3] not in hub.jobs:
            self.answer(404, {"error": "Job not found"})
        elif len(parts) == 4:
            self.answer(200, hub.jobs[parts[3]].told())
        elif parts[4] == "cancel":
            hub.jobs[parts[3]].end("CANCELED")
            self.answer(200, hub.jobs[parts[3]].told())
        else:
            self.stream(hub, hub.jobs[parts[3]], query)

    def begin(self, hub, owner: str, spec: dict) -> None:
        fault = hub.faults.pop(0) if hub.faults else ""
        wrong = [
            k
            for k, v in spec.get("labels", {}).items()
            if len(v) > 100 or not v.replace("-", "").replace("_", "").replace(".", "").isalnum()
        ]
        if fault in ("503", "402"):
            self.answer(int(fault), {"error": "Payment required" if fault == "402" else "Try again"})
        elif wrong or ("dockerImage" in spec) == ("spaceId" in spec) or not isinstance(spec["command"], list):
            self.answer(400, {"error": f"Invalid job: {wrong}"})
        else:
            job = hub.add(owner, spec)
            if fault == "503 after":
                self.answer(503, {"error": "Try again"})
            else:
                self.answer(200, job.told())

    def list(self, hub, owner: str, query: dict) -> None:
        labels = [pair.split("=", 1) for pair in query.get("label", [])]
        found = [
            job.told() for job in list(hub.jobs.values())
            if job.owner == owner and all(job.spec.get("labels", {}).get(k) == v for k, v in labels)
            and ("stage" not in query or hub.stages.get(job.number, job.stage) in query["stage"])
        ]  # fmt: skip
        at = int(query.get("skip", ["0"])[0])
        more = {}
        if at + PAGE < len(found):
            words = urllib.parse.urlencode({**query, "skip": at + PAGE}, doseq=True)
            more["Link"] = f'<{hub.url}/api/jobs/{owner}?{words}>; rel="next"'
        self.answer(200, found[at : at + PAGE], **more)

    def stream(self, hub, job: Job, query: dict) -> None:
        """All that there is, and then what comes, until the job has ended; or until the client goes, when it stays open."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        sent = max(0, len(job.events) - int(query.get("tail", ["1000000"])[0]))
        while True:
            ended = job.ended and not job.thread.is_alive()
            events = job.events[sent:]
            sent += len(events)
            for event in events:
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            if ended and not hub.streams_stay_open:
                self.close_connection = True
                return
            if ended or hub.closing:
                hub.closed.wait(30)
                return
            time.sleep(0.05)

    def do_GET(self):
        self.guard(None)

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.guard(json.loads(text) if text else None)

    def guard(self, body):
        try:
            self.route(body)
        except BrokenPipeError:
            self.close_connection = True


class Jobs:
    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.jobs, self.faults, self.stages, self.requests = {}, [], {}, []
        self.scheduling_s, self.streams_stay_open, self.closing = 0.1, False, False
        self.lock, self.closed = threading.RLock(), threading.Event()

    def add(self, owner: str, spec: dict) -> Job:
        number = f"{len(self.jobs) + 1:024x}"
        self.jobs[number] = Job(self, number, owner, spec)
        return self.jobs[number]

    def environment(self, home: pathlib.Path) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR")}
        return {**kept, "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN,
                "HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_PROXY": "127.0.0.1"}  # fmt: skip

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing = True
        self.closed.set()
        for job in self.jobs.values():
            job.end("CANCELED")
        self.server.shutdown()
        self.server.server_close()
