/** Conv and its gradients by the blocked kernels. */
import type { Ref } from "../../graph/builder.js";
import { type Attribute, attr } from "../../graph/graph.js";
import { padZeros, scale } from "../../ops/algebra.js";
import type { Convolution } from "../../ops/convolutionGradient.js";
import { backwardFilter, denseFilter, fillFilter, plainInputFilter, reverseTaps, scaleFilter } from "./filters.js";
import { phasesOf, stridedInputGradient } from "./strided.js";
import type { BlockedValues, Make } from "./values.js";
import { cutTo } from "./values.js";
import { blockedWeightGradient, hasBlockedWeightGradient } from "./weightGradient.js";

/** Multiply-adds that whole blocks may cost, relative to those of the channels that there are. */
const LARGEST_WASTE = 2;

/** `dense` and `depthwise` read blocks; `plain` reads an image of few channels as it is. */
export type ConvKind = "dense" | "depthwise" | "plain";

/** Which blocked kernel a Conv may use; undefined where there is none or it would compute much that is thrown away. */
export function convKind(v: BlockedValues, c: Convolution, inputIsHeld: boolean): ConvKind | undefined {
  const [m, channels] = [c.y[1], c.x[1]];
  if (c.x.length !== 4) return undefined;
  if (c.groups > 1) {
    const depthwise = c.groups === channels && m === channels;
    return depthwise && v.padded(m) / m <= LARGEST_WASTE ? "depthwise" : undefined;
  }
  const outputs = v.padded(m) / m;
  if (channels < v.block && !inputIsHeld) return outputs <= LARGEST_WASTE ? "plain" : undefined;
  return (outputs * v.padded(channels)) / channels <= LARGEST_WASTE ? "dense" : undefined;
}

const geometry = (c: Convolution): Record<string, Attribute> => ({
  pads: attr.ints(c.pads),
  strides: attr.ints(c.strides),
  dilations: attr.ints(c.dilations),
});

/** How the output is computed. `bias` [M'] in whole blocks, or "". */
export function blockedConv(v: BlockedValues, kind: ConvKind, c: Convolution, x: Ref, w: Ref, bias: Ref | ""): Make {
  const outputs = v.padded(c.y[1]);
  const inputs = kind === "dense" ? v.padded(c.x[1]) : c.w[1];
  const dims = [outputs, inputs, ...c.kernel];
  return (finish) => {
    const filled = fillFilter(v, w, c.w, outputs, inputs);
    const filter = kind === "dense" ? denseFilter(v, filled, dims) : plainInputFilter(v, filled, dims);
    const data = kind === "plain" ? x : v.blocked(x);
    const group = attr.int(kind === "depthwise" ? outputs : 1);
    return v.conv(data, filter, bias, { ...geometry(c), group }, finish);
  };
}

/**
 * How the input's gradient is computed from the output's, factor * dy; undefined where there is no form for the geometry.
 */
export function blockedInputGradient(
  v: BlockedValues,
  kind: ConvKind,
  c: Convolution,
  dy: { raw: Ref; factor?: Ref },
  w: Ref,
): Make | undefined {
  if (kind === "plain") return undefined;
  const [outputs, inputs] = [v.padded(c.y[1]), kind === "dense" ? v.padded(c.x[1]) : 1];
  const dims = [outputs, inputs, ...c.kernel];
  const weight = (): Ref => scaleFilter(v, fillFilter(v, w, c.w, outputs, inputs), dy.factor);
  const strided = c.strides.some((s) => s > 1);
  if (strided && kind === "dense") {
    const phases = phasesOf(c);
    if (!phases) return undefined;
    return (finish) => finished(v, stridedInputGradient(v, dy.raw, weight(), dims, c, phases), finish);
  }
  const reach = c.kernel.map((k, i) => c.dilations[i] * (k - 1));
  // Zeros between the gradients of a strided depthwise Conv: its kernel is cheap, and bound by memory anyway.
  const size = [0, 1].map((i) => (strided ? c.y[i + 2] * c.strides[i] : c.y[i + 2]));
  const begin = [0, 1].map((i) => reach[i] - c.pads[i]);
  const end = [0, 1].map((i) => c.x[i + 2] + reach[i] - size[i] - begin[i]);
  if ([...begin, ...end].some((p) => p < 0)) return undefined;
  const attributes = { pads: attr.ints([...begin, ...end]), dilations: attr.ints(c.dilations) };
  return (finish) => {
    if (kind === "dense") return v.conv(dy.raw, backwardFilter(v, weight(), dims), "", attributes, finish);
    const filter = plainInputFilter(v, reverseTaps(v, weight(), dims), dims);
    const data = strided ? spread(v, dy.raw, c) : dy.raw;
    return v.conv(data, filter, "", { ...attributes, group: attr.int(outputs) }, finish);
  };
}

/** Zeros between the positions of a gradient, a stride apart: [N, C', strides * positions]. */
function spread(v: BlockedValues, dy: Ref, c: Convolution): Ref {
  const { g, block } = v;
  const [n, m] = [c.y[0], v.padded(c.y[1])];
  const [sh, sw] = c.strides;
  const rows = g.reshape(dy, [(n * m * c.y[2]) / block, 1, c.y[3], block]);
  const wide = padZeros(g, rows, [0, 0, 0, 0, 0, sh - 1, 0, (sw - 1) * block]);
  return g.reshape(wide, [n, m, c.y[2] * sh, c.y[3] * sw]);
}

/** What a Conv would have done in the same pass, as nodes of its own. */
function finished(v: BlockedValues, x: Ref, { sum, activation }: Parameters<Make>[0]): Ref {
  const added = sum ? v.g.add(x, sum) : x;
  if (!activation) return added;
  return activation.name === "Relu" ? v.g.relu(added) : v.g.clip(added, activation.low, activation.high);
}

/** Gradient of the weight in the net's own dims; undefined where there is no form. `dy` is factor * raw. */
export function blockedWeightGradientOf(
  v: BlockedValues,
  kind: ConvKind,
  c: Convolution,
  dy: { raw: Ref; factor?: Ref },
  x: Ref,
): Ref | undefined {
  if (!hasBlockedWeightGradient(v, c)) return undefined;
  const input = { ref: kind === "plain" ? x : v.blocked(x), isBlocked: kind !== "plain" };
  const whole = scaleFilter(v, blockedWeightGradient(v, dy.raw, input, c), dy.factor);
  const [outputs, inputs] = [v.padded(c.y[1]), kind === "dense" ? v.padded(c.x[1]) : c.w[1]];
  return cutTo(v.g, whole, [outputs, inputs, ...c.kernel], c.w);
}

/** Gradient of the bias, [M]. */
export function blockedBiasGradient(v: BlockedValues, c: Convolution, dy: { raw: Ref; factor?: Ref }): Ref {
  const [n, m, ...size] = c.y;
  const sum = scale(
    v.g,
    v.mean(dy.raw, m),
    size.reduce((a, b) => a * b, n),
  );
  return v.cut(dy.factor ? v.g.mul(sum, dy.factor) : sum, m);
}
