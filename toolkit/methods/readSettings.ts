/** Settings of methods, read with the choices named where they do not fit. */
import { UsageError } from "../graph/errors.js";
import type { MethodContext } from "./method.js";

const refuse = (name: string, what: string, got: unknown): never => {
  throw new UsageError("method-setting", `the setting "${name}" must be ${what}, got ${String(got)}`);
};

/** Throws UsageError for settings that the method does not know. */
export function knownSettings(c: MethodContext, known: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(c.settings)) {
    if (Object.hasOwn(known, name)) continue;
    throw new UsageError("method-setting", `there is no setting "${name}"`, {
      hint: `the settings of this method are ${Object.keys(known).join(", ") || "none"}`,
    });
  }
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
