#!/usr/bin/env bash
# Clients of Server-Sent Events with a word for the end: openai 6.49.0, @anthropic-ai/sdk 1.14.0 and groq-sdk 1.6.0 (npm, Node), openai 3.57.0 and
# anthropic 2.14.0 (PyPI); ai 6.0.326 (npm) with @ai-sdk/openai-compatible 2.0.92 next to them.
# Guess: a stream whose protocol says when it is complete ("data: [DONE]", "event: message_stop") and that ends without this word is an error to its client,
# just as one whose connection is cut: a gateway whose upstream has died, or that restarts, ends the answer in an orderly way.
# Seen: the loop over the stream ends as after a whole answer in all five. In Python so do the calls for the final text, which return half of it;
# JavaScript's raise an error. A program that keeps what it got keeps "The meeting is". Whoever relays such streams has to cut the connection, not
# to end the answer, when the upstream fails, and whoever reads them has to look for finish_reason. ai reports an error. A cut connection raises in all.
# Needs Node, npm, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; server=
trap 'kill $server 2>/dev/null || true; rm -rf "$dir"' EXIT
npm init -y >/dev/null
npm install --silent --no-audit --no-fund openai@6.49.0 @anthropic-ai/sdk@1.14.0 groq-sdk@1.6.0 ai@6.0.326 @ai-sdk/openai-compatible@2.0.92 >/dev/null
python3 -m venv venv
venv/bin/pip install -q openai==3.57.0 anthropic==2.14.0
cat >server.mjs <<'JS'
import http from "node:http";

const WORDS = ["The ", "meeting ", "is ", "not ", "cancelled"];
const completion = (delta, finish_reason = null) => ({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason }] });
http.createServer((request, response) => {
  request.resume();
  const kind = request.url.split("/")[1];
  const words = kind === "whole" ? WORDS : WORDS.slice(0, 3);
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (data) => response.write(`${data.type ? `event: ${data.type}\n` : ""}data: ${JSON.stringify(data)}\n\n`);
  if (request.url.endsWith("/messages")) {
    const usage = { input_tokens: 1, output_tokens: 1 };
    send({ type: "message_start", message: { id: "m", type: "message", role: "assistant", content: [], model: "m", stop_reason: null, stop_sequence: null, usage } });
    send({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
    for (const text of words) send({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
    if (kind === "whole") {
      send({ type: "content_block_stop", index: 0 });
      send({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage });
      send({ type: "message_stop" });
    }
  } else {
    for (const content of words) send(completion({ role: "assistant", content }));
    if (kind === "whole") {
      send(completion({}, "stop"));
      response.write("data: [DONE]\n\n");
    }
  }
  setTimeout(() => kind === "cut" ? request.socket.destroy() : response.end(), 200);
}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
JS
cat >client.mjs <<'JS'
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { streamText } from "ai";
import Groq from "groq-sdk";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Is there a meeting?" }], ask = { model: "m", messages }, askAnthropic = { ...ask, max_tokens: 9 };
for (const kind of ["whole", "cut", "half"]) {
  const baseURL = `http://127.0.0.1:${process.argv[2]}/${kind}`, options = { apiKey: "k", baseURL, maxRetries: 0 };
  const openai = new OpenAI(options), anthropic = new Anthropic(options), groq = new Groq(options);
  const clients = {
    "openai": async (got) => { for await (const chunk of await openai.chat.completions.create({ ...ask, stream: true })) got(chunk.choices[0].delta.content ?? ""); },
    "openai, final": async (got) => got(await openai.chat.completions.stream(ask).finalContent()),
    "groq": async (got) => { for await (const chunk of await groq.chat.completions.create({ ...ask, stream: true })) got(chunk.choices[0].delta.content ?? ""); },
    "anthropic": async (got) => { for await (const event of await anthropic.messages.create({ ...askAnthropic, stream: true })) got(event.delta?.text ?? ""); },
    "anthropic, final": async (got) => got(await anthropic.messages.stream(askAnthropic).finalText()),
    "ai": async (got) => {
      let failed = false;
      const model = createOpenAICompatible({ name: "c", ...options })("m");
      const result = streamText({ model, messages, maxRetries: 0, onError: () => (failed = true) });
      for await (const text of result.textStream) got(text);
      if (failed) throw new Error("reported");
    },
  };
  for (const [name, run] of Object.entries(clients)) {
    let text = "";
    const end = await run((part) => (text += part)).then(() => "success", () => "error");
    console.log(`JavaScript, ${name}, ${kind}: ${end}${end === "success" ? `, ${JSON.stringify(text)}` : ""}`);
  }
}
process.exit();
JS
cat >client.py <<'PY'
import json, sys
import anthropic as Anthropic, openai as OpenAI

ask = {"model": "m", "messages": [{"role": "user", "content": "Is there a meeting?"}]}
ask_anthropic = {**ask, "max_tokens": 9}
for kind in ["whole", "cut", "half"]:
    options = {"api_key": "k", "base_url": f"http://127.0.0.1:{sys.argv[1]}/{kind}", "max_retries": 0}
    openai, anthropic = OpenAI.OpenAI(**options), Anthropic.Anthropic(**options)
    def openai_loop(got):
        for chunk in openai.chat.completions.create(**ask, stream=True):
            got(chunk.choices[0].delta.content or "")
    def openai_final(got):
        with openai.chat.completions.stream(**ask) as stream:
            got(stream.get_final_completion().choices[0].message.content)
    def anthropic_loop(got):
        for event in anthropic.messages.create(**ask_anthropic, stream=True):
            if event.type == "content_block_delta":
                got(event.delta.text)
    def anthropic_final(got):
        with anthropic.messages.stream(**ask_anthropic) as stream:
            got(stream.get_final_text())
    for name, run in {"openai": openai_loop, "openai, final": openai_final, "anthropic": anthropic_loop, "anthropic, final": anthropic_final}.items():
        text = []
        try:
            run(text.append)
            end = f"success, {json.dumps(''.join(text))}"
        except Exception:
            end = "error"
        print(f"Python, {name}, {kind}: {end}")
PY
node server.mjs >port & server=$!
until [ -s port ]; do sleep 0.1; done
{ node client.mjs "$(<port)" 2>/dev/null; venv/bin/python client.py "$(<port)" 2>/dev/null; } | grep -E '^(JavaScript|Python), ' | tee seen
cat >expected <<'TXT'
JavaScript, ai, half: error
JavaScript, anthropic, final, half: error
JavaScript, anthropic, half: success, "The meeting is "
JavaScript, groq, half: success, "The meeting is "
JavaScript, openai, final, half: error
JavaScript, openai, half: success, "The meeting is "
Python, anthropic, final, half: success, "The meeting is "
Python, anthropic, half: success, "The meeting is "
Python, openai, final, half: success, "The meeting is "
Python, openai, half: success, "The meeting is "
TXT
diff expected <(grep half seen | LC_ALL=C sort)
[ "$(grep -c 'whole: success, "The meeting is not cancelled"' seen)" = 10 ]
[ "$(grep -c 'cut: error' seen)" = 10 ]
