// Runs commands of Netlify's own command line, one after another, in one process: to load it costs more than they do.
//
// Arguments: the folder of netlify-cli. Input: a command a line, as a JSON array. Output: a line of JSON for each.
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const words = []; // of the current command: modules take a copy of the arguments when they are loaded
process.argv.slice = () => words;

const module = (name) => import(pathToFileURL(join(process.argv[2], "dist", name)));
const { createMainCommand } = await module("commands/main.js");
const { runProgram } = await module("utils/run-program.js");

class Exit extends Error {}

const answer = process.stdout.write.bind(process.stdout);
const said = {};
for (const stream of ["stdout", "stderr"]) {
  process[stream].write = (text, encoding, done) => {
    said[stream] += text;
    (typeof encoding === "function" ? encoding : done)?.();
    return true;
  };
}
process.exit = (code) => {
  process.exitCode = code ?? process.exitCode ?? 0;
  throw new Exit();
};

async function run(argv) { // as bin/run.js does
  const program = createMainCommand();
  try {
    await runProgram(program, argv);
    await program.onEnd();
  } catch (error) {
    if (error instanceof Exit) throw error;
    await program.onEnd(error);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  Object.assign(said, { stdout: "", stderr: "" });
  process.exitCode = 0;
  words.splice(0, words.length, ...JSON.parse(line));
  process.argv = [process.argv[0], "netlify", ...words];
  try {
    await run(process.argv);
  } catch (error) {
    if (!(error instanceof Exit)) throw error;
  }
  answer(`${JSON.stringify({ code: process.exitCode, ...said })}\n`);
}
