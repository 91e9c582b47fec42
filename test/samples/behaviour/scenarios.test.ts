/** Scripted drivers with known answers, at several rates of pictures. */
import { describe, expect, test } from "vitest";
import { type Alert, defaultBehaviour } from "../../../samples/driver-monitoring/behaviour/index.js";
import { scenarios } from "../../../samples/driver-monitoring/scripts/scenarios.js";
import { follow, steady } from "./follow.js";

const levels = ["notice", "warning", "critical"];
const highest = (list: readonly Alert[]): string | undefined =>
  list.map((a) => a.level).sort((a, b) => levels.indexOf(b) - levels.indexOf(a))[0];

describe.each([15, 24, 30, 60])("at %i pictures a second", (rate) => {
  test.each(scenarios.map((s) => [s.name, s] as const))("%s", (_, s) => {
    const { states, events } = follow(s.actions, steady(s.lengthMs, rate));
    const counted = { blink: 0, "long-blink": 0, microsleep: 0, yawn: 0 };
    for (const e of events) counted[e.kind]++;
    expect(counted).toEqual(s.events);

    for (const expected of s.alerts) {
      const during = states.filter((x) => x.timeMs >= expected.fromMs && x.timeMs <= expected.toMs);
      const up = during.flatMap((x) => x.alerts.filter((a) => a.kind === expected.kind));
      expect(highest(up), expected.kind).toBe(expected.level);
    }
    // No alert outside its time, but for the time that it is held and one picture.
    const slack = defaultBehaviour.alertHoldMs + 1000 / rate + 1;
    const stray = states.flatMap((x) =>
      x.alerts
        .filter((a) => !s.alerts.some((e) => e.kind === a.kind && x.timeMs >= e.fromMs && x.timeMs <= e.toMs + slack))
        .map((a) => `${a.kind} ${a.level} at ${x.timeMs}`),
    );
    expect(stray).toEqual([]);
  });
});
