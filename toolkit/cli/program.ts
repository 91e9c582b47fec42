/** The command line as a function: arguments and streams in, exit status out. Knows no command by name. */
import { readFileSync } from "node:fs";
import yargs from "yargs";
import { isEdgefitError, UsageError } from "../graph/errors.js";
import { toolVersion } from "../version.js";
import { colorsFor } from "./colors.js";
import { type AnyCommand, Interruption } from "./command.js";
import { EXIT_STATUS } from "./flags.js";
import { explainError, openTerminal, type Tone } from "./render.js";
import { usageError } from "./usage.js";

/** The process as a program sees it; tests pass their own. */
export interface Surroundings {
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  stderr: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}

/** Exit status of an interrupted run, as shells have it for SIGINT. */
export const INTERRUPTED = 130;

/** Runs one command line. Never throws: errors are shown and become the exit status. */
export async function runProgram(
  argv: readonly string[],
  commands: readonly AnyCommand[],
  on: Surroundings,
): Promise<number> {
  // The tone must be known before parsing ends, because parsing itself may fail.
  const tone: Tone = {
    json: argv.includes("--json"),
    quiet: argv.includes("--quiet"),
    verbose: argv.includes("--verbose"),
  };
  try {
    const result = { status: 0 };
    await parser(argv, commands, tone, on, result).parseAsync([...argv]);
    return result.status;
  } catch (e) {
    if (on.signal.aborted) {
      on.stderr.write(`edgefit: interrupted; ${e instanceof Interruption ? e.left : "nothing was written"}.\n`);
      return INTERRUPTED;
    }
    const failure = explainError(e, tone, colorsFor(on.stderr, on.env));
    on.stderr.write(`${failure.text}\n`);
    if (tone.json) on.stdout.write(`${JSON.stringify({ error: failure.fields }, null, 2)}\n`);
    return failure.exit;
  }
}

function parser(
  argv: readonly string[],
  commands: readonly AnyCommand[],
  tone: Tone,
  on: Surroundings,
  result: { status: number },
) {
  let configError: unknown;
  const y = yargs()
    .scriptName("edgefit")
    .usage(
      "$0 <command>\n\nCuts a neural network to fit a device: measures, prunes, repairs, quantises, and proves the result.",
    )
    .parserConfiguration({ "greedy-arrays": false, "camel-case-expansion": false })
    .detectLocale(false)
    .exitProcess(false)
    .wrap(Math.min(110, Math.max(60, on.stdout.columns ?? 100)))
    .strict()
    .recommendCommands()
    .demandCommand(1, "Missing command")
    .option("json", { type: "boolean", describe: "one JSON value on stdout, everything else on stderr" })
    .option("quiet", { type: "boolean", describe: "no progress, remarks or warnings" })
    .option("verbose", { type: "boolean", describe: "stack traces of errors and the runtime's own messages" })
    .config("config", "a JSON file with flags by their names", (path) => {
      try {
        return readConfig(path);
      } catch (e) {
        configError = e; // yargs keeps the message only
        throw e;
      }
    })
    .completion("completion", "Print a completion script for bash or zsh")
    .version(toolVersion())
    .epilogue(EXIT_STATUS)
    .group(["help", "version", "config", "json", "quiet", "verbose"], "General:")
    .fail((message, error) => {
      if (configError) throw configError;
      if (message === "Missing command")
        throw new UsageError("missing-command", "say what to do", { hint: "see edgefit --help" });
      throw isEdgefitError(error) || (error && error.name !== "YError")
        ? error
        : usageError(error?.message ?? message, argv, commands);
    });
  const add = (c: AnyCommand) =>
    y.command({
      command: c.command,
      describe: c.describe,
      builder: c.builder,
      async handler(flags) {
        refuseTwice(flags);
        // A config file may set the tone too.
        const { json, quiet, verbose } = flags as Tone;
        Object.assign(tone, { json, quiet, verbose });
        const terminal = openTerminal(tone, on.stdout, on.stderr, on.env);
        try {
          const exitWith = (status: number): void => {
            result.status = status;
          };
          await c.run(flags, { terminal, signal: on.signal, exitWith });
        } finally {
          terminal.end();
        }
      },
    });
  for (const c of commands) add(c);
  return y;
}

/** yargs gathers a repeated flag into a list; only --dim, --set, --mean and --std may be lists. */
function refuseTwice(flags: Record<string, unknown>): void {
  const lists = new Set(["_", "dim", "mean", "std", "models", "names", "set"]);
  for (const [name, value] of Object.entries(flags)) {
    if (Array.isArray(value) && !lists.has(name)) {
      throw new UsageError("flag-twice", `the flag was given ${value.length} times`, {
        where: `--${name}`,
        hint: "give it once",
      });
    }
  }
}

function readConfig(path: string): Record<string, unknown> {
  const fail = (what: string, cause?: unknown) =>
    new UsageError("config-file", what, {
      where: path,
      hint: 'write one object, e.g. {"budget": "60%", "device": "local"}',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException;
    throw code === "ENOENT" ? fail("there is no such file", e) : fail(`the file cannot be read as JSON: ${message}`, e);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw fail("the file holds no JSON object");
  return value as Record<string, unknown>;
}
