/** Settings of methods, read with the choices named where they do not fit. */
import { UsageError } from "../graph/errors.js";
import type { MethodContext, PruningMethod } from "./method.js";

const refuse = (name: string, what: string, got: unknown): never => {
  throw new UsageError("method-setting", `the setting "${name}" must be ${what}, got ${String(got)}`);
};

/** Throws UsageError for settings that the method does not know. */
export function knownSettings(method: PruningMethod, settings: MethodContext["settings"]): void {
  const known = Object.keys(method.settings ?? {});
  const odd = Object.keys(settings).find((name) => !known.includes(name));
  if (odd === undefined) return;
  throw new UsageError("method-setting", `${method.name} has no setting "${odd}"`, {
    hint: known.length > 0 ? `its settings are ${known.join(", ")}` : "it has none",
  });
}

/** A number within bounds, both included. */
export function numberSetting(
  c: MethodContext,
  name: string,
  otherwise: number,
  { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY, whole = false } = {},
): number {
  const value = c.settings[name] ?? otherwise;
  const fits = typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value));
  if (!fits) refuse(name, `a ${whole ? "whole " : ""}number from ${least} to ${most}`, value);
  return value as number;
}

export function flagSetting(c: MethodContext, name: string, otherwise: boolean): boolean {
  const value = c.settings[name] ?? otherwise;
  if (typeof value !== "boolean") refuse(name, "true or false", value);
  return value as boolean;
}

export function choiceSetting<T extends string>(c: MethodContext, name: string, choices: readonly T[]): T {
  const value = c.settings[name] ?? choices[0];
  if (!choices.includes(value as T)) refuse(name, `one of ${choices.join(", ")}`, value);
  return value as T;
}
