"""A model server for benchmarks: OpenAI-style chat completions on loopback, in a process of its own.

    python benchmarks/model_server.py --delay-ms 50

Prints its port, answers every POST after the delay, and ends when its standard input closes.
"""

import argparse
import asyncio
import json
import sys

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "usage": {"prompt_tokens": 20, "completion_tokens": 300, "total_tokens": 320},
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "lorem ipsum dolor sit amet " * 60},
            }
        ],
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


async def serve(delay: float) -> None:
    """Answer until standard input ends."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                _, _, rest = head.partition(b"content-length:")
                await reader.readexactly(int(rest.split(b"\r\n", 1)[0] or 0) if rest else 0)
                if delay:
                    await asyncio.sleep(delay)
                writer.write(HEAD + ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args().delay_ms / 1000))
