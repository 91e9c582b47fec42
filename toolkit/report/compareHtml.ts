/** A comparison of pruning methods as one page: accuracy against latency, multiplications and parameters, cost, widths, table. */
import type { ComparedMethod, Comparison } from "./compareSchema.js";
import { formatCount, formatMs, formatPercent, formatRatio, formatSeconds } from "./format.js";
import { html, type Markup } from "./markup.js";
import { page } from "./page.js";
import { type ScatterPoint, scatter } from "./scatter.js";

/** The method of highest accuracy among those within the budget; undefined when none is. */
export function bestOf(r: Comparison): ComparedMethod | undefined {
  const within = r.methods.filter((m) => m.met);
  return within.length === 0 ? undefined : within.reduce((a, b) => (b.accuracy.top1 > a.accuracy.top1 ? b : a));
}

/** The page, complete in itself. */
export function renderComparisonHtml(r: Comparison): string {
  const best = bestOf(r);
  const title = best
    ? `${r.model.file} at ${r.budget.text}: ${best.title} keeps ${formatPercent(best.accuracy.top1)}`
    : `${r.model.file} at ${r.budget.text}: no method met the budget`;
  const { recipe } = r;
  const unit = r.budget.unit === "ms" ? "latency" : "multiply-accumulates";
  return page(
    title,
    r.tool.version,
    html`<header>
<p class="muted">edgefit ${r.tool.version}, ${new Date(r.date).toUTCString()}</p>
<h1>${title}</h1>
<p class="muted">${r.methods.length} pruning methods, ${recipe.steps} steps of ${recipe.batchSize} images for each (${Number(recipe.epochs.toFixed(2))} passes over ${r.data.train} images of ${r.data.name}), search included; ${r.data.test} test images; ${r.device.cpu}, ${r.device.runtime}, ${r.device.threads} ${r.device.threads === 1 ? "thread" : "threads"}</p>
<dl class="tiles">
${tile("Original", formatPercent(r.original.accuracy.top1), formatMs(r.original.latencyMs.p50))}
${tile("Budget", r.budget.text, `of ${unit}: ${r.budget.unit === "ms" ? formatMs(r.budget.target) : formatCount(r.budget.target)}`)}
${best ? tile("Best within it", best.title, formatPercent(best.accuracy.top1)) : null}
${tile("Steps for each", String(recipe.steps), `largest rate ${recipe.learningRate}, seed ${recipe.seed}${recipe.distilled ? ", distilled" : ""}`)}
</dl>
</header>
${warnings(r)}
${plot(r, "Accuracy against measured latency", "latency p50, ms", (m) => m.latencyMs.p50, String, r.budget.unit === "ms" ? r.budget.target : undefined)}
${table(r, best)}
${plot(r, "Accuracy against multiply-accumulates", "millions of multiply-accumulates", (m) => m.macs / 1e6, String, r.budget.unit === "MACs" ? r.budget.target / 1e6 : undefined)}
${plot(r, "Accuracy against parameters", "thousands of parameters", (m) => m.params / 1e3, String)}
${plot(r, "Accuracy against the cost of training", "steps, a forward pass counted as a third", (m) => ("steps" in m ? m.steps.used : 0), String, undefined, false)}
${widths(r)}
${notes(r)}
<footer>The same figures for programs: <code>compare.json</code>.</footer>`,
  ).text;
}

const tile = (name: string, value: string, remark: string): Markup =>
  html`<div><dt>${name}</dt><dd>${value} <small>${remark}</small></dd></div>`;

function warnings(r: Comparison): Markup | null {
  const all = [...r.warnings];
  if (all.length === 0) return null;
  return html`<section class="warnings"><h2>To know before reading</h2><ul>${all.map((w) => html`<li>${w}</li>`)}</ul></section>`;
}

type Figures = Comparison["original"] | ComparedMethod;

