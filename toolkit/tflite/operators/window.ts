/** Sliding windows: strides, padding and sizes, as convolutions and pools share them. */
import type { Call } from "../context.js";
import { padding } from "../schema.js";

/** Positions of a window along one axis: how many there are, and the zeros before and behind that they reach into. */
export interface Extent {
  out: number;
  begin: number;
  end: number;
}

export function stridesOf(c: Call, fields: { strideH: number; strideW: number }): number[] {
  const strides = [fields.strideH, fields.strideW].map((f) => c.options?.i32(f) ?? 0);
  if (strides.some((s) => s < 1)) throw c.fail("damaged", `its strides are ${strides}`);
  return strides;
}

export function paddingOf(c: Call, fieldNumber: number): (typeof padding)[number] {
  const name = padding[c.options?.i8(fieldNumber) ?? 0];
  if (!name) throw c.fail("damaged", "its padding is neither SAME nor VALID");
  return name;
}

/**
 * SAME: as many positions as strides fit into the size; the padding that this takes goes half to each side, the odd one
 * to the end. VALID: no padding. (TensorFlow, tf.nn.convolution.)
 */
export function extentOf(
  c: Call,
  size: number,
  kernel: number,
  stride: number,
  dilation: number,
  kind: (typeof padding)[number],
): Extent {
  const reach = (kernel - 1) * dilation + 1;
  const out = kind === "SAME" ? Math.ceil(size / stride) : Math.floor((size - reach) / stride) + 1;
  if (out < 1) throw c.fail("damaged", `a window of ${reach} does not fit into ${size}`);
  const total = kind === "SAME" ? Math.max((out - 1) * stride + reach - size, 0) : 0;
  const begin = Math.floor(total / 2);
  return { out, begin, end: total - begin };
}
