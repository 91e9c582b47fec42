/** The page of a quantisation: what became of every layer, most harmful first, with histograms. Loads nothing, runs no script. */
import { formatBytes, formatMs, formatPercent, formatPoints, formatRatio, significant } from "./format.js";
import { html, type Markup } from "./markup.js";
import { page } from "./page.js";
import type { QuantizedLayer, QuantizeReport } from "./quantizeSchema.js";

const ANSWERS: Record<QuantizeReport["answer"], string> = {
  int8: "INT8 throughout",
  mixed: "INT8, some layers float",
  fp32: "stays float",
  "weights-only": "weights in 8 bits",
};

/** `INT8 throughout, 3.60x smaller, 1.71x faster, -0.03 points`. */
export function quantizeHeadline(r: QuantizeReport): string {
  const parts = [ANSWERS[r.answer]];
  if (r.answer !== "fp32") parts.push(`${formatRatio(r.bytes.before / r.bytes.after)} smaller`);
  if (r.latency && r.answer !== "fp32") parts.push(`${formatRatio(r.latency.ratio)} faster`);
  if (r.test && r.answer !== "fp32") parts.push(testText(r.test));
  return parts.join(", ");
}

const testText = (t: NonNullable<QuantizeReport["test"]>): string =>
  t.measures === "accuracy" ? formatPoints(t.after - t.before) : `same answer in ${formatPercent(t.after)} of images`;

/** The page as text. All names and messages are escaped. */
export function renderQuantizeHtml(r: QuantizeReport): string {
  const title = `${r.model.file}: ${quantizeHeadline(r)}`;
  return page(
    title,
    r.tool.version,
    html`<header>
<div class="muted">${r.model.file}${r.device ? ` on ${r.device.cpu}` : ""}</div>
<h1>${quantizeHeadline(r)}</h1>
${r.why ? html`<p>${r.why}</p>` : null}
<dl class="tiles">${tiles(r)}</dl>
</header>
${warnings(r)}
${layers(r)}
${candidates(r)}
${settings(r)}
<footer>edgefit ${r.tool.version}, ${new Date(r.date).toUTCString()}.</footer>`,
  ).text;
}

function tiles(r: QuantizeReport): Markup[] {
  const tile = (name: string, value: string, note: string) =>
    html`<div><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`;
  return [
    ...(r.test
      ? [
          tile(
            r.test.measures === "accuracy" ? "Accuracy, top-1" : "Same answer",
            formatPercent(r.test.after),
            `${r.test.measures === "accuracy" ? `from ${formatPercent(r.test.before)}, ` : ""}${r.test.images} test images`,
          ),
        ]
      : []),
    ...(r.latency
      ? [tile("Latency, median", formatMs(r.latency.answerMs), `from ${formatMs(r.latency.floatMs)}`)]
      : []),
    tile("File", formatBytes(r.bytes.after), `from ${formatBytes(r.bytes.before)}`),
    ...(r.outputs.length > 0
      ? [tile("Worst output", decibels(worst(r)), "signal to noise on held-back training images")]
      : []),
  ];
}

const worst = (r: QuantizeReport): number | null => {
  const known = r.outputs.flatMap((o) => (o.sqnrDb === null ? [] : [o.sqnrDb]));
  return known.length > 0 ? Math.min(...known) : null;
};

const decibels = (db: number | null): string => (db === null ? "identical" : `${db.toFixed(1)} dB`);

function warnings(r: QuantizeReport): Markup | null {
  if (r.warnings.length === 0) return null;
  return html`<section class="warnings"><h2>Read these figures with care</h2><ul>${r.warnings.map((w) => html`<li>${w}</li>`)}</ul></section>`;
}

