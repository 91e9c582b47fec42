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
