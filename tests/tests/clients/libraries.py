"""Asks through a proxy with aiohttp, httpx, requests or libcurl, the last by HTTP/2 where the proxy speaks TLS.

usage: libraries.py aiohttp|httpx|httpx-async|requests|libcurl AUTHORITY.pem

Reads a list of requests in JSON from standard input and prints what came of each, likewise: its status (0 where
there was no answer), and the refusal's name and the body, or the error.
"""
import asyncio
import io
import json
import ssl
import sys

import aiohttp
import httpx
import pycurl
import requests

PATIENCE = 20
NOTHING = (OSError, aiohttp.ClientError, httpx.HTTPError, asyncio.TimeoutError, pycurl.error)
# CURLPROXY_HTTPS2, for which PycURL has no name.
HTTPS2 = 3


def answer(status, headers, content):
    text = headers.get("X-Tollgate-Error", "") + content.decode("latin-1")
    return {"status": status, "body": text}


async def by_aiohttp(case, trust):
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        method = case.get("method", "GET")
        asked = session.request(method, case["url"], proxy=case["proxy"], ssl=trust, data=case.get("body"))
        async with asked as said:
            return answer(said.status, said.headers, await said.read())


def proxy(case, trust):
    return httpx.Proxy(case["proxy"], ssl_context=trust if case["proxy"].startswith("https:") else None)


async def by_httpx_async(case, trust):
    async with httpx.AsyncClient(proxy=proxy(case, trust), verify=trust, trust_env=False, timeout=PATIENCE) as client:
        said = await client.request(case.get("method", "GET"), case["url"], content=case.get("body"))
        return answer(said.status_code, said.headers, said.content)


def by_httpx(case, trust):
    with httpx.Client(proxy=proxy(case, trust), verify=trust, trust_env=False, timeout=PATIENCE) as client:
        said = client.request(case.get("method", "GET"), case["url"], content=case.get("body"))
        return answer(said.status_code, said.headers, said.content)


def by_requests(case, authority):
    with requests.Session() as session:
        session.trust_env = False
        proxies = {"http": case["proxy"], "https": case["proxy"]}
        said = session.request(case.get("method", "GET"), case["url"], data=case.get("body"), proxies=proxies,
                               verify=authority, timeout=PATIENCE)
        return answer(said.status_code, said.headers, said.content)


def by_libcurl(case, authority):
    body, headers = io.BytesIO(), {}

    def head(line):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().title()] = value.strip()

    curl = pycurl.Curl()
    options = {"URL": case["url"], "PROXY": case["proxy"], "PROXYTYPE": HTTPS2, "PROXY_CAINFO": authority, "CAINFO": authority,
               "NOPROXY": "", "TIMEOUT": PATIENCE, "WRITEDATA": body, "HEADERFUNCTION": head}
    if "body" in case:
        options["POSTFIELDS"] = case["body"]
    for name, value in options.items():
        curl.setopt(getattr(pycurl, name), value)
    try:
        curl.perform()
        return answer(curl.getinfo(pycurl.RESPONSE_CODE), headers, body.getvalue())
    finally:
        curl.close()


def main():
    library, authority = sys.argv[1:3]
    trust = ssl.create_default_context(cafile=authority)
    ask = {
        "aiohttp": lambda case: asyncio.run(by_aiohttp(case, trust)),
        "httpx": lambda case: by_httpx(case, trust),
        "httpx-async": lambda case: asyncio.run(by_httpx_async(case, trust)),
        "requests": lambda case: by_requests(case, authority),
        "libcurl": lambda case: by_libcurl(case, authority),
    }[library]
    said = []
    for case in json.load(sys.stdin):
        try:
            said.append(ask(case))
        except NOTHING as error:
            said.append({"status": 0, "body": repr(error)})
    json.dump(said, sys.stdout)


main()
