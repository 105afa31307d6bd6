import { JSDOM } from "jsdom";
import { drive, end, failed, piece, prompt, url } from "./common.mjs";

const { window } = new JSDOM("<!doctype html><main></main>", { url });
Object.assign(globalThis, { window, document: window.document });
globalThis.navigator ??= window.navigator;  // Node has one from 21 on

await drive(async () => {
  const { createElement, useEffect } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const { useChat } = await import("@ai-sdk/react");
  const { DefaultChatTransport } = await import("ai");
  await new Promise((done) => {
    const transport = new DefaultChatTransport({ api: `${url}/api/chat` });
    let shown = "";

    function Chat() {
      const { messages, sendMessage, status, stop } = useChat({
        transport,
        onError: (error) => { failed(error); done(); },
        onFinish: ({ message, isAbort, isDisconnect, isError }) => {
          if (!isAbort && !isDisconnect && !isError) end({ whole: text(message) });
          done();
        },
      });
      useEffect(() => { sendMessage({ text: prompt }); }, []);
      const answer = text(messages.at(-1));
      useEffect(() => {
        if (messages.at(-1)?.role !== "assistant" || answer === shown) return;
        // React may show two pieces at once.
        const news = answer.slice(shown.length).match(/\S+\s*/g) ?? [];
        shown = answer;
        if (news.some((word) => piece(word))) stop();
      }, [answer]);
      return createElement("p", null, `${status}: ${answer}`);
    }
    createRoot(window.document.querySelector("main")).render(createElement(Chat));
  });
  process.exit();
});

function text(message) {
  return (message?.parts ?? []).filter((part) => part.type === "text").map((part) => part.text).join("");
}
