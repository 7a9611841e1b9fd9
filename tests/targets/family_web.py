# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the workers of a web server run: wsgi for gunicorn, asgi for uvicorn.

/stall takes half a second in a section of the tracker "requests"; each answer is the worker's pid.
"""

import os
import threading
import time

from perpetuo import StallTracker

tracker = StallTracker("requests", threading.get_ident())
tracker.go_idle()


def slow() -> None:
    time.sleep(0.5)


def answer(path: str) -> bytes:
    with tracker:
        if path == "/stall":
            slow()
    return str(os.getpid()).encode()


def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body = answer(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
