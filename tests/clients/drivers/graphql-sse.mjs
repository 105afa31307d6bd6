import { createClient } from "graphql-sse";
import { drive, end, failed, piece, prompt, url } from "./common.mjs";

await drive(() => new Promise((done) => {
  const client = createClient({ url: `${url}/graphql`, retryAttempts: 0 });
  const query = "subscription ($prompt: String!) { tokens(prompt: $prompt) }";
  let whole = "";
  const leave = client.subscribe({ query, variables: { prompt } }, {
    next({ data, errors }) {
      if (errors) return failed(new Error(errors[0].message));
      whole += data.tokens;
      if (piece(data.tokens)) { leave(); done(); }
    },
    error(error) { failed(error); done(); },
    complete() { end({ whole }); done(); },
  });
}));
