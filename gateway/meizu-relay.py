#!/usr/bin/env python3
"""Signs fswake's pushes for Meizu's push service, and passes them on (docs/PAYLOADS.md, "Vendors' own services").

    meizu-relay.py SECRET-FILE [PORT [URL]]

SECRET-FILE has the app's secret on one line. Meizu wants in each request an MD5 of all its fields with that secret. Listens on
127.0.0.1, on port 8088 without PORT; URL is another address than Meizu's. Every program on this machine can push through
it. Needs only Python 3.9.
"""

import hashlib
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(sys.argv[1], encoding="utf-8") as file:
    SECRET = file.read().strip()
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8088
# More than any push has.
LONGEST = 1 << 20
MEIZU = sys.argv[3] if len(sys.argv) > 3 else "https://server-api-push.meizu.com"


def signed(form):
    fields = dict(urllib.parse.parse_qsl(form, keep_blank_values=True))
    text = "".join(f"{name}={fields[name]}" for name in sorted(fields))
    fields["sign"] = hashlib.md5((text + SECRET).encode()).hexdigest()
    return urllib.parse.urlencode(fields).encode()


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Silent clients are given up.
    timeout = 300

    def do_POST(self):
        try:
            form = self.form()
        except ValueError as error:
            self.close_connection = True
            return self.answer(400, json.dumps({"message": str(error)}).encode())
        if not self.path.startswith("/garcia/"):
            return self.answer(404, b"{}")
        self.answer(*passed_on(self.path, form))

    def form(self):
        # A page in a browser can send neither to this name.
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost"):
            raise ValueError("Host must be this machine")
        length = int(self.headers.get("Content-Length", ""))
        if not 0 <= length <= LONGEST:
            raise ValueError("Content-Length")
        return self.rfile.read(length).decode()

    def do_GET(self):
        # fswake opens its connection with it.
        self.answer(200, b"{}")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def passed_on(path, form):
    try:
        with urllib.request.urlopen(MEIZU + path, signed(form), timeout=2) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, http.client.HTTPException) as error:
        print(f"Meizu cannot be asked: {error}", file=sys.stderr, flush=True)
        return 503, b"{}"


server = ThreadingHTTPServer(("127.0.0.1", PORT), Relay)
print(f"listening on port {server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
