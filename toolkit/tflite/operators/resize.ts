/** RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR, SPACE_TO_DEPTH and DEPTH_TO_SPACE. */
import { type Attribute, attr } from "../../graph/graph.js";
import { floats } from "../../graph/tensor.js";
import type { Call, Converter } from "../context.js";
import { channelsFirst } from "../layout.js";
import { option } from "../schema.js";

const image = channelsFirst(4);

/** Where output pixels lie in the input. TFLite rounds half-pixel and corner-aligned neighbours half up, others down. */
function coordinates(c: Call, fields: { alignCorners: number; halfPixelCenters: number }, nearest: boolean) {
  const corners = c.options?.bool(fields.alignCorners) === true;
  const centers = c.options?.bool(fields.halfPixelCenters) === true;
  if (corners && centers) throw c.unsupported("aligned corners and half-pixel centers at once are not supported");
  const attributes: Record<string, Attribute> = {
    mode: attr.string(nearest ? "nearest" : "linear"),
    coordinate_transformation_mode: attr.string(corners ? "align_corners" : centers ? "half_pixel" : "asymmetric"),
  };
  if (nearest) attributes.nearest_mode = attr.string(corners || centers ? "round_prefer_ceil" : "floor");
  return attributes;
}

const resize =
  (fields: { alignCorners: number; halfPixelCenters: number }, nearest: boolean): Converter =>
  (c) => {
    const v = c.input(0);
    const [n, height, width, channels] = c.rank(v, 4);
    const size = c.numbers(1, "size");
    if (size.length !== 2 || size.some((s) => s < 1)) throw c.fail("damaged", `its size is [${size}]`);
    const attributes = coordinates(c, fields, nearest);
    const dims = [n, size[0], size[1], channels];
    const scales = [size[0] / height, size[1] / width].map(Math.fround);
    // Scales leave the batch open, where they lead back to exactly this size.
    const exact = scales[0] * height === size[0] && scales[1] * width === size[1];
    if (!exact) c.fixBatch("it resizes by a factor that has no exact scale");
    const target = exact
      ? ["", c.values.initializer(`${c.declared(0).name}/scales`, floats([1, 1, ...scales]))]
      : ["", "", c.b.ints([n, channels, ...size])];
    if (nearest && c.keepsGrid(0, v)) {
      const { name } = c.declared(0);
      const inputs = [c.values.stored(v, image), ...target];
      c.store(0, c.b.emit("Resize", inputs, attributes, { name: `${name}/Resize`, out: name }), image, dims);
      return;
    }
    c.define(0, c.emit(0, "Resize", [c.real(v, image), ...target], attributes), image, dims);
  };

/** Blocks of pixels to channels and back, in the order row, column, channel on both sides. */
const blocks =
  (opType: "SpaceToDepth" | "DepthToSpace"): Converter =>
  (c) => {
    const v = c.input(0);
    const [n, height, width, channels] = c.rank(v, 4);
    const size = c.options?.i32(option.blocks.size) ?? 0;
    const down = opType === "SpaceToDepth";
    const dims = down
      ? [n, height / size, width / size, channels * size * size]
      : [n, height * size, width * size, channels / (size * size)];
    if (size < 1 || dims.some((d) => !Number.isInteger(d)))
      throw c.fail("shape-mismatch", `shape [${v.dims}] does not fall into blocks of ${size}`);
    const attributes: Record<string, Attribute> = { blocksize: attr.int(size) };
    if (!down) attributes.mode = attr.string("DCR");
    c.define(0, c.emit(0, opType, [c.real(v, image)], attributes), image, dims);
  };

export const converters: Record<string, Converter> = {
  RESIZE_BILINEAR: resize(option.resizeBilinear, false),
  RESIZE_NEAREST_NEIGHBOR: resize(option.resizeNearest, true),
  SPACE_TO_DEPTH: blocks("SpaceToDepth"),
  DEPTH_TO_SPACE: blocks("DepthToSpace"),
};
