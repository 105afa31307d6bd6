// One call of an SDK; what it makes of the stream goes to stdout, a line of JSON for each piece.
import { HttpAgent } from "@ag-ui/client";
import { DefaultChatTransport } from "ai";
import { createClient } from "graphql-sse";
import OpenAI from "openai";

const [, , sdk, url, how, leaves] = process.argv;
const say = (...what) => console.log(JSON.stringify(what));
const query = `?how=${how}`;
const leaving = new AbortController();
const piece = (text) => { say("text", text); if (leaves) leaving.abort(); };

const calls = {
  async openai() {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "x", maxRetries: 0, defaultQuery: { how } });
    const messages = [{ role: "user", content: "?" }];
    const stream = client.chat.completions.stream({ model: "m", messages }, { signal: leaving.signal });
    stream.on("content", piece);
    return (await stream.finalChatCompletion()).choices[0].message.content;
  },
  async ai() {
    const transport = new DefaultChatTransport({ api: `${url}/ai${query}` });
    const messages = [{ id: "1", role: "user", parts: [{ type: "text", text: "?" }] }];
    const stream = await transport.sendMessages(
      { chatId: "c", messages, trigger: "submit-message", abortSignal: leaving.signal });
    let text = "", finished = false;
    for await (const chunk of stream) {  // as useChat takes them
      if (chunk.type == "error") throw new Error(chunk.errorText);
      if (chunk.type == "text-delta") piece(text += chunk.delta);
      finished ||= chunk.type == "finish";
    }
    if (!finished) throw new Error("incomplete");
    return text;
  },
  async "ag-ui"() {
    const agent = new HttpAgent({ url: `${url}/ag-ui${query}` });
    let failure;
    const subscriber = {
      onTextMessageContentEvent: ({ event }) => { say("text", event.delta); if (leaves) agent.abortRun(); },
      onRunErrorEvent: ({ event }) => { failure = new Error(event.message); },
    };
    try {
      const { newMessages } = await agent.runAgent({ runId: "r" }, subscriber);
      if (!failure) return newMessages[0].content;
    } catch (error) {
      failure ??= error;  // the cut, where no RUN_ERROR came before it
    }
    throw failure;
  },
  "graphql-sse"() {
    const client = createClient({ url: `${url}/graphql${query}`, retryAttempts: 0 });
    return new Promise((resolve, reject) => {
      let text = "";
      const stop = client.subscribe({ query: "subscription { word }" }, {
        next: ({ data, errors }) => {
          if (errors) return reject(new Error(errors[0].message));
          text += data.word;
          piece(text);
          if (leaves) { stop(); reject(new Error("left")); }
        },
        error: reject,
        complete: () => resolve(text),
      });
    });
  },
};

try {
  say("whole", await calls[sdk]());
} catch (error) {
  say("error", String(error?.message ?? error));
}
process.exit(0);
