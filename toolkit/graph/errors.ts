/**
 * The shape every user-facing error of edgefit has. Errors are recognised by these fields, never by `instanceof`:
 * they cross worker and socket boundaries by structured clone, where classes do not survive.
 */
export interface ErrorFacts {
  /** Stable, greppable identifier such as `channels-mismatch`. */
  code: string;
  /** Process exit status: 1 for an error, 2 for a missed budget. */
  exit: number;
  /** What the sentence is about: a file, a node, a flag. */
  where?: string;
  /** What the reader can do about it. */
  hint?: string;
}

/** Base of the errors that are the user's to read: one sentence, a place, a remedy. */
export class EdgefitError extends Error implements ErrorFacts {
  readonly code: string;
  readonly exit: number;
  readonly where?: string;
  readonly hint?: string;

  constructor(
    code: string,
    message: string,
    facts: { where?: string; hint?: string; exit?: number; cause?: unknown } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.code = code;
    this.exit = facts.exit ?? 1;
    if (facts.where !== undefined) this.where = facts.where;
    if (facts.hint !== undefined) this.hint = facts.hint;
  }
}

/** The model file or graph is malformed, or asks for something that edgefit cannot do to it. */
export class ModelError extends EdgefitError {}

/** A flag or option is wrong. */
export class UsageError extends EdgefitError {}

/** No model within the latency budget could be made. Exit status 2. */
export class BudgetError extends EdgefitError {
  /** Fastest latency that was reached, in milliseconds. */
  readonly fastestMs: number;

  constructor(message: string, facts: { fastestMs: number; where?: string; hint?: string }) {
    super("budget-missed", message, { ...facts, exit: 2 });
    this.fastestMs = facts.fastestMs;
  }
}

/** True for any value that carries the fields of `ErrorFacts`, whatever side of a process boundary it was made on. */
export function isEdgefitError(e: unknown): e is Error & ErrorFacts {
  return (
    e instanceof Error &&
    typeof (e as Partial<ErrorFacts>).code === "string" &&
    typeof (e as Partial<ErrorFacts>).exit === "number"
  );
}
