#!/bin/sh
# Fill the corpora of the targets sse, think, json_scan and fingerprint from the tests' cases.
# Usage, from the project's root: sh fuzz/seeds.sh
set -eu
mkdir -p fuzz/corpus/sse fuzz/corpus/think fuzz/corpus/json_scan fuzz/corpus/fingerprint
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
    for nth, line in enumerate(raw.splitlines()[:6]):
        open(f"fuzz/corpus/json_scan/{name}-{nth}", "wb").write(line.removeprefix(b"data:").strip())
chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "What is \u00e9?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"n\": 1.50}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"}]
tools = [{"type": "function", "function": {"name": "f", "strict": False, "parameters": {"type": "object", "properties": {"n": {"type": "number"}}}}}]
schema = {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}}}
requests = [
    {"model": "m", "messages": chat, "tools": tools, "temperature": 0, "max_tokens": 100, "stop": ["a"], "response_format": schema},
    {"model": "m", "prompt": ["once"], "n": 1, "echo": False, "logit_bias": {}},
    {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 8},
    {"model": "m", "messages": [{"role": "user", "content": "hi", "images": ["AAAA"]}], "think": True, "format": "json",
     "options": {"num_predict": 100, "temperature": 0.5, "seed": -1}, "keep_alive": "5m"},
    {"model": "m", "prompt": "once", "system": "", "raw": False, "context": [1, 2]},
    {"model": "m", "input": "a", "truncate": True},
    {"model": "m", "prompt": "a"},
]
for nth, request in enumerate(requests):
    for spelling in ({}, {"indent": 1}, {"ensure_ascii": False, "separators": (",", ":")}):
        raw = json.dumps(request, **spelling).encode()
        open(f"fuzz/corpus/fingerprint/{nth}-{len(spelling)}", "wb").write(bytes([nth]) + raw)
for nth in range(64):
    open(f"fuzz/corpus/think/made-{nth}", "wb").write(b"\x80\x03" + os.urandom(400))
PYTHON
