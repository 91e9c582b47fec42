/** Softmax and relatives, in both meanings that the operator has had. */
import { attrInt, type OpNode } from "../graph/graph.js";
import { axisOf, inputType } from "./dims.js";
import { logSoftmaxGradient, softmaxGradient } from "./linearGradient.js";
import { passAxes } from "./links.js";
import type { OpRule } from "./rule.js";

const why = "normalises over it, so removing one channel changes the others";

/** Opset < 13: the input is seen as a matrix, all axes from `axis` (default 1) on are normalised together. */
const flattened: OpRule = {
  since: 1,
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    const axis = axisOf(n, attrInt(n, "axis", 1), c.dims(n.inputs[0]).length);
    passAxes((k) => k < axis, why)(n, c);
  },
};

/** Opset >= 13: one axis (default the last) is normalised. */
const along: OpRule = {
  since: 13,
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    const axis = softmaxAxis(n, c.dims(n.inputs[0]).length);
    passAxes((k) => k !== axis, why)(n, c);
  },
};

/** The normalised axis of the opset 13 form. */
export const softmaxAxis = (n: OpNode, rank: number): number => axisOf(n, attrInt(n, "axis", -1), rank);

export const rules = {
  Softmax: [{ ...flattened }, { ...along, gradient: softmaxGradient }],
  LogSoftmax: [{ ...flattened }, { ...along, gradient: logSoftmaxGradient }],
  Hardmax: [{ ...flattened }, { ...along }],
} satisfies Record<string, OpRule | OpRule[]>;
