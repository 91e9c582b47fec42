/** A scatter of named points as inline SVG, labels kept apart. */
import { html, type Markup } from "./markup.js";
import { ticks } from "./plots.js";

export interface ScatterPoint {
  name: string;
  x: number;
  y: number;
  /** Drawn large and in the colour of results. */
  strong?: boolean;
  /** The point that others are compared with. */
  reference?: boolean;
}

export interface ScatterOptions {
  /** What the picture shows, for those who do not see it. */
  label: string;
  xName: string;
  yName: string;
  formatX?: (v: number) => string;
  /** A vertical line, such as a budget. */
  line?: { x: number; name: string };
}

const AREA = { left: 52, right: 700, top: 22, bottom: 300 };
/** Height of a line of text. */
const LINE = 13;

/** The picture; null without points. */
export function scatter(points: readonly ScatterPoint[], o: ScatterOptions): Markup | null {
  if (points.length === 0) return null;
  const { left, right, top, bottom } = AREA;
  const xTicks = ticks(...padded([...points.map((p) => p.x), ...(o.line ? [o.line.x] : [])], 0.04));
  const yTicks = ticks(
    ...padded(
      points.map((p) => p.y),
      0.06,
    ),
  );
  const scale = (t: readonly number[], from: number, to: number) => {
    const [low, high] = [t[0], t[t.length - 1]];
    return (v: number): number => Number((from + ((v - low) / (high - low)) * (to - from)).toFixed(1));
  };
  const [x, y] = [scale(xTicks, left, right), scale(yTicks, bottom, top)];
  const formatX = o.formatX ?? String;
  const labels = placed(points.map((p) => ({ name: p.name, x: x(p.x), y: y(p.y) })));
  return html`<svg role="img" aria-label="${o.label}" viewBox="0 0 720 340" width="100%">
<title>${o.label}</title>
${yTicks.map((t) => html`<line class="grid" x1="${left}" x2="${right}" y1="${y(t)}" y2="${y(t)}"/><text class="soft" x="${left - 7}" y="${y(t) + 4}" text-anchor="end">${Number(t.toFixed(3))}</text>`)}
${xTicks.map((t) => html`<line class="grid" x1="${x(t)}" x2="${x(t)}" y1="${bottom}" y2="${bottom + 5}"/><text class="soft" x="${x(t)}" y="${bottom + 19}" text-anchor="middle">${formatX(t)}</text>`)}
<text class="soft" x="${left - 44}" y="12">${o.yName}</text>
<text class="soft" x="${right}" y="${bottom + 36}" text-anchor="end">${o.xName}</text>
${o.line ? html`<line x1="${x(o.line.x)}" x2="${x(o.line.x)}" y1="${top - 4}" y2="${bottom}" stroke="var(--budget)" stroke-width="1.5" stroke-dasharray="5 3"/><text x="${x(o.line.x) + 5}" y="${top + 4}" style="fill:var(--budget)">${o.line.name}</text>` : null}
${points.map((p, i) => {
  const colour = p.strong ? "var(--fitted)" : p.reference ? "var(--original)" : "var(--int8)";
  const at = labels[i];
  return html`<circle cx="${x(p.x)}" cy="${y(p.y)}" r="${p.strong ? 6 : 4.5}" fill="${colour}"><title>${p.name}: ${formatX(p.x)}, ${Number(p.y.toFixed(2))}</title></circle><text x="${at.x}" y="${at.y}" text-anchor="${at.anchor}" style="font-weight:${p.strong ? 650 : 400}">${p.name}</text>`;
})}
</svg>`;
}

function padded(values: readonly number[], pad: number): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low || Math.abs(high) * 0.1 || 1) * pad;
  return [low - margin, high + margin];
}

interface Placed {
  x: number;
  y: number;
  anchor: "start" | "end";
}

/** Beside the points, moved up or down where they would cover one another; on the left near the right edge. */
function placed(points: readonly { name: string; x: number; y: number }[]): Placed[] {
  const taken: { from: number; to: number; y: number }[] = [];
  const out = new Array<Placed>(points.length);
  const order = points.map((_, i) => i).sort((a, b) => points[a].y - points[b].y);
  for (const i of order) {
    const p = points[i];
    const width = p.name.length * 6.5;
    const left = p.x + 10 + width > 712;
    const [from, to] = left ? [p.x - 10 - width, p.x - 10] : [p.x + 10, p.x + 10 + width];
    const free = (y: number): boolean => !taken.some((t) => t.from < to && from < t.to && Math.abs(t.y - y) < LINE);
    let y = p.y + 4;
    for (let k = 1; !free(y) && k < 60; k++) y = p.y + 4 + (k % 2 ? 1 : -1) * Math.ceil(k / 2) * (LINE / 2);
    taken.push({ from, to, y });
    out[i] = { x: left ? p.x - 10 : p.x + 10, y: Number(y.toFixed(1)), anchor: left ? "end" : "start" };
  }
  return out;
}
