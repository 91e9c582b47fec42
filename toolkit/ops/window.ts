/** Sliding windows: output lengths of convolutions and poolings along their spatial axes. */
import { ModelError } from "../graph/errors.js";
import { at, attrInt, attrInts, attrString, type Dim, type OpNode } from "../graph/graph.js";
import { mapDim } from "./dims.js";

/** Window geometry with the defaults of the specification filled in; `pads` is all begins, then all ends. */
export interface WindowGeometry {
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
  pads: readonly number[];
  /** NOTSET, VALID, SAME_UPPER or SAME_LOWER. */
  autoPad: string;
  ceilMode: boolean;
}

/** Geometry of a node whose kernel has the given size. */
export function windowOf(n: OpNode, kernel: readonly number[]): WindowGeometry {
  const ones = kernel.map(() => 1);
  return {
    kernel,
    strides: attrInts(n, "strides") ?? ones,
    dilations: attrInts(n, "dilations") ?? ones,
    pads: attrInts(n, "pads") ?? [...ones, ...ones].map(() => 0),
    autoPad: attrString(n, "auto_pad", "NOTSET"),
    ceilMode: attrInt(n, "ceil_mode", 0) === 1,
  };
}

/** Cells that a dilated kernel spans. */
const extent = (w: WindowGeometry, k: number): number => (w.kernel[k] - 1) * w.dilations[k] + 1;

/** Output lengths of the spatial axes of a convolution or pooling. Throws ModelError when the window does not fit. */
export function windowOutput(n: OpNode, spatial: readonly Dim[], w: WindowGeometry): Dim[] {
  if (spatial.length !== w.kernel.length) {
    throw new ModelError(
      "shape-mismatch",
      `${at(n)}: the kernel has ${w.kernel.length} spatial axes, the input ${spatial.length}`,
      { where: at(n) },
    );
  }
  return spatial.map((d, k) =>
    mapDim(d, (length) => {
      const stride = w.strides[k];
      if (w.autoPad.startsWith("SAME")) return Math.ceil(length / stride);
      const [begin, end] = w.autoPad === "VALID" ? [0, 0] : [w.pads[k], w.pads[k + spatial.length]];
      const room = length + begin + end - extent(w, k);
      if (room < 0) {
        throw new ModelError(
          "shape-mismatch",
          `${at(n)}: a window of ${extent(w, k)} does not fit into ${length + begin + end}`,
          {
            where: at(n),
          },
        );
      }
      if (!w.ceilMode) return Math.floor(room / stride) + 1;
      const out = Math.ceil(room / stride) + 1;
      // The last window must start inside the input or its leading padding.
      return (out - 1) * stride >= length + begin ? out - 1 : out;
    }),
  );
}

/** Explicit pads [begins…, ends…] for static spatial lengths, with `auto_pad` resolved. */
export function explicitPads(spatial: readonly number[], w: WindowGeometry): number[] {
  if (w.autoPad === "VALID") return w.pads.map(() => 0);
  if (!w.autoPad.startsWith("SAME")) return [...w.pads];
  const total = spatial.map((d, k) => Math.max(0, (Math.ceil(d / w.strides[k]) - 1) * w.strides[k] + extent(w, k) - d));
  const small = total.map((t) => Math.floor(t / 2));
  const large = total.map((t) => Math.ceil(t / 2));
  return w.autoPad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
}
