import OpenAI from "openai";
import { drive, end, leaving, piece, prompt, url } from "./common.mjs";

await drive(async () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const messages = [{ role: "user", content: prompt }];
  const stream = client.chat.completions.stream({ model: "m", messages }, { signal: leaving.signal });
  stream.on("content", (text) => piece(text));
  const final = await stream.finalChatCompletion();
  end({ whole: final.choices[0].message.content });
});
