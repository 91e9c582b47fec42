/** Staircases: which widths are worth considering at all. A width inside a plateau costs as much as a wider one. */

/** One measured point of a cost curve. */
export interface WidthPoint {
  width: number;
  ms: number;
}

/** A point of the lower envelope: `use` is the width, at least as large, that realises `ms`. */
export interface EnvelopePoint extends WidthPoint {
  use: number;
}

/**
 * Isotonic lower envelope: the least cost at this width or any larger one, since keeping more channels is always allowed.
 * Points in any order, returned by ascending width; of equal costs the largest width is `use`.
 */
export function lowerEnvelope(points: readonly WidthPoint[]): EnvelopePoint[] {
  const sorted = [...points].sort((a, b) => a.width - b.width);
  const out: EnvelopePoint[] = [];
  let best: WidthPoint | undefined;
  for (const p of sorted.toReversed()) {
    if (!best || p.ms < best.ms) best = p;
    out.push({ width: p.width, ms: best.ms, use: best.width });
  }
  return out.reverse();
}

/**
 * Right edges of the plateaus, ascending: from the last edge upwards, a width is one when the envelope at the next point
 * exceeds the envelope at the first point after the last edge by more than `max(3 sigmaMs, 1 % of the cost at full width)`. Small rises add up,
 * so a slowly rising curve still gives edges. The full width is always one.
 *
 * @param sigmaMs standard error of one point
 */
export function plateauEdges(points: readonly WidthPoint[], sigmaMs: number): number[] {
  const envelope = lowerEnvelope(points);
  const full = envelope.at(-1);
  if (!full) return [];
  const threshold = Math.max(3 * sigmaMs, 0.01 * full.ms);
  const edges: number[] = [];
  let base = envelope[0].ms;
  for (let i = 0; i + 1 < envelope.length; i++) {
    const next = envelope[i + 1];
    if (next.ms - base <= threshold) continue;
    edges.push(envelope[i].use);
    base = next.ms;
  }
  edges.push(full.width);
  return [...new Set(edges)];
}
