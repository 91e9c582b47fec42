/** QuantizeLinear and DequantizeLinear. */
import { attrInt, type OpNode, type ValueType } from "../graph/graph.js";
import { fromNumbers, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { axisOf, checkPerChannel, inputType } from "./dims.js";
import { elemTypeAttribute } from "./elemTypes.js";
import { passAxes, tieAxis } from "./links.js";
import { dequantizeLinearGradient, quantizeLinearGradient } from "./quantizeGradient.js";
import type { ChannelContext, OpRule, ShapeContext } from "./rule.js";

/** One scale and one zero point, or as many as the axis has places. */
function checkScales(n: OpNode, c: ShapeContext): void {
  const { dims } = inputType(n, c, 0);
  for (const i of [1, 2]) {
    const own = c.input(i)?.dims;
    if (dims && own?.length === 1 && own[0] !== 1)
      checkPerChannel(n, c, i, dims[axisOf(n, attrInt(n, "axis", 1), dims.length)]);
  }
}

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
  gradient: quantizeLinearGradient,
  parameters: [
    { input: 0, decay: true },
    { input: 1, decay: false },
  ],
  shape: (n, c): ValueType[] => {
    const { dims } = inputType(n, c, 0);
    checkScales(n, c);
    return [{ elemType: c.input(2)?.elemType ?? elemTypeAttribute(n, "output_dtype", "uint8"), dims }];
  },
  channels: quantIds,
};

/** (x - zero point) * scale, with one scale or one per place on `axis`; undefined for scales in blocks. */
function dequantized(n: OpNode, x: Tensor, scale: Tensor, zeroPoint: Tensor | undefined): Tensor[] | undefined {
  if (scale.dims.length > 1) return undefined;
  const axis = scale.data.length > 1 ? axisOf(n, attrInt(n, "axis", 1), x.dims.length) : x.dims.length;
  const inner = sizeOf(x.dims.slice(axis + 1));
  const [s, z] = [toNumbers(scale), zeroPoint && toNumbers(zeroPoint)];
  const channel = (i: number): number => (s.length > 1 ? Math.floor(i / inner) % s.length : 0);
  const values = toNumbers(x).map((v, i) => (v - (z ? z[z.length > 1 ? channel(i) : 0] : 0)) * s[channel(i)]);
  return [fromNumbers(scale.elemType, values, x.dims)];
}

const DequantizeLinear: OpRule = {
  gradient: dequantizeLinearGradient,
  parameters: [{ input: 1, decay: false }],
  // Weights are kept in their small form; what they stand for can be asked.
  folds: false,
  evaluate: (n, [x, scale, zeroPoint]) =>
    x && scale && (zeroPoint || !n.inputs[2]) ? dequantized(n, x, scale, zeroPoint) : undefined,
  shape: (n, c) => {
    checkScales(n, c);
    return [{ elemType: inputType(n, c, 1).elemType, dims: inputType(n, c, 0).dims }];
  },
  channels: quantIds,
};

export const rules = { QuantizeLinear, DequantizeLinear } satisfies Record<string, OpRule | OpRule[]>;
