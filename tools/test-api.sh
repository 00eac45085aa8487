#!/usr/bin/env bash
# Asks a recorder of synthetic cameras whatever its description of the API lets one ask, as an administrator, and fails at
# the first fault. NVR names the command to test, EXAMPLES how many requests of each kind are made up.
set -euo pipefail
cd "$(dirname "$0")/.."

nvr=${NVR:-target/debug/nvr}
examples=${EXAMPLES:-20}
schemathesis=schemathesis==4.32.5
venv=target/schemathesis

if [[ ! -x $venv/bin/schemathesis ]]; then
    echo "installing $schemathesis in $venv" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$schemathesis"
fi
nvr=$(realpath "$nvr")
dir=$(mktemp -d)
recorder=
cleanup() {
    if [[ -n $recorder ]]; then
        kill "$recorder" 2>/dev/null || true
        wait "$recorder" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap cleanup EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$dir/nvr.toml" <<EOF
[recorder]
root = "$dir/recordings"
[http]
listen = "127.0.0.1:$port"
webrtc_port = 0
[[cameras]]
id = "front"
source = "test:?size=320x240&fps=10&gop=10"
[[cameras]]
id = "yard"
source = "test:?size=320x240&fps=10&gop=10&audio=0"
record = "manual"
EOF
export NVR_CONFIG=$dir/nvr.toml
"$nvr" run >"$dir/log" 2>&1 &
recorder=$!
base=http://127.0.0.1:$port
for _ in $(seq 300); do
    if curl -sf -o /dev/null "$base/ready"; then break; fi
    kill -0 "$recorder" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
    sleep 0.2
done
token=$("$nvr" token add fuzz --scope admin --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')

# Left out: streams without an end, the search of the network, bodies that are no JSON, and what would take its own token away.
SCHEMATHESIS_HOOKS=tools/test-api.py "$venv/bin/schemathesis" run "$base/api/openapi.json" \
    --header "Authorization: Bearer $token" --checks no_fault --max-examples "$examples" --phases examples,fuzzing \
    --exclude-path-regex 'live\.mjpeg|/discovery|/whep|/tokens/' --request-timeout 60 --workers 2 --no-color
kill -0 "$recorder" 2>/dev/null || { echo "the recorder ended:" >&2; tail -50 "$dir/log" >&2; exit 1; }
if grep -q "panicked" "$dir/log"; then
    grep -A5 "panicked" "$dir/log" >&2
    exit 1
fi
