"""What an administrator does at FLARE's console, by FLARE's own session API: admin.py KIT USER SITE JOB RESULT SECONDS

Waits for the server and for the site, submits the job, waits for its end, moves its result to RESULT, and shuts all
down. Each step is one line of JSON on standard output.
"""

import json
import shutil
import socket
import sys
import time

from nvflare.fuel.flare_api.flare_api import new_secure_session

kit, user, site, job, result, seconds = sys.argv[1:]
deadline = time.monotonic() + float(seconds)
began = time.monotonic()

# The guide has the administrator add the server's name to /etc/hosts. This is the same for this process alone.
lookup = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: lookup("127.0.0.1" if host == "server1" else host, *more, **named)


def say(step, **more):
    print(json.dumps({"step": step, "seconds": round(time.monotonic() - began, 1), **more}), flush=True)


def until(found, wait=5):
    """The first answer that is not None; what fails until the deadline was too early."""
    while True:
        try:
            answer = found()
            if answer is not None:
                return answer
            problem = "not yet"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if time.monotonic() > deadline:
            sys.exit(f"gave up: {problem}")
        time.sleep(wait)


session = until(lambda: new_secure_session(user, kit, timeout=60))
# An emulated machine is slow; FLARE's console waits ten seconds for an answer.
session.set_timeout(120)
say("connected")
until(lambda: next((True for client in session.get_system_info().client_info if client.name == site), None))
say("client accepted", client=site)
job_id = session.submit_job(job)
say("submitted", job=job_id)
code, meta = session.monitor_job_and_return_job_meta(job_id, timeout=deadline - time.monotonic(), poll_interval=2)[:2]
say("ended", end=code.name, status=meta.get("status"))
shutil.move(session.download_job_result(job_id), result)
say("downloaded")
session.shutdown("all", timeout=120)
say("shut down")
