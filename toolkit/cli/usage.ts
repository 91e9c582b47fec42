/** yargs' complaints about a command line in the words of edgefit's errors. */
import { UsageError } from "../graph/errors.js";
import type { AnyCommand } from "./command.js";

/** A UsageError from yargs' message. `argv` is the command line as it was typed. */
export function usageError(message: string, argv: readonly string[], commands: readonly AnyCommand[]): UsageError {
  const command = argv.find((a) => !a.startsWith("-"));
  const help = `see edgefit${command ? ` ${command}` : ""} --help`;
  const meant = /^Did you mean (.+)\?$/.exec(message);
  if (meant)
    return new UsageError("unknown-command", `there is no command "${command}"`, { hint: `did you mean ${meant[1]}?` });
  const unknown = /^Unknown (?:argument|command)s?: (.+)$/.exec(message);
  if (unknown) {
    // yargs lists a flag under all its spellings, and does not say which of them was typed.
    const typed = unknown[1].split(", ").map((name) => argv.find((a) => isFlag(a, name)) ?? name);
    const [first] = typed;
    if (first === command) {
      return new UsageError("unknown-command", `there is no command "${first}"`, { hint: "see edgefit --help" });
    }
    const what = first.startsWith("-") ? "there is no such flag" : "this argument is one too many";
    return new UsageError("unknown-argument", what, { where: first.replace(/=.*/, ""), hint: help });
  }
  const value = /^Not enough arguments following: (.+)$/.exec(message);
  if (value) return new UsageError("missing-value", "the flag needs a value", { where: `--${value[1]}`, hint: help });
  const required = /^Missing required arguments?: (.+)$/.exec(message);
  if (required) {
    const flags = required[1].split(", ").map((name) => `--${name}`);
    return new UsageError("missing-flag", `${flags.join(" and ")} must be given`, { hint: help });
  }
  if (/^Not enough non-option arguments/.test(message)) {
    const form = commands.find((c) => c.command.split(" ")[0] === command)?.command;
    return new UsageError("missing-argument", `an argument is missing, the form is edgefit ${form ?? "<command>"}`, {
      hint: help,
    });
  }
  const choice = /Argument: (\S+), Given: "?(.*?)"?, Choices: (.+)/.exec(message);
  if (choice) {
    return new UsageError("choice", `"${choice[2]}" is not one of the choices`, {
      where: `--${choice[1]}`,
      hint: `choose ${choice[3].replaceAll('"', "")}`,
    });
  }
  return new UsageError("usage", message, { hint: help });
}

const isFlag = (typed: string, name: string): boolean =>
  typed.replace(/^--?(no-)?/, "").replace(/=.*/, "") === name && typed.startsWith("-");