function layers(r: QuantizeReport): Markup | null {
  if (r.layers.length === 0) return null;
  const timed = r.layers.some((l) => l.floatMs !== null);
  const harmed = r.layers.some((l) => l.harmDb !== null);
  const cell = (v: string) => html`<td class="value">${v}</td>`;
  const db = (v: number | null) => cell(v === null ? "" : v.toFixed(1));
  const rows = r.layers.map(
    (l) => html`<tr><th scope="row">${l.node} <small>${l.op}</small></th>
<td>${l.precision === "int8" ? html`<span class="badge int8">INT8</span>` : html`<span class="badge">fp32</span> <small>${l.reason ?? ""}</small>`}</td>
<td class="bar">${histogram(l)}</td>
${cell(l.range ? `${significant(l.range.low)} to ${significant(l.range.high)}` : "")}
${cell(l.saturatedShare === null ? "" : formatPercent(l.saturatedShare, 3))}
${db(l.weightDb)}${db(l.valueDb)}${harmed ? db(l.harmDb) : null}
${timed ? cell(l.floatMs === null ? "" : `${formatMs(l.floatMs)} → ${formatMs(l.integerMs ?? 0)}`) : null}</tr>`,
  );
  return html`<section id="layers"><h2>Layer by layer</h2>
<p class="muted">${harmed ? "Most harmful first: the model's worst output with that layer alone in INT8." : "In the order of computation."} Ratios are signal to rounding noise in decibels. The bars count the elements of a layer's result on a logarithmic scale; the lines are the ends of its range.</p>
<table class="names"><thead><tr><th scope="col">Layer</th><th scope="col">Type</th><th scope="col">Elements</th><th scope="col" class="value">Range</th><th scope="col" class="value">Clipped</th><th scope="col" class="value">Weights</th><th scope="col" class="value">Result</th>${harmed ? html`<th scope="col" class="value">Alone</th>` : null}${timed ? html`<th scope="col" class="value">Time, fp32 → INT8</th>` : null}</tr></thead><tbody>${rows}</tbody></table></section>`;
}

const WIDTH = 192;
const HEIGHT = 34;

/** Counts as bars on a logarithmic scale, with the ends of the range as lines. */
export function histogram(l: QuantizedLayer): Markup | null {
  const h = l.histogram;
  if (!h) return null;
  const most = Math.log1p(Math.max(...h.counts));
  const step = WIDTH / h.counts.length;
  const bars = h.counts.map((count, i) => {
    const height = most > 0 ? (Math.log1p(count) / most) * HEIGHT : 0;
    return count > 0
      ? html`<rect x="${(i * step).toFixed(1)}" y="${(HEIGHT - height).toFixed(1)}" width="${Math.max(0.5, step - 0.6).toFixed(1)}" height="${height.toFixed(1)}" fill="var(--original)"/>`
      : html``;
  });
  const at = (v: number): number => (h.high > h.low ? ((v - h.low) / (h.high - h.low)) * WIDTH : 0);
  const line = (v: number): Markup | null => {
    const x = at(v);
    return x >= -1 && x <= WIDTH + 1
      ? html`<line x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="0" y2="${HEIGHT}" stroke="var(--int8)" stroke-width="1.5"/>`
      : null;
  };
  const label = `elements from ${significant(h.low)} to ${significant(h.high)}`;
  return html`<svg role="img" aria-label="${label}" width="${WIDTH}" height="${HEIGHT}"><title>${label}</title>${bars}${l.range ? line(l.range.low) : null}${l.range ? line(l.range.high) : null}</svg>`;
}

function candidates(r: QuantizeReport): Markup | null {
  if (r.candidates.length === 0) return null;
  const best = Math.max(...r.candidates.map((c) => c.sqnrDb ?? Number.POSITIVE_INFINITY));
  const rows = r.candidates.map((c) => {
    const name = [
      c.ranges,
      ...(c.rounded ? [r.settings.rounding] : []),
      ...(c.biasCorrected ? ["biases corrected"] : []),
    ].join(", ");
    const chosen = (c.sqnrDb ?? Number.POSITIVE_INFINITY) === best;
    return html`<tr><th scope="row">${chosen ? html`<strong>${name}</strong>` : name}</th><td class="value">${decibels(c.sqnrDb)}</td></tr>`;
  });
  return html`<section><h2>What was tried</h2><p class="muted">The worst output's signal-to-noise ratio on held-back training images; the best one is the answer.</p><table><tbody>${rows}</tbody></table></section>`;
}

function settings(r: QuantizeReport): Markup {
  const s = r.settings;
  const facts: [string, string][] = [
    ["Format", `${s.format === "qdq" ? "QDQ" : "QOperator"}, operator set ${s.opset}`],
    ["Activations", `${s.activations}${s.symmetric ? ", symmetric" : ""}, ranges by ${s.ranges}`],
    ["Weights", `${s.weights}, ${s.reduceRange ? "7" : "8"} bits, rounding ${s.rounding}`],
    ["Repairs", [...s.repairs, ...(s.biasCorrected ? ["bias correction"] : [])].join(", ") || "none"],
    ["Calibration", `${s.images} images, seed ${s.seed}, quality ${s.quality}`],
    ...(r.device ? [["Device", `${r.device.cpu}, ${r.device.runtime}`] as [string, string]] : []),
    ["Source model", `${r.model.file}, SHA-256 ${r.model.sha256}`],
  ];
  return html`<section id="settings"><h2>Settings</h2><dl class="facts">${facts.map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl></section>`;
}
