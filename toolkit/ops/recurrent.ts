/** Recurrent layers: RNN, GRU, LSTM. */
import { attrInt, type Dim, type OpNode, type ValueType } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { inputDims, inputType } from "./dims.js";
import { linkRecurrent, resizeRecurrent } from "./recurrentLinks.js";
import type { OpRule, ShapeContext } from "./rule.js";

/**
 * Outputs: every step, the last step, and (LSTM) the last cell. X is [steps, batch, inputs], or with layout 1 (opset 14)
 * [batch, steps, inputs]; R is [directions, gates * hidden, hidden].
 */
function recurrentShape(n: OpNode, c: ShapeContext): ValueType[] {
  const { elemType } = inputType(n, c, 0);
  const [x, r] = [inputDims(n, c, 0), inputDims(n, c, 2)];
  const batchFirst = attrInt(n, "layout", 0) === 1;
  const [steps, batch] = batchFirst ? [x[1], x[0]] : [x[0], x[1]];
  const directions = r[0];
  const hidden: Dim = n.attributes.hidden_size ? attrInt(n, "hidden_size", 0) : r[2];
  const all = batchFirst ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
  const last = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  return n.outputs.map((_, i) => ({ elemType, dims: i === 0 ? all : last }));
}

const recurrent = (gates: number): OpRule => ({
  shape: recurrentShape,
  // Every step multiplies the input and the state of each sample with both weights.
  macs: (n, [x, w, r]) => {
    const samples = x[0] * x[1];
    return samples * (sizeOf(w) + sizeOf(r)) + (n.inputs[3] ? samples * w[0] * w[1] : 0);
  },
  channels: linkRecurrent(gates),
  resize: resizeRecurrent,
});

export const rules = {
  RNN: recurrent(1),
  GRU: recurrent(3),
  LSTM: recurrent(4),
} satisfies Record<string, OpRule | OpRule[]>;
