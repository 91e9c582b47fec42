/** Errors of devices and their runtimes. Same fields as the toolkit's errors, recognised by those fields and not by class. */
export class DeviceError extends Error {
  readonly code: string;
  readonly exit = 1;
  readonly where?: string;
  readonly hint?: string;

  constructor(code: string, message: string, facts: { where?: string; hint?: string; cause?: unknown } = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "DeviceError";
    this.code = code;
    if (facts.where !== undefined) this.where = facts.where;
    if (facts.hint !== undefined) this.hint = facts.hint;
  }
}

/** A DeviceError as plain data: what crosses a process or socket boundary. */
export interface ErrorData {
  code: string;
  message: string;
  where?: string;
  hint?: string;
}

/** The facts of any error, for sending. An error without a code becomes `fallbackCode`. */
export function toErrorData(e: unknown, fallbackCode: string): ErrorData {
  const error: Error & Partial<ErrorData> = e instanceof Error ? e : new Error(String(e));
  const data: ErrorData = { code: typeof error.code === "string" ? error.code : fallbackCode, message: error.message };
  if (typeof error.where === "string") data.where = error.where;
  if (typeof error.hint === "string") data.hint = error.hint;
  return data;
}

/** The error again, on the receiving side. */
export const fromErrorData = (d: ErrorData): DeviceError =>
  new DeviceError(d.code, d.message, { where: d.where, hint: d.hint });
