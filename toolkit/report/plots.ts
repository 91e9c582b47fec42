/** The drawings of the report page, as inline SVG: budget bar, Pareto scatter, paired bars. */
import { formatMs, formatPercent, latencyAt } from "./format.js";
import { html, type Markup } from "./markup.js";
import type { Candidate, FitReport, LayerChange } from "./schema.js";

/** Round tick values that cover [low, high] with about `wanted` steps. */
export function ticks(low: number, high: number, wanted = 5): number[] {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999) as number;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Original and fitted latency as bars against the budget line. */
export function budgetBar(r: FitReport): Markup {
  const { percentile, ms } = r.budget;
  const before = latencyAt(r.original, percentile);
  const after = latencyAt(r.fitted, percentile);
  const longest = Math.max(before, after, ms) * 1.02;
  const percent = (v: number) => `${((v / longest) * 100).toFixed(2)}%`;
  // Inside its bar where the bar is long enough, else beside it.
  const name = (what: string, v: number, y: number) =>
    v / longest > 0.4
      ? html`<text x="8" y="${y}" style="fill:var(--card);font-weight:600">${what} ${formatMs(v)}</text>`
      : html`<text x="${percent(v)}" dx="8" y="${y}" style="font-weight:600">${what} ${formatMs(v)}</text>`;
  const how = r.latencySource === "predicted" ? ", predicted" : "";
  const label = `Latency ${percentile}${how}: original ${formatMs(before)}, fitted ${formatMs(after)}, budget ${formatMs(ms)}`;
  // The label of the budget line stays inside the drawing on either side of it.
  const anchor = ms / longest > 0.6 ? "end" : "start";
  return html`<svg role="img" aria-label="${label}" width="100%" height="84">
<title>${label}</title>
<rect y="0" height="24" width="${percent(before)}" rx="3" fill="var(--original)"/>
<rect y="30" height="24" width="${percent(after)}" rx="3" fill="var(--fitted)"/>
${name("original", before, 16.5)}
${name("fitted", after, 46.5)}
<line x1="${percent(ms)}" x2="${percent(ms)}" y1="-4" y2="66" stroke="var(--budget)" stroke-width="2" stroke-dasharray="5 3"/>
<text x="${percent(ms)}" y="80" text-anchor="${anchor}" style="fill:var(--budget)">budget ${formatMs(ms)}</text>
</svg>`;
}

/** Which quality the candidates are compared by: accuracy where all have it, else agreement; null when none was evaluated. */
export function qualityOf(r: FitReport): "accuracy" | "agreement" | null {
  if (r.candidates.every((c) => c.accuracy !== null)) return r.candidates.length > 0 ? "accuracy" : null;
  if (r.candidates.some((c) => c.agreement !== null)) return "agreement";
  return r.candidates.some((c) => c.accuracy !== null) ? "accuracy" : null;
}

type Point = Candidate & { quality: number };

/** Latency against accuracy (or agreement) of all candidates, the front as a staircase, the budget as a line. */
export function paretoPlot(r: FitReport): Markup | null {
  const kind = qualityOf(r);
  if (!kind) return null;
  const points = r.candidates
    .map((c): Candidate & { quality: number | null } => ({ ...c, quality: c[kind] }))
    .filter((c): c is Point => c.quality !== null);
  const left = 52;
  const right = 428;
  const top = 22;
  const bottom = 258;
  const spread = (values: number[], pad: number) => {
    const low = Math.min(...values);
    const high = Math.max(...values);
    const margin = (high - low || Math.abs(high) * 0.1 || 1) * pad;
    return [low - margin, high + margin] as const;
  };
  const xTicks = ticks(...spread([...points.map((p) => p.latencyMs), r.budget.ms], 0.04));
  const [lowest, highest] = spread(
    points.map((p) => p.quality),
    0.06,
  );
  const yTicks = ticks(Math.max(0, lowest), Math.min(1, highest)); // a share is never above 1
  const scale = (ticksOf: number[], from: number, to: number) => {
    const low = ticksOf[0];
    const high = ticksOf[ticksOf.length - 1];
    return (v: number) => Number((from + ((v - low) / (high - low)) * (to - from)).toFixed(1));
  };
  const x = scale(xTicks, left, right);
  const y = scale(yTicks, bottom, top);
  const digits = Math.max(0, -Math.floor(Math.log10((yTicks[1] - yTicks[0]) * 100 * 1.0001)));
  const budgetX = x(r.budget.ms);
  const quality = kind === "accuracy" ? "Accuracy" : "Agreement with the original";
  const label = `${quality} against latency of ${points.length} candidates; the budget is ${formatMs(r.budget.ms)}`;
  return html`<svg role="img" aria-label="${label}" viewBox="0 0 440 300" width="100%" style="max-width:640px">
<title>${label}</title>
${yTicks.map((t) => html`<line class="grid" x1="${left}" x2="${right}" y1="${y(t)}" y2="${y(t)}"/><text class="soft" x="${left - 7}" y="${y(t) + 4}" text-anchor="end">${(t * 100).toFixed(digits)}</text>`)}
${xTicks.map((t) => html`<line class="grid" x1="${x(t)}" x2="${x(t)}" y1="${bottom}" y2="${bottom + 5}"/><text class="soft" x="${x(t)}" y="${bottom + 19}" text-anchor="middle">${t}</text>`)}
<text class="soft" x="${left - 44}" y="12">${quality}, %</text>
<text class="soft" x="${right}" y="${bottom + 36}" text-anchor="end">latency ${r.budget.percentile}, ms</text>
<line x1="${budgetX}" x2="${budgetX}" y1="${top - 4}" y2="${bottom}" stroke="var(--budget)" stroke-width="1.5" stroke-dasharray="5 3"/>
<text x="${budgetX + 5}" y="${bottom - 7}" style="fill:var(--budget)">budget</text>
<path d="${staircase(points, x, y)}" fill="none" stroke="var(--fitted)" stroke-width="1.5" opacity="0.55"/>
${points.map((p) => mark(p, x(p.latencyMs), y(p.quality)))}
${points.filter((p) => p.chosen || p === points[0]).map((p) => caption(p, x(p.latencyMs), y(p.quality), right))}
</svg>`;
}

