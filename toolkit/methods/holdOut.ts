/** Parts of a data set. */
import type { Split } from "../data/dataset.js";
import { UsageError } from "../graph/errors.js";

/** Some items of a split as a split of their own. */
export function partOf(split: Split, items: readonly number[]): Split {
  return {
    count: items.length,
    labelled: split.labelled,
    batch: (indices) => split.batch(Array.from(indices, (i) => items[i])),
  };
}

/** The first items of a split. */
export const firstOf = (split: Split, most: number): Split => ({
  count: Math.min(most, split.count),
  labelled: split.labelled,
  batch: (indices) => split.batch(indices),
});

/**
 * Holds every k-th item out, at most `most` of them; the others are learned from. Without anything to hold out `held` is absent.
 * @param share of the items, from 0 to below 1
 */
export function divide(split: Split, share: number, most: number): { learn: Split; held?: Split } {
  if (!(share >= 0 && share < 1))
    throw new UsageError("train-options", `heldOut must lie from 0 to below 1, got ${share}`);
  const count = Math.min(most, Math.round(share * split.count));
  if (count === 0) return { learn: split };
  const every = split.count / count;
  const held = new Set(Array.from({ length: count }, (_, i) => Math.floor(i * every)));
  const all = Array.from({ length: split.count }, (_, i) => i);
  return {
    learn: partOf(
      split,
      all.filter((i) => !held.has(i)),
    ),
    held: partOf(split, [...held]),
  };
}
