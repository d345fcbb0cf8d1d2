#!/usr/bin/env bash
# From YAML to an answered prediction, and back to nothing. `make demo` runs it.
set -euo pipefail
cd "$(dirname "$0")"
mlops=../../.venv/bin/mlops
port=${PORT:-8421} # another one where this is taken: make demo PORT=9000
url=http://127.0.0.1:$port

run() { printf '\n$ mlops %s\n' "$*"; "$mlops" "$@" "target.port=$port"; }

run plan
trap '"$mlops" destroy --yes "target.port=$port" >/dev/null' EXIT
run apply --yes

# One row of measures, as a client would send it.
row='{"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": [17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871, 1.095, 0.9053, 8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006193, 25.38, 17.33, 184.6, 2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601, 0.1189]}]}'
printf "\n$ curl %s/v2/models/tumours/infer -H 'Content-Type: application/json' -d ROW\n" "$url"
"$(dirname "$mlops")/python" - "$url/v2/models/tumours/infer" "$row" <<'PYTHON'
import json
import sys
import urllib.request

request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=10) as answer:
    print(json.dumps(json.load(answer), indent=1))
PYTHON

run plan
trap - EXIT
run destroy --yes
