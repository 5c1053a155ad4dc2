#!/usr/bin/env bash
# npm: global-agent 4.1.6 and 3.0.0.
# Guess: the successor decodes the credentials of GLOBAL_AGENT_HTTP_PROXY as version 3 does.
# Seen: it does not; the same setting that is right for 3.0.0 is a wrong password from 4 on.
. "$(dirname "$0")/common.sh"
cat >"$TMP/try.cjs" <<'J'
require('global-agent').bootstrap();
require('node:https').get('https://origin.test/', () => {}).on('error', () => process.exit(0));
J
sent='__import__("base64").b64decode(header(connects[0], "proxy-authorization").split()[1]).decode()'
ask() {
    npm_install "global-agent@$1"
    stub --connect 407 --close
    GLOBAL_AGENT_HTTP_PROXY="http://user:p%40ss@127.0.0.1:$PORT" timeout 20 node "$TMP/try.cjs" || true
}
ask 3.0.0
is 'credentials by 3.0.0' "$(seen "$sent")" 'user:p@ss'
ask 4.1.6
is 'credentials by 4.1.6' "$(seen "$sent")" 'user:p%40ss'
