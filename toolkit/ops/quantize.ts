/** QuantizeLinear and DequantizeLinear. */
import { attrInt, type OpNode, type ValueType } from "../graph/graph.js";
import { axisOf, inputType } from "./dims.js";
import { elemTypeAttribute } from "./elemTypes.js";
import { passAxes, tieAxis } from "./links.js";
import type { ChannelContext, OpRule } from "./rule.js";

/** Scales and zero points per channel are cut along with the channels. */
function quantIds(n: OpNode, c: ChannelContext): void {
  const [x, ...parameters] = n.inputs;
  const scale = c.dims(n.inputs[1]);
  if (scale.length > 1) {
    passAxes(() => false, "quantises it in blocks")(n, c);
    return;
  }
  const axis = scale.length === 1 && scale[0] > 1 ? axisOf(n, attrInt(n, "axis", 1), c.dims(x).length) : undefined;
  const ids = axis === undefined ? null : c.ids(x)[axis];
  if (ids) for (const p of parameters) if (p) tieAxis(n, c, p, 0, ids, "takes its scale from");
  passAxes(() => true, "")(n, c);
}

const QuantizeLinear: OpRule = {
  shape: (n, c): ValueType[] => {
    const { dims } = inputType(n, c, 0);
    return [{ elemType: c.input(2)?.elemType ?? elemTypeAttribute(n, "output_dtype", "uint8"), dims }];
  },
  channels: quantIds,
};

const DequantizeLinear: OpRule = {
  shape: (n, c) => [{ elemType: inputType(n, c, 1).elemType, dims: inputType(n, c, 0).dims }],
  channels: quantIds,
};

export const rules = { QuantizeLinear, DequantizeLinear } satisfies Record<string, OpRule | OpRule[]>;
