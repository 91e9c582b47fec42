/** Softmax and relatives, in both meanings that the operator has had. */
import { attrInt, type OpNode } from "../graph/graph.js";
import { axisOf, inputType } from "./dims.js";
import { logSoftmaxGradient, softmaxGradient } from "./linearGradient.js";
import { sameIdsAsFirst } from "./links.js";
import { fillRemoved } from "./overKept.js";
import type { OpRule } from "./rule.js";

/**
 * A cut net takes the maximum and the sum over the channels that are left, as if the removed ones were minus infinity; a
 * finite stand-in keeps the logarithm of what they become finite.
 */
const overWhatIsLeft = fillRemoved(-1e30);

/** Opset < 13: the input is seen as a matrix, all axes from `axis` (default 1) on are normalised together. */
const flattened: OpRule = {
  since: 1,
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    const rank = c.dims(n.inputs[0]).length;
    for (let axis = axisOf(n, attrInt(n, "axis", 1), rank); axis < rank; axis++) c.renormalise(0, axis);
    sameIdsAsFirst(n, c);
  },
  overKept: overWhatIsLeft,
};

/** Opset >= 13: one axis (default the last) is normalised. */
const along: OpRule = {
  since: 13,
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    c.renormalise(0, softmaxAxis(n, c.dims(n.inputs[0]).length));
    sameIdsAsFirst(n, c);
  },
  overKept: overWhatIsLeft,
};

/** The normalised axis of the opset 13 form. */
export const softmaxAxis = (n: OpNode, rank: number): number => axisOf(n, attrInt(n, "axis", -1), rank);

export const rules = {
  Softmax: [{ ...flattened }, { ...along, gradient: softmaxGradient }],
  LogSoftmax: [{ ...flattened }, { ...along, gradient: logSoftmaxGradient }],
  Hardmax: [{ ...flattened }, { ...along }],
} satisfies Record<string, OpRule | OpRule[]>;
