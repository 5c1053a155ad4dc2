"""Gets URLs with a library's usual session, one after the other, and prints the bodies.

Usage: unheard_clients.py LIBRARY KEY URL...
"""

import asyncio
import sys


def with_urllib3(headers, urls):
    import urllib3

    pool = urllib3.PoolManager(headers=headers)
    for url in urls:
        print(pool.request("GET", url).data.decode())


def with_aiohttp(headers, urls):
    import aiohttp

    async def ask():
        async with aiohttp.ClientSession(headers=headers) as session:
            for url in urls:
                async with session.get(url) as answer:
                    print(await answer.text())

    asyncio.run(ask())


library, key, *urls = sys.argv[1:]
{"urllib3": with_urllib3, "aiohttp": with_aiohttp}[library]({"X-API-Key": key}, urls)
