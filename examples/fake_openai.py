"""No OpenAI key at hand? A stand-in that speaks OpenAI's chat API on this machine.

    python examples/fake_openai.py        # leave it running, and paste the line it prints where the example runs
    curl http://127.0.0.1:PORT/v1/chat/completions -d '{"model": "gpt-4o-mini"}'

Every answer says it took 1,234 input tokens, 1,024 of them from the cache, and 87 output tokens.
"""

import argparse
import itertools
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {
    "prompt_tokens": 1_234,
    "prompt_tokens_details": {"cached_tokens": 1_024},
    "completion_tokens": 87,
    "total_tokens": 1_321,
}
numbers = itertools.count(1)


class OpenAI(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": "Your order leaves today."}
        answer = {
            "id": f"chatcmpl-{next(numbers)}",  # two answers of one id would be one call, billed once
            "object": "chat.completion",
            "created": 1_735_689_600,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: any free port)")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), OpenAI)
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    print(f"export OPENAI_API_KEY=sk-of-the-stand-in OPENAI_BASE_URL={url}", flush=True)
    server.serve_forever()
