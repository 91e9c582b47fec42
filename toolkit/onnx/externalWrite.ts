/** Weights beside a model: which ones go there, where, and how they get there without all being in memory at once. */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Graph } from "../graph/graph.js";
import { byteLengthOf, piecesOf, storageOf } from "../graph/stored.js";
import type { Tensor } from "../graph/tensor.js";
import { MAX_PROTO_BYTES } from "./proto.js";
import type { Placement } from "./tensorData.js";

/** What nodes, names and small constants may take beside the weights in a file that ends at 2 GiB. */
const STRUCTURE_BYTES = 2 ** 26;
/** Weights that were read from beside a model stay beside it from this size on; below, one file is handier. */
const STORED_BYTES = 2 ** 28;
/** Constants below this size stay in the model, where shapes and axes must be for other tools to find them. */
const SMALLEST_PLACED = 2 ** 16;
/** Runtimes map files into memory by pages. */
const ALIGNMENT = 4096;

/** Initializers with their places in one data file. */
export interface DataLayout {
  parts: readonly { tensor: Tensor; offset: number }[];
  /** Where an initializer lies, in a file of the given name; undefined for those that stay in the model. */
  placeIn(location: string): (name: string) => Placement | undefined;
}

/** The data file of a graph that one file cannot hold, or whose weights were read from beside it; undefined for the others. */
export function dataLayout(g: Graph): DataLayout | undefined {
  let total = 0;
  let stored = 0;
  for (const t of g.initializers.values()) {
    total += byteLengthOf(t);
    if (storageOf(t)) stored += byteLengthOf(t);
  }
  if (total + STRUCTURE_BYTES <= MAX_PROTO_BYTES && stored < STORED_BYTES) return undefined;
  const parts: { tensor: Tensor; offset: number }[] = [];
  const places = new Map<string, { offset: number; length: number }>();
  const known = new Map<Tensor, { offset: number; length: number }>();
  let end = 0;
  for (const [name, tensor] of g.initializers) {
    const length = byteLengthOf(tensor);
    if (length < SMALLEST_PLACED) continue;
    let place = known.get(tensor);
    if (!place) {
      place = { offset: Math.ceil(end / ALIGNMENT) * ALIGNMENT, length };
      known.set(tensor, place);
      parts.push({ tensor, offset: place.offset });
      end = place.offset + length;
    }
    places.set(name, place);
  }
  const placeIn = (location: string) => (name: string) => {
    const place = places.get(name);
    return place && { location, ...place };
  };
  return { parts, placeIn };
}

/** Writes the data file, one piece at a time, and returns a hash of its contents. */
export async function writeParts(file: FileHandle, layout: DataLayout): Promise<string> {
  const hash = createHash("sha256");
  for (const { tensor, offset } of layout.parts) {
    hash.update(`${offset}:`);
    for (const { offset: within, piece } of piecesOf(bytesOf(tensor))) {
      hash.update(piece);
      await writeAll(file, piece, offset + within);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

function bytesOf(t: Tensor) {
  const stored = storageOf(t);
  if (stored) return stored;
  const data = t.data as Uint8Array;
  return {
    byteLength: data.byteLength,
    read: (offset: number, length: number) => new Uint8Array(data.buffer, data.byteOffset + offset, length),
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
