/** Colours where people read them. */
import pc from "picocolors";

export type Colors = ReturnType<typeof pc.createColors>;

/** On a terminal that has not asked for none (NO_COLOR), and anywhere under FORCE_COLOR. */
export function colorsFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): Colors {
  if (env.NO_COLOR) return pc.createColors(false);
  return pc.createColors(Boolean(env.FORCE_COLOR) || (stream.isTTY === true && env.TERM !== "dumb"));
}