function plot(
  r: Comparison,
  title: string,
  xName: string,
  of: (m: Figures) => number,
  formatX: (v: number) => string,
  target?: number,
  withOriginal = true,
): Markup {
  const points: ScatterPoint[] = r.methods.map((m) => ({
    name: m.method,
    x: of(m),
    y: 100 * m.accuracy.top1,
    strong: m.method === "edgefit",
  }));
  if (withOriginal)
    points.push({ name: "original", x: of(r.original), y: 100 * r.original.accuracy.top1, reference: true });
  const drawing = scatter(points, {
    label: `${title} of ${r.methods.length} methods`,
    xName,
    yName: "top-1, %",
    formatX,
    ...(target === undefined ? {} : { line: { x: target, name: "budget" } }),
  });
  return html`<section><h2>${title}</h2>${drawing}</section>`;
}

function table(r: Comparison, best: ComparedMethod | undefined): Markup {
  const rows = [...r.methods].sort((a, b) => b.accuracy.top1 - a.accuracy.top1);
  return html`<section>
<h2>Figures</h2>
<table>
<thead><tr><th>method</th><th class="value">top-1</th><th class="value">latency p50</th><th class="value">speed</th><th class="value wide">MACs</th><th class="value wide">parameters</th><th class="value">steps: search</th><th class="value">training</th><th class="value wide">time</th></tr></thead>
<tbody>
<tr><th>original</th><td class="value">${formatPercent(r.original.accuracy.top1)}</td><td class="value">${formatMs(r.original.latencyMs.p50)}</td><td class="value">1.00x</td><td class="value wide">${formatCount(r.original.macs)}</td><td class="value wide">${formatCount(r.original.params)}</td><td class="value"></td><td class="value"></td><td class="value wide"></td></tr>
${rows.map((m) => html`<tr><th>${m.title} <small>${m.method}</small>${m === best ? html` <span class="badge met">best</span>` : null}${m.met ? null : html` <span class="badge missed">over budget</span>`}</th><td class="value">${formatPercent(m.accuracy.top1)}</td><td class="value">${formatMs(m.latencyMs.p50)}</td><td class="value">${formatRatio(m.speedup)}</td><td class="value wide">${formatCount(m.macs)}</td><td class="value wide">${formatCount(m.params)}</td><td class="value">${Math.round(m.steps.used - m.steps.retrain)}</td><td class="value">${Math.round(m.steps.retrain)}</td><td class="value wide">${formatSeconds(m.seconds)}</td></tr>`)}
</tbody>
</table>
</section>`;
}

/** Channels left per group, a shade for the share. */
function widths(r: Comparison): Markup | null {
  const shown = r.methods.filter((m) => m.widths !== null);
  if (shown.length === 0) return null;
  return html`<section>
<h2>Channels left</h2>
<p class="muted">Of every group of channels that live and die together; 0 where a residual branch went with it.</p>
<div style="overflow-x:auto"><table class="names">
<thead><tr><th>group</th><th class="value">of</th>${shown.map((m) => html`<th class="value">${m.method}</th>`)}</tr></thead>
<tbody>
${r.groups.map((g) => html`<tr><th>${g.id}</th><td class="value">${g.width}</td>${shown.map((m) => cell(m.widths?.[g.id] ?? g.width, g.width))}</tr>`)}
</tbody>
</table></div>
</section>`;
}

const cell = (left: number, width: number): Markup =>
  html`<td class="value" style="background:color-mix(in srgb, var(--fitted) ${Math.round((60 * left) / width)}%, transparent)">${left}</td>`;

function notes(r: Comparison): Markup {
  const failed = r.failed.map((f) => html`<dt>${f.method}</dt><dd>gave no net: ${f.reason}</dd>`);
  return html`<section>
<h2>The methods</h2>
<dl class="facts">
${r.methods.map((m) => html`<dt>${m.title}</dt><dd>${[m.paper, ...m.notes, settingsText(m)].filter((t) => t !== "").join("; ")}</dd>`)}
${failed}
</dl>
</section>`;
}

const settingsText = (m: ComparedMethod): string =>
  Object.entries(m.settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
