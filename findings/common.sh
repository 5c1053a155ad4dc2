# What every finding's script shares: a temporary folder, pinned packages in it, the stub, and the verdict.
# Sourced first: `. "$(dirname "$0")/common.sh"`.
set -euo pipefail
FINDINGS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TMP=$(mktemp -d)
STARTED=()
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

leave() {
    local status=$?
    for id in "${STARTED[@]}"; do kill "$id" 2>/dev/null || true; done
    rm -rf "$TMP"
    exit "$status"
}
trap leave EXIT

# needs COMMAND…: what the machine must have.
needs() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || { echo "needed and not installed: $command" >&2; exit 3; }
    done
}

# pip_install NAME==VERSION…: into $TMP/venv; run it with "$PYTHON".
pip_install() {
    needs python3
    [ -d "$TMP/venv" ] || python3 -m venv "$TMP/venv"
    "$TMP/venv/bin/pip" install -q --disable-pip-version-check --no-input "$@"
    PYTHON=$TMP/venv/bin/python
}

# npm_install NAME@VERSION…: into $TMP, where node finds them.
npm_install() {
    needs node npm
    (cd "$TMP" && npm install --silent --no-save --no-audit --no-fund --ignore-scripts "$@" >/dev/null)
}

# deb NAME VERSION: unpacks Debian's package below $TMP/root; nothing is installed.
deb() {
    needs apt-get dpkg-deb
    (cd "$TMP" && apt-get download -qq "$1=$2" >/dev/null 2>&1) || {
        echo "Debian's $1 $2 is not to be had here (apt-get update?)" >&2
        exit 3
    }
    mkdir -p "$TMP/root"
    dpkg-deb -x "$TMP"/"$1"_*.deb "$TMP/root"
}

# stub [OPTION…]: starts the stub (stub.py); $PORT is its port, $SEEN its log.
stub() {
    needs python3 openssl
    local n=${#STARTED[@]}
    SEEN=$TMP/seen.$n
    : >"$SEEN"
    if [ ! -e "$TMP/identity.pem" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=origin.test \
            -addext subjectAltName=DNS:origin.test -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
        cat "$TMP/cert.pem" "$TMP/key.pem" >"$TMP/identity.pem"
    fi
    python3 "$FINDINGS/stub.py" </dev/null >/dev/null --port "$TMP/port.$n" --log "$SEEN" --identity "$TMP/identity.pem" "$@" &
    STARTED+=($!)
    local tries
    for tries in $(seq 200); do
        [ -e "$TMP/port.$n" ] && break
        sleep 0.05
    done
    PORT=$(cat "$TMP/port.$n")
}

# seen 'EXPRESSION': evaluates Python over `log`, the list of what the stub saw, and prints it.
seen() {
    python3 -c 'import json, sys
log = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
heads = [s for s in log if s["kind"] == "proxy"]
connects = [s for s in heads if s["line"].startswith("CONNECT")]
def header(s, name): return next((v for n, v in s["headers"] if n.lower() == name.lower()), None)
print(eval(sys.argv[2]))' "$SEEN" "$1"
}

# is WHAT ACTUAL EXPECTED: one thing that was seen; ends the script where it is not as it was.
is() {
    if [ "$2" = "$3" ]; then
        printf '  %s: %s\n' "$1" "$2"
    else
        printf '  %s: %s\n  but it was: %s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
}

# has WHAT TEXT PART: TEXT holds PART.
has() {
    case "$2" in
        *"$3"*) printf '  %s: %s\n' "$1" "$3" ;;
        *) printf '  %s: %s\n  but it held: %s\n' "$1" "$2" "$3" >&2; exit 1 ;;
    esac
}
