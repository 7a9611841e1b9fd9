# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small web shop on asyncio, with a bug that many services have had.

`GET /price` asks another service for an exchange rate, and it asks with a blocking client
(`urlopen`). While that service is slow, the event loop stands still: customers who only look at
`/stock` wait, too. The bug is in exchange_rate() and not in the handler that gets slow answers, so
latency figures alone do not lead to it.

world.py starts this and plays the rest of the world.
"""

import asyncio
import functools
import json
import sys
import threading
import types
import urllib.request

import perpetuo

STOCK = {"tea": 12, "coffee": 7, "cocoa": 0}
PRICE_EUR = {"tea": 4.20, "coffee": 6.10, "cocoa": 5.00}


@types.coroutine
def mark_steps(coroutine, tracker):
    """Runs a coroutine with the tracker active while a step of it runs, idle while it waits.

    One step that takes long is what stalls a loop; a request that waits for long is not.
    """
    step = functools.partial(coroutine.send, None)
    while True:
        try:
            with tracker:
                future = step()
        except StopIteration as stop:
            return stop.value
        try:
            step = functools.partial(coroutine.send, (yield future))
        except BaseException as error:
            step = functools.partial(coroutine.throw, error)


class Shop:
    def __init__(self, rates_url):
        self.rates_url = rates_url
        self.tracker = perpetuo.StallTracker("shop: request steps", threading.get_ident())
        self.tracker.go_idle()
        self.handlers = {"/health": self.health, "/stock": self.stock, "/price": self.price}

    async def health(self):
        return {"status": "ok"}

    async def stock(self):
        await asyncio.sleep(0.005)  # a well-behaved query
        return STOCK

    async def price(self):
        rate = self.exchange_rate("USD")
        return {item: round(price * rate, 2) for item, price in PRICE_EUR.items()}

    def exchange_rate(self, currency):
        # The bug: a blocking call, some frames below a coroutine.
        with urllib.request.urlopen(f"{self.rates_url}/{currency}", timeout=10) as response:
            return json.load(response)["rate"]

    async def serve(self, reader, writer):
        """One connection; every request on it is answered."""
        try:
            while request := await reader.readline():
                while (await reader.readline()).strip():
                    pass  # headers
                path = request.split()[1].decode()
                handler = self.handlers.get(path)
                answer = await mark_steps(handler(), self.tracker) if handler else None
                body = json.dumps(answer).encode()
                status = "200 OK" if handler else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (ConnectionError, IndexError, UnicodeDecodeError):
            pass  # a client that left, or does not speak HTTP
        finally:
            writer.close()


async def main(rates_url):
    server = await asyncio.start_server(Shop(rates_url).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: shop.py URL-OF-THE-RATES-SERVICE (world.py starts it)")
    asyncio.run(main(sys.argv[1]))
