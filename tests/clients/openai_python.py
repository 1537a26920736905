"""The official OpenAI client for Python against the gateway. Usage: openai_python.py URL MODEL CHECK..."""

import sys
import threading
import time

import openai

URL, MODEL, CHECKS = sys.argv[1], sys.argv[2], sys.argv[3:]
ASK = [{"role": "user", "content": "Why is the sky blue?"}]


def client(base="/v1", **options):
    return openai.OpenAI(base_url=URL + base, api_key="sk-test", max_retries=0, timeout=30, **options)


def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def plain():
    answer = client().chat.completions.create(model=MODEL, messages=ASK, temperature=0)
    text = answer.choices[0].message.content
    assert text and "think>" not in text, text
    assert answer.choices[0].finish_reason == "stop" and answer.usage.completion_tokens > 0
    return text


def stream():
    chunks = list(
        client().chat.completions.create(
            model=MODEL, messages=ASK, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    text = text_of(chunks)
    assert text and "think>" not in text, text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens > 0
    return text


def same():
    answer = client().chat.completions.create(model=MODEL, messages=ASK, temperature=0)
    assert stream() == answer.choices[0].message.content


def keep():
    kept = text_of(client(default_headers={"X-Think": "keep"}).chat.completions.create(model=MODEL, messages=ASK, temperature=0, stream=True))
    assert kept.startswith("<think>") and "</think>" in kept, kept


def separate():
    chunks = client(default_headers={"X-Think": "separate"}).chat.completions.create(model=MODEL, messages=ASK, temperature=0, stream=True)
    reasoning, text = "", ""
    for chunk in chunks:
        if chunk.choices:
            delta = chunk.choices[0].delta
            reasoning += getattr(delta, "reasoning_content", None) or ""
            text += delta.content or ""
            assert not (text and getattr(delta, "reasoning_content", None)), "reasoning comes first"
    assert reasoning and text and "think>" not in reasoning + text, (reasoning, text)


def bases():
    for base in ["", "/v1", "/v1/", "/v1/v1", "/v1/chat/completions", "/api/v1"]:
        answer = client(base).chat.completions.create(model=MODEL, messages=ASK, temperature=0)
        assert answer.choices[0].message.content, base


def parallel():
    wrong, wanted = [], None

    def one():
        try:
            texts.append(stream())
        except Exception as error:  # noqa: BLE001, whatever it is fails the test
            wrong.append(repr(error))

    texts = []
    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert len(set(texts)) == 1 and len(texts) == 8, texts


def leave():
    """Goes away in the middle of a stream; whoever started this looks at the upstream."""
    for _ in range(3):
        chunks = client().chat.completions.create(model=MODEL, messages=ASK, temperature=0, stream=True, max_tokens=2000, extra_body=LONG)
        for number, _chunk in enumerate(chunks):
            if number == 5:
                break
        chunks.close()


LONG = {"chat_template_kwargs": {"style": "long"}}


def models():
    names = [model.id for model in client().models.list()]
    assert MODEL in names, names


def retrieve():
    assert client().models.retrieve(MODEL).id == MODEL


def embeddings():
    data = client().embeddings.create(model=MODEL, input=["one", "two"]).data
    assert len(data) == 2 and len(data[0].embedding) == 8 and data[0].embedding != data[1].embedding


def completions():
    answer = client().completions.create(model=MODEL, prompt="hello", max_tokens=500)
    assert answer.choices[0].text and "think>" not in answer.choices[0].text


def tools():
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    offered = [{"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": parameters}}]
    answer = client().chat.completions.create(model=MODEL, messages=ASK, temperature=0, tools=offered)
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and "Paris" in call.function.arguments, call
    assert answer.choices[0].finish_reason == "tool_calls"
    name, arguments = "", ""
    for chunk in client().chat.completions.create(model=MODEL, messages=ASK, temperature=0, tools=offered, stream=True):
        for piece in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            name += piece.function.name or ""
            arguments += piece.function.arguments or ""
    assert name == "weather" and "Paris" in arguments, (name, arguments)


def unknown():
    try:
        client().chat.completions.create(model="no-such-model", messages=ASK, temperature=0)
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error
    else:
        raise AssertionError("no error")


def silence():
    """The upstream thinks for seconds; the gateway's signs of life must not disturb the client."""
    started = time.monotonic()
    text = text_of(client().chat.completions.create(model=MODEL, messages=ASK, temperature=0, stream=True))
    assert text == "the answer", text
    assert time.monotonic() - started > 2


def broken():
    """The upstream goes silent in the middle: an error, not a short answer."""
    try:
        text = text_of(client().chat.completions.create(model=MODEL, messages=ASK, temperature=0, stream=True))
    except openai.APIError as error:
        assert "stopped sending" in str(error) or "in time" in str(error), error
    else:
        raise AssertionError(f"taken for whole: {text}")


def down():
    try:
        client().chat.completions.create(model=MODEL, messages=ASK, temperature=0)
    except openai.InternalServerError as error:
        assert error.status_code == 502 and error.code == "upstream_unreachable", error
    else:
        raise AssertionError("no error")


for check in CHECKS:
    globals()[check]()
    print("ok", check)
