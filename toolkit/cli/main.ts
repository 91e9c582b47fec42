#!/usr/bin/env node
/** The program `edgefit`: joins the command line to this process. */
import { commands } from "./commands.js";
import { INTERRUPTED, runProgram } from "./program.js";

const controller = new AbortController();

// The first Ctrl-C asks the work to stop and clean up; the second, or ten seconds of waiting, ends the process.
const interrupt = () => {
  if (controller.signal.aborted) process.exit(INTERRUPTED);
  controller.abort(new Error("interrupted"));
  setTimeout(() => process.exit(INTERRUPTED), 10_000).unref();
};
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

// `edgefit ... | head` closes stdout early: there is nobody left to tell.
process.stdout.on("error", (e: NodeJS.ErrnoException) => {
  if (e.code !== "EPIPE") throw e;
});

process.exitCode = await runProgram(process.argv.slice(2), commands, {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: controller.signal,
});
