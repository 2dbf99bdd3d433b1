"""Sends WebSocket messages back. Arguments: the port, and a file that gets a line for each message.

The server pings after every tenth message. It closes connections to /short after twenty messages.
"""

import asyncio
import sys

from websockets.asyncio.server import serve


async def main(port, record):
    async def echo(socket):
        messages = 0
        async for message in socket:
            messages += 1
            print(len(message), file=record, flush=True)
            if messages % 10 == 0:
                await socket.ping()
            await socket.send(message)
            if socket.request.path == "/short" and messages == 20:
                return

    async with serve(echo, "127.0.0.1", port, max_size=2**24):
        await asyncio.Future()


with open(sys.argv[2], "a", encoding="ascii") as record:
    asyncio.run(main(int(sys.argv[1]), record))
