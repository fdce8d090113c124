"""A mail service's front: mails come in, what they say of themselves goes out, and the newest of each sender are kept."""

import collections
import http.server
import importlib.machinery
import importlib.util
import json
import os
import threading

KEPT = 20


def extension(name, path):
    """The extension module in the file `path`."""
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


mailparts = extension("mailparts", os.environ["MAILPARTS"])


class Boxes:
    """The newest subjects of each sender."""

    def __init__(self):
        self.lock = threading.Lock()
        self.boxes = {}

    def put(self, sender, subject):
        with self.lock:
            self.boxes.setdefault(sender, collections.deque(maxlen=KEPT)).append(subject)

    def of(self, sender):
        with self.lock:
            return list(self.boxes.get(sender, ()))


BOXES = Boxes()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer.
    wbufsize = -1

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200, BOXES.of(self.path.removeprefix("/boxes/")))

    def do_POST(self):
        mail = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            headers, body = mailparts.parse(mail)
        except ValueError as error:
            self.answer(422, {"error": str(error)})
            return
        BOXES.put(headers.get("from", "nobody"), headers.get("subject", ""))
        words = len(body.split())
        self.answer(200, {"subject": headers.get("subject"), "bytes": len(body), "words": words})

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


main()
