"""An HTTP server that reads a body, stores nothing and answers: what the bench compares with.

    python -m tests.bench.noop_server

Invariant: it has the same server and protocol as the service, and prints its port first.
"""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

ANSWER = b'{"received":1}'


async def noop(scope: Any, receive: Any, send: Any) -> None:
    """Read the body, and answer."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(listener.getsockname()[1], flush=True)
        uvicorn.run(
            noop,
            fd=listener.fileno(),
            http="httptools",
            loop="uvloop",
            lifespan="off",
            log_config=None,
            access_log=False,
        )


if __name__ == "__main__":
    main()
