import { PassThrough } from "node:stream";
import pc from "picocolors";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { progressBar, progressLines } from "../../toolkit/cli/progress.js";

describe("progress as lines", () => {
  test("is silent for two seconds, then speaks every ten", () => {
    const lines: string[] = [];
    let now = 0;
    const progress = progressLines(
      (l) => lines.push(l),
      () => now,
    );
    for (; now <= 25_000; now += 500) progress.update({ stage: "measuring", done: now / 500, total: 50, note: "net" });
    expect(lines).toEqual(["measuring: 4 of 50, net", "measuring: 24 of 50, net", "measuring: 44 of 50, net"]);
  });

  test("starts anew with each stage", () => {
    const lines: string[] = [];
    let now = 0;
    const progress = progressLines(
      (l) => lines.push(l),
      () => now,
    );
    progress.update({ stage: "a", done: 0, total: 2 });
    now = 1900;
    progress.update({ stage: "b", done: 0, total: 2 });
    now = 3800;
    progress.update({ stage: "b", done: 1, total: 2 });
    now = 3900;
    progress.update({ stage: "b", done: 2, total: 2 });
    expect(lines).toEqual(["b: 2 of 2"]);
  });
});

describe("progress as a bar", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  const open = () => {
    const stream = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 100,
      cursorTo() {},
      clearLine() {},
      moveCursor() {},
    });
    let text = "";
    stream.on("data", (d) => (text += d));
    return { bar: progressBar(stream, pc.createColors(false)), text: () => text };
  };

  test("appears only once a stage has run for two seconds, and goes when it is done", () => {
    const { bar, text } = open();
    bar.update({ stage: "measuring", done: 1, total: 4 });
    vi.advanceTimersByTime(1900);
    expect(text()).toBe("");
    vi.advanceTimersByTime(200);
    expect(text()).toContain("measuring 1/4");
    bar.update({ stage: "measuring", done: 4, total: 4 });
    const before = text();
    vi.advanceTimersByTime(5000);
    expect(text()).toBe(before);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("never appears for quick work", () => {
    const { bar, text } = open();
    bar.update({ stage: "quick", done: 0, total: 1 });
    bar.update({ stage: "quick", done: 1, total: 1 });
    vi.advanceTimersByTime(5000);
    expect(text()).toBe("");
  });
});
