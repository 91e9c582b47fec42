/** What a command is: a declaration of flags and one call into the library. */
import type { Argv } from "yargs";
import type { Terminal } from "./render.js";

/** What a running command may touch. */
export interface Context {
  terminal: Terminal;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** Sets the exit status of a command that did its work; 0 unless set. */
  exitWith(status: number): void;
}

export interface Command<Flags> {
  /** In yargs' form: `fit <model>`. */
  command: string;
  describe: string;
  /** Declares the flags, and examples for `--help`. */
  builder(y: Argv): Argv<Flags>;
  /** Calls the library and shows what it returns. */
  run(flags: Flags, context: Context): Promise<void>;
}

/** Thrown by a command that was interrupted and left something behind that the next run can use. */
export class Interruption extends Error {
  constructor(
    /** What was left and how to go on, as a sentence without its full stop. */
    readonly left: string,
    cause: unknown,
  ) {
    super("interrupted", { cause });
  }
}

/** The flags that a builder declares. */
export type FlagsOf<Builder extends (y: Argv) => unknown> = ReturnType<Builder> extends Argv<infer F> ? F : never;

/** A command in a list of several; its flags are known to itself only. */
// biome-ignore lint/suspicious/noExplicitAny: yargs parses what the command declared, so the types meet at run time
export type AnyCommand = Command<any>;
