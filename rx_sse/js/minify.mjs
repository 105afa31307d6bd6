// Makes rx_sse.min.js of rx_sse.js:  npm install --no-save @swc/core@1.16.22 && node minify.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { minify } from "@swc/core";

const source = readFileSync(new URL("rx_sse.js", import.meta.url), "utf-8");
const { code } = await minify(source, { module: true, ecma: 2022, compress: { passes: 3 }, mangle: true });
writeFileSync(new URL("rx_sse.min.js", import.meta.url), code);
