/** The program of a bundle: the command line with the agent alone. */
import { boardAgent } from "./joinHub.js";
import { INTERRUPTED, runProgram } from "./program.js";

const controller = new AbortController();
const interrupt = () => {
  if (controller.signal.aborted) process.exit(INTERRUPTED);
  controller.abort(new Error("interrupted"));
};
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

process.exitCode = await runProgram(["agent", ...process.argv.slice(2)], [boardAgent], {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: controller.signal,
});
