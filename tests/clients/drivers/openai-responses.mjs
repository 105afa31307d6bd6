import OpenAI from "openai";
import { drive, end, leaving, piece, prompt, url } from "./common.mjs";

await drive(async () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const stream = client.responses.stream({ model: "m", input: prompt }, { signal: leaving.signal });
  stream.on("response.output_text.delta", (event) => piece(event.delta));
  const final = await stream.finalResponse();
  end({ whole: final.output_text });
});
