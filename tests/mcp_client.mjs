// A client of the TypeScript SDK: COMMAND ARGUMENTS…; prints what the tools answer, as one JSON document.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [packages, calls, command, ...args] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/client/${name}`)));
const { Client } = await load("index.js");
const { StdioClientTransport } = await load("stdio.js");

const client = new Client({ name: "node-agent", version: "3.4" });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const { tools } = await client.listTools();
const answers = [];
for (const { name, arguments: given } of JSON.parse(calls)) {
  answers.push(await client.callTool({ name, arguments: given }).catch((error) => ({ code: error.code, message: error.message })));
}
console.log(JSON.stringify({ server: client.getServerVersion(), tools, answers }));
await client.close();
