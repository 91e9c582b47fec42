/**
 * NumPy arrays: .npz with x_train, y_train, x_test, y_test or x, y; .npy with x alone. uint8 arrays are pixels and are
 * preprocessed like images; float arrays are model inputs already and only change layout where the model's differs. Whole numbers in y
 * are labels, floats are numbers that the net should answer.
 */
import { readFile } from "node:fs/promises";
import { unzipSync } from "fflate";
import { parse } from "npyjs";
import type { Dataset, Preprocessing, Split } from "./dataset.js";
import { resizeRaw } from "./decode.js";
import { DataError } from "./errors.js";
import { channelsOf, itemDims } from "./pixels.js";
import { splitByName } from "./random.js";
import { imageSplit, makeSplit } from "./split.js";

interface NumpyArray {
  dims: number[];
  data:
    | Uint8Array
    | Float32Array
    | Float64Array
    | Int8Array
    | Int16Array
    | Int32Array
    | Uint16Array
    | Uint32Array
    | BigInt64Array
    | BigUint64Array;
  where: string;
}

/** Loads an .npz or .npy file. Throws DataError naming the array and what is odd about it. */
export async function loadArrays(path: string, p: Preprocessing, name: string): Promise<Dataset> {
  const arrays = await readArrays(path);
  const x = arrays.get("x");
  const [xTrain, xTest] = [arrays.get("x_train"), arrays.get("x_test")];
  if (xTrain && xTest) {
    const [yTrain, yTest] = [arrays.get("y_train"), arrays.get("y_test")];
    if (!yTrain !== !yTest)
      throw new DataError("labels-missing", `the file holds ${yTrain ? "y_train" : "y_test"} but not the other`, {
        where: path,
      });
    return { name, train: arraySplit(xTrain, yTrain, p), test: arraySplit(xTest, yTest, p), skipped: [] };
  }
  if (!x) {
    throw new DataError("arrays-missing", `the file holds ${[...arrays.keys()].join(", ") || "no arrays"}`, {
      where: path,
      hint: "expected x_train, y_train, x_test, y_test, or x and y",
    });
  }
  const count = x.dims[0] ?? 0;
  if (count < 2)
    throw new DataError("data-small", `the array holds ${count} items; calibration and test need one each`, {
      where: x.where,
    });
  const { train, test } = splitByName(
    Array.from({ length: count }, (_, i) => i),
    String,
  );
  const whole = arraySplit(x, arrays.get("y"), p);
  const part = (items: readonly number[]): Split => ({
    count: items.length,
    labelled: whole.labelled,
    batch: (indices) => whole.batch(Array.from(indices, (i) => items[i] ?? -1)),
  });
  return { name, train: part(train), test: part(test), skipped: [] };
}

async function readArrays(path: string): Promise<Map<string, NumpyArray>> {
  const bytes = await readFile(path).catch((cause) => {
    throw new DataError("data-unreadable", "the file cannot be read", {
      where: path,
      cause,
      hint: "check the path given to --data",
    });
  });
  if (/\.npy$/i.test(path)) return new Map([["x", parseArray(bytes, path)]]);
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(bytes);
  } catch (cause) {
    throw new DataError("archive-corrupt", `the file is not an .npz archive: ${(cause as Error).message}`, {
      where: path,
      cause,
    });
  }
  return new Map(
    Object.entries(entries)
      .filter(([file]) => file.endsWith(".npy"))
      .map(([file, content]) => [file.slice(0, -4), parseArray(content, `${path}, array ${file.slice(0, -4)}`)]),
  );
}

function parseArray(bytes: Uint8Array, where: string): NumpyArray {
  let array: ReturnType<typeof parse>;
  try {
    // A copy of its own: typed arrays need an aligned start.
    array = parse(Uint8Array.from(bytes).buffer);
  } catch (cause) {
    throw new DataError("array-corrupt", `the array cannot be read: ${(cause as Error).message}`, { where, cause });
  }
  if (array.fortranOrder) {
    throw new DataError("array-order", "the array is stored in Fortran order", {
      where,
      hint: "save np.ascontiguousarray(x)",
    });
  }
  const data = array.data as NumpyArray["data"];
  const size = array.shape.reduce((a, b) => a * b, 1);
  if (!ArrayBuffer.isView(data) || data.length !== size || array.dtype.startsWith("c")) {
    throw new DataError(
      "array-corrupt",
      `the array has the shape [${array.shape}] and type ${array.dtype}, but its data does not fit them`,
      { where },
    );
  }
  return { dims: array.shape, data, where };
}

