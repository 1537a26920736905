"""The official Ollama client for Python against the gateway. Usage: ollama_python.py URL MODEL CHECK..."""

import sys
import time

import ollama

URL, MODEL, CHECKS = sys.argv[1], sys.argv[2], sys.argv[3:]
ASK = [{"role": "user", "content": "Why is the sky blue?"}]
client = ollama.Client(host=URL, timeout=30)


def plain():
    answer = client.chat(model=MODEL, messages=ASK)
    assert answer.message.content and "think>" not in answer.message.content, answer
    assert answer.done and answer.done_reason == "stop" and answer.eval_count > 0


def stream():
    lines = list(client.chat(model=MODEL, messages=ASK, stream=True))
    text = "".join(line.message.content for line in lines)
    assert text and "think>" not in text, text
    assert lines[-1].done and lines[-1].total_duration > 0
    assert not any(line.done for line in lines[:-1])


def keep():
    kept = ollama.Client(host=URL, headers={"X-Think": "keep"}).chat(model=MODEL, messages=ASK)
    assert kept.message.content.startswith("<think>"), kept


def separate():
    asking = ollama.Client(host=URL, headers={"X-Think": "separate"})
    lines = list(asking.chat(model=MODEL, messages=ASK, stream=True))
    assert "".join(line.message.thinking or "" for line in lines)
    assert "think>" not in "".join(line.message.content for line in lines)


def fields():
    answer = client.chat(model=MODEL, messages=ASK, think=True)
    assert answer.message.content and not answer.message.thinking, "stripped as well"


def generate():
    text = "".join(line.response for line in client.generate(model=MODEL, prompt="hello", stream=True))
    assert text and "think>" not in text, text
    assert client.generate(model=MODEL, prompt="hello").response == text


def inventory():
    assert f"{MODEL}:latest" in [model.model for model in client.list().models]
    assert "completion" in client.show(MODEL).capabilities
    assert client.ps().models
    assert len(client.embed(model=MODEL, input=["one", "two"]).embeddings) == 2


def tools():
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    offered = [{"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": parameters}}]
    call = client.chat(model=MODEL, messages=ASK, tools=offered).message.tool_calls[0]
    assert call.function.name == "weather" and call.function.arguments == {"city": "Paris"}, call


def leave():
    for _ in range(3):
        lines = client.chat(model=MODEL, messages=ASK, stream=True)
        for _line in lines:
            break
        lines.close()


def bases():
    for base in ["/v1", "/v1/", "/api"]:
        answer = ollama.Client(host=URL + base).chat(model=MODEL, messages=ASK)
        assert answer.message.content, base


def unknown():
    try:
        client.chat(model="no-such-model", messages=ASK)
    except ollama.ResponseError as error:
        assert error.status_code == 404 and "no-such-model" in error.error, error
    else:
        raise AssertionError("no error")


def silence():
    started = time.monotonic()
    text = "".join(line.message.content for line in client.chat(model=MODEL, messages=ASK, stream=True))
    assert text == "the answer", text
    assert time.monotonic() - started > 2


def broken():
    try:
        list(client.chat(model=MODEL, messages=ASK, stream=True))
    except ollama.ResponseError as error:
        assert "stopped sending" in str(error) or "in time" in str(error), error
    else:
        raise AssertionError("taken for whole")


def down():
    try:
        client.chat(model=MODEL, messages=ASK)
    except ollama.ResponseError as error:
        assert error.status_code == 502, error
    else:
        raise AssertionError("no error")


for check in CHECKS:
    globals()[check]()
    print("ok", check)
