// In Node: commands come in lines, and so do the answers. Arguments: the folders of rx_sse.js and of node_modules.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { commanded } from "./clients.mjs";

const [rx_sse, modules] = process.argv.slice(2).map((folder) => pathToFileURL(folder + "/").href);
const load = (path) => import(path.replace("/rx_sse/", rx_sse).replace("/node_modules/", modules));
const command = commanded(load, (told) => process.stdout.write(JSON.stringify(told) + "\n"));
for await (const line of createInterface({ input: process.stdin })) command(JSON.parse(line));
process.exit();
