#!/usr/bin/env bash
# npm: axios 1.21.1.
# Guess: http_proxy/https_proxy are decoded like everybody's proxy URLs.
# Seen: percent sequences of the environment's URL go out as they stand, so a password that needs them is wrong.
. "$(dirname "$0")/common.sh"
npm_install axios@1.21.1
stub --connect 403
cat >"$TMP/try.mjs" <<'J'
import axios from 'axios';
await axios.get('https://origin.test/').catch(() => {});
J
https_proxy="http://user:p%40ss@127.0.0.1:$PORT" node "$TMP/try.mjs"
is 'credentials of CONNECT' "$(seen '__import__("base64").b64decode(header(connects[0], "proxy-authorization").split()[1]).decode()')" 'user:p%40ss'
