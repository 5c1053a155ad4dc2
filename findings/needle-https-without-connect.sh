#!/usr/bin/env bash
# npm: needle 3.5.0.
# Guess: an https URL goes through an HTTP proxy by CONNECT, with the whole password.
# Seen: the proxy is asked for `GET https://…`, so it sees the URL and has to make the TLS itself;
# and a password is cut at its first colon.
. "$(dirname "$0")/common.sh"
npm_install needle@3.5.0
stub
cat >"$TMP/try.cjs" <<'J'
const needle = require('needle');
needle('get', 'https://origin.test/path', { proxy: `http://user:one%3Atwo@127.0.0.1:${process.argv[2]}` })
  .then((response) => console.log(response.statusCode, String(response.body).trim()));
J
is 'the program gets' "$(node "$TMP/try.cjs" "$PORT")" '200 hello'
is 'request line' "$(seen 'heads[0]["line"]')" 'GET https://origin.test/path HTTP/1.1'
is 'credentials' "$(seen '__import__("base64").b64decode(header(heads[0], "proxy-authorization").split()[1]).decode()')" 'user:one'
