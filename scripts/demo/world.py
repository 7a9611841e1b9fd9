# SPDX-License-Identifier: MIT OR Apache-2.0
"""The world around shop.py: an exchange-rate service that is slow now and then, and customers.

    PYTHONPATH=build/python python3 scripts/demo/world.py

starts the shop, says its pid, and tells once a second how long customers waited. The shop is what
one watches. Ends on Ctrl-C or SIGTERM, and the shop with it.
"""

import asyncio
import os
import signal
import sys
import time

CUSTOMERS = 4
LOOK_EVERY_S = 0.1
FIRST_PRICE_S = 1.5
PRICE_EVERY_S = 4.0
SLOW_RATE_S = 0.8

waited_ms = []


async def rates(reader, writer):
    """Answers after a while, as services do when they have a bad day."""
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(SLOW_RATE_S)
    body = b'{"rate": 1.08}'
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()


async def get(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        await reader.readexactly(length)
    finally:
        writer.close()


async def look_around(port):
    while True:
        start = time.monotonic()
        await get(port, "/stock")
        waited_ms.append(1000 * (time.monotonic() - start))
        await asyncio.sleep(LOOK_EVERY_S)


async def ask_for_prices(port):
    await asyncio.sleep(FIRST_PRICE_S)
    while True:
        await get(port, "/price")
        await asyncio.sleep(PRICE_EVERY_S)


async def tell():
    while True:
        await asyncio.sleep(1)
        if waited_ms:
            print(f"customers: {len(waited_ms)} looked at /stock, the slowest answer took "
                  f"{max(waited_ms):.0f} ms", flush=True)
            waited_ms.clear()


async def until(event, *coroutines):
    """Runs them all until the event, or until one fails."""
    tasks = [asyncio.ensure_future(c) for c in (event, *coroutines)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def main():
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(rates, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    shop_py = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shop.py")
    shop = await asyncio.create_subprocess_exec(sys.executable, shop_py, url,
                                                stdout=asyncio.subprocess.PIPE)
    try:
        port = await shop.stdout.readline()
        if not port:
            sys.exit("the shop did not start")
        print(f"shop: pid {shop.pid}, http://127.0.0.1:{int(port)}", flush=True)
        customers = (look_around(int(port)) for _ in range(CUSTOMERS))
        await until(stop.wait(), shop.wait(), ask_for_prices(int(port)), tell(), *customers)
    finally:
        if shop.returncode is None:
            shop.terminate()
            await shop.wait()
        server.close()


asyncio.run(main())
