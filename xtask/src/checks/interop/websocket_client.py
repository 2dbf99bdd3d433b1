"""Sends messages of several sizes to the path /ws of each URL, and compares the answers."""

import ssl
import sys

from websockets.sync.client import connect

trusting = ssl.create_default_context()
trusting.check_hostname = False
trusting.verify_mode = ssl.CERT_NONE
for url in sys.argv[1:]:
    context = trusting if url.startswith("https") else None
    with connect(url.replace("http", "ws", 1) + "/ws", ssl=context, proxy=None, max_size=None) as socket:
        for size in (0, 125, 126, 65535, 65536, 1_000_000):
            message = bytes(i % 251 for i in range(size))
            socket.send(message)
            assert socket.recv() == message, size
        socket.send("text")
        assert socket.recv() == "text"
