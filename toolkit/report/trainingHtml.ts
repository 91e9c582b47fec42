/** A training run as one page: its figures, the curves of loss, accuracy and rate, and a table of the epochs. */
import { formatPercent, formatSeconds } from "./format.js";
import { html, Markup } from "./markup.js";
import { ticks } from "./plots.js";
import { STYLE } from "./style.js";
import type { TrainingEpoch, TrainingReport } from "./trainingSchema.js";

/** The page, complete in itself. */
export function renderTrainingHtml(r: TrainingReport): string {
  const last = r.history.at(-1);
  const followed = r.history.filter((h) => h.metric !== null);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Training of ${r.model}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
<header>
<p class="muted">edgefit ${r.tool.version}</p>
<h1>${headline(r)}</h1>
<p class="muted">${r.recipe.loss}${r.teacher ? ` from ${r.teacher}` : ""}, ${r.recipe.optimizer}, batches of ${r.recipe.batchSize}, seed ${r.recipe.seed}; ${r.data.images} images of ${r.data.name}</p>
<dl class="tiles">
${tile("Epochs", `${r.history.length}`, `of ${r.recipe.epochs}`)}
${tile("Loss of the last epoch", last ? last.loss.toFixed(4) : "-", "mean over its steps")}
${r.accuracy.after === null ? null : tile("Accuracy on the test part", formatPercent(r.accuracy.after), `${r.data.test} images, read once`)}
${tile("Time", formatSeconds(r.seconds), waited(r.history))}
</dl>
</header>
<section>
<h2>Loss</h2>
${curve(
  "Loss",
  r.history,
  (h) => h.loss,
  (v) => String(v),
)}
</section>
${
  followed.length === 0
    ? null
    : html`<section>
<h2>Accuracy on ${r.data.heldOut} held-out training images</h2>
${curve(
  "Accuracy, %",
  followed,
  (h) => 100 * (h.metric as number),
  (v) => String(v),
)}
</section>`
}
<section>
<h2>Epochs</h2>
<table>
<thead><tr><th>epoch</th><th class="value">loss</th><th class="value">held-out accuracy</th><th class="value">last rate</th><th class="value">time</th></tr></thead>
<tbody>
${r.history.map((h) => html`<tr><th>${h.epoch}${h.epoch === r.bestEpoch ? html` <span class="badge met">kept</span>` : null}</th><td class="value">${h.loss.toFixed(4)}</td><td class="value">${h.metric === null ? "" : formatPercent(h.metric)}</td><td class="value">${h.learningRate.toPrecision(3)}</td><td class="value">${formatSeconds(h.seconds)}</td></tr>`)}
</tbody>
</table>
</section>
</main>
</body>
</html>
`;
  return page.toString();
}

function headline(r: TrainingReport): string {
  if (r.accuracy.after !== null) return `${r.model}: ${formatPercent(r.accuracy.after)} on the test part`;
  return `${r.model}, trained for ${r.history.length} epochs`;
}

const tile = (name: string, value: string, remark: string): Markup =>
  html`<div><dt>${name}</dt><dd>${value} <small>${remark}</small></dd></div>`;

function waited(history: readonly TrainingEpoch[]): string {
  const shares = history.flatMap((h) => (h.waited === null ? [] : [h.waited]));
  if (shares.length === 0) return "evaluation included";
  return `${formatPercent(shares.reduce((a, b) => a + b, 0) / shares.length)} of it waiting for data`;
}

/** One value per epoch as a line. */
function curve(
  name: string,
  history: readonly TrainingEpoch[],
  of: (h: TrainingEpoch) => number,
  format: (v: number) => string,
): Markup {
  const [left, right, top, bottom] = [58, 700, 12, 200];
  const values = history.map(of);
  const yTicks = ticks(Math.min(...values), Math.max(...values));
  const [low, high] = [yTicks[0], yTicks[yTicks.length - 1]];
  const first = history[0].epoch;
  const span = Math.max(1, history[history.length - 1].epoch - first);
  const x = (epoch: number): number => Number((left + ((epoch - first) / span) * (right - left)).toFixed(1));
  const y = (v: number): number => Number((bottom - ((v - low) / (high - low)) * (bottom - top)).toFixed(1));
  const points = history.map((h) => `${x(h.epoch)},${y(of(h))}`).join(" ");
  const label = `${name} per epoch, from ${format(round(values[0]))} to ${format(round(values[values.length - 1]))}`;
  const xTicks = ticks(first, first + span).filter((t) => Number.isInteger(t) && t >= first && t <= first + span);
  return html`<svg role="img" aria-label="${label}" viewBox="0 0 720 232" width="100%">
<title>${label}</title>
${yTicks.map((t) => html`<line class="grid" x1="${left}" x2="${right}" y1="${y(t)}" y2="${y(t)}"/><text class="soft" x="${left - 8}" y="${y(t) + 4}" text-anchor="end">${format(t)}</text>`)}
${xTicks.map((t) => html`<text class="soft" x="${x(t)}" y="${bottom + 20}" text-anchor="middle">${t}</text>`)}
<polyline points="${points}" fill="none" stroke="var(--fitted)" stroke-width="2"/>
${history.map((h) => html`<circle cx="${x(h.epoch)}" cy="${y(of(h))}" r="3" fill="var(--fitted)"><title>epoch ${h.epoch}: ${format(round(of(h)))}</title></circle>`)}
</svg>`;
}

const round = (v: number): number => Number(v.toPrecision(5));
