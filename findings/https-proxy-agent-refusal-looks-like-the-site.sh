#!/usr/bin/env bash
# npm: https-proxy-agent 9.1.0.
# Guess: a refused CONNECT makes the request fail.
# Seen: no error at all. The request ends as if the https site had answered: the proxy's status, phrase and body.
. "$(dirname "$0")/common.sh"
npm_install https-proxy-agent@9.1.0
stub --connect 402 --phrase 'Payment Required'
cat >"$TMP/try.mjs" <<'J'
import https from 'node:https';
import { HttpsProxyAgent } from 'https-proxy-agent';
const agent = new HttpsProxyAgent(`http://user:pass@127.0.0.1:${process.argv[2]}`);
https.get('https://origin.test/', { agent }, (response) => {
  let body = '';
  response.on('data', (piece) => (body += piece));
  response.on('end', () => console.log(`answered ${response.statusCode} ${response.statusMessage}: ${body.trim()}`));
}).on('error', (error) => console.log(`failed: ${error.message}`));
J
is 'the program gets' "$(node "$TMP/try.mjs" "$PORT")" 'answered 402 Payment Required: why: the body says it'
