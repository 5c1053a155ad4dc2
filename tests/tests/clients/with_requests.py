"""Asks through a gateway as a customer's program would.

Reads a list of requests in JSON from standard input and prints what came of each, likewise.
"""
import base64
import http.client
import json
import sys

import requests

PATIENCE = 20


def by_requests(session, case):
    """With requests, by an HTTP or a SOCKS5 proxy (that takes PySocks)."""
    proxies = {"http": case["proxy"]}
    answer = session.request(
        case.get("method", "GET"),
        case["url"],
        proxies=proxies,
        data=case.get("body"),
        allow_redirects=False,
        timeout=PATIENCE,
    )
    refusal = answer.headers.get("X-Tollgate-Error", "")
    return {"status": answer.status_code, "refusal": refusal, "body": answer.content.decode("latin-1")}


def by_tunnel(case):
    """With the standard library, by CONNECT."""
    host, port = case["gateway"].split(":")
    login = base64.b64encode(case["login"].encode()).decode()
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.set_tunnel(case["target"], headers={"Proxy-Authorization": "Basic " + login})
    connection.request("GET", case["path"])
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return {"status": answer.status, "refusal": "", "body": body}


def main():
    session = requests.Session()
    session.trust_env = False
    said = []
    for case in json.load(sys.stdin):
        try:
            said.append(by_tunnel(case) if "target" in case else by_requests(session, case))
        except (OSError, http.client.HTTPException) as error:
            said.append({"status": 0, "refusal": str(error), "body": ""})
    json.dump(said, sys.stdout)


main()
