/** Widths of the uniformly narrowed net. */
import { withTarget } from "./cost.js";
import { fitWidths } from "./fitWidths.js";
import type { MethodContext } from "./method.js";

/**
 * Every group at the same share of its width, the largest that meets the target, snapped to candidates; where the next step of all groups
 * would cost too much, single groups take it.
 */
export const uniformWidths = (
  c: Pick<MethodContext, "cost" | "candidates">,
  target = c.cost.target,
): Map<string, number> => fitWidths(withTarget(c.cost, target), new Map(), c.candidates);