function labelsOf(y: NumpyArray | undefined, count: number): Int32Array | undefined {
  if (!y) return undefined;
  if (y.data.length !== count) {
    throw new DataError(
      "labels-count",
      `the array has the shape [${y.dims}], expected one label for each of ${count} items`,
      { where: y.where },
    );
  }
  return Int32Array.from(y.data as ArrayLike<number | bigint>, (v, i) => {
    const label = Number(v);
    if (!Number.isInteger(label) || label < 0) {
      throw new DataError("label-range", `label ${i} is ${v}, expected a whole number from 0`, { where: y.where });
    }
    return label;
  });
}

/** Floats are numbers to be met by the outputs, [n, …]; a plain list of whole numbers holds labels, whatever its type. */
function targetsOf(y: NumpyArray | undefined, count: number): Float32Array | undefined {
  if (!(y?.data instanceof Float32Array || y?.data instanceof Float64Array)) return undefined;
  if (y.dims.length === 1 && y.data.every((v) => Number.isInteger(v) && v >= 0)) return undefined;
  if (y.dims[0] !== count) {
    throw new DataError("labels-count", `the array has the shape [${y.dims}], expected ${count} items`, {
      where: y.where,
    });
  }
  return Float32Array.from(y.data);
}

function arraySplit(x: NumpyArray, y: NumpyArray | undefined, p: Preprocessing): Split {
  const count = x.dims[0] ?? 0;
  if (count === 0) throw new DataError("data-empty", "the array holds no items", { where: x.where });
  const shape = imageShape(x, p);
  const targets = targetsOf(y, count);
  const labels = targets ? undefined : labelsOf(y, count);
  if (x.data instanceof Uint8Array) {
    const bytes = x.data;
    return imageSplit(
      count,
      (i) => resizeRaw({ data: toRgb(bytes, i, shape), height: shape.height, width: shape.width }, p),
      p,
      labels,
      targets,
    );
  }
  if (!(x.data instanceof Float32Array || x.data instanceof Float64Array)) {
    throw new DataError(
      "array-type",
      `the array holds ${x.data.constructor.name.replace("Array", "").toLowerCase()} values`,
      {
        where: x.where,
        hint: "save pixels as uint8, or ready model inputs as float32",
      },
    );
  }
  const values = x.data;
  const { height, width } = p.size;
  if (shape.height !== height || shape.width !== width || shape.channels !== channelsOf(p)) {
    throw new DataError(
      "image-size",
      `items are ${shape.width}x${shape.height} with ${shape.channels} channels, the model reads ${width}x${height} with ${channelsOf(p)}`,
      { where: x.where, hint: "float arrays are used as they are; save uint8 pixels to have them resized" },
    );
  }
  const size = height * width * shape.channels;
  return makeSplit({
    count,
    dims: itemDims(p),
    ...(labels ? { labels } : {}),
    ...(targets ? { targets } : {}),
    write: (item, out, offset) => {
      const item0 = item * size;
      if (shape.layout === p.layout) {
        out.set(values.subarray(item0, item0 + size), offset);
        return;
      }
      const area = height * width;
      for (let c = 0; c < shape.channels; c++) {
        for (let i = 0; i < area; i++) {
          if (p.layout === "nchw") out[offset + c * area + i] = values[item0 + i * shape.channels + c];
          else out[offset + i * shape.channels + c] = values[item0 + c * area + i];
        }
      }
    },
  });
}

interface ImageShape {
  layout: "nchw" | "nhwc";
  channels: number;
  height: number;
  width: number;
}

/** Reads the layout off the shape; where both are possible, the one whose size is the model's, else the model's layout. */
function imageShape(x: NumpyArray, p: Preprocessing): ImageShape {
  const d = x.dims;
  if (d.length === 3) return { layout: p.layout, channels: 1, height: d[1], width: d[2] };
  const options: ImageShape[] = [];
  const isChannels = (n: number): boolean => n === 1 || n === 3;
  if (d.length === 4 && isChannels(d[1])) options.push({ layout: "nchw", channels: d[1], height: d[2], width: d[3] });
  if (d.length === 4 && isChannels(d[3])) options.push({ layout: "nhwc", channels: d[3], height: d[1], width: d[2] });
  const fits = options.find((s) => s.height === p.size.height && s.width === p.size.width);
  const found = fits ?? options.find((s) => s.layout === p.layout) ?? options[0];
  if (!found) {
    throw new DataError(
      "array-shape",
      `the array has the shape [${d}], expected [n, channels, height, width] or [n, height, width, channels] with 1 or 3 channels`,
      { where: x.where },
    );
  }
  return found;
}

function toRgb(bytes: Uint8Array, item: number, s: ImageShape): Uint8Array {
  const area = s.height * s.width;
  const start = item * area * s.channels;
  if (s.channels === 3 && s.layout === "nhwc") return bytes.subarray(start, start + 3 * area);
  const out = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) out[3 * i + c] = bytes[start + (s.channels === 1 ? i : c * area + i)];
  }
  return out;
}
