// The official OpenAI client for Node against the gateway. Usage: openai_node.mjs URL MODEL CHECK...
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The packages live below target/, not beside this file.
const { OpenAI } = createRequire(`${process.env.CLIENTS_NODE}/`)("openai");
const [url, model, ...checks] = process.argv.slice(2);
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const client = (base = "/v1", defaultHeaders = {}) =>
  new OpenAI({ baseURL: url + base, apiKey: "sk-test", maxRetries: 0, timeout: 30_000, defaultHeaders });

async function textOf(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

const known = {
  async plain() {
    const answer = await client().chat.completions.create({ model, messages });
    const text = answer.choices[0].message.content;
    assert(text && !text.includes("think>"), text);
  },
  async stream() {
    const text = await textOf(await client().chat.completions.create({ model, messages, stream: true }));
    assert(text && !text.includes("think>"), text);
  },
  async keep() {
    const kept = await textOf(await client("/v1", { "X-Think": "keep" }).chat.completions.create({ model, messages, stream: true }));
    assert(kept.startsWith("<think>"), kept);
  },
  async separate() {
    let reasoning = "";
    const stream = await client("/v1", { "X-Think": "separate" }).chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) reasoning += chunk.choices[0]?.delta.reasoning_content ?? "";
    assert(reasoning.length > 0);
  },
  async bases() {
    for (const base of ["", "/v1", "/v1/", "/v1/v1", "/v1/chat/completions"]) {
      const answer = await client(base).chat.completions.create({ model, messages });
      assert(answer.choices[0].message.content, base);
    }
  },
  async parallel() {
    const one = async () => textOf(await client().chat.completions.create({ model, messages, stream: true, temperature: 0 }));
    const texts = await Promise.all(Array.from({ length: 8 }, one));
    assert.equal(new Set(texts).size, 1);
  },
  async leave() {
    for (let round = 0; round < 3; round++) {
      const stream = await client().chat.completions.create({ model, messages, stream: true });
      for await (const _ of stream) break;
      stream.controller.abort();
    }
  },
  async inventory() {
    const names = [];
    for await (const entry of client().models.list()) names.push(entry.id);
    assert(names.includes(model), names.join());
    const { data } = await client().embeddings.create({ model, input: ["one", "two"] });
    assert.equal(data[0].embedding.length, 8);
  },
  async unknown() {
    await assert.rejects(client().chat.completions.create({ model: "no-such-model", messages }), { status: 404, code: "model_not_found" });
  },
  async silence() {
    assert.equal(await textOf(await client().chat.completions.create({ model, messages, stream: true })), "the answer");
  },
  async broken() {
    await assert.rejects(async () => textOf(await client().chat.completions.create({ model, messages, stream: true })), /stopped sending|in time/);
  },
  async down() {
    await assert.rejects(client().chat.completions.create({ model, messages }), { status: 502, code: "upstream_unreachable" });
  },
};

for (const check of checks) {
  await known[check]();
  console.log("ok", check);
}
