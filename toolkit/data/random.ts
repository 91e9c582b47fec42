/** Seeded noise and hashing that the data sources share. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { Batch } from "./dataset.js";

/**
 * Standard-normal noise in the shape `dims`: the stand-in for normalised images where only time is measured. It says
 * nothing about accuracy and is never offered as a data set.
 */
export function randomBatch(dims: readonly number[], seed: number): Batch {
  const generator = xoroshiro128plus(seed);
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i += 2) {
    // Box-Muller; 1 - u keeps the logarithm finite.
    const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator)));
    const angle = 2 * Math.PI * uniformFloat64(generator);
    data[i] = radius * Math.cos(angle);
    if (i + 1 < data.length) data[i + 1] = radius * Math.sin(angle);
  }
  return { data, dims };
}

/** Whether an item without a split of its own belongs to the test part: a fifth of the items, by FNV-1a hash of the name. */
export function isTestItem(name: string): boolean {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  // FNV-1a's low bits follow the last characters; the murmur3 finaliser spreads them.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 5 === 0;
}

/**
 * Cuts items into train and test by their names, 80 to 20. The same item always falls on the same side, whatever else
 * is in the folder; only where that would leave a part empty, the last item moves over. `items.length` must be >= 2.
 */
export function splitByName<T>(items: readonly T[], name: (item: T) => string): { train: T[]; test: T[] } {
  const train = items.filter((item) => !isTestItem(name(item)));
  const test = items.filter((item) => isTestItem(name(item)));
  if (test.length === 0) test.push(train.pop()!);
  if (train.length === 0) train.push(test.pop()!);
  return { train, test };
}
