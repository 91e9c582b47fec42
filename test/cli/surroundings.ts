/** A command line with streams that are kept as text. */
import { Writable } from "node:stream";
import type { Argv } from "yargs";
import type { AnyCommand, Command, Context } from "../../toolkit/cli/command.js";
import { runProgram } from "../../toolkit/cli/program.js";

class Kept extends Writable {
  text = "";
  constructor(readonly isTTY: boolean) {
    super();
  }
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs one command line in this process. */
export async function runLine(
  argv: readonly string[],
  commands: readonly AnyCommand[],
  o: { tty?: boolean; env?: NodeJS.ProcessEnv; signal?: AbortSignal } = {},
): Promise<Outcome> {
  const stdout = new Kept(o.tty ?? false);
  const stderr = new Kept(o.tty ?? false);
  const signal = o.signal ?? new AbortController().signal;
  const status = await runProgram(argv, commands, { stdout, stderr, env: o.env ?? {}, signal });
  return { status, stdout: stdout.text, stderr: stderr.text };
}

/** A command `cut <model>` with a few flags, that does what the test says. */
export function fakeCommand(
  run: (flags: Record<string, unknown>, context: Context) => Promise<void> | void,
  declare: (y: Argv) => Argv<unknown> = (y) => y,
): Command<Record<string, unknown>> {
  return {
    command: "cut <model>",
    describe: "Cut a model",
    builder: (y) =>
      declare(y)
        .positional("model", { type: "string", demandOption: true })
        .option("budget", { type: "string", requiresArg: true })
        .option("level", { choices: ["low", "high"] as const })
        .option("dim", { type: "string", array: true }) as unknown as Argv<Record<string, unknown>>,
    run: async (flags, context) => run(flags, context),
  };
}
