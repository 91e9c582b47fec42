/** Everything that a command shows: results on stdout, the rest on stderr. No other part of edgefit prints. */
import { inspect } from "node:util";
import { isEdgefitError } from "../graph/errors.js";
import type { Progress } from "../graph/progress.js";
import { type Colors, colorsFor } from "./colors.js";
import { progressBar, progressLines, type StageProgress } from "./progress.js";

type Stream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** How a command wants to be heard. */
export interface Tone {
  /** One JSON value on stdout instead of text. */
  json?: boolean;
  /** Nothing but results and errors. */
  quiet?: boolean;
  /** Stack traces and the runtime's own lines. */
  verbose?: boolean;
}

export interface Terminal {
  /** A result: `text` (made only when needed) for people, or `value` under --json. */
  result(text: (colors: Colors) => string, value: unknown): void;
  /** One of many results, as one line on stdout, at once. */
  line(text: string): void;
  /** A remark on the way. */
  note(text: string): void;
  warn(text: string): void;
  /** A line of the runtime; absent without --verbose. */
  log?: (line: string) => void;
  progress: Progress;
  /** Removes an unfinished progress bar. */
  end(): void;
}

/** A terminal on two streams. */
export function openTerminal(tone: Tone, stdout: Stream, stderr: Stream, env: NodeJS.ProcessEnv): Terminal {
  const out = colorsFor(stdout, env);
  const err = colorsFor(stderr, env);
  const line = (text: string) => stderr.write(`${text}\n`);
  const stages: StageProgress | undefined = tone.quiet
    ? undefined
    : stderr.isTTY
      ? progressBar(stderr, err)
      : progressLines(line);
  const aside = (text: string) => {
    stages?.end();
    line(text);
  };
  return {
    result(text, value) {
      stages?.end();
      stdout.write(tone.json ? `${JSON.stringify(value, null, 2)}\n` : `${text(out)}\n`);
    },
    line: (text) => {
      stages?.end();
      stdout.write(`${text}\n`);
    },
    note: (text) => tone.quiet || aside(err.dim(text)),
    warn: (text) => tone.quiet || aside(`${err.yellow("warning:")} ${text}`),
    ...(tone.verbose ? { log: (text: string) => aside(err.dim(text)) } : {}),
    progress: (e) => stages?.update(e),
    end: () => stages?.end(),
  };
}

/** What an error becomes: the exit status, the line for people, and the fields for programs. */
export interface Failure {
  exit: number;
  text: string;
  fields: { code: string; message: string; where?: string; hint?: string; [extra: string]: unknown };
}

/** `edgefit: where: what. Hint.` An error that is not the user's to read is named as a bug; --verbose adds the stack. */
export function explainError(e: unknown, tone: Tone, colors: Colors): Failure {
  const known = isEdgefitError(e) ? e : systemError(e);
  const message = known ? known.message : `unexpected error: ${e instanceof Error ? e.message : String(e)}`;
  const where = known?.where;
  const hint =
    known === undefined
      ? `this is a bug in edgefit, please report it${tone.verbose ? "" : "; --verbose shows where it happened"}`
      : known.hint;
  const parts = [
    colors.red("edgefit:"),
    where ? `${where}:` : "",
    sentence(message),
    hint ? sentence(capital(hint)) : "",
  ];
  const stack = tone.verbose ? `\n${inspect(e, { colors: colors.isColorSupported, depth: 3 })}` : "";
  const extra = isEdgefitError(e) && "fastestMs" in e ? { fastestMs: e.fastestMs } : {};
  return {
    exit: known?.exit ?? 1,
    text: parts.filter(Boolean).join(" ") + stack,
    fields: {
      code: known?.code ?? "unexpected",
      message,
      ...(where === undefined ? {} : { where }),
      ...(hint === undefined ? {} : { hint }),
      ...extra,
    },
  };
}

const sentence = (text: string): string => (/[.!?]$/.test(text.trim()) ? text.trim() : `${text.trim()}.`);

/** Capital first letter, unless the hint begins with a flag or a name in another case. */
const capital = (text: string): string => (/^[a-z]+[ ,:;]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text);

type Facts = { code: string; exit: number; message: string; where?: string; hint?: string };

/** Errors of the file system in words: `ENOENT: no such file or directory, open 'x'` -> `x: no such file or directory`. */
function systemError(e: unknown): Facts | undefined {
  const { code, syscall, path, message } = e as Partial<NodeJS.ErrnoException>;
  if (!code || !syscall || !path || !message) return undefined;
  const reason = /^[A-Z0-9]+: ([^,]+)/.exec(message)?.[1] ?? message;
  return { code: code.toLowerCase(), exit: 1, message: reason, where: path };
}
