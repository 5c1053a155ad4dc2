#!/usr/bin/env bash
# npm: proxy-chain 3.0.1 (in front of Puppeteer and Playwright, for proxies with a password).
# Guess: the upstream proxy's refusal comes out as it went in.
# Seen: 402 becomes 590 with a phrase of its own, 407 becomes 597; body, headers and the upstream's phrase are lost.
. "$(dirname "$0")/common.sh"
npm_install proxy-chain@3.0.1
cat >"$TMP/try.mjs" <<'J'
import http from 'node:http';
import { anonymizeProxy, closeAnonymizedProxy } from 'proxy-chain';
const url = await anonymizeProxy(`http://user:pass@127.0.0.1:${process.argv[2]}`);
const { hostname, port } = new URL(url);
const request = http.request({ hostname, port, method: 'CONNECT', path: 'origin.test:443' });
request.on('connect', async (response, socket) => {
  console.log(response.statusCode, response.statusMessage);
  socket.destroy();
  await closeAnonymizedProxy(url, true);
  process.exit(0);
});
request.end();
J
stub --connect 402 --phrase 'Payment Required (WHY)'
is '402 comes out as' "$(node "$TMP/try.mjs" "$PORT")" '590 UPSTREAM402'
stub --connect 407 --phrase 'Proxy Authentication Required'
is '407 comes out as' "$(node "$TMP/try.mjs" "$PORT")" '597 UPSTREAM407'
