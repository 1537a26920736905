// The official Ollama client for Node against the gateway. Usage: ollama_node.mjs URL MODEL CHECK...
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The packages live below target/, not beside this file.
const { Ollama } = createRequire(`${process.env.CLIENTS_NODE}/`)("ollama");
const [url, model, ...checks] = process.argv.slice(2);
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const client = (headers = {}) => new Ollama({ host: url, headers });

async function textOf(stream) {
  let text = "";
  for await (const line of stream) text += line.message.content;
  return text;
}

const known = {
  async plain() {
    const answer = await client().chat({ model, messages });
    assert(answer.message.content && !answer.message.content.includes("think>"), answer.message.content);
  },
  async stream() {
    const text = await textOf(await client().chat({ model, messages, stream: true }));
    assert(text && !text.includes("think>"), text);
  },
  async keep() {
    const answer = await client({ "X-Think": "keep" }).chat({ model, messages });
    assert(answer.message.content.startsWith("<think>"));
  },
  async separate() {
    let thinking = "";
    for await (const line of await client({ "X-Think": "separate" }).chat({ model, messages, stream: true })) thinking += line.message.thinking ?? "";
    assert(thinking.length > 0);
  },
  async generate() {
    const answer = await client().generate({ model, prompt: "hello" });
    assert(answer.response && !answer.response.includes("think>"), answer.response);
  },
  async inventory() {
    const { models } = await client().list();
    assert(models.some((entry) => entry.model === `${model}:latest`));
    assert.equal((await client().embed({ model, input: ["one", "two"] })).embeddings.length, 2);
  },
  async leave() {
    for (let round = 0; round < 3; round++) {
      const asking = client();
      const stream = await asking.chat({ model, messages, stream: true });
      for await (const _ of stream) break;
      stream.abort();
    }
  },
  async unknown() {
    await assert.rejects(client().chat({ model: "no-such-model", messages }), /no-such-model/);
  },
  async silence() {
    assert.equal(await textOf(await client().chat({ model, messages, stream: true })), "the answer");
  },
  async broken() {
    await assert.rejects(async () => textOf(await client().chat({ model, messages, stream: true })), /stopped sending|in time/);
  },
  async down() {
    await assert.rejects(client().chat({ model, messages }), /upstream/i);
  },
};

for (const check of checks) {
  await known[check]();
  console.log("ok", check);
}
