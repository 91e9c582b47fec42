/** Scaling rules that several operator families share: how positive factors on channels get past an operator. */
import type { ScalingRule } from "./rule.js";

/** f(s x) = s f(x) for s > 0: moves, averages, maxima, linear interpolation, leaky rectifiers. */
export const commutes: ScalingRule = { kind: "commutes" };

/** f(x - c) = f(x) - c besides, wherever x lies. */
export const commutesWithShifts: ScalingRule = { kind: "commutes", shifts: () => true };

/** Elements stay in order and get other dims. */
export const reshapes: ScalingRule = { kind: "reshapes" };

/** The sum of any number of inputs, constants among them. */
export const sums: ScalingRule = { kind: "sums" };
