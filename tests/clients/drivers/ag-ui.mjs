import { HttpAgent } from "@ag-ui/client";
import { drive, end, failed, piece, prompt, url } from "./common.mjs";

await drive(async () => {
  const initialMessages = [{ id: "u1", role: "user", content: prompt }];
  const agent = new HttpAgent({ url: `${url}/agent`, initialMessages });
  let error;
  await agent.runAgent({}, {
    onTextMessageContentEvent({ event }) { if (piece(event.delta)) agent.abortRun(); },
    onRunErrorEvent({ event }) { error = new Error(`RUN_ERROR ${event.message}`); },
    onRunFailed(failure) { error ??= failure.error; },
  }).catch((failure) => { error ??= failure; });  // the connection is cut behind RUN_ERROR
  if (error) failed(error);
  else end({ whole: agent.messages.at(-1).content });
});