/** Towards lower latency the quality in reach falls: the front as steps from the slowest point to the fastest. */
function staircase(points: Point[], x: (v: number) => number, y: (v: number) => number): string {
  const front = points.filter((p) => p.onFront).sort((a, b) => a.latencyMs - b.latencyMs);
  return front
    .map((p, i) => (i === 0 ? `M${x(p.latencyMs)} ${y(p.quality)}` : `H${x(p.latencyMs)} V${y(p.quality)}`))
    .join(" ");
}

/** Circle: fp32; diamond: INT8; square: mixed. Hollow: latency predicted, not measured. */
function mark(p: Point, x: number, y: number): Markup {
  const colour = p.chosen ? "var(--fitted)" : p.precision === "fp32" ? "var(--original)" : "var(--int8)";
  const size = p.chosen ? 7 : 5;
  const shape = {
    fp32: html`<circle cx="${x}" cy="${y}" r="${size}"/>`,
    int8: html`<path d="M${x} ${y - size - 1}l${size + 1} ${size + 1}l${-size - 1} ${size + 1}l${-size - 1} ${-size - 1}z"/>`,
    mixed: html`<rect x="${x - size}" y="${y - size}" width="${size * 2}" height="${size * 2}"/>`,
  }[p.precision];
  const text = `${p.name}: ${formatMs(p.latencyMs)} ${p.measured ? "measured" : "predicted"}, ${formatPercent(p.quality)}`;
  return html`<g fill="${p.measured ? colour : "var(--card)"}" stroke="${colour}" stroke-width="2"><title>${text}</title>${shape}</g>`;
}

function caption(p: Point, x: number, y: number, right: number): Markup {
  const roomy = x + 12 + p.name.length * 6.5 < right;
  return html`<text x="${roomy ? x + 11 : x - 11}" y="${y + 18}" text-anchor="${roomy ? "start" : "end"}" style="font-weight:${p.chosen ? 650 : 400}">${p.name}</text>`;
}

/** One layer's milliseconds before (upper bar) and after (lower bar); `longest` is the whole width. */
export function layerBars(layer: LayerChange, longest: number): Markup {
  const percent = (ms: number) => `${(longest > 0 ? (ms / longest) * 100 : 0).toFixed(2)}%`;
  const colour = layer.precision === "int8" ? "var(--int8)" : "var(--fitted)";
  const label = `${layer.name}: ${formatMs(layer.msBefore)} before, ${formatMs(layer.msAfter)} after`;
  return html`<svg role="img" aria-label="${label}" width="100%" height="20"><title>${label}</title><rect y="2" height="7" width="${percent(layer.msBefore)}" rx="1.5" fill="var(--original)"/><rect y="11" height="7" width="${percent(layer.msAfter)}" rx="1.5" fill="${colour}"/></svg>`;
}

/** Shares of a whole as one bar per row. */
export function shareBar(value: number, whole: number): Markup {
  return html`<svg aria-hidden="true" width="100%" height="20"><rect y="5" height="10" width="${`${((value / (whole || 1)) * 100).toFixed(2)}%`}" rx="2" fill="var(--original)"/></svg>`;
}
