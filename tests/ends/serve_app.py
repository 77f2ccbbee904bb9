"""A stand-in for the rooms, started by the supervisor under test: `serve_app.py ROLE`, roles as of `siyu.app`."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from siyu.store.template import forked_role


class Handler(BaseHTTPRequestHandler):
    """Answers with the number of its process; /crash ends it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"pid": os.getpid(), "home": os.environ["SIYU_HOME"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/crash":
            os._exit(3)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main(role: str) -> None:
    if role == "bootstrap":
        print("a line of log before")
        print(json.dumps({"write_key": "wk", "database": os.environ["SIYU_DATABASE_URL"].partition(":")[0]}))
    elif role in ("process", "jobs", "doors"):
        print("processing 事件", flush=True)
        threading.Event().wait()
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = socket.socket(fileno=int(os.environ["SIYU_LISTEN_FD"]))
        server.server_activate()
        server.serve_forever()


main(forked_role(lambda _role: None) if sys.argv[1] == "template" else sys.argv[1])
