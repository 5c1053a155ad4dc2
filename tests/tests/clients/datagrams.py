"""Asks an echo of datagrams through a gateway, with PySocks.

Reads one case in JSON from standard input and prints, likewise, what came back from whom.
"""
import json
import sys

import socks

PATIENCE = 20


def main():
    case = json.load(sys.stdin)
    said = []
    for host in case["hosts"]:
        sock = socks.socksocket(type=socks.socket.SOCK_DGRAM)
        sock.settimeout(PATIENCE)
        host_of_proxy, port_of_proxy = case["gateway"].split(":")
        sock.set_proxy(
            socks.SOCKS5, host_of_proxy, int(port_of_proxy), True, case["user"], case["password"]
        )
        for size in case["sizes"]:
            sock.sendto(b"x" * size, (host, case["port"]))
            payload, peer = sock.recvfrom(65535)
            said.append({"size": len(payload), "peer": list(peer[:2])})
        sock.close()
    json.dump(said, sys.stdout)


main()
