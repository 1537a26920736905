#!/bin/sh
# Fill the corpora of the targets sse, think and json_scan from the cases of the think corpus.
# Usage, from the project's root: sh fuzz/seeds.sh
set -eu
mkdir -p fuzz/corpus/sse fuzz/corpus/think fuzz/corpus/json_scan
python3 - <<'PYTHON'
import glob, json, os
formats = {"openai_sse": 0, "openai_completions_sse": 1, "ollama_chat": 2, "ollama_generate": 3, "anthropic_sse": 4,
           "responses_sse": 5, "openai_json": 6}
policies = {"strip": 0, "separate": 1, "wrap": 2}
for path in sorted(glob.glob("tests/corpus/think/*.json")):
    case = json.load(open(path, encoding="utf-8"))
    raw = "".join(case["upstream"]).encode(case["enc"])
    if len(raw) > 20000:
        continue
    name = case["name"]
    how = formats.get(case["format"], 0) | policies.get(case["policy"], 0) << 3
    open(f"fuzz/corpus/think/{name}", "wb").write(bytes([how, 7]) + raw)
    open(f"fuzz/corpus/sse/{name}", "wb").write(b"\x05" + raw)
    for line in raw.splitlines()[:6]:
        open(f"fuzz/corpus/json_scan/{name}", "wb").write(line.removeprefix(b"data:").strip())
for nth in range(64):
    open(f"fuzz/corpus/think/made-{nth}", "wb").write(b"\x80\x03" + os.urandom(400))
PYTHON
