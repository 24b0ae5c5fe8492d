#!/usr/bin/env python3
"""Signs fswake's pushes for Meizu's push service, and passes them on (docs/PAYLOADS.md, "Vendors' own services").

    meizu-relay.py SECRET-FILE [PORT [URL]]

SECRET-FILE has the app's secret on one line. Meizu wants in each request an MD5 of all its fields with that secret. Listens on
127.0.0.1, on port 8088 without PORT; URL is another address than Meizu's. Needs only Python 3.9.
"""

import hashlib
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(sys.argv[1], encoding="utf-8") as file:
    SECRET = file.read().strip()
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 8088
MEIZU = sys.argv[3] if len(sys.argv) > 3 else "https://server-api-push.meizu.com"


def signed(form):
    fields = dict(urllib.parse.parse_qsl(form, keep_blank_values=True))
    text = "".join(f"{name}={fields[name]}" for name in sorted(fields))
    fields["sign"] = hashlib.md5((text + SECRET).encode()).hexdigest()
    return urllib.parse.urlencode(fields).encode()


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if not self.path.startswith("/garcia/"):
            return self.answer(404, b"{}")
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            with urllib.request.urlopen(MEIZU + self.path, signed(form), timeout=2.5) as reply:
                self.answer(reply.status, reply.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())
        except OSError as error:
            print(f"Meizu cannot be asked: {error}", file=sys.stderr, flush=True)
            self.answer(503, b"{}")

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


server = ThreadingHTTPServer(("127.0.0.1", PORT), Relay)
print(f"listening on port {server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
