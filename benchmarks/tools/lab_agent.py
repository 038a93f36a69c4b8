"""A role of a lab, filled by a program that speaks the roles' JSON, for the kernel lab of `kernmill lab init --from rmsnorm`:
two ideas, one worth something and one not. results/amd-epyc/labs/rmsnorm-agent.json is of a lab whose lab.toml has, in
place of [search],

    [roles]
    researcher = "python3 .../benchmarks/tools/lab_agent.py researcher"
    reviewer = ...    planner = ...    worker = ...        (the same, with that word)

and whose `kernmill lab run --slots 3` was killed by SIGKILL after a minute, and started again.

usage: lab_agent.py researcher|reviewer|planner|worker      the job, or a prompt with it, on standard input
"""

import json
import pathlib
import re
import sys

IDEAS = [
    {
        "key": "tasks of 64 rows",
        "title": "tasks of 64 rows use every thread",
        "author": "agent",
        "payload": {"ROWS": 64},
    },
    {
        "key": "prefetch",
        "title": "ask for the next row early",
        "author": "agent",
        "payload": {"PREFETCH": 1},
    },
]


def read_job():
    text = sys.stdin.read()
    fenced = re.search(r"```json\n(.*)\n```", text, re.DOTALL)
    return json.loads(fenced[1] if fenced else text)


def work(job):
    path = pathlib.Path(job["workspace"]) / "params.h"
    text = path.read_text()
    for name, value in job["payload"].items():
        text = re.sub(rf"(#define {name} +)\d+", rf"\g<1>{value}", text)
    path.write_text(text)
    return {"note": "one number"}


def main():
    job = read_job()
    answers = {
        "researcher": lambda: {"ideas": IDEAS},
        "reviewer": lambda: {"verdict": "approve", "reviewer": "agent", "text": "one number"},
        "planner": lambda: {"order": job["payload"]["ideas"]},
        "worker": lambda: work(job),
    }
    print(json.dumps(answers[sys.argv[1]]()))


main()
